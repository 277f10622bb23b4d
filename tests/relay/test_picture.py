"""Traces and pictures, against NumPy's plain functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.relay.picture import BINS, picture_of, trace_of


def blocks(image: np.ndarray, step: int) -> list[list[float]]:
    """The mean of the numbers in each block, one after the other."""
    return [
        [float(np.mean(finite)) if len(finite := numbers(image[y : y + step, x : x + step])) else np.nan
         for x in range(0, image.shape[1], step)]
        for y in range(0, image.shape[0], step)
    ]  # fmt: skip


def numbers(values: np.ndarray) -> np.ndarray:
    flat = values.astype(np.float64).reshape(-1)
    return flat[np.isfinite(flat)]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "int64", "uint32", "float32", "float64"])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 45), st.integers(0, 2**32 - 1))
def test_an_image_of_any_size_and_type(dtype: str, height: int, width: int, pixels: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 2 if dtype == "bool" else 120, (height, width)).astype(dtype)
    if image.dtype.kind == "f":
        image[random.random(image.shape) < 0.2] = random.choice([np.nan, np.inf, -np.inf])
    picture = picture_of(image, pixels)
    assert (picture.height, picture.width, picture.plane) == (height, width, "")
    assert max(picture.pixels.shape) <= pixels
    assert (picture.step - 1) * pixels < max(height, width) <= picture.step * pixels
    np.testing.assert_allclose(picture.pixels, blocks(image, picture.step), rtol=1e-6)
    assert picture.pixels.dtype == np.float32
    all_numbers = numbers(image)
    if not len(all_numbers):
        assert (picture.low, picture.high, picture.mean, picture.percentile_1, picture.percentile_99) == (None,) * 5
        assert picture.counts == [0] * BINS
        return
    assert (picture.low, picture.high) == (all_numbers.min(), all_numbers.max())
    assert picture.mean == pytest.approx(all_numbers.mean(), rel=1e-12)
    expected = np.percentile(all_numbers, [1, 99], method="inverted_cdf").tolist()
    assert [picture.percentile_1, picture.percentile_99] == expected
    if all_numbers.min() == all_numbers.max():
        assert picture.counts == [len(all_numbers)] + [0] * (BINS - 1)
    else:
        assert picture.counts == np.histogram(all_numbers, BINS)[0].tolist()


def test_large_images_are_counted_as_small_ones_are() -> None:
    image = np.random.default_rng(1).poisson(100, (1025, 1281)).astype(np.uint16)
    image[7, 9] = 65535
    as_numbers, as_counts = picture_of(image.astype(np.int32), 512), picture_of(image, 512)
    assert as_counts.high == 65535
    assert as_counts.counts == as_numbers.counts == np.histogram(image, BINS)[0].tolist()
    np.testing.assert_allclose(as_counts.pixels, as_numbers.pixels, rtol=1e-6)
    assert as_counts.percentile_99 == np.percentile(image, 99, method="inverted_cdf")
    assert as_numbers.percentile_99 == np.percentile(image.reshape(-1)[::11], 99, method="inverted_cdf")


def test_percentiles_of_a_part_of_the_pixels_are_those_of_all_columns() -> None:
    columns = np.broadcast_to(np.arange(1280, dtype=np.float32), (1024, 1280))
    picture = picture_of(columns, 64)
    assert picture.percentile_1 == pytest.approx(12, abs=3)
    assert picture.percentile_99 == pytest.approx(1267, abs=3)


def test_the_largest_values_of_a_type_and_the_smallest_differences_do_not_run_over() -> None:
    for dtype in ("uint8", "uint16", "uint64", "int64"):
        high = np.iinfo(dtype).max
        picture = picture_of(np.full((100, 100), high, dtype), 1)
        assert (picture.pixels.tolist(), picture.step) == ([[pytest.approx(high, rel=1e-7)]], 100)
        assert picture.mean == pytest.approx(high)
    tiny, largest = float(np.finfo(np.float64).smallest_subnormal), float(np.finfo(np.float64).max)
    for low, high in ((-largest, largest), (0.0, tiny)):
        picture = picture_of(np.array([[low, high]]), 2)
        assert (picture.low, picture.high, sum(picture.counts)) == (low, high, 2)


def test_of_more_dimensions_it_is_the_first_plane() -> None:
    image = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    picture = picture_of(image, 10)
    assert (picture.plane, picture.pixels.tolist()) == ("[0, 0, :, :]", image[0, 0].tolist())


def test_a_trace_says_what_is_in_all_of_it() -> None:
    values = np.sin(np.arange(10_000) / 100)
    values[5000], values[77], values[78] = 9.0, np.nan, -np.inf
    trace = trace_of(values, 100)
    finite = values[np.isfinite(values)]
    assert (trace.elements, trace.thinned, trace.low, trace.high) == (10_000, True, finite.min(), 9.0)
    assert trace.mean == pytest.approx(finite.mean())
    assert len(trace.values) <= 100
    assert trace.values == values[trace.indices].tolist()
    assert trace.values[trace.indices.index(5000)] == 9.0


@pytest.mark.parametrize("values", [[True, False], [1, -2, 3], [0.5, 2.5]])
def test_a_short_trace_has_each_element(values: list[float]) -> None:
    trace = trace_of(np.array(values), 10)
    assert (trace.indices, trace.values, trace.thinned) == (list(range(len(values))), values, False)
    assert (trace.low, trace.high, trace.mean) == (min(values), max(values), sum(values) / len(values))


def test_where_nothing_is_a_number_there_are_no_limits() -> None:
    trace = trace_of(np.full(3, np.nan), 10)
    assert (trace.values, trace.low, trace.high, trace.mean) == ([None] * 3, None, None, None)
