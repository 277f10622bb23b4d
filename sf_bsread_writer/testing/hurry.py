"""An event loop for which waiting takes no time: what takes minutes is seen in a moment, with all timers in their order.

Sockets are real, and are given a moment of real time before the clock jumps to the next timer.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

_MOMENT_S = 0.002


class _Selector(selectors.DefaultSelector):
    """Waits a moment instead of ``timeout``, and notes by how much that was too short."""

    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= _MOMENT_S:
            return super().select(timeout)
        ready = super().select(_MOMENT_S)
        if not ready:
            self.skipped_s += timeout - _MOMENT_S
        return ready


class HurriedLoop(asyncio.SelectorEventLoop):
    """Its clock is ahead of the real one by all the time that nobody had to wait."""

    def __init__(self) -> None:
        self._hurried = _Selector()
        super().__init__(self._hurried)

    def time(self) -> float:
        return super().time() + self._hurried.skipped_s


def hurry(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a coroutine in such a loop."""
    with asyncio.Runner(loop_factory=HurriedLoop) as runner:
        return runner.run(main)
