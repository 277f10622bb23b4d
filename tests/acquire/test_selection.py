"""Which messages of a run belong to an acquisition."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.selection import Bound, Choice, PulseBound, Selection, TimeBound, choose
from sf_bsread_writer.errors import UsageError

BEFORE_ALL = -(2**63)


def chosen(
    selection: Selection,
    ids: list[int],
    *,
    times: list[int] | None = None,
    unusable: set[int] = frozenset(),
    last: int = BEFORE_ALL,
) -> Choice:
    return choose(
        selection,
        pulse_ids=np.array(ids, np.int64),
        times_ns=np.array(times if times is not None else [0] * len(ids), np.int64),
        usable=np.array([index not in unusable for index in range(len(ids))], np.bool_),
        last_pulse_id=last,
    )


@pytest.mark.parametrize(
    ("start", "stop", "ids", "expected", "reached"),
    [
        (None, None, [1, 2, 3], [1, 2, 3], False),
        (PulseBound(2), None, [1, 2, 3], [2, 3], False),
        (None, PulseBound(2), [1, 2, 3], [1, 2], True),
        (PulseBound(2), PulseBound(3), [1, 2, 3, 4], [2, 3], True),
        (PulseBound(2), PulseBound(3), [1, 2, 3], [2, 3], True),  # the stop's own message ends it
        (PulseBound(2), PulseBound(3), [1, 2], [2], False),
        (PulseBound(2), PulseBound(3), [1, 2, 4, 3], [2], True),  # a late pulse behind the end does not count
        (PulseBound(10), PulseBound(20), [30], [], True),  # the stream is past it already
        (PulseBound(5), PulseBound(5), [4, 5, 6], [5], True),  # a range of one pulse
        (PulseBound(5), PulseBound(9), [], [], False),
    ],
)
def test_pulse_bounds_are_inclusive(
    start: Bound | None, stop: Bound | None, ids: list[int], expected: list[int], reached: bool
) -> None:
    choice = chosen(Selection(start, stop), ids)

    assert expected == [ids[row] for row in choice.rows]
    assert reached == choice.stop_reached


@pytest.mark.parametrize(
    ("start", "stop", "times", "expected", "reached"),
    [
        (TimeBound(10), None, [9, 10, 11], [1, 2], False),
        (None, TimeBound(10), [9, 10, 11], [0, 1], True),
        (None, TimeBound(10), [9, 10], [0, 1], False),  # a message of the same instant may follow
        (TimeBound(5), TimeBound(4), [1, 5, 6], [], True),
    ],
)
def test_time_bounds_are_inclusive(
    start: Bound | None, stop: Bound | None, times: list[int], expected: list[int], reached: bool
) -> None:
    choice = chosen(Selection(start, stop), list(range(len(times))), times=times)

    assert expected == choice.rows.tolist()
    assert reached == choice.stop_reached


def test_start_by_pulse_goes_with_stop_by_time_and_the_reverse() -> None:
    assert chosen(Selection(PulseBound(2), TimeBound(30)), [1, 2, 3, 4], times=[10, 20, 30, 40]).rows.tolist() == [1, 2]
    assert chosen(Selection(TimeBound(20), PulseBound(3)), [1, 2, 3, 4], times=[10, 20, 30, 40]).rows.tolist() == [1, 2]


def test_repeated_and_late_pulses_are_counted_and_left_out() -> None:
    choice = chosen(Selection(), [5, 5, 6, 4, 6, 7], last=4)

    assert choice.rows.tolist() == [0, 2, 5]
    assert choice.duplicates == 2
    assert choice.out_of_order == 1


def test_what_is_outside_the_bounds_is_no_duplicate() -> None:
    choice = chosen(Selection(PulseBound(5)), [1, 1, 5])

    assert (choice.duplicates, choice.out_of_order) == (0, 0)


def test_unusable_messages_are_told_inside_the_bounds_only() -> None:
    choice = chosen(Selection(PulseBound(2), PulseBound(3)), [1, 2, 3, 4], unusable={0, 1, 3})

    assert choice.rows.tolist() == [2]
    assert choice.unusable.tolist() == [1]


def test_an_unusable_message_still_tells_that_the_stop_is_reached() -> None:
    assert chosen(Selection(None, PulseBound(3)), [3], unusable={0}).stop_reached


def test_a_stop_before_the_start_is_refused_with_both_values() -> None:
    with pytest.raises(UsageError, match="stop_pulse_id 90 is before start_pulse_id 100"):
        Selection(PulseBound(100), PulseBound(90))


@given(st.lists(st.integers(0, 30)), st.integers(0, 30), st.integers(0, 30), st.lists(st.integers(0, 30), max_size=5))
def test_runs_may_be_cut_anywhere(ids: list[int], first: int, length: int, cuts: list[int]) -> None:
    """The rows are the same whether the messages come in one run or in several, and they are what a plain loop picks."""
    selection = Selection(PulseBound(first), PulseBound(first + length))
    written: list[int] = []
    edges = sorted({0, len(ids), *(min(cut, len(ids)) for cut in cuts)})
    for begin, end in pairwise(edges):
        choice = chosen(selection, ids[begin:end], last=written[-1] if written else BEFORE_ALL)
        written += [ids[begin:end][row] for row in choice.rows]
        if choice.stop_reached:
            break

    expected: list[int] = []
    for pulse_id in ids:
        if first <= pulse_id <= first + length and (not expected or pulse_id > expected[-1]):
            expected.append(pulse_id)
        if pulse_id >= first + length:
            break
    assert expected == written
