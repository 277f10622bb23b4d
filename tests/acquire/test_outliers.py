"""Which pulse ids are believed, and when that is known."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.outliers import FAR, Outliers, Verdict, highest_believed

WRONG = 100_000_000
JUMP = 10 * FAR


def judged(outliers: Outliers, ids: list[int]) -> Verdict:
    return outliers.judge(np.array(ids, np.int64))


def believed(runs: list[list[int]], *, expected: int | None = None) -> list[int]:
    """What is left of these runs, in the order in which it is told; what is held back at the end is released."""
    outliers, left = Outliers(expected), []
    held: list[int] = []
    for ids in runs:
        verdict = judged(outliers, ids)
        assert (verdict.before is None) == (held == [])
        left += held if verdict.before else []
        kept = [pulse_id for index, pulse_id in enumerate(ids) if index not in verdict.left_out]
        held = [kept.pop()] if verdict.holds_last else []
        left += kept
    outliers.release()
    return left + held


CASES = [
    ([5, 6, WRONG, 7, 8], [5, 6, 7, 8]),
    ([5, WRONG, 6, WRONG, 7, WRONG + 5, 8], [5, 6, 7, 8]),
    ([5, 6, WRONG, 6, 7], [5, 6, 6, 7]),  # a duplicate is a matter of its own
    ([5, 6, WRONG, 4, 7], [5, 6, 4, 7]),
    ([5, 6, JUMP, JUMP + 1], [5, 6, JUMP, JUMP + 1]),  # the counter has jumped
    ([5, 6, JUMP, JUMP], [5, 6, JUMP, JUMP]),
    ([5, 6, JUMP, WRONG, JUMP + 1], [5, 6, JUMP, JUMP + 1]),
    ([5, 6, WRONG, WRONG + 1, 7], [5, 6, WRONG, WRONG + 1, 7]),  # two in a row are more than can be told
    ([5, 6, JUMP, JUMP + 1, WRONG, JUMP + 2], [5, 6, JUMP, JUMP + 1, JUMP + 2]),
    ([5, 6, 6 + FAR, 7], [5, 6, 6 + FAR, 7]),
    ([5, 6, 7 + FAR, 7], [5, 6, 7]),
    ([WRONG, 0, WRONG + 1, 0, WRONG + 2, 0], [WRONG, 0, WRONG + 1, 0, WRONG + 2, 0]),  # 0 is a message without an id
    ([WRONG, 5, 6], [WRONG, 5, 6]),  # nobody knows better
    ([WRONG, 1, 2, 9 * WRONG, 3], [WRONG, 1, 2, 3]),  # the counter has started over
    ([5, 6, 2**63 - 1, 7], [5, 6, 7]),
    ([2**63 - 2, 2**63 - 1, 5], [2**63 - 2, 2**63 - 1, 5]),
    ([5, 6, WRONG], [5, 6, WRONG]),  # the last one: nothing came that speaks against it
]


@pytest.mark.parametrize(("ids", "expected"), CASES)
@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_what_speaks_against_an_id_is_what_comes_next(ids: list[int], expected: list[int], at_once: int) -> None:
    assert believed([ids[i : i + at_once] for i in range(0, len(ids), at_once)]) == expected


def test_the_first_id_is_judged_by_what_was_asked_for() -> None:
    assert believed([[WRONG], [5], [6]], expected=5) == [5, 6]
    assert believed([[WRONG], [WRONG + 1]], expected=5) == [WRONG, WRONG + 1]
    outliers = Outliers()
    outliers.expect(5)
    outliers.expect(WRONG)
    assert judged(outliers, [WRONG]).holds_last


def test_a_jump_is_held_back_until_the_next_message_only() -> None:
    outliers = Outliers()
    assert judged(outliers, [5, 6]) == Verdict()
    assert judged(outliers, [JUMP]) == Verdict(holds_last=True)
    assert judged(outliers, [JUMP + 1]) == Verdict(before=True)
    assert judged(outliers, [JUMP + 2]) == Verdict()


def test_what_was_waited_for_long_enough_is_believed() -> None:
    outliers = Outliers()
    judged(outliers, [5, JUMP])
    outliers.release()
    assert judged(outliers, [6, JUMP + 1]) == Verdict()


@given(
    steps=st.lists(st.sampled_from([1, 1, 1, 0, -3, 100, FAR, FAR + 1, JUMP, -JUMP]), max_size=40),
    cuts=st.sets(st.integers(0, 40)),
)
def test_runs_may_be_cut_anywhere(steps: list[int], cuts: set[int]) -> None:
    ids = [int(pulse_id) for pulse_id in 2 * WRONG + np.cumsum([0, *steps])]
    places = sorted({0, len(ids)} | {cut for cut in cuts if cut < len(ids)})
    runs = [ids[first:stop] for first, stop in pairwise(places)]
    assert believed(runs) == believed([ids])


@given(steps=st.lists(st.integers(0, FAR), max_size=40))
def test_what_never_jumps_is_believed_at_once(steps: list[int]) -> None:
    outliers = Outliers(expected=0)
    for pulse_id in np.cumsum([0, *steps]).tolist():
        assert judged(outliers, [pulse_id]) == Verdict()


@pytest.mark.parametrize(
    ("highest", "ids", "expected"),
    [
        (None, [7], 7),
        (4, [5, 6], 6),
        (4, [5, WRONG], 5),
        (4, [5, WRONG, 6], 6),
        (4, [WRONG], 4),
        (4, [JUMP, JUMP + 1], JUMP + 1),
        (9, [5, 6], 9),
        (4, [2**63 - 2, 2**63 - 1], 2**63 - 1),
    ],
)
def test_the_highest_id_is_one_that_another_confirms(highest: int | None, ids: list[int], expected: int) -> None:
    assert highest_believed(highest, np.array(ids, np.int64)) == expected
