"""Few numbers that look like many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.relay.thinning import plain, thin

NUMBERS = st.lists(st.none() | st.integers(-5, 5), max_size=200)


@given(NUMBERS, st.integers(1, 60))
def test_no_extreme_is_lost_and_only_what_was_there_is_given(numbers: list[int | None], points: int) -> None:
    values = np.array([0 if number is None else number for number in numbers], np.int64)
    valid = np.array([number is not None for number in numbers], np.bool_)
    chosen = thin(values, valid, points).tolist()
    assert chosen == sorted(set(chosen))
    if len(numbers) <= points:
        assert chosen == list(range(len(numbers)))
        return
    assert len(chosen) <= max(2, points)
    size = -(-len(numbers) // max(1, points // 2))
    for begin in range(0, len(numbers), size):
        part = [number for number in numbers[begin : begin + size] if number is not None]
        given_of_it = [numbers[index] for index in chosen if begin <= index < begin + size]
        assert set(given_of_it) == ({min(part), max(part)} if part else {None})


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64"])
def test_numbers_of_every_type_and_the_limits_of_their_types(dtype: str) -> None:
    low, high = (0, 1) if dtype == "bool" else (np.finfo(dtype).min, np.finfo(dtype).max) if "f" in dtype else limits_of(dtype)
    values = np.array([high, low, high, high], dtype)
    valid = np.array([False, True, True, True])
    chosen = thin(values, valid, 2)
    assert chosen.tolist() == [1, 2]
    assert plain(values[chosen], valid[chosen]) == [low, high]


def limits_of(dtype: str) -> tuple[int, int]:
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


def test_what_is_not_valid_is_none() -> None:
    assert plain(np.array([1.5, np.nan, 0.0]), np.array([True, False, True])) == [1.5, None, 0.0]
    assert plain(np.array([True, False]), np.array([True, True])) == [True, False]
