"""Looks at the values of a finished file, for people: how complete each channel is along the pulses, its rate, range and look.

What is read is bounded, however large the file is: of single numbers every n-th, of arrays and images a few.
"""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that images come with
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.inspect import FileFindings, unreadable
from sf_bsread_writer.model import NS_PER_S

BINS = 400
"""Parts of the pulse range for which completeness is told; less than a screen has pixels."""

MOST_NUMBERS = 50_000
"""Of a channel of single numbers; 0.4 MB each, so that a thousand channels take seconds."""

MOST_ARRAYS = 8
MOST_ARRAY_BYTES = 64 << 20
"""Of a channel of arrays; a single value that is larger is not looked at."""

MAX_TEXT = 60

Shares = NDArray[np.float64]
"""For each part of the pulse range the share that is there, 0…1; NaN where nothing was due. Shape (parts,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelPreview:
    """One channel. ``looked_at`` values were read; the four figures are of their finite elements, None without any.

    ``rate_hz``: values a second, by the messages' times. ``picture`` has float64 of the shape that a person would want to see:
    (values,) of single numbers in order, (elements,) of the last waveform, (height, width) of the last image; else it is None.
    ``text`` is the last value of a text channel, or why there is nothing to be seen.
    """

    shares: Shares
    rate_hz: float | None = None
    looked_at: int = 0
    lowest: float | None = None
    mean: float | None = None
    deviation: float | None = None
    highest: float | None = None
    picture: NDArray[np.float64] | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePreview:
    """A file: which of the pulses that were due are in it, and its channels in the order of the findings."""

    first: int | None
    last: int | None
    shares: Shares
    channels: tuple[ChannelPreview, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axis:
    """Pulses first..last (both inclusive) in ``parts`` parts of equal length."""

    first: int
    last: int
    parts: int = field(default=BINS)

    @property
    def edges(self) -> NDArray[np.float64]:
        """Relative to the first pulse, shape (parts + 1,)."""
        return np.linspace(0, self.last - self.first + 1, self.parts + 1)

    def count(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """How many of these pulses lie in each part."""
        places = (ids - self.first) * (self.parts / (self.last - self.first + 1))
        return np.bincount(np.clip(places.astype(np.int64), 0, self.parts - 1), minlength=self.parts).astype(np.float64)


def preview_file(path: Path, findings: FileFindings) -> FilePreview:
    """Reads a file that ``findings`` were found in; raises `OutputError` if it cannot be read.

    A channel whose values cannot be read says so, and hides no other.
    """
    if findings.first is None or findings.last is None:
        nothing = np.full(1, np.nan)
        channels = tuple(ChannelPreview(shares=nothing) for _ in findings.channels)
        return FilePreview(first=None, last=None, shares=nothing, channels=channels)
    wanted = findings.wanted
    first = findings.first if wanted is None else min(findings.first, wanted.first)
    last = findings.last if wanted is None else max(findings.last, wanted.last)
    axis = _Axis(first=first, last=last, parts=min(BINS, last - first + 1))
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _preview(file, findings, axis)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise unreadable(error, path) from error


def _preview(file: h5py.File, findings: FileFindings, axis: _Axis) -> FilePreview:
    groups = [group for group in file["data"].values() if isinstance(group, h5py.Group)] if "data" in file else []
    columns = [_present_ids(group) for group in groups]
    stream = file.get("stream/pulse_id")
    pulses = np.unique(stream[:] if isinstance(stream, h5py.Dataset) else np.concatenate([np.zeros(0, np.int64), *columns]))
    there = axis.count(pulses)
    missing = np.zeros(axis.parts)
    for gap in findings.rows.missing.ranges:
        overlap = np.clip(axis.edges, gap.first - axis.first, gap.last + 1 - axis.first)
        missing += np.diff(overlap) / findings.step
    times = file.get("stream/global_timestamp")
    times_ns = times[:] if isinstance(times, h5py.Dataset) else None
    channels = [_channel(group, ids, there, times_ns, axis) for group, ids in zip(groups, columns, strict=True)]
    return FilePreview(first=axis.first, last=axis.last, shares=_shares(there, there + missing), channels=tuple(channels))


def _present_ids(group: h5py.Group) -> NDArray[np.int64]:
    ids, flags = group.get("pulse_id"), group.get("is_data_present")
    if not isinstance(ids, h5py.Dataset) or not isinstance(flags, h5py.Dataset) or ids.shape != flags.shape:
        return np.zeros(0, np.int64)
    present: NDArray[np.int64] = np.asarray(ids[:], np.int64)[flags[:] != 0]
    return present


def _shares(there: NDArray[np.float64], due: NDArray[np.float64]) -> Shares:
    shares: Shares = np.divide(there, due, out=np.full(len(due), np.nan), where=due > 0)
    return shares


def _channel(
    group: h5py.Group, ids: NDArray[np.int64], there: NDArray[np.float64], times_ns: NDArray[np.int64] | None, axis: _Axis
) -> ChannelPreview:
    shares = _shares(np.minimum(axis.count(np.unique(ids)), there), there)
    found = group.get("data")
    if not isinstance(found, h5py.Dataset) or not len(ids):
        return ChannelPreview(shares=shares, text="no value")
    older = [len(group[name]) for name in group if name.startswith("data(")]  # of other types; there, ``data`` has zeros
    present = np.flatnonzero(group["is_data_present"][: len(found)])
    rate_hz = None if times_ns is None else _rate_hz(times_ns[present[present < len(times_ns)]])
    rows = present[present >= max(older, default=0)]
    try:
        return _looked_at(found, rows, shares, rate_hz)
    except (OSError, RuntimeError, ValueError):
        return ChannelPreview(shares=shares, rate_hz=rate_hz, text="values cannot be read")


def _rate_hz(times_ns: NDArray[np.int64]) -> float | None:
    span_ns = int(times_ns[-1] - times_ns[0]) if len(times_ns) > 1 else 0
    return (len(times_ns) - 1) * NS_PER_S / span_ns if span_ns > 0 else None


def _looked_at(found: h5py.Dataset, rows: NDArray[np.intp], shares: Shares, rate_hz: float | None) -> ChannelPreview:
    if not len(rows):
        return ChannelPreview(shares=shares, rate_hz=rate_hz, text="no value")
    if h5py.check_string_dtype(found.dtype) is not None:
        value = found[int(rows[-1])]
        text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
        return ChannelPreview(shares=shares, rate_hz=rate_hz, looked_at=1, text=text[:MAX_TEXT])
    value_bytes = int(np.prod(found.shape[1:])) * found.dtype.itemsize
    if value_bytes > MOST_ARRAY_BYTES:
        return ChannelPreview(shares=shares, rate_hz=rate_hz, text="too large to be looked at")
    if found.shape[1:] in ((), (1,)):
        step = -(-len(found) // MOST_NUMBERS)
        values = found[::step].reshape(-1)[rows[rows % step == 0] // step].astype(np.float64)
        picture = values
    else:
        count = min(len(rows), MOST_ARRAYS, max(1, MOST_ARRAY_BYTES // value_bytes))
        picks = rows[np.linspace(0, len(rows) - 1, count).astype(np.intp)]
        values = np.stack([np.asarray(found[int(row)], np.float64) for row in picks])
        picture = values[-1]
    finite = values[np.isfinite(values)]
    figures = (finite.min(), finite.mean(), finite.std(), finite.max()) if finite.size else (None,) * 4
    lowest, mean, deviation, highest = (None if figure is None else float(figure) for figure in figures)
    return ChannelPreview(
        shares=shares,
        rate_hz=rate_hz,
        looked_at=len(values),
        lowest=lowest,
        mean=mean,
        deviation=deviation,
        highest=highest,
        picture=picture if picture.ndim <= 2 else None,
    )
