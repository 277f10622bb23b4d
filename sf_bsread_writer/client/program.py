"""A writer as a child of this process: started, its log kept, and ended with us."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from typing import IO

from sf_bsread_writer.errors import DeadlineError, SetupError
from sf_bsread_writer.notify import VARIABLES

ENDING_S = 30.0
"""How long a writer that is told to end may take to close its file, before it is killed."""

_REST = re.compile(r"REST on (http://\S+)\n")
_POLL_S = 0.01


class Program:
    """A writer process, in a group of its own: what interrupts a notebook's cell does not reach it.

    It ends when `end` is called, when this object is gone, and when the interpreter exits. The log is in a file without a name,
    which takes any amount without anybody reading it.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        self._close_log = weakref.finalize(self, log.close)  # finalizers run in the reverse of their order
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sf_bsread_writer.writer", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
            env={name: value for name, value in os.environ.items() if name not in VARIABLES},
        )
        self._log: IO[bytes] = log
        self.end = weakref.finalize(self, _end, self._process)
        """Lets it close its file and waits for that; may be called again."""

    @property
    def log(self) -> str:
        """All that it has said so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def url(self, *, timeout_s: float) -> str:
        """Where its REST face is, once it is there. Raises `SetupError` if the process ends before, else `DeadlineError`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            code = self._process.poll()
            found = _REST.search(self.log)
            if found is not None:
                return found[1]
            if code is not None:
                raise SetupError(f"the writer ended with code {code} before it could be asked; it said: {self.log.strip()}")
            if time.monotonic() > deadline_s:
                raise DeadlineError(f"the writer did not serve REST within {timeout_s:g} s; it said: {self.log.strip()}")
            time.sleep(_POLL_S)

    def exit_code(self, *, timeout_s: float = ENDING_S) -> int:
        """How it ended, once it has; raises `DeadlineError` if it does not."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise DeadlineError(f"the writer did not end within {timeout_s:g} s; it said: {self.log.strip()}") from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(ENDING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
