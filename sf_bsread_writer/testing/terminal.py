"""A terminal in the test's hands: what a program shows on it, and keys."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sf_bsread_writer.testing.programs import DEADLINE_S, wait_until


class Terminal:
    """A program on a terminal; ``shown`` is all that came to it, with the sequences that move the cursor."""

    def __init__(self, process: "subprocess.Popen[bytes]", ours: int) -> None:
        self.process = process
        self._ours = ours
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, name="terminal")
        self._reader.start()

    @property
    def shown(self) -> str:
        """As text."""
        return self._shown.decode(errors="replace")

    def wait_for(self, text: str) -> None:
        """Returns when it has been shown."""
        try:
            wait_until(lambda: text in self.shown, f"{text!r} is shown")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; instead {self.shown!r}") from None

    def press(self, keys: str) -> None:
        """Types."""
        os.write(self._ours, keys.encode())

    def interrupt(self) -> None:
        """What Ctrl-C makes of a terminal that it belongs to."""
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> int:
        """Its exit code, once all is shown."""
        code = self.process.wait(DEADLINE_S)
        self._reader.join(DEADLINE_S)
        return code

    def _read(self) -> None:
        try:
            while data := os.read(self._ours, 1 << 16):
                self._shown += data
        except OSError:  # EIO: nobody has the other end open any more
            pass


def screen(shown: str) -> list[str]:
    """The lines that a person sees in the end, of what moves by lines only: newline, return, line up, line erased."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", shown):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b"):
            row -= int(part[2:-1] or 1) if part.endswith("A") else 0
            lines[row] = "" if part.endswith("K") else lines[row]
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return lines


@contextmanager
def on_terminal(
    command: Sequence[str], *, stdout: int | None = None, rows: int = 40, columns: int = 120, **environment: str
) -> Iterator[Terminal]:
    """Runs a command on a terminal, but for ``stdout`` if that is given; whatever happens, it ends with the block."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**inherited, "TERM": "xterm", **environment},
        process_group=0,
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
        terminal.ended()
        os.close(ours)
