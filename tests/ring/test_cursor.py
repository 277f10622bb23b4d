"""Slices of a log, and how far they have been sent."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sf_bsread_writer.ring.cursor import Cursor
from sf_bsread_writer.ring.log import Log, Rows


def log_of(*segments: list[tuple[int, int]]) -> Log:
    """A log with one run for each segment, serials 1, 2, …; messages as (start, end); pulse ids and arrivals count up."""
    log = Log()
    for serial, messages in enumerate(segments, 1):
        starts, ends = (np.array(column, np.int64) for column in zip(*messages, strict=True))
        log.append(np.arange(log.next, log.next + len(messages)), serial, starts, ends, 100 * serial)
    return log


def test_messages_that_follow_each_other_directly_become_one_span() -> None:
    log = log_of([(0, 10), (10, 25), (30, 40), (40, 50)])
    part = Cursor(0).take(log, 1000)
    assert part is not None
    assert (part.first, part.stop, part.serial, part.messages) == (0, 4, 1, 4)
    assert list(part.spans) == [(0, 25), (30, 50)]
    assert part.arrivals_ns.tolist() == [100] * 4


def test_a_slice_ends_with_its_segment_and_with_the_log() -> None:
    log = log_of([(0, 10), (10, 20)], [(0, 7)])
    cursor = Cursor(0)
    taken = []
    while (part := cursor.take(log, 1000)) is not None:
        taken.append((part.serial, list(part.spans)))
        cursor.sent(sum(stop - start for start, stop in part.spans))
    assert cursor.messages == 3
    assert taken == [(1, [(0, 20)]), (2, [(0, 7)])]
    assert (cursor.next, cursor.idle) == (3, True)


@pytest.mark.parametrize(("max_bytes", "messages"), [(1, 1), (10, 1), (19, 1), (20, 2), (29, 2), (30, 3)])
def test_a_slice_keeps_to_its_limit_but_has_at_least_one_message(max_bytes: int, messages: int) -> None:
    log = log_of([(0, 10), (10, 20), (20, 30)])
    part = Cursor(0).take(log, max_bytes)
    assert part is not None
    assert part.messages == messages


def test_a_slice_never_goes_past_its_stop() -> None:
    log = log_of([(0, 10), (10, 20), (20, 30)])
    part = Cursor(0).take(log, 1000, stop=2)
    assert part is not None
    assert part.stop == 2
    assert Cursor(2).take(log, 1000, stop=2) is None


def test_unwanted_messages_are_passed_over() -> None:
    log = log_of([(0, 10), (10, 20), (20, 30), (30, 40)])
    asked: list[int] = []

    def odd(serial: int, rows: Rows) -> NDArray[np.bool_]:
        asked.append(serial)
        return rows.pulse_ids % 2 == 1

    cursor = Cursor(0)
    part = cursor.take(log, 1000, select=odd)
    assert part is not None
    assert asked == [1]
    assert (list(part.spans), part.messages, part.stop) == ([(10, 20), (30, 40)], 2, 4)
    cursor.sent(15)
    assert cursor.cut() == 5

    nothing = Cursor(0).take(log, 1000, select=lambda serial, rows: rows.pulse_ids > 100)
    assert nothing is not None
    assert (list(nothing.spans), nothing.messages, nothing.stop) == ([], 0, 4)


def test_an_overtaken_cursor_goes_on_at_the_oldest_message_and_tells_how_many_were_lost() -> None:
    log = log_of([(0, 10), (10, 20), (20, 30)])
    log.evict_to(2)
    cursor = Cursor(0)
    assert cursor.skip_evicted(log) == 2
    assert cursor.skip_evicted(log) == 0
    part = cursor.take(log, 1000)
    assert part is not None
    assert part.first == 2


def test_an_evicted_message_cannot_be_taken() -> None:
    log = log_of([(0, 10), (10, 20)])
    log.evict_to(1)
    with pytest.raises(IndexError, match="messages 0"):
        Cursor(0).take(log, 1000)


def test_a_cursor_in_the_middle_of_a_slice_neither_moves_nor_takes() -> None:
    log = log_of([(0, 10), (10, 20)])
    cursor = Cursor(0)
    cursor.take(log, 1000)
    with pytest.raises(RuntimeError, match="inside a message"):
        cursor.move(1)
    with pytest.raises(RuntimeError, match="before the last slice was sent"):
        cursor.take(log, 1000)
    with pytest.raises(ValueError, match="21 bytes sent, but only 20"):
        cursor.sent(21)


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=20), data=st.data())
def test_a_cut_leaves_exactly_the_rest_of_the_message_that_has_begun(lengths: list[int], data: st.DataObject) -> None:
    ends = np.cumsum(lengths).tolist()
    log = log_of(list(zip([0, *ends], ends, strict=False)))
    cursor = Cursor(0)
    cursor.take(log, 10**6)
    sent = data.draw(st.integers(0, sum(lengths)))
    split = data.draw(st.integers(0, sent))
    cursor.sent(split)
    cursor.sent(sent - split)
    assert cursor.cut() == (0 if sent in {0, *ends} else min(end for end in ends if end > sent) - sent)
    assert cursor.idle
    assert cursor.messages == sum(end - length < sent for end, length in zip(ends, lengths, strict=True))
    cursor.move(0)
    assert cursor.take(log, 10**6) is not None
