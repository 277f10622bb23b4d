"""Every value of a file, compared with what the source sends in these pulses.

Nothing of a message is decoded: all follows from pulse ids and headers, by the rules of ``docs/reference/file.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that compressed chunks need
import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.hdf5.inspect import inspect_file
from sf_bsread_writer.simulator.channels import SimulatedChannel
from sf_bsread_writer.simulator.values import period, salt, scalars_at, value_at
from soak.ledger import Sent
from soak.stream import HEADERS, Ids, Size, channels, global_ns, plan, present

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checked:
    """What a file holds: ``values`` that were compared, ``wrong`` sentences about those that differ."""

    ids: Ids
    arrivals_ns: Ids
    report: Report | None
    values: int
    wrong: list[str] = field(default_factory=list)


class Checker:
    """Knows the stream of this size."""

    def __init__(self, size: Size) -> None:
        self._channels = {header: channels(size, header) for header in HEADERS}
        self._plans = {header: plan(size, header) for header in HEADERS}
        self._frames: dict[tuple[SimulatedChannel, int], NDArray[Any] | str] = {}

    def check(self, path: Path, sent: Sent) -> Checked:
        """Reads all of a file; raises OSError or `OutputError` if that is not possible."""
        wrong = list(inspect_file(path).problems)
        with h5py.File(path) as file:
            ids: Ids = file["stream/pulse_id"][:]
            report = msgspec.json.decode(file["report"][()], type=Report) if "report" in file else None
            result = Checked(ids=ids, arrivals_ns=file["stream/arrival_timestamp"][:], report=report, values=0, wrong=wrong)
            places = sent.places(ids)
            if (places < 0).any():
                wrong.append("there are pulses that were never sent; its values are not compared")
                return result
            comparison = _Comparison(self, file, ids, sent.records["header"][places])
            comparison.compare()
        wrong += comparison.wrong
        return Checked(ids=ids, arrivals_ns=result.arrivals_ns, report=report, values=comparison.values, wrong=wrong)

    def header(self, header: int) -> Sequence[SimulatedChannel]:
        """Its channels."""
        return self._channels[header]

    def present(self, header: int, ids: Ids) -> NDArray[np.bool_]:
        """Which of its channels have a value in these pulses, shape (pulses, channels)."""
        return present(self._plans[header], ids)

    def expected(self, channel: SimulatedChannel, ids: Ids) -> NDArray[Any]:
        """The values of these pulses, one row each, in the shape that the file has."""
        repeats_after = period(channel)
        if repeats_after is None:
            return scalars_at([channel.channel], channel.pattern, ids)
        frames = [self._frame(channel, phase) for phase in range(repeats_after)]
        if channel.channel.is_string:
            return np.array(frames, object)[ids % repeats_after]
        return np.stack(frames)[ids % repeats_after]

    def _frame(self, channel: SimulatedChannel, phase: int) -> NDArray[Any] | str:
        key = channel, phase
        if key not in self._frames:
            self._frames[key] = value_at(channel, phase)
        return self._frames[key]


class _Comparison:
    """One file, whose rows are these pulses with these headers."""

    def __init__(self, checker: Checker, file: h5py.File, ids: Ids, headers: NDArray[np.int64]) -> None:
        self.wrong: list[str] = []
        self.values = 0
        self._checker = checker
        self._file = file
        self._ids = ids
        self._headers = headers
        self._read: dict[Any, NDArray[Any]] = {}
        # By channel name: which header's channel each row has (-1: no value).
        self._kinds: dict[str, NDArray[np.int64]] = {}
        self._known: dict[tuple[str, int], SimulatedChannel] = {}
        for header in np.unique(headers).tolist():
            rows = np.flatnonzero(headers == header)
            has = checker.present(header, ids[rows])
            for place, channel in enumerate(checker.header(header)):
                name = channel.channel.name
                kinds = self._kinds.setdefault(name, np.full(len(ids), -1))
                kinds[rows[has[:, place]]] = header
                self._known[name, header] = channel

    def compare(self) -> None:
        self._equal("stream/global_timestamp", self._read_dataset("stream/global_timestamp"), global_ns(self._ids))
        if (np.diff(self._file["stream/arrival_timestamp"][:]) < 0).any():
            self.wrong.append("stream/arrival_timestamp decreases")
        found = set(self._file["data"]) if "data" in self._file else set()
        if found != set(self._kinds):
            self.wrong.append(f"channels that must not be there, or are missing: {sorted(found ^ set(self._kinds))[:5]}")
        for name in sorted(found & set(self._kinds)):
            self._compare_channel(name, self._kinds[name])

    def _compare_channel(self, name: str, kinds: NDArray[np.int64]) -> None:
        has, group = kinds >= 0, self._file["data"][name]
        times = np.where(has, global_ns(self._ids) + salt(name), 0)
        self._equal(f"{name}/pulse_id", self._read_dataset(f"data/{name}/pulse_id"), np.where(has, self._ids, 0))
        self._equal(f"{name}/is_data_present", self._read_dataset(f"data/{name}/is_data_present"), has)
        if has.any():
            self._equal(f"{name}/timestamp", self._read_dataset(f"data/{name}/timestamp"), times)
        runs = self._runs(name, kinds)
        names = [*(f"data({n})" for n in range(1, len(runs))), "data"][-len(runs) :] if runs else []
        if set(group) != {"pulse_id", "is_data_present", *(["timestamp"] if runs else []), *names}:
            self.wrong.append(f"{name} has the datasets {sorted(group)}")
            return
        for dataset, rows in zip(names, runs, strict=True):
            last = len(self._ids) if dataset == "data" else int(rows[-1]) + 1
            self._compare_values(name, group[dataset], rows, kinds, last)

    def _runs(self, name: str, kinds: NDArray[np.int64]) -> list[NDArray[np.intp]]:
        """Rows with a value, cut where the type or shape is another one: a dataset for each piece."""
        rows = np.flatnonzero(kinds >= 0)
        if not len(rows):
            return []
        specs = {header: self._known[name, header].channel for header in np.unique(kinds[rows]).tolist()}
        if len({(spec.type, spec.shape) for spec in specs.values()}) == 1:
            return [rows]
        return np.split(rows, np.flatnonzero(np.diff(kinds[rows])) + 1)

    def _compare_values(
        self, name: str, dataset: h5py.Dataset, rows: NDArray[np.intp], kinds: NDArray[np.int64], length: int
    ) -> None:
        channel = self._known[name, int(kinds[rows[0]])]
        shape = () if channel.channel.is_string else channel.channel.shape or (1,)
        if dataset.shape != (length, *shape):
            self.wrong.append(f"{dataset.name} has the shape {dataset.shape}, not {(length, *shape)}")
            return
        has = np.zeros(length, np.bool_)
        has[rows] = True
        source = dataset.asstr() if channel.channel.is_string else dataset
        for start in range(0, length, _ROWS_AT_ONCE):
            stop = min(length, start + _ROWS_AT_ONCE)
            expected = self._checker.expected(channel, self._ids[start:stop])
            expected[~has[start:stop]] = "" if channel.channel.is_string else 0
            self._equal(dataset.name, source[start:stop], expected, start)
            self.values += int(has[start:stop].sum()) * int(np.prod(shape, dtype=np.int64))

    def _read_dataset(self, path: str) -> NDArray[Any]:
        """Datasets of several names are read once."""
        dataset = self._file[path]
        key = h5py.h5o.get_info(dataset.id).addr
        if key not in self._read:
            self._read[key] = dataset[:]
        return self._read[key]

    def _equal(self, what: str, actual: NDArray[Any], expected: NDArray[Any], first: int = 0) -> None:
        if actual.shape != expected.shape:
            self.wrong.append(f"{what}: shape {actual.shape} instead of {expected.shape}")
        elif not np.array_equal(actual, expected):
            rows = first + np.flatnonzero((actual != expected).reshape(len(actual), -1).any(axis=1))
            self.wrong.append(f"{what}: {len(rows)} rows differ, the first is row {rows[0]}, pulse {self._ids[rows[0]]}")
