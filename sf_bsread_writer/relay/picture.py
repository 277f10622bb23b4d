"""One value of many elements as few that look like it: the trace of a waveform, the picture of an image. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.relay.thinning import plain, thin

BINS = 256
_MOST_RANKED = 1 << 17
_COUNTED_AT_ONCE = 1 << 17
_PERCENTS = (1, 99)
_EXACT_IN_FLOAT32 = 1 << 24
_MOST_SCALE = 1e300


_FLOAT32 = np.finfo(np.float32)
_sums_may_run_over = np.errstate(over="ignore", invalid="ignore")
"""Of the largest numbers that float64 has: then there is no mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A waveform: ``values`` at the places ``indices`` of ``elements``; None where it is no number. Limits are those of all."""

    elements: int
    thinned: bool
    indices: list[int]
    values: list[bool | float | None]
    low: float | None
    high: float | None
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of ``height`` × ``width``, made smaller: ``pixels`` is the mean of each ``step`` × ``step``, float32, row by row.

    All else is of the whole image, but for pixels that are no numbers; None if none is one. ``counts`` has the pixels in
    `BINS` equal parts from ``low`` to ``high``. ``plane`` says which part of an array of more dimensions it is.
    """

    plane: str
    height: int
    width: int
    step: int
    pixels: NDArray[np.float32]
    low: float | None
    high: float | None
    mean: float | None
    percentile_1: float | None
    percentile_99: float | None
    counts: list[int]


@_sums_may_run_over
def trace_of(values: NDArray[Any], points: int) -> Trace:
    """Of an array of shape (elements,)."""
    valid = np.isfinite(values)
    chosen = thin(values, valid, points)
    low, high, mean = _limits(values if valid.all() else values[valid])
    return Trace(
        elements=len(values),
        thinned=len(chosen) < len(values),
        indices=chosen.tolist(),
        values=plain(values[chosen], valid[chosen]),
        low=low,
        high=high,
        mean=mean,
    )


@_sums_may_run_over
def picture_of(values: NDArray[Any], pixels: int) -> Picture:
    """Of an array of two dimensions or more, of which no side is to be larger than ``pixels``."""
    plane = f"[{', '.join(['0'] * (values.ndim - 2))}, :, :]" if values.ndim > 2 else ""
    image = values[(0,) * (values.ndim - 2)]
    if image.dtype.kind == "b":
        image = image.view(np.uint8)
    finite = np.isfinite(image)
    numbers = image if finite.all() else image[finite]
    step = -(-max(image.shape) // pixels)
    low, high, mean = _limits(numbers)
    ranks, counts = _distribution(numbers.reshape(-1), low, high, image.shape[1])
    return Picture(
        plane=plane,
        height=image.shape[0],
        width=image.shape[1],
        step=step,
        pixels=_reduced(image, None if numbers is image else finite, step),
        low=low,
        high=high,
        mean=mean,
        percentile_1=ranks[0],
        percentile_99=ranks[1],
        counts=counts,
    )


def _limits(numbers: NDArray[Any]) -> tuple[float | None, float | None, float | None]:
    """The lowest, the highest, the mean."""
    if not numbers.size:
        return None, None, None
    return float(numbers.min()), float(numbers.max()), float(numbers.mean(dtype=np.float64))


def _distribution(
    numbers: NDArray[Any], low: float | None, high: float | None, width: int
) -> tuple[tuple[float | None, float | None], list[int]]:
    """Both percentiles, and the histogram."""
    if low is None or high is None:
        return (None, None), [0] * BINS
    if numbers.dtype.kind == "u" and numbers.dtype.itemsize <= 2:  # as of nearly all cameras: counted once, all is known
        each = np.sum([np.bincount(part, minlength=int(high) + 1) for part in _pieces(numbers)], axis=0)
        ranks = np.searchsorted(each.cumsum(), [numbers.size * percent / 100 for percent in _PERCENTS])
        levels = np.flatnonzero(each)
        counts = np.bincount(_bins(levels, low, high), each[levels], BINS).astype(np.int64)
        return (float(ranks[0]), float(ranks[1])), counts.tolist()
    some = numbers[:: _stride(numbers.size, width)]
    places = [max(0, -(-some.size * percent // 100) - 1) for percent in _PERCENTS]
    ranked = np.partition(some, places)
    counts = np.sum([np.bincount(_bins(part, low, high), minlength=BINS) for part in _pieces(numbers)], axis=0)
    return (float(ranked[places[0]]), float(ranked[places[1]])), counts.tolist()


def _stride(size: int, width: int) -> int:
    """Every so many pixels are ranked: NumPy lets no other thread run meanwhile. Not always the same columns of an image."""
    stride = -(-size // _MOST_RANKED)
    while stride > 1 and gcd(stride, width) > 1:
        stride += 1
    return stride


def _pieces(numbers: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All of them, since NumPy lets no other thread run while it counts, and what is made to be counted takes memory."""
    for begin in range(0, len(numbers), _COUNTED_AT_ONCE):
        yield numbers[begin : begin + _COUNTED_AT_ONCE]


def _bins(numbers: NDArray[Any], low: float, high: float) -> NDArray[np.intp]:
    """In which part each number is."""
    scaled = numbers.astype(np.float64)
    if not np.isfinite(high - low):
        scaled, low, high = scaled / 2, low / 2, high / 2
    scaled -= low
    scaled *= min(BINS / (high - low), _MOST_SCALE) if high > low else 0.0
    bins: NDArray[np.intp] = np.clip(scaled, 0, BINS - 1, out=scaled).astype(np.intp)
    return bins


def _reduced(image: NDArray[Any], finite: NDArray[np.bool_] | None, step: int) -> NDArray[np.float32]:
    """The mean of each block; at the right and lower border, of what there is of it."""
    is_exact = image.dtype.kind == "u" and np.iinfo(image.dtype).max * step * step <= _EXACT_IN_FLOAT32
    dtype = np.dtype(np.float32 if is_exact else np.float64)
    if finite is None:
        lines, columns = (np.add.reduceat(np.ones(size), np.arange(0, size, step)) for size in image.shape)
        sums, counts = _sums(image, step, dtype), np.outer(lines, columns)
    else:
        sums, counts = _sums(np.where(finite, image, 0), step, dtype), _sums(finite, step, dtype)
    means = np.where(counts > 0, sums / counts, np.nan)  # of a block without any number there is none
    return np.clip(means, _FLOAT32.min, _FLOAT32.max).astype(np.float32)


def _sums(image: NDArray[Any], step: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The sum of each block. By slices: NumPy's own sums along short axes take ten times as long."""
    lines = np.zeros((-(-image.shape[0] // step), image.shape[1]), dtype)
    sums = np.zeros((len(lines), -(-image.shape[1] // step)), dtype)
    for offset in range(min(step, image.shape[0])):
        part = image[offset::step]
        lines[: len(part)] += part
    for offset in range(min(step, image.shape[1])):
        part = lines[:, offset::step]
        sums[:, : part.shape[1]] += part
    return sums
