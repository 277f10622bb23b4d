"""The rows of one file, from messages to chunks. Pure: what is ready for the file is handed to a `Sink`.

Messages are taken in pieces that lie in one chunk of scalars and have one data header, so that within a piece nothing about
the channels changes but who is present. Scalars and timestamps of the messages with one layout are handled together, every
other value by itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import FLAGS, TIMES, Binding, Channels, Column
from sf_bsread_writer.hdf5.columns import Index, index_of
from sf_bsread_writer.hdf5.contents import Contents
from sf_bsread_writer.hdf5.layout import CHUNK_ROWS, Keeping, dataset_layout, value_dataset
from sf_bsread_writer.hdf5.plan import Plan, Single, make_plan
from sf_bsread_writer.hdf5.presence import Presence, patterns
from sf_bsread_writer.hdf5.scatter import MESSAGES_PER_PLAN, Scatter
from sf_bsread_writer.hdf5.singles import Values, absent, put_values
from sf_bsread_writer.hdf5.store import Sink, Store
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import HeaderFrame, Layout, Run
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.message.walk import MAX_LAYOUTS

INDEX_BYTES = 6 * 1024
"""What HDF5 needs for one more dataset or group: header, names, and a node of the tree of chunks."""

STREAM_COLUMNS = ("pulse_id", "global_timestamp", "arrival_timestamp")

Key = TypeVar("Key")
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Piece:
    """Messages that become the rows from ``first_row`` on. All arrays have shape (rows,)."""

    run: Run
    first_row: int
    bodies: NDArray[np.int64]
    pulse_ids: NDArray[np.int64]
    times_ns: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The messages of a piece that have one layout; ``positions`` count from the first row of the piece."""

    plan: Plan
    positions: NDArray[np.intp]


