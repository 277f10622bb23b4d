"""Gives up root for the user whose files are to be written: groups first, then gid, then uid, then a look whether it holds.

The order matters: without root, groups cannot be changed any more. To be called after everything is imported, since the
interpreter's own files may be unreadable for that user, and before the first folder or file is created. Afterwards there is
no way back, for this process and for all its threads.
"""

import logging
import os
import pwd
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sf_bsread_writer.errors import SetupError

KEEP = -1
"""The user id that means: go on as the current user."""

_logger = logging.getLogger(__name__)

_IDS = range(2**32 - 1)  # the highest number means "no change" to the system calls


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """Numeric ids only; ``groups`` are the supplementary ones."""

    uid: int
    gid: int
    groups: frozenset[int]


def switch_user(user_id: int) -> None:
    """Makes this process one of that user, for good; `KEEP` and the current user's own id change nothing.

    A user without an entry in the user database gets the group of the same number and no others. Raises SetupError if there
    is no such id or no permission; the process may then have lost some of its rights, and should end.
    """
    if user_id == KEEP or os.getresuid() == (user_id, user_id, user_id):
        return
    if user_id not in _IDS:
        raise SetupError(
            f"user id {user_id} cannot be; give the number of a user (id -u NAME), or {KEEP} to keep the current one"
        )
    wanted = _identity_of(user_id)
    try:
        os.setgroups(list(wanted.groups))
        os.setresgid(wanted.gid, wanted.gid, wanted.gid)
        os.setresuid(wanted.uid, wanted.uid, wanted.uid)
    except OSError as error:
        raise SetupError(
            f"cannot switch to user id {user_id}: {error.strerror}; this process runs as user id {os.geteuid()}, "
            f"start it as root (with CAP_SETUID and CAP_SETGID), or give {KEEP} to keep the current user"
        ) from error
    _check(wanted)
    _logger.info("Running as user id %d, group id %d, groups %s", wanted.uid, wanted.gid, sorted(wanted.groups))


def _identity_of(user_id: int) -> _Identity:
    try:
        entry = pwd.getpwuid(user_id)
    except KeyError:
        return _Identity(uid=user_id, gid=user_id, groups=frozenset())
    groups = frozenset(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return _Identity(uid=user_id, gid=entry.pw_gid, groups=groups)


def _check(wanted: _Identity) -> None:
    """Raises SetupError unless the process is what it was told to be; no system call is trusted that says it went well."""
    uids, gids, groups = set(os.getresuid()), set(os.getresgid()), frozenset(os.getgroups())
    if (uids, gids, groups) != ({wanted.uid}, {wanted.gid}, wanted.groups):
        raise SetupError(
            f"switched to user id {wanted.uid}, but runs as user ids {sorted(uids)}, group ids {sorted(gids)}, groups "
            f"{sorted(groups)} instead of {wanted}; give {KEEP} and start the program as that user"
        )
    if wanted.uid != 0 and (kept := _capabilities()):
        # Only from root does a switch take them along; each thread has its own, so that they cannot all be given up here.
        raise SetupError(
            f"switched to user id {wanted.uid}, but kept the capabilities {kept:#x}, with which it could switch back; "
            "start the program as root, which gives them up by the switch, and not as another user that has been given them"
        )


def _capabilities() -> int:
    """Those that any thread of this process may use, as bits; see capabilities(7)."""
    bits = 0
    for status in Path("/proc/self/task").glob("*/status"):
        with suppress(OSError):  # a thread that has ended meanwhile
            found = re.search(rb"\nCapPrm:\s*([0-9a-f]+)\n", status.read_bytes())
            bits |= int(found[1], 16) if found else 0
    return bits
