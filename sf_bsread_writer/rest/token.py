"""The secret that clients of a writer have to know, read from a file.

The file is read while the program still is who started it: it belongs to whoever runs the acquisition, and the user whose files
are written need not be able to read it.
"""

import os
import re
import stat
from pathlib import Path

from sf_bsread_writer.errors import SetupError

FEWEST_CHARACTERS = 16
_MOST_BYTES = 4096
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what a header can carry, see RFC 6750
_ADVICE = "make one with: (umask 077; openssl rand -hex 32 > FILE)"


def read_token(path: Path) -> str:
    """The token in this file; raises SetupError, which never shows it, if there is none or if others may read or change it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer would hold the program up
        try:
            _check(path, os.fstat(descriptor))
            content = os.read(descriptor, _MOST_BYTES)
        finally:
            os.close(descriptor)
    except SetupError:
        raise
    except OSError as error:
        raise SetupError(f"cannot read the token file {path}: {error.strerror}; {_ADVICE}") from error
    token = content.decode("ascii", "replace").strip()
    if len(token) < FEWEST_CHARACTERS or not _TOKEN.fullmatch(token):
        raise SetupError(
            f"the token file {path} has to hold one line of at least {FEWEST_CHARACTERS} letters, digits or ._~+/=-; {_ADVICE}"
        )
    return token


def _check(path: Path, status: os.stat_result) -> None:
    """Looks at the open file, so that nobody can put another in its place in between."""
    if not stat.S_ISREG(status.st_mode):
        raise SetupError(f"the token file {path} is not a regular file; {_ADVICE}")
    if status.st_uid not in (0, os.geteuid()):
        raise SetupError(f"the token file {path} belongs to user id {status.st_uid}, who may change it; chown it to your own")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SetupError(f"others may read or change the token file {path}: chmod it to 600, or to 640 for a group that may ask")