class Table:
    """Takes messages as rows; knows the channels, columns and presence of one file.

    ``rows`` are complete; ``begun`` is more while messages are being taken, and stays so if the sink raises.
    Without a sink (a dry run) values are not looked at, but presence is accounted for. ``compression`` as in `dataset_layout`.
    """

    def __init__(
        self, sink: Sink | None, channels: Channels, presence: Presence, compression: Compression = Compression.NONE
    ) -> None:
        self.rows = 0
        self.begun = 0
        self.channels = channels
        self.presence = presence
        self._sink = sink
        self._store = None if sink is None else Store(sink, presence, compression)
        self._stream = [] if self._store is None else [self._store.stream_column(name) for name in STREAM_COLUMNS]
        self._chunk_start = 0
        self._bindings: dict[HeaderFrame, Binding] = {}
        self._plans: dict[Layout, Plan] = {}

    def add(self, run: Run, messages: NDArray[np.intp], arrivals_ns: NDArray[np.int64]) -> None:
        """Takes these messages of a run, in this order, as the next rows; ``arrivals_ns`` has shape (messages,).

        Raises `MessageError`, before anything is changed, if one of them cannot be assigned to channels.
        """
        if not len(messages):
            return
        headers = {}
        for index in _used_layouts(run, messages):
            layout = run.layouts[index]
            layout.channels  # noqa: B018 - raises now, not in the middle
            headers[index] = layout.header
        for start, stop in self._pieces(run, messages, headers):
            self._add_piece(run, messages[start:stop], arrivals_ns[start:stop])

    @property
    def stream_columns(self) -> Sequence[Column]:
        """Those with one number for each message."""
        return self._stream

    def needed_bytes(self, run: Run, messages: NDArray[np.intp]) -> int:
        """The most that taking these messages, and draining what waits then, can add to the file, its index included."""
        size = int((run.ends[messages] - run.bodies[messages]).sum()) + self.waiting_bytes
        for index in _used_layouts(run, messages):
            if run.layouts[index].header not in self._bindings:
                size += sum(map(_column_bytes, run.layouts[index].channels.channels))
        return size

    @property
    def waiting_bytes(self) -> int:
        """The most that `drain` can add to the file, its index included."""
        if self._store is None:
            return 0
        classes = self.presence.count * (TIMES.chunk_bytes + FLAGS.chunk_bytes)
        datasets = self._store.columns + 2 * self.presence.count + len(self.channels.all)  # and a group for each channel
        return self._store.waiting_bytes + classes + datasets * INDEX_BYTES

    def drain(self) -> None:
        """Hands everything to the sink that it does not have yet."""
        if self._sink is not None and self._store is not None:
            self._store.drain()
            for number in np.flatnonzero(self.presence.dirty).tolist():
                self._sink.write_presence(number, self._chunk_start, self.presence.pulse_ids[number], self.presence.flags[number])
        self.presence.dirty[:] = False

    def trim(self, rows: int) -> None:
        """Takes back all columns that have no values in the first ``rows`` rows. Nothing can be added afterwards."""
        for channel in self.channels.all:
            gone = [column for column in channel.values if column.first_row >= rows]
            if gone:
                channel.values = channel.values[: -len(gone)]
                self._drop(gone)
                if channel.values and self._sink is not None:
                    channel.values[-1].last_row = None
                    self._sink.revive(channel.values[-1], value_dataset(0))
            if channel.times is not None and channel.times.first_row >= rows:
                self._drop([channel.times])
                channel.times = None

    def _drop(self, columns: Sequence[Column]) -> None:
        if self._sink is not None:
            for column in columns:
                self._sink.drop(column)

    def _pieces(self, run: Run, messages: NDArray[np.intp], headers: Mapping[int, HeaderFrame]) -> Iterator[tuple[int, int]]:
        """Cuts messages where a chunk of scalars ends, and where the data header changes."""
        count = len(messages)
        cuts = {count, *range(CHUNK_ROWS - self.rows % CHUNK_ROWS, count, CHUNK_ROWS)}
        different = {header: number for number, header in enumerate(dict.fromkeys(headers.values()))}
        if len(different) > 1:
            numbers = np.zeros(max(headers) + 1, np.intp)
            for index, header in headers.items():
                numbers[index] = different[header]
            cuts.update((np.flatnonzero(np.diff(numbers[run.layout_index[messages]])) + 1).tolist())
        start = 0
        for stop in sorted(cuts):
            yield start, stop
            start = stop

    def _add_piece(self, run: Run, messages: NDArray[np.intp], arrivals_ns: NDArray[np.int64]) -> None:
        piece = _Piece(
            run=run,
            first_row=self.rows,
            bodies=run.bodies[messages],
            pulse_ids=run.pulse_ids[messages],
            times_ns=run.global_timestamps_ns[messages],
        )
        self.begun = self.rows + len(messages)
        if self._sink is not None:
            self._sink.rows = self.begun
        if self._store is not None:
            lines = slice(self.rows - self._chunk_start, self.begun - self._chunk_start)
            for column, numbers in zip(self._stream, (piece.pulse_ids, piece.times_ns, arrivals_ns), strict=True):
                self._store.put_numbers(column, lines, numbers)
        layout_index = run.layout_index[messages]
        used = [0] if len(run.layouts) == 1 else list(dict.fromkeys(layout_index.tolist()))
        if len(used) > 1 and len(messages) < MESSAGES_PER_PLAN * len(used):
            self._put_scattered(piece, layout_index)
        else:
            self._put_groups(self._groups(piece, layout_index, used), piece)
        if self.begun - self._chunk_start == CHUNK_ROWS:
            self._next_chunk()
        self.rows = self.begun

    def _next_chunk(self) -> None:
        self.drain()
        self.presence.next_chunk()
        if self._store is not None:
            self._store.next_chunk()
        self._chunk_start += CHUNK_ROWS

    def _groups(self, piece: _Piece, layout_index: NDArray[np.intp], used: Sequence[int]) -> list[_Group]:
        """In order of their first messages, so that a column that is made for a group starts at the right row."""
        if len(used) == 1:
            return [_Group(self._plan(piece.run.layouts[used[0]], piece.first_row), np.arange(len(layout_index)))]
        groups = []
        for index in used:
            positions = np.flatnonzero(layout_index == index)
            groups.append(_Group(self._plan(piece.run.layouts[index], piece.first_row + int(positions[0])), positions))
        return groups

    def _plan(self, layout: Layout, row: int) -> Plan:
        plan = self._plans.get(layout)
        if plan is None or (self._store is not None and plan.slots_version != self._store.version):
            plan = make_plan(layout, self._binding(layout, row), self._store, row=row)
            _keep(self._plans, layout, plan)
        return plan

    def _binding(self, layout: Layout, row: int) -> Binding:
        binding = self._bindings.get(layout.header)
        if binding is None:
            binding = self.channels.bind(layout.channels, row=row)
            self.presence.add_channels(len(self.channels.all) - len(self.presence.class_of))
            _keep(self._bindings, layout.header, binding)
        return binding

    def _put_groups(self, groups: Sequence[_Group], piece: _Piece) -> None:
        if self._store is not None:
            for group in groups:
                self._put_group(group, piece)
        missing = self._put_singles(groups, piece)
        if not missing:
            self._note_classes(groups, piece)
            return
        there = np.empty((len(piece.bodies), len(groups[0].plan.present)), np.bool_)
        for group in groups:
            there[group.positions] = group.plan.present
        self._note_each(piece, groups[0].plan.binding, there, missing)

    def _put_scattered(self, piece: _Piece, layout_index: NDArray[np.intp]) -> None:
        """The same for messages most of which have a layout of their own."""
        used, which = np.unique(layout_index, return_inverse=True)
        layouts = [piece.run.layouts[index] for index in used.tolist()]
        binding = self._binding(layouts[0], piece.first_row)
        contents = Contents.of(layouts, binding.header, binding.traits).of_messages(which)
        scatter = Scatter(
            contents=contents, binding=binding, bodies=piece.bodies, times_ns=piece.times_ns, first_row=piece.first_row
        )
        scatter.count_damaged()
        if self._store is not None:
            scatter.put(self._store, piece.run.data)
        self._note_each(piece, binding, contents.present, self._put_values(scatter.values(), piece))

    def _put_group(self, group: _Group, piece: _Piece) -> None:
        """Scalars and timestamps of all messages of one layout."""
        plan, positions = group.plan, group.positions
        bodies = piece.bodies if len(positions) == len(piece.bodies) else piece.bodies[positions]
        lines = index_of(positions + (piece.first_row - self._chunk_start))
        for scalars in plan.scalars:
            scalars.put(piece.run.data, bodies, lines)
        for times in plan.times:
            times.put(piece.run.data, bodies, lines, piece.times_ns[positions])
        if plan.global_times is not None:
            block, slots = plan.global_times
            block.put(slots, lines, piece.times_ns[positions])

    def _put_singles(self, groups: Sequence[_Group], piece: _Piece) -> dict[int, Sequence[int]]:
        """All other values; returns as `_put_values`."""
        parts: defaultdict[int, list[tuple[Single, NDArray[np.intp]]]] = defaultdict(list)
        for group in groups:
            for owner in group.plan.damaged:
                owner.damaged += len(group.positions)
            for single in group.plan.singles:
                parts[single.member].append((single, group.positions))
        return self._put_values((Values.of(found, piece.bodies) for found in parts.values()), piece)

    def _put_values(self, channels: Iterable[Values], piece: _Piece) -> dict[int, Sequence[int]]:
        """Returns, for members of the data header, the positions where there was no value after all."""
        missing = {}
        for values in channels:
            positions: Sequence[int] = []
            if self._store is not None:
                positions = put_values(self._store, values, piece.run, first_row=piece.first_row, times_ns=piece.times_ns)
            elif values.single.is_packed:
                positions = absent(values, piece.run)
            if positions:
                missing[values.single.member] = positions
        return missing

    def _note_classes(self, groups: Sequence[_Group], piece: _Piece) -> None:
        """Presence of all that the plans say."""
        for group in groups:
            classes = self._classes(group.plan)
            if classes is not None:
                lines = index_of(group.positions + (piece.first_row - self._chunk_start))
                last_row = piece.first_row + int(group.positions[-1])
                self.presence.put(classes, lines, piece.pulse_ids[group.positions], last_row=last_row)

    def _note_each(self, piece: _Piece, binding: Binding, there: NDArray[np.bool_], missing: Mapping[int, Sequence[int]]) -> None:
        """Presence, channel by channel: ``there`` has shape (messages, channels), without what is ``missing``."""
        there = there.copy()
        for member, positions in missing.items():
            there[positions, member] = False
        labels = np.zeros(len(self.channels.all), np.intp)
        labels[binding.numbers] = patterns(there)
        self._part(labels)
        self.presence.put_each(binding.numbers, there, piece.pulse_ids, first_row=piece.first_row)

    def _classes(self, plan: Plan) -> Index | None:
        """The classes of all channels that a plan says are present; None if there are none."""
        if plan.classes_version != self.presence.version:
            labels = np.zeros(len(self.channels.all), np.intp)
            labels[plan.binding.numbers[plan.present]] = 1
            self._part(labels)
            classes = self.presence.classes_of(labels == 1)
            plan.classes = index_of(classes) if len(classes) else None
            plan.classes_version = self.presence.version
        return plan.classes

    def _part(self, labels: NDArray[np.intp]) -> None:
        for split in self.presence.part(labels):
            if self._sink is not None:
                self._sink.split(split)


def _used_layouts(run: Run, messages: NDArray[np.intp]) -> list[int]:
    if len(run.layouts) == 1:
        return [0]
    used: list[int] = np.unique(run.layout_index[messages]).tolist()
    return used


def _column_bytes(channel: Channel) -> int:
    """The most that a new channel adds to the file with its first value, the value itself left out if it is a chunk."""
    if channel.value_bytes == 0:  # never has one
        return FLAGS.chunk_bytes + TIMES.chunk_bytes + 5 * INDEX_BYTES
    layout = dataset_layout(channel)
    values = 0 if layout.keeping is Keeping.CHUNKS else layout.chunk_bytes
    return values + 2 * TIMES.chunk_bytes + FLAGS.chunk_bytes + 5 * INDEX_BYTES


def _keep(kept: dict[Key, Kept], key: Key, value: Kept) -> None:
    if len(kept) >= MAX_LAYOUTS:
        kept.clear()
    kept[key] = value
