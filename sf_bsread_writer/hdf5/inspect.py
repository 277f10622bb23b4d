"""Reads a finished file and says what is in it: which pulses, which channels, and whether it keeps the rules of the file.

Values are not read, only what accounts for them. Files of other SwissFEL writers, which have no ``/stream``, are understood too:
their pulses are those of all channels together. The rules stand in ``docs/reference/file.md``.
"""

import errno
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import h5py
import msgspec
import numpy as np
from h5py import h5o
from numpy.typing import NDArray

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.place import output_error
from sf_bsread_writer.message.due import EVERY, Due, at_a_change
from sf_bsread_writer.message.headers import INT64_MAX
from sf_bsread_writer.model import PulseRange

MAX_RANGES = 1000
"""Ranges listed for each channel and for the file; beyond that only their pulses are counted."""

Ids = NDArray[np.int64]
DueFrom = Sequence[tuple[int, Due]]
"""Rules and the pulse id from which on they hold, ascending, at least one; the first hold for what comes before, too."""

EVERY_PULSE: DueFrom = ((0, EVERY),)


class _Rule(msgspec.Struct, frozen=True):
    modulo: Annotated[int, msgspec.Meta(ge=1, le=INT64_MAX)]
    offset: int


class _DueFrom(msgspec.Struct, frozen=True):
    """As the report has it: ``docs/reference/report.md``."""

    first_pulse_id: Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
    rules: tuple[_Rule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Missing pulses: how many, and as ranges, the first `MAX_RANGES` of them. In a range every due pulse is missing."""

    pulses: int
    ranges: tuple[PulseRange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a column of pulse ids says: rows with a value, repeated pulse ids, and pulse ids lower than one before."""

    rows: int
    present: int
    missing: Gaps
    duplicates: int
    out_of_order: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFindings:
    """One channel. ``type`` and ``shape`` are those of a single value in ``data`` (NumPy order, ``()`` scalar), None without any.

    ``rows.missing`` are those pulses of the file for which the channel has no value.
    """

    name: str
    rows: Rows
    type: str | None
    shape: tuple[int, ...] | None
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFindings:
    """A file. ``rows.missing`` and ``unwanted`` compare it with ``wanted``; without that nothing is missing or unwanted.

    ``step`` is the distance of due pulses where that is always the same, else 1; ``outcome`` is what the file's own report says,
    if it has one; ``problems`` are sentences about rules that the file breaks.
    """

    path: str
    wanted: PulseRange | None
    first: int | None
    last: int | None
    step: int
    rows: Rows
    unwanted: int
    outcome: str | None
    channels: tuple[ChannelFindings, ...]
    problems: tuple[str, ...]

    @property
    def is_as_asked(self) -> bool:
        """True if every pulse is there once, in order, with none beside them, and no rule is broken."""
        rows = self.rows
        return not (rows.missing.pulses or self.unwanted or rows.duplicates or rows.out_of_order or self.problems)


def inspect_file(path: Path, wanted: PulseRange | None = None) -> FileFindings:
    """Reads a file and compares it with the pulses that are wanted; raises `OutputError` if it cannot be read.

    Without ``wanted`` it is compared with the range in its own report, if that has both ends.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            return _Inspection(path, file, wanted).findings()
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise unreadable(error, path) from error


def unreadable(error: BaseException, path: Path, doing: str = "read") -> OutputError:
    """The reason in words; HDF5 has numbers and texts for it that only its authors understand."""
    if getattr(error, "errno", None) in (errno.EAGAIN, errno.EACCES) and "unable to lock file" in str(error):
        return OutputError(f"cannot {doing} {path}: it is still being written by a writer")
    if "truncated file" in str(error) or "ring type mismatch" in str(error):
        return OutputError(f"cannot {doing} {path}: it is cut off")
    if "file signature not found" in str(error):
        return OutputError(f"cannot {doing} {path}: it is not an HDF5 file")
    return output_error(error, doing, path)


class _Inspection:
    """One file while it is read. What several channels share is read, and judged, once."""

    def __init__(self, path: Path, file: h5py.File, wanted: PulseRange | None) -> None:
        self._path = path
        self._file = file
        self._wanted = wanted
        self._problems: list[str] = []
        self._columns: dict[int, NDArray[np.generic]] = {}
        self._judged: dict[tuple[int, int], Rows] = {}

    def findings(self) -> FileFindings:
        report = _report(self._file)
        if self._wanted is None:
            self._wanted = _range_in(report)
        groups = _groups(self._file.get("data"))
        if "data" not in self._file:
            self._problems.append("there is no group /data")
        stream = self._column(self._file.get("stream/pulse_id"))
        pulses = self._pulses_of(groups) if stream is None else stream.astype(np.int64)
        due = _due_in(report)
        channels = tuple(self._channel(name, group, pulses, has_stream=stream is not None) for name, group in groups.items())
        within = pulses if self._wanted is None else pulses[(pulses >= self._wanted.first) & (pulses <= self._wanted.last)]
        return FileFindings(
            path=str(self._path),
            wanted=self._wanted,
            first=int(pulses.min()) if len(pulses) else None,
            last=int(pulses.max()) if len(pulses) else None,
            step=due[0][1].step if len(due) == 1 else 1,
            rows=_rows(pulses, len(pulses), gaps_in(np.unique(within), self._wanted, due)),
            unwanted=len(pulses) - len(within),
            outcome=str(report["outcome"]) if "outcome" in report else None,
            channels=channels,
            problems=tuple(self._problems),
        )

    def _pulses_of(self, groups: Mapping[str, h5py.Group]) -> Ids:
        columns = [self._column(group.get("pulse_id")) for group in groups.values()]
        shared = {id(column): column for column in columns if column is not None}
        ids = np.unique(np.concatenate([np.zeros(0, np.int64), *shared.values()]).astype(np.int64))
        known: Ids = ids[ids != 0]
        return known

    def _channel(self, name: str, group: h5py.Group, pulses: Ids, *, has_stream: bool) -> ChannelFindings:
        label = str(group.attrs.get("channel", name))
        latest = group.get("data")
        rows = self._channel_rows(label, group, pulses, has_stream=has_stream)
        if isinstance(latest, h5py.Dataset) and len(latest) != rows.rows:
            self._problems.append(f"{label}: data has {len(latest)} rows, pulse_id has {rows.rows}")
        if latest is None and rows.present:
            self._problems.append(f"{label}: {rows.present} rows say that there is a value, but there is no data")
        return ChannelFindings(
            name=label,
            rows=rows,
            type=None if latest is None else _type_name(latest),
            shape=None if latest is None else _value_shape(latest),
            datasets=tuple(sorted(each for each in group if each.startswith("data"))),
        )

    def _channel_rows(self, label: str, group: h5py.Group, pulses: Ids, *, has_stream: bool) -> Rows:
        found, flags_found = group.get("pulse_id"), group.get("is_data_present")
        ids, flags = self._column(found), self._column(flags_found)
        if ids is None or flags is None or len(ids) != len(flags):
            self._problems.append(f"{label}: needs pulse_id and is_data_present of equal length")
            return _rows(np.zeros(0, np.int64), 0, Gaps(pulses=0, ranges=()))
        key = _address(found), _address(flags_found)
        if key not in self._judged:
            self._judged[key] = self._judge(label, ids.astype(np.int64), flags != 0, pulses, has_stream=has_stream)
        return self._judged[key]

    def _judge(self, label: str, ids: Ids, present: NDArray[np.bool_], pulses: Ids, *, has_stream: bool) -> Rows:
        if np.any(ids[~present]):
            self._problems.append(f"{label}: {np.count_nonzero(ids[~present])} rows without a value have a pulse id")
        if has_stream and len(ids) != len(pulses):
            self._problems.append(f"{label}: has {len(ids)} rows, the file has {len(pulses)}")
        elif has_stream and not np.array_equal(ids[present], pulses[present]):
            self._problems.append(f"{label}: has pulse ids that are not those of the messages in the same rows")
        missing = np.setdiff1d(pulses, ids[present])
        return _rows(ids[present], len(ids), Gaps(pulses=len(missing), ranges=_ranges(missing)))

    def _column(self, found: object) -> NDArray[np.generic] | None:
        """A column of numbers, read once if several channels share it; None if there is none."""
        if not isinstance(found, h5py.Dataset) or found.ndim != 1 or found.dtype.kind not in "iu":
            return None
        address = _address(found)
        if address not in self._columns:
            self._columns[address] = found[:]
        return self._columns[address]


def gaps_in(ids: Ids, wanted: PulseRange | None, due: DueFrom = EVERY_PULSE) -> Gaps:
    """What is missing of the wanted pulses that were due; ``ids`` ascend within them, each once.

    Which rules hold in a gap is decided as while writing: `Coverage` has the same.
    """
    first, last = (0, -1) if wanted is None else (max(wanted.first, 0), min(wanted.last, INT64_MAX - 1))
    if last < first:
        return Gaps(pulses=0, ranges=())
    before = np.concatenate(([first - 1], ids))
    after = np.concatenate((ids, [last + 1]))
    starts = np.array([first for first, _ in due], np.int64)
    earlier, later = (np.maximum(np.searchsorted(starts, each, "right") - 1, 0) for each in (before, after))
    if len(ids):  # before the first id and behind the last one, the nearest one's rules hold
        earlier[0], later[-1] = later[0], earlier[-1]
    missed = np.minimum(_missed(before, after, earlier, due), _missed(before, after, later, due))
    ranges = []
    for hole in np.flatnonzero(missed)[:MAX_RANGES].tolist():
        ends = int(before[hole]) + 1, int(after[hole]) - 1
        gap = at_a_change(due[earlier[hole]][1], due[later[hole]][1], *ends).within(*ends)
        ranges += [gap] if gap is not None else []
    return Gaps(pulses=int(missed.sum()), ranges=tuple(ranges))


def _missed(before: Ids, after: Ids, numbers: NDArray[np.intp], due: DueFrom) -> Ids:
    """How many pulses strictly between each two are due, by the rules with these numbers."""
    missed = np.zeros(len(before), np.int64)
    for number in np.unique(numbers).tolist():
        rows = np.flatnonzero(numbers == number)
        missed[rows] = due[number][1].between(before[rows], after[rows])
    return missed


def _ranges(ids: Ids) -> tuple[PulseRange, ...]:
    """The first ranges of ascending ids."""
    starts = np.flatnonzero(np.diff(ids, prepend=ids[:1] - 2) != 1)[: MAX_RANGES + 1].tolist()
    stops = [*starts[1:], len(ids)]
    return tuple(PulseRange(int(ids[a]), int(ids[b - 1])) for a, b in zip(starts[:MAX_RANGES], stops, strict=False))


def _rows(ids: Ids, rows: int, missing: Gaps) -> Rows:
    return Rows(
        rows=rows,
        present=len(ids),
        missing=missing,
        duplicates=len(ids) - len(np.unique(ids)),
        out_of_order=int(np.count_nonzero(ids[1:] < np.maximum.accumulate(ids)[:-1])),
    )


def _report(file: h5py.File) -> Mapping[str, object]:
    found = file.get("report")
    if not isinstance(found, h5py.Dataset) or found.shape != ():
        return {}
    try:
        report = json.loads(found.asstr()[()])
    except (TypeError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _range_in(report: Mapping[str, object]) -> PulseRange | None:
    """What the report says was asked for; None if it was not asked for by two pulse ids."""
    first, last = report.get("start_pulse_id"), report.get("stop_pulse_id")
    return PulseRange(first, last) if isinstance(first, int) and isinstance(last, int) and first <= last else None


def _due_in(report: Mapping[str, object]) -> DueFrom:
    """Which pulses were due, by the report; all of them if it does not say so in a form that can be understood."""
    try:
        due = msgspec.convert(report.get("due"), list[_DueFrom])
    except msgspec.ValidationError:
        return EVERY_PULSE
    due.sort(key=lambda change: change.first_pulse_id)
    rules = [(change.first_pulse_id, Due(tuple((rule.modulo, rule.offset) for rule in change.rules))) for change in due]
    return rules or EVERY_PULSE


def _groups(data: object) -> dict[str, h5py.Group]:
    if not isinstance(data, h5py.Group):
        return {}
    return {name: group for name, group in data.items() if isinstance(group, h5py.Group)}


def _address(found: object) -> int:
    """Equal for hard links to one dataset."""
    address: int = h5o.get_info(found.id).addr if isinstance(found, h5py.Dataset) else 0
    return address


def _type_name(dataset: h5py.Dataset) -> str:
    return "string" if h5py.check_string_dtype(dataset.dtype) else str(dataset.dtype.name)


def _value_shape(dataset: h5py.Dataset) -> tuple[int, ...]:
    shape: tuple[int, ...] = dataset.shape[1:]
    return () if shape == (1,) else shape
