"""Which pulse ids were written and which are missing."""

from collections.abc import Sequence
from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.coverage import MOST_CHANGES, MOST_RANGES, Coverage
from sf_bsread_writer.message.due import EVERY, NEVER, Due, at_a_change
from sf_bsread_writer.model import PulseRange

SLOW = Due(((10, 0),))
MIXED = Due(((4, 0), (10, 0)))

increasing = st.sets(st.integers(0, 120), max_size=60).map(sorted)
rules = st.sampled_from([EVERY, SLOW, MIXED, Due(((3, 1),)), Due(((7, 0), (5, 2)))])
headers = st.lists(st.tuples(st.integers(0, 60), rules), min_size=1, max_size=5)
"""From which row on which rules hold; the first hold from the beginning."""

Rows = list[tuple[int, Due]]


def rows_of(ids: Sequence[int], changes: Sequence[tuple[int, Due]]) -> Rows:
    """Each id with the rules of its header."""
    changes = [(0, changes[0][1]), *sorted(changes[1:], key=lambda change: change[0])]
    return [(pulse_id, [due for row, due in changes if row <= index][-1]) for index, pulse_id in enumerate(ids)]


def add(coverage: Coverage, rows: Rows, cuts: Sequence[int] = ()) -> None:
    changed = [index for index in range(1, len(rows)) if rows[index][1] != rows[index - 1][1]]
    edges = sorted({0, len(rows), *changed, *(min(cut, len(rows)) for cut in cuts)})
    for begin, end in pairwise(edges):
        coverage.add(np.array([pulse_id for pulse_id, _ in rows[begin:end]], np.int64), rows[begin][1])


def coverage_of(ids: Sequence[int], due: Due = EVERY) -> Coverage:
    coverage = Coverage()
    coverage.add(np.array(ids, np.int64), due)
    return coverage


def due_between(first: int, last: int, due: Due) -> list[int]:
    ids = np.arange(first, last + 1)
    return ids[due.contains(ids)].tolist() if len(ids) else []


def missing_in(rows: Rows, first: int, last: int, otherwise: Due) -> list[int]:
    """By the definition, gap by gap."""
    if not rows:
        return due_between(first, last, otherwise)
    found = due_between(first, rows[0][0] - 1, rows[0][1])
    for (before, earlier), (after, later) in pairwise(rows):
        found += due_between(before + 1, after - 1, at_a_change(earlier, later, before + 1, after - 1))
    return found + due_between(rows[-1][0] + 1, last, rows[-1][1])


def assert_says(coverage: Coverage, rows: Rows, before: int = 0, behind: int = 0, otherwise: Due = EVERY) -> None:
    first, last = (rows[0][0] - before, rows[-1][0] + behind) if rows else (before, before + behind)
    expected = missing_in(rows, first, last, otherwise)
    gaps = coverage.missing(first=first, last=last, otherwise=otherwise, limit=10_000)
    assert len(expected) == coverage.count_missing(first=first, last=last, otherwise=otherwise)
    assert set(expected) <= {pulse_id for gap in gaps for pulse_id in range(gap.first, gap.last + 1)}
    assert {end for gap in gaps for end in (gap.first, gap.last)} <= set(expected)
    assert not any(gap.first <= pulse_id <= gap.last for gap in gaps for pulse_id, _ in rows)
    ends = (rows[0][0], rows[-1][0]) if rows else (None, None)
    assert (len(rows), *ends) == (coverage.rows, coverage.first, coverage.last)
    changes = [row for index, row in enumerate(rows) if index == 0 or row[1] != rows[index - 1][1]]
    assert changes == [(change.first, change.due) for change in coverage.changes]


@pytest.mark.parametrize(
    ("ids", "first", "last", "expected"),
    [
        ([1, 2, 3], 1, 3, ()),
        ([1, 2, 5, 6], 1, 6, (PulseRange(3, 4),)),
        ([3], 1, 5, (PulseRange(1, 2), PulseRange(4, 5))),
        ([], 1, 5, (PulseRange(1, 5),)),
        ([], None, 5, ()),
        ([1, 3, 5], 1, 5, (PulseRange(2, 2), PulseRange(4, 4))),
        ([4, 5, 9], None, None, (PulseRange(6, 8),)),
    ],
)
def test_missing_pulses_are_told_as_ranges(
    ids: list[int], first: int | None, last: int | None, expected: tuple[PulseRange, ...]
) -> None:
    coverage = coverage_of(ids)

    assert expected == coverage.missing(first=first, last=last, otherwise=EVERY, limit=100)
    assert sum(map(len, expected)) == coverage.count_missing(first=first, last=last, otherwise=EVERY)


def test_a_slow_stream_misses_only_what_is_due() -> None:
    coverage = coverage_of([100, 110, 130], SLOW)

    assert coverage.missing(first=95, last=145, otherwise=EVERY, limit=9) == (PulseRange(120, 120), PulseRange(140, 140))
    assert coverage.count_missing(first=95, last=145, otherwise=EVERY) == 2


def test_channels_of_25_and_10_hz_miss_nothing_when_each_due_pulse_is_there() -> None:
    coverage = coverage_of([100, 104, 108, 110, 112, 116, 120], MIXED)

    assert coverage.count_missing(first=97, last=123, otherwise=EVERY) == 0
    assert coverage.missing(first=97, last=123, otherwise=EVERY, limit=9) == ()


