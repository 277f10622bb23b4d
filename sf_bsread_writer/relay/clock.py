"""The buffer's clock: wall time for people, strictly increasing for "now".

"Now" in a start or stop means arrival at the buffer: whatever had arrived before must have a smaller time, and whatever arrives
later a larger one, also when the machine's clock is set back in between. Pure: both clocks are passed in.
"""

from collections.abc import Callable


class ArrivalClock:
    """Nanoseconds since 1970, larger at each call, and larger than ``after_ns``.

    It follows the wall clock forward. Where that is set back, it goes on at the steady clock's pace until the wall clock
    has caught up.
    """

    def __init__(self, wall_ns: Callable[[], int], steady_ns: Callable[[], int], *, after_ns: int = 0) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._last_ns = max(wall_ns(), after_ns)
        self._last_steady_ns = steady_ns()

    def __call__(self) -> int:
        # In this order: a pause between the two readings must not make the steady one run ahead for ever.
        wall_ns = self._wall_ns()
        steady_ns = self._steady_ns()
        pace_ns = self._last_ns + steady_ns - self._last_steady_ns
        self._last_ns = max(wall_ns, pace_ns, self._last_ns + 1)
        self._last_steady_ns = steady_ns
        return self._last_ns
