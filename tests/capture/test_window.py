"""What a wish comes to, by what is in the ring."""

from collections.abc import Sequence

import numpy as np
import pytest

from sf_bsread_writer.capture.window import Window, of_last, of_pulses
from sf_bsread_writer.errors import StateError
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.ring.log import Log

NOW_S = 100


def log_of(pulse_ids: Sequence[int], *, gone: int = 0) -> Log:
    """A message each second, the newest half a second ago; so many of the oldest are evicted."""
    log = Log()
    for age, pulse_id in zip(range(len(pulse_ids), 0, -1), pulse_ids, strict=True):
        arrival_ns = NOW_S * NS_PER_S - age * NS_PER_S + NS_PER_S // 2
        log.append(np.array([pulse_id], np.int64), 1, np.array([0]), np.array([10]), arrival_ns)
    log.evict_to(gone)
    return log


def last(log: Log, last_s: float, *, oldest: int | None = None) -> Window:
    return of_last(log, log.oldest if oldest is None else oldest, last_s=last_s, now_ns=NOW_S * NS_PER_S)


def test_the_last_seconds_are_the_messages_that_arrived_in_them() -> None:
    log = log_of(range(10, 20))
    assert last(log, 3) == Window(first=17, last=19, sequence=7, shortfall=None)
    assert last(log, 9.4) == Window(first=11, last=19, sequence=1, shortfall=None)


def test_a_ring_that_may_have_forgotten_some_says_what_it_has() -> None:
    expected = "asked for the last 30 s; the ring holds 5.50 s (pulses 14..19)"
    assert last(log_of(range(10, 20), gone=4), 30) == Window(first=14, last=19, sequence=4, shortfall=expected)


@pytest.mark.parametrize(("last_s", "is_short"), [(5.4, False), (5.6, True), (6.4, True), (6.6, True)])
def test_what_is_in_memory_still_but_cannot_be_replayed_tells_whether_anything_is_missing(last_s: float, is_short: bool) -> None:
    log = log_of(range(10, 20), gone=3)
    assert (last(log, last_s, oldest=5).shortfall is not None) == is_short
    assert (last(log, 4.7, oldest=5).shortfall, last(log, 4.7, oldest=5).sequence) == (None, 5)


def test_of_a_counter_that_started_over_only_the_newest_time_can_be_had_and_that_is_said() -> None:
    window = last(log_of([1000, 1001, 1002, 1003, 1, 2, 3]), 6)
    assert (window.first, window.last, window.sequence) == (1, 3, 4)
    assert window.shortfall == (
        "asked for the last 6 s; the source's pulse ids started over 2.50 s ago: what came since can be had (pulses 1..3), "
        "not the 3 messages before"
    )


@pytest.mark.parametrize(("ids", "expected"), [([10, 11, 12, 9, 13], (10, 13)), ([10, 11, 13, 12], (10, 13)), ([7], (7, 7))])
def test_a_late_message_is_no_counter_that_started_over(ids: list[int], expected: tuple[int, int]) -> None:
    window = last(log_of(ids), 20)
    assert (window.first, window.last, window.sequence) == (*expected, 0)


def test_nothing_can_be_had_of_a_silent_source_or_an_empty_ring() -> None:
    with pytest.raises(StateError, match=r"asked for the last 0\.4 s; nothing .* newest message, pulse 19, is 0\.50 s old"):
        last(log_of(range(10, 20)), 0.4)
    with pytest.raises(StateError, match="asked for the last 30 s; the ring is empty"):
        last(Log(), 30)
    with pytest.raises(StateError, match=r"asked for pulses 1\.\.2; the ring is empty"):
        of_pulses(Log(), 0, first=1, last=2)


def test_pulses_that_are_held_or_will_come_are_all_there() -> None:
    log = log_of(range(10, 20), gone=2)
    for first, stop, sequence in ((12, 15, 2), (15, 15, 5), (18, 500, 8), (300, 500, 10)):
        assert of_pulses(log, log.oldest, first=first, last=stop) == Window(
            first=first, last=stop, sequence=sequence, shortfall=None
        )


def test_of_pulses_that_are_gone_it_is_said_what_is_left() -> None:
    log = log_of(range(10, 20), gone=2)
    window = of_pulses(log, log.oldest, first=9, last=15)
    assert window == Window(first=9, last=15, sequence=2, shortfall="asked for pulses 9..15; the ring holds pulses 12..19")
    with pytest.raises(StateError, match=r"asked for pulses 9\.\.11; the ring holds pulses 12\.\.19: none of them can be had"):
        of_pulses(log, log.oldest, first=9, last=11)


def test_pulses_between_those_that_a_slow_source_sends_are_not_missed() -> None:
    log = log_of(range(100, 200, 10), gone=2)
    assert of_pulses(log, log.oldest, first=111, last=140).shortfall is None
    assert of_pulses(log, log.oldest, first=110, last=140).shortfall is not None
    assert of_pulses(log, 5, first=141, last=160).shortfall is None


def test_pulses_are_those_of_the_newest_time_of_a_counter() -> None:
    log = log_of([5, 6, 7, 8, 2, 3, 4, 5, 6])
    assert of_pulses(log, 0, first=5, last=6) == Window(first=5, last=6, sequence=7, shortfall=None)
    assert of_pulses(log, 0, first=1, last=6).shortfall == "asked for pulses 1..6; the ring holds pulses 2..6"