@pytest.mark.parametrize(("ids", "changed"), [([100, 110, 120, 125, 126, 127], 3), ([97, 98, 99, 100, 110, 120], 4)])
def test_a_source_that_changes_between_10_and_100_hz_misses_nothing(ids: list[int], changed: int) -> None:
    before, after = (SLOW, EVERY) if changed == 3 else (EVERY, SLOW)
    coverage = Coverage()
    add(coverage, rows_of(ids, [(0, before), (changed, after)]))

    assert coverage.count_missing(first=ids[0], last=ids[-1], otherwise=EVERY) == 0


@given(increasing, headers, st.lists(st.integers(0, 60), max_size=4), st.tuples(st.integers(0, 10), st.integers(0, 10)), rules)
def test_missing_is_what_is_due_by_the_header_in_force_and_not_there(
    ids: list[int], changes: list[tuple[int, Due]], cuts: list[int], around: tuple[int, int], otherwise: Due
) -> None:
    rows, coverage = rows_of(ids, changes), Coverage()
    add(coverage, rows, cuts)

    assert_says(coverage, rows, *around, otherwise)


@given(increasing, headers, st.integers(-5, 130), increasing)
def test_keep_until_forgets_what_is_behind_and_goes_on_from_there(
    ids: list[int], changes: list[tuple[int, Due]], last: int, more: list[int]
) -> None:
    rows, coverage = rows_of(ids, changes), Coverage()
    add(coverage, rows)
    coverage.keep_until(last)
    rows = [row for row in rows if row[0] <= last]

    assert_says(coverage, rows, 3, 3)
    rows += [(pulse_id + 200, MIXED) for pulse_id in more]
    add(coverage, [row for row in rows if row[0] >= 200])
    assert_says(coverage, rows, 3, 3)


@given(increasing, headers, st.integers(0, 60), increasing)
def test_keep_rows_forgets_all_but_the_first_and_goes_on_from_there(
    ids: list[int], changes: list[tuple[int, Due]], kept: int, more: list[int]
) -> None:
    rows, coverage = rows_of(ids, changes), Coverage()
    add(coverage, rows)
    coverage.keep_rows(kept)
    rows = rows[:kept]

    assert_says(coverage, rows, 3, 3)
    rows += [(pulse_id + 200, SLOW) for pulse_id in more]
    add(coverage, [row for row in rows if row[0] >= 200])
    assert_says(coverage, rows, 3, 3)


def test_the_list_of_ranges_is_bounded_but_the_count_is_not() -> None:
    coverage = coverage_of(list(range(0, 9000, 3)))

    assert len(coverage.missing(first=0, last=8999, otherwise=EVERY, limit=10)) == 10
    assert len(coverage.missing(first=0, last=8999, otherwise=EVERY, limit=9999)) == MOST_RANGES + 1
    assert coverage.count_missing(first=0, last=8999, otherwise=EVERY) == 6000


ALL = np.arange(1_000_000)
"""As many as come in an eighth of a day at 100 Hz."""


@pytest.mark.parametrize(
    ("ids", "due"),
    [
        (ALL, EVERY),
        (ALL * 4, EVERY),
        (ALL * 10, SLOW),
        (ALL * 10 + 3, SLOW),
        (ALL, SLOW),
        (ALL * 2, MIXED),
        (ALL[MIXED.contains(ALL)], MIXED),
    ],
    ids=["100 Hz", "25 Hz but told 100", "10 Hz", "10 Hz off phase", "100 Hz but told 10", "50 Hz but told mixed", "mixed"],
)
def test_a_steady_stream_takes_no_memory_and_answers_at_once(ids: np.ndarray, due: Due) -> None:
    coverage = Coverage()
    for start in range(0, len(ids), 1000):
        coverage.add(ids[start : start + 1000], due)
    start_s = perf_counter()
    coverage.missing(first=0, last=int(ids[-1]), otherwise=EVERY, limit=1001)
    missing = coverage.count_missing(first=0, last=int(ids[-1]), otherwise=EVERY)

    assert perf_counter() - start_s < 0.05  # takes 0.2 ms
    assert (coverage.rows, len(coverage._firsts)) == (len(ids), 1)
    assert missing == due.count(0, int(ids[-1])) - int(due.contains(ids).sum())
    coverage.keep_rows(1)
    assert coverage.count_missing(first=None, last=None, otherwise=EVERY) == 0


def test_ids_without_any_order_cost_no_more_than_their_gaps() -> None:
    ids = np.cumsum(np.random.default_rng(1).integers(1, 9, 200_000))
    coverage = coverage_of(ids.tolist(), SLOW)
    start_s = perf_counter()
    assert len(coverage.missing(first=0, last=None, otherwise=EVERY, limit=1001)) == 1001

    assert perf_counter() - start_s < 0.05
    assert coverage.count_missing(first=0, last=None, otherwise=EVERY) == SLOW.count(0, ids[-1]) - SLOW.contains(ids).sum()


def test_more_rules_than_are_kept_count_as_none() -> None:
    coverage = Coverage()
    for number in range(2 * MOST_CHANGES):
        coverage.add(np.array([number * 1000, number * 1000 + number + 2]), Due(((number + 2, 0),)))

    assert len(coverage._dues) <= MOST_CHANGES + 1
    assert [change.due for change in coverage.changes][-2:] == [Due(((MOST_CHANGES + 1, 0),)), NEVER]


def test_two_headers_in_turns_are_judged_for_as_long_as_they_come() -> None:
    coverage = Coverage()
    for pulse_id in range(0, 5000, 10):
        coverage.add(np.array([pulse_id]), SLOW)
        coverage.add(np.array([pulse_id + 1, pulse_id + 5]), EVERY)

    assert coverage.count_missing(first=0, last=None, otherwise=EVERY) == 1500
    assert len(coverage.changes) == MOST_CHANGES + 1
