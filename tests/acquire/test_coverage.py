"""Which pulse ids were written and which are missing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.coverage import Coverage, Due
from sf_bsread_writer.model import PulseRange

increasing = st.sets(st.integers(0, 120), max_size=60).map(sorted)
dues = st.builds(lambda step, phase: Due(step, phase % step), st.integers(1, 12), st.integers(0, 12))


def coverage_of(ids: list[int], *, cuts: list[int] = []) -> Coverage:  # noqa: B006 - never changed
    coverage = Coverage()
    edges = sorted({0, len(ids), *(min(cut, len(ids)) for cut in cuts)})
    for begin, end in pairwise(edges):
        coverage.add(np.array(ids[begin:end], np.int64))
    return coverage


def expanded(ranges: tuple[PulseRange, ...], step: int) -> list[int]:
    return [pulse_id for gap in ranges for pulse_id in range(gap.first, gap.last + 1, step)]


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

    assert expected == coverage.missing(Due(), first=first, last=last, limit=100)
    assert sum(map(len, expected)) == coverage.count_missing(Due(), first=first, last=last)


def test_a_slow_stream_misses_only_what_is_due() -> None:
    coverage = coverage_of([100, 110, 130])

    assert coverage.missing(Due(10, 0), first=95, last=145, limit=9) == (PulseRange(120, 120), PulseRange(140, 140))
    assert coverage.count_missing(Due(10, 0), first=95, last=145) == 2


@given(increasing, st.lists(st.integers(0, 60), max_size=4), dues, st.integers(0, 10), st.integers(0, 10))
def test_missing_is_what_a_set_difference_says(ids: list[int], cuts: list[int], due: Due, before: int, behind: int) -> None:
    coverage = coverage_of(ids, cuts=cuts)
    first, last = (ids[0] - before, ids[-1] + behind) if ids else (before, before + behind)

    expected = sorted({pulse_id for pulse_id in range(first, last + 1) if (pulse_id - due.phase) % due.step == 0} - set(ids))
    assert expected == expanded(coverage.missing(due, first=first, last=last, limit=10_000), due.step)
    assert len(expected) == coverage.count_missing(due, first=first, last=last)
    assert (len(ids), ids[0] if ids else None, ids[-1] if ids else None) == (coverage.rows, coverage.first, coverage.last)


@given(increasing, st.integers(-5, 130))
def test_keep_until_forgets_what_is_behind(ids: list[int], last: int) -> None:
    coverage = coverage_of(ids)
    coverage.keep_until(last)
    kept = [pulse_id for pulse_id in ids if pulse_id <= last]

    assert (len(kept), kept[-1] if kept else None) == (coverage.rows, coverage.last)
    assert len(set(range(121)) - set(kept)) == coverage.count_missing(Due(), first=0, last=120)


@given(increasing, st.integers(0, 60), increasing)
def test_keep_rows_forgets_all_but_the_first_and_goes_on_from_there(ids: list[int], rows: int, more: list[int]) -> None:
    coverage = coverage_of(ids)
    coverage.keep_rows(rows)
    kept = ids[:rows]
    added = [pulse_id + (kept[-1] + 1 if kept else 0) for pulse_id in more]
    coverage.add(np.array(added, np.int64))

    assert sorted(set(range(300)) - set(kept) - set(added)) == expanded(
        coverage.missing(Due(), first=0, last=299, limit=10_000), 1
    )


def test_the_list_of_ranges_is_bounded_but_the_count_is_not() -> None:
    coverage = coverage_of(list(range(0, 1000, 3)))

    assert len(coverage.missing(Due(), first=0, last=999, limit=10)) == 10
    assert coverage.count_missing(Due(), first=0, last=999) == 666


def test_a_steady_stream_takes_no_memory() -> None:
    coverage = Coverage()
    for start in range(0, 1_000_000, 1000):
        coverage.add(np.arange(start, start + 1000) * 4)

    assert coverage.rows == 1_000_000
    assert len(coverage._firsts) == 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Due(), Due(10, 0), Due()),
        (Due(10, 0), Due(10, 5), Due(5, 0)),
        (Due(10, 3), Due(10, 3), Due(10, 3)),
        (Due(4, 0), Due(6, 0), Due(2, 0)),
        (Due(4, 1), Due(4, 3), Due(2, 1)),
    ],
)
def test_two_rules_make_the_coarsest_that_holds_both(one: Due, other: Due, expected: Due) -> None:
    assert expected == one.and_also(other)
    assert expected == other.and_also(one)
