"""Tells systemd that a program is ready, what it does, and that its event loop still turns: sd_notify(3), in a few lines.

A message is one datagram of KEY=value lines to the Unix socket named in the environment. The signs of life come from the loop
itself: where it is stuck they stop, and systemd ends and restarts the service (WatchdogSec=). Without that variable, nothing is
sent. The package for it on PyPI, sdnotify, is no longer maintained, and python-systemd needs a C library.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

logger = logging.getLogger(__name__)

VARIABLES = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})
"""What a service manager says to one process alone: to it, a child that answers is a fault."""

LONGEST_INTERVAL_S = 5.0
"""What people read in ``systemctl status`` is never older than this."""


class ServiceManager:
    """Who started this program as a service, if anybody; ``environment`` is what the program was started with.

    A socket is opened for each message and is never held: the program may be another user by the next one.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(environment)
        self._has_failed = False

    @property
    def interval_s(self) -> float:
        """Between two signs of life: two for each time span in which systemd expects one."""
        return min(LONGEST_INTERVAL_S, self._watchdog_s / 2) if self._watchdog_s else LONGEST_INTERVAL_S

    def tell(self, **fields: str) -> None:
        """Sends one message without waiting for anybody; that it cannot be sent is logged once, and stops nothing."""
        if not self._path:
            return
        text = "\n".join(f"{key}={' '.join(value.splitlines())}" for key, value in fields.items())
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(text.encode(), address)
        except OSError as error:
            if not self._has_failed:
                logger.warning("Cannot tell the service manager at %s: %s", self._path, error)
            self._has_failed = True

    @asynccontextmanager
    async def informed(self, status: Callable[[], str]) -> AsyncIterator[None]:
        """Tells it that the program is ready, then ``status`` and a sign of life until the end of the block."""
        if not self._path:
            yield
            return
        self.tell(READY="1", STATUS=status())
        telling = asyncio.create_task(self._keep_telling(status), name="service manager")
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            self.tell(STOPPING="1", STATUS=status())

    async def _keep_telling(self, status: Callable[[], str]) -> None:
        while True:
            await asyncio.sleep(self.interval_s)
            self.tell(STATUS=status(), WATCHDOG="1")


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """How long systemd waits for a sign of life of this process; 0 if it does not."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    given = environment.get("WATCHDOG_USEC", "")
    return int(given) / 1e6 if given.isdecimal() else 0.0
