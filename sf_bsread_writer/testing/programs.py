"""The real programs as child processes, with their log lines, and waits that end."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
DEADLINE_S = 20.0
PROMPTLY_S = 10.0
"""Generous to a busy machine, and far less than the time after which a writer would end without having to."""


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = DEADLINE_S) -> None:
    """Returns as soon as the condition holds; raises TimeoutError that names what did not happen."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {timeout_s} s: {what}")
        time.sleep(0.005)


class Program:
    """A running child; its output lines are collected while it runs."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self.process = process
        self.name = name
        self.lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def output(self) -> str:
        """All that it has printed so far."""
        return "\n".join(self.lines)

    def wait_for_line(self, pattern: str, *, timeout_s: float = DEADLINE_S) -> re.Match[str]:
        """The first match in a line printed so far or soon; raises TimeoutError with the output."""
        seen = 0
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    match = re.search(pattern, line)
                    if match:
                        return match
                seen = len(self.lines)
                if self._ended or not self._changed.wait(max(0.0, deadline_s - time.monotonic())):
                    raise TimeoutError(f"{self.name} did not print {pattern!r}:\n{self.output}")

    def wait_for_exit(self, *, timeout_s: float = DEADLINE_S) -> int:
        """Its exit code, all output read; raises TimeoutError with the output."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self.name} did not end within {timeout_s} s:\n{self.output}") from None
        self._reader.join(timeout_s)
        return code

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the exit; kills what does not end."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.wait_for_exit()
        except TimeoutError:
            self.process.kill()
            self.wait_for_exit()
            raise


@contextmanager
def running(program: str, *arguments: object, **environment: str) -> Iterator[Program]:
    """Runs ``sf_bsread_writer/<program>.py`` as a plain script with the arguments; whatever happens, it ends with the block."""
    command = [sys.executable, str(PACKAGE / f"{program}.py"), *map(str, arguments)]
    with started(command, name=program, environment={"PYTHONPATH": str(PACKAGE.parent), **environment}) as child:
        yield child


@contextmanager
def started(
    command: Sequence[str],
    *,
    name: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    own_group: bool = False,
) -> Iterator[Program]:
    """Runs any command, in that folder and with those variables set; whatever happens, it ends with the block.

    ``own_group``: a Ctrl-C at the terminal does not reach it.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        process_group=0 if own_group else None,
    )
    child = Program(process, name)
    try:
        yield child
    finally:
        child.end()
        assert process.stdout is not None
        process.stdout.close()
