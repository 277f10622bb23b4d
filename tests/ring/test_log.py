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
            expected = next((oldest + i for i, row in enumerate(model) if row[0] >= wanted), log.next)
            assert log.find_pulse(wanted) == expected
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


def test_a_pulse_is_found_at_its_first_occurrence_even_if_ids_repeat_or_decrease() -> None:
    log = Log()
    append(log, [10, 11, 11, 12, 3, 4, 11, 13])
    assert [log.find_pulse(wanted) for wanted in (11, 12, 13, 4, 14)] == [1, 3, 7, 0, 8]


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
