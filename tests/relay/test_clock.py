"""The buffer's clock against wall clocks that jump."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.relay.clock import ArrivalClock

SECOND = 1_000_000_000


class Times:
    """A wall and a steady clock in the hands of the test."""

    def __init__(self) -> None:
        self.wall_ns = 1_700_000_000 * SECOND
        self.steady_ns = 0

    def clock(self) -> ArrivalClock:
        return ArrivalClock(lambda: self.wall_ns, lambda: self.steady_ns)

    def go(self, steady_ns: int, step_ns: int = 0) -> None:
        self.steady_ns += steady_ns
        self.wall_ns += steady_ns + step_ns


def test_it_tells_the_wall_clocks_time() -> None:
    times = Times()
    clock = times.clock()
    for step in (5, SECOND, 17 * SECOND):
        times.go(step)
        assert clock() == times.wall_ns


def test_it_follows_a_clock_that_is_set_forward() -> None:
    times = Times()
    clock = times.clock()
    times.go(SECOND, 3600 * SECOND)
    assert clock() == times.wall_ns


def test_it_goes_on_at_the_steady_pace_when_the_clock_is_set_back_until_that_has_caught_up() -> None:
    times = Times()
    clock = times.clock()
    times.go(SECOND)
    before_ns = clock()
    times.go(SECOND, -3600 * SECOND)
    assert clock() == before_ns + SECOND
    times.go(10 * SECOND)
    assert clock() == before_ns + 11 * SECOND
    times.go(SECOND, 3600 * SECOND + 5)
    assert clock() == times.wall_ns == before_ns + 12 * SECOND + 5


@given(st.lists(st.tuples(st.integers(0, SECOND), st.integers(-10 * SECOND, 10 * SECOND)), max_size=50))
def test_it_is_larger_at_each_call(steps: list[tuple[int, int]]) -> None:
    times = Times()
    clock = times.clock()
    told = [clock()]
    for steady_ns, step_ns in steps:
        times.go(steady_ns, step_ns)
        told.append(clock())
    assert all(later > earlier for earlier, later in pairwise(told))


def test_it_goes_on_behind_a_time_that_was_told_in_an_earlier_life() -> None:
    times = Times()
    earlier_ns = times.wall_ns + SECOND
    clock = ArrivalClock(lambda: times.wall_ns, lambda: times.steady_ns, after_ns=earlier_ns)
    times.go(1)
    assert clock() == earlier_ns + 1
    times.go(2 * SECOND, SECOND)
    assert clock() == times.wall_ns
