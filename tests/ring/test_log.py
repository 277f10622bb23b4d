"""The index of the ring against a plain list of rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.ring.log import Log

Message = tuple[int, int, int]  # pulse id, start, end

RUNS = st.lists(
    st.lists(st.tuples(st.integers(-5, 40), st.integers(1, 30)), min_size=0, max_size=700),
    min_size=1,
    max_size=12,
)


def append(log: Log, pulse_ids: list[int], *, serial: int = 1, arrival_ns: int = 0, length: int = 10) -> None:
    ends = np.cumsum(np.full(len(pulse_ids), length, np.int64))
    log.append(np.array(pulse_ids, np.int64), serial, ends - length, ends, arrival_ns)


def all_rows(log: Log) -> list[tuple[int, ...]]:
    rows = log.rows(log.oldest, log.next)
    columns = (rows.pulse_ids, rows.serials, rows.starts, rows.ends, rows.arrivals_ns)
    return [tuple(row) for row in np.array(columns).T.tolist()]


def plain_find(ids: list[int], wanted: int) -> int | None:
    """Where a search message by message, from the newest back, would have a client begin; None: not in the past."""
    best: int | None = None
    for place in reversed(range(len(ids))):
        before = ids[place - 1] if place else None
        behind = ids[place + 1] if place + 1 < len(ids) else None
        is_late = before is not None and behind is not None and ids[place] < before <= behind
        repeats = before == ids[place]
        if ids[place] >= wanted and not is_late and not repeats and (best is None or ids[place] < ids[best]):
            best = place
    if best is None:
        return None
    may_still_come = ids[-1] < wanted
    was_reached = ids[best] == wanted or (best > 0 and ids[best - 1] < wanted)
    return None if may_still_come and not was_reached else best


@given(runs=RUNS, evictions=st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_a_log_holds_what_a_list_would(runs: list[list[tuple[int, int]]], evictions: list[float]) -> None:
    log = Log()
    model: list[tuple[int, ...]] = []
    oldest = 0
    for number, (run, share) in enumerate(zip(runs, evictions, strict=False)):
        lengths = np.array([length for _, length in run], np.int64)
        ends = np.cumsum(lengths)
        log.append(np.array([pulse for pulse, _ in run], np.int64), number, ends - lengths, ends, 1000 * number)
        model += [
            (pulse, number, end - length, end, 1000 * number) for (pulse, length), end in zip(run, ends.tolist(), strict=True)
        ]
        gone = int(share * len(model))
        oldest += gone
        del model[:gone]
        log.evict_to(oldest)
        assert all_rows(log) == model
        assert (log.oldest, log.next, len(log)) == (oldest, oldest + len(model), len(model))
        assert log.message_bytes == sum(end - start for _, _, start, end, _ in model)
        for wanted in (-6, 0, 17, 41):
            place = plain_find([row[0] for row in model], wanted)
            found = log.find_pulse(wanted)
            if place is not None or found != oldest or not oldest:  # else it goes on from what was evicted, see below
                assert found == (log.next if place is None else oldest + place)
        for wanted in (0, 1, 1000, 3500, 10**9):
            expected = next((oldest + i for i, row in enumerate(model) if row[4] >= wanted), log.next)
            assert log.find_arrival(wanted) == expected


def test_a_log_keeps_its_memory_when_as_much_is_evicted_as_is_appended() -> None:
    log = Log()
    for _ in range(200):
        append(log, list(range(300)))
        log.evict_to(max(0, log.next - 400))
    assert log._table.shape[1] <= 2048
    assert (log.oldest, log.next) == (59_600, 60_000)


@given(ids=st.lists(st.integers(0, 12), max_size=12), wanted=st.integers(-1, 13))
def test_a_pulse_is_found_where_a_plain_search_finds_it(ids: list[int], wanted: int) -> None:
    log = Log()
    append(log, ids)
    place = plain_find(ids, wanted)
    assert log.find_pulse(wanted) == (len(ids) if place is None else place)


@given(ids=st.lists(st.integers(0, 40), max_size=40).map(sorted), wanted=st.integers(-1, 41))
def test_while_no_counter_starts_over_a_pulse_is_the_oldest_message_with_this_id_or_a_higher_one(
    ids: list[int], wanted: int
) -> None:
    log = Log()
    append(log, ids)
    assert log.find_pulse(wanted) == next((i for i, pulse_id in enumerate(ids) if pulse_id >= wanted), len(ids))


OLD_THEN_NEW = [*range(100, 200), *range(1, 51)]


@pytest.mark.parametrize(
    ("ids", "wanted", "expected"),
    [
        (OLD_THEN_NEW, 5, 104),  # in the newest stretch, though all of the older one is high enough, too
        (OLD_THEN_NEW, 0, 100),  # before the newest stretch, which begins next to it
        (OLD_THEN_NEW, 60, 150),  # still to come
        (OLD_THEN_NEW, 1000, 150),
        (OLD_THEN_NEW, 150, 50),  # only in the older one
        (OLD_THEN_NEW, 100, 0),
        ([*range(1, 81), *range(1, 51)], 5, 84),  # in both
        ([*range(1, 81), *range(1, 51)], 60, 59),
        ([100, 110, 120, 1, 2], 115, 2),  # not every pulse has a message
        ([100, 110, 120, 1, 2], 90, 5),
        ([*OLD_THEN_NEW, *range(1, 4)], 20, 119),  # started over twice
        ([10, 11, 11, 12], 11, 1),
        ([10, 11, 13, 12, 14, 15], 12, 2),  # 12 came late: nothing behind it is to be lost
        ([10, 11, 13, 12, 14, 15], 13, 2),
        ([10, 11, 0, 12], 11, 1),  # so looks a message without a pulse id
        ([10, 11, 0, 12], 5, 0),
        ([10, 11, 12, 11, 12, 13], 11, 1),
        ([], 3, 0),
    ],
)
def test_a_pulse_is_found_in_the_stretch_that_is_meant(ids: list[int], wanted: int, expected: int) -> None:
    log = Log()
    append(log, ids)
    assert log.find_pulse(wanted) == expected


@pytest.mark.parametrize(
    ("ids", "evicted", "wanted", "expected"),
    [
        (OLD_THEN_NEW, 50, 130, 50),  # has come and gone; what followed on it is still there
        (OLD_THEN_NEW, 50, 99, 150),  # that time began behind it
        (OLD_THEN_NEW, 50, 100, 50),
        (OLD_THEN_NEW, 100, 99, 150),  # nothing of that time is left
        ([*OLD_THEN_NEW, *range(20, 25)], 120, 30, 129),  # there: in the time of which a part has gone
        ([*OLD_THEN_NEW, *range(1, 6)], 120, 15, 120),
        ([*range(1, 90), *OLD_THEN_NEW], 120, 95, 120),  # that time went past it without a message
        ([10, 11, 0, 12, 13, 1, 2], 4, 5, 7),  # a single message without a pulse id begins no time
    ],
)
def test_a_pulse_that_is_evicted_is_gone_on_from_though_a_counter_has_started_over_since(
    ids: list[int], evicted: int, wanted: int, expected: int
) -> None:
    """What a writer asks for that stood still, and connects again."""
    at_once, one_by_one = Log(), Log()
    append(at_once, ids)
    at_once.evict_to(evicted)
    for number, pulse_id in enumerate(ids):
        append(one_by_one, [pulse_id])
        one_by_one.evict_to(max(0, number + 1 - (len(ids) - evicted)))
    assert (at_once.find_pulse(wanted), one_by_one.find_pulse(wanted)) == (expected, expected)


def test_searches_can_begin_later_than_the_oldest_row() -> None:
    log = Log()
    append(log, [10, 11, 12], arrival_ns=5)
    append(log, [13, 14], arrival_ns=9)
    assert log.find_pulse(11, oldest=2) == 2
    assert log.find_arrival(5, oldest=2) == 2
    assert log.find_arrival(6, oldest=2) == 3
    assert log.find_pulse(20, oldest=5) == 5


def test_rows_that_are_not_there_are_an_error_and_change_nothing() -> None:
    log = Log()
    append(log, [1, 2, 3])
    log.evict_to(1)
    for first, stop in ((0, 2), (1, 4), (3, 2)):
        with pytest.raises(IndexError, match=f"messages {first}..{stop} are not all in the log, which has 1..3"):
            log.rows(first, stop)
    with pytest.raises(IndexError, match="cannot evict to message 4: the newest is 2"):
        log.evict_to(4)
    log.evict_to(0)
    assert [row[0] for row in all_rows(log)] == [2, 3]
