"""For which pulses a message is due, against the definition applied pulse by pulse."""

from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.message.due import EVERY, MOST_PHASES, MOST_RULES, NEVER, Due, Rule, at_a_change, due_pulses
from sf_bsread_writer.message.headers import INT64_MAX, Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.model import PulseRange

rules_strategy = st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10, 12, 120]), st.integers(-130, 130)), max_size=6)


def due_in(rules: list[Rule], first: int, last: int) -> list[int]:
    return [pulse for pulse in range(first, last + 1) if any((pulse - offset) % modulo == 0 for modulo, offset in rules)]


@given(rules_strategy, st.integers(-50, 300), st.integers(-5, 400))
def test_any_mixture_is_due_when_one_of_its_rules_is(rules: list[Rule], first: int, length: int) -> None:
    due, last = Due(tuple(rules)), first + length
    expected = due_in(rules, first, last)

    assert len(expected) == due.count(first, last)
    assert (PulseRange(expected[0], expected[-1]) if expected else None) == due.within(first, last)
    ids = np.arange(first, last + 1, dtype=np.int64)
    assert expected == ids[due.contains(ids)].tolist()
    assert expected == [due.further(expected[0], steps) for steps in range(len(expected))]


@given(rules_strategy, st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=9))
def test_pulses_between_two_are_counted_without_the_two(rules: list[Rule], pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs, np.int64).reshape(-1, 2).T
    expected = [len(due_in(rules, low + 1, high - 1)) for low, high in pairs]

    assert expected == Due(tuple(rules)).between(before, after).tolist()


@pytest.mark.parametrize(
    ("rules", "kept", "step"),
    [
        ([(1, 0)], ((1, 0),), 1),
        ([(10, 12)], ((10, 2),), 10),
        ([(10, 0), (1, 0)], ((1, 0),), 1),
        ([(10, 0), (10, 5)], ((5, 0),), 5),
        ([(2, 0), (2, 1)], ((1, 0),), 1),
        ([(20, 7), (10, -3)], ((10, 7),), 10),
        ([(4, 0), (10, 0)], ((4, 0), (10, 0)), 1),
        ([(INT64_MAX, 3)], ((INT64_MAX, 3),), INT64_MAX),
    ],
)
def test_rules_are_kept_in_their_simplest_form(rules: list[Rule], kept: tuple[Rule, ...], step: int) -> None:
    due = Due(tuple(rules))

    assert (kept, step) == (due.rules, due.step)
    assert Due(kept) == due
    assert hash(Due(kept)) == hash(due)


def test_modulo_4_and_modulo_10_owe_six_pulses_in_twenty() -> None:
    due = Due(((4, 0), (10, 0)))

    assert np.flatnonzero(due.contains(np.arange(20))).tolist() == [0, 4, 8, 10, 12, 16]
    assert due.count(0, 8_639_999) == 8_640_000 * 6 // 20


@given(st.lists(st.tuples(st.integers(1, 1 << 62), st.integers(0, 1 << 62)), min_size=1, max_size=300))
def test_rules_beyond_the_limits_only_make_fewer_pulses_due(rules: list[Rule]) -> None:
    due = Due(tuple(rules))

    assert 1 <= len(due.rules) <= MOST_RULES
    assert due.count(0, due.period - 1) <= MOST_PHASES
    some = [due.further(due._at(1), steps) for steps in range(0, MOST_PHASES, 500)]
    assert all(any((pulse - offset) % modulo == 0 for modulo, offset in rules) for pulse in some)


def test_no_header_makes_the_rules_expensive() -> None:
    rules = tuple((modulo, offset) for modulo in range(2, 258) for offset in range(256))
    start = perf_counter()
    Due(rules)

    assert perf_counter() - start < 2  # takes 0.1 s; all of them together would need 10 ** 100 phases


def test_without_channels_every_pulse_is_due_and_without_rules_none() -> None:
    channels = [Channel(name=str(modulo), type=ValueType.FLOAT64, modulo=modulo, offset=14) for modulo in (4, 10)]

    assert due_pulses([]) == EVERY
    assert Due(((4, 2), (10, 4))) == due_pulses(channels)
    assert (NEVER.count(0, 100), NEVER.within(0, 100)) == (0, None)


def test_a_gap_at_a_change_of_rules_is_judged_by_those_that_expect_fewer() -> None:
    slow = Due(((10, 0),))

    assert slow == at_a_change(slow, EVERY, 121, 124)
    assert slow == at_a_change(EVERY, slow, 121, 124)
    assert slow == at_a_change(Due(((10, 1),)), slow, 121, 130)
