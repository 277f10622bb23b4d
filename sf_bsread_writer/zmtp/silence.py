"""An open connection that brings nothing for too long.

Keep-alive finds out that the other machine has gone. It does not find out that a program hangs, or that something between has
forgotten the connection and answers for it: there, only another connection helps.
"""

import asyncio
from collections.abc import Callable

STALE_TIMEOUT_S = 300.0
"""Five pulses of the slowest source known, one a minute: its pauses are no silence. A source that rests all night is connected to
again a hundred times, which takes a millisecond each and loses nothing that is sent in any other."""


class Silence:
    """Calls ``too_long`` once nothing has been heard for ``timeout_s``; 0 means never.

    What is heard costs one look at the clock, however often it is; the timer runs on its own.
    """

    def __init__(self, timeout_s: float, too_long: Callable[[], None]) -> None:
        self.timeout_s = timeout_s
        self._too_long = too_long
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Listens from now on."""
        self.heard()
        self.end()
        if self.timeout_s:
            self._timer = self._loop.call_later(self.timeout_s, self._look)

    def heard(self) -> None:
        """Something has come, or would have if it had been read."""
        self._heard_s = self._loop.time()

    def end(self) -> None:
        """Listens no more; may be called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        left_s = self._heard_s + self.timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._timer = None
            self._too_long()
