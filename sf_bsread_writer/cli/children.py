"""Programs that a subcommand starts, and that end with it: also at Ctrl-C, SIGTERM and a closed terminal.

Each child is in a process group of its own, so that Ctrl-C reaches only us and we end them in order; each is ended by its own id.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self, TypeVar

from sf_bsread_writer.errors import SetupError

T = TypeVar("T")

_PATIENCE_S = 10.0
_ENDS_US = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """A running program whose output goes to a log file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def process_id(self) -> int:
        """By which it can be found in the system's list."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def first_line(self) -> str | None:
        """The first whole line of its output, None before that."""
        line, newline, _ = self.log.read_text(encoding="utf-8", errors="replace").partition("\n")
        return line if newline else None

    def wait(self, what: str, condition: Callable[[], T | None], *, timeout_s: float, poll_s: float = 0.02) -> T:
        """The first result of ``condition`` that is not None; raises `SetupError` if the program ends before, or time is over."""
        deadline_s = time.monotonic() + timeout_s
        while (result := condition()) is None:
            if self.exit_code is not None:
                raise SetupError(
                    f"{self.name} ended with code {self.exit_code} before {what}; its log {self.log} ends: {self._end()}"
                )
            if time.monotonic() > deadline_s:
                raise SetupError(
                    f"{what} did not happen within {timeout_s:g} s; the log of {self.name}, {self.log}, ends: {self._end()}"
                )
            time.sleep(poll_s)
        return result

    def wait_for_exit(self, *, timeout_s: float) -> int:
        """Its exit code; raises `SetupError` if it does not end in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise SetupError(f"{self.name} did not end within {timeout_s:g} s; its log {self.log} ends: {self._end()}") from None

    def end(self) -> None:
        """Asks it to end, and kills it if it does not."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _end(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " / ".join(lines[-3:]) or "(nothing)"


class Children:
    """Starts programs of this package; all of them have ended when the block ends. SIGTERM and SIGHUP end it as Ctrl-C does."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: list[Child] = []
        self._starting = self._interrupted = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._interrupt) for number in _ENDS_US}
        return self

    def start(self, name: str, module: str, *arguments: object) -> Child:
        """Starts ``python -m module arguments…``; output and log go to ``name.log``."""
        log = self._logs / f"{name}.log"
        self._starting = True
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        child = Child(name, process, log)
        self._running.append(child)
        self._starting = False
        if self._interrupted:
            raise KeyboardInterrupt
        return child

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # An impatient second Ctrl-C must not leave half of them behind.
        for number in _ENDS_US:
            signal.signal(number, signal.SIG_IGN)
        try:
            for child in reversed(self._running):
                child.end()
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        # Between a child's beginning and our knowing of it nobody could end it.
        self._interrupted = True
        if not self._starting:
            raise KeyboardInterrupt
