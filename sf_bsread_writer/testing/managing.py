"""A service manager's end of sd_notify: a real Unix datagram socket, and the environment of a program that is its service."""

import socket
from pathlib import Path
from typing import Self

from sf_bsread_writer.testing.programs import DEADLINE_S


class NotifySocket:
    """Receives what a service tells; ``environment`` is for the service."""

    def __init__(self, folder: Path, *, watchdog_s: float = 0.0) -> None:
        path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(DEADLINE_S)
        self.environment = {"NOTIFY_SOCKET": str(path)}
        if watchdog_s:
            self.environment["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))

    def next(self) -> dict[str, str]:
        """The fields of the next message; raises TimeoutError if none comes."""
        return dict(line.split("=", 1) for line in self._socket.recv(4096).decode().splitlines())

    def next_with(self, text: str) -> dict[str, str]:
        """The next message whose status has this text."""
        while text not in (message := self.next()).get("STATUS", ""):
            pass
        return message

    def drain(self) -> None:
        """Forgets what has come so far."""
        self._socket.setblocking(False)
        try:
            while True:
                self._socket.recv(4096)
        except BlockingIOError:
            self._socket.settimeout(DEADLINE_S)

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(DEADLINE_S)
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self._socket.close()
