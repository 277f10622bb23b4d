"""Groups and datasets of an open file, made when the first chunk for them comes: the `Sink` of a `Table`.

Uses HDF5's own interface, below h5py's, and writes chunks directly: HDF5's way through selections, conversions and chunk caches
costs ten times as much for the small chunks of many channels. The file format is the oldest that holds them, for old readers.
"""

from collections.abc import Iterable, Sequence

import h5py
import hdf5plugin
import numpy as np
from h5py import h5d, h5g, h5o, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import FLAGS, TIMES, Channels, Column, FileChannel
from sf_bsread_writer.hdf5.chunks import Chunk
from sf_bsread_writer.hdf5.layout import CHUNK_ROWS, DatasetLayout, Keeping
from sf_bsread_writer.hdf5.presence import NEVER, Presence, Split
from sf_bsread_writer.hdf5.storage import Storage
from sf_bsread_writer.message import bitshuffle  # noqa: F401 - loaded now: later the process may have a user who cannot read it
from sf_bsread_writer.message.types import Compression

FILTERS: dict[Compression, tuple[int, tuple[int, ...]]] = {
    # Options as a user gives them: the bitshuffle filter itself puts its version and the item size before them.
    Compression.BITSHUFFLE_LZ4: (hdf5plugin.Bitshuffle.filter_id, (0, 2)),  # block size: see each chunk; LZ4
    Compression.LZ4: (hdf5plugin.LZ4.filter_id, (0,)),  # block size: see each chunk
}

MAX_ATTRIBUTE_CHARACTERS = 8000
"""The oldest file format has 64 KiB for an attribute, and UTF-8 up to four bytes for a character."""

PULSE_ID, IS_DATA_PRESENT = b"pulse_id", b"is_data_present"
STREAM = "stream"

ROWS_AHEAD = 8 * CHUNK_ROWS
"""Columns of single numbers grow by so many rows at a time; more would not be felt any more."""


class Dataset:
    """A dataset and how many rows it has.

    ``latest`` is the first row of the chunk that was written last, ``place`` where in the file that is, 0 if that is not known.
    """

    __slots__ = ("_zeros", "id", "latest", "place", "row_shape", "rows")

    def __init__(self, id: h5d.DatasetID, row_shape: tuple[int, ...], rows: int) -> None:
        self.id = id
        self.row_shape = row_shape
        self.rows = rows
        self.latest = -1
        self.place = 0
        self._zeros = (0,) * len(row_shape)

    def resize(self, rows: int) -> None:
        """Sets the number of rows; new ones read as zero, or as empty strings."""
        if rows != self.rows:
            self.id.set_extent((rows, *self.row_shape))
            self.rows = rows

    def write_chunk(self, first_row: int, chunk: Chunk, filter_mask: int, *, rows: int) -> None:
        """Writes a whole chunk as it is; the dataset gets ``rows`` rows if it has fewer."""
        if self.rows < rows:
            self.resize(rows)
        self.id.write_direct_chunk((first_row, *self._zeros), chunk, filter_mask)


class _Kind:
    """What HDF5 wants to know for a new dataset, put together once for all datasets of equal layout and number of rows."""

    def __init__(self, layout: DatasetLayout, rows: int) -> None:
        self._row_shape = layout.row_shape
        self.rows = rows
        self._type = h5t.py_create(h5py.string_dtype() if layout.dtype is None else layout.dtype, logical=True)
        self._space = h5s.create_simple((rows, *layout.row_shape), (h5s.UNLIMITED, *layout.row_shape))
        self._creation = h5p.create(h5p.DATASET_CREATE)
        self._creation.set_chunk((layout.chunk_rows, *layout.row_shape))
        if layout.filter in FILTERS:
            number, options = FILTERS[layout.filter]
            self._creation.set_filter(number, h5z.FLAG_OPTIONAL, options)
        self._access = h5p.create(h5p.DATASET_ACCESS)
        # Direct chunks go past the cache; HDF5's default would take 80 KB for each open dataset. Strings are written through it.
        self._access.set_chunk_cache(1, 0 if layout.dtype is not None else layout.chunk_bytes, 0.0)

    def create(self, group: h5g.GroupID, name: bytes, links: h5p.PropLCID) -> Dataset:
        """A new dataset."""
        id = h5d.create(group, name, self._type, self._space, self._creation, links, self._access)
        return Dataset(id, self._row_shape, self.rows)

    def open(self, group: h5g.GroupID, name: bytes) -> Dataset:
        """One that was created before."""
        id = h5d.open(group, name, self._access)
        return Dataset(id, self._row_shape, id.shape[0])


class Datasets:
    """All groups and datasets of one file, by the columns that they hold.

    ``rows`` is the number of rows begun: set it before chunks with more rows come. ``written_bytes`` counts chunks.
    """

    def __init__(self, file: h5py.File, channels: Channels, presence: Presence, storage: Storage) -> None:
        self.rows = 0
        self.written_bytes = 0
        self._channels = channels
        self._presence = presence
        self._storage = storage
        self._groups = {name: file.require_group(name).id for name in ("data", STREAM)}
        self._datasets: dict[Column, Dataset] = {}
        self._classes: dict[int, tuple[Dataset, Dataset]] = {}
        self._linked: dict[int, int] = {}
        self._completed = -1
        self._named = 0
        self._links = h5p.create(h5p.LINK_CREATE)
        self._links.set_char_encoding(h5t.CSET_UTF8)
        self._kinds: dict[DatasetLayout, _Kind] = {}

    def write_chunk(self, column: Column, first_row: int, chunk: Chunk, filter_mask: int = 0) -> None:
        """As in `Sink`."""
        dataset = self._datasets.get(column) or self.dataset(column)
        self._write(dataset, first_row, chunk, filter_mask, rows=self._rows_of(column))
        self.written_bytes += chunk.nbytes if isinstance(chunk, np.ndarray) else len(chunk)

    def write_texts(self, column: Column, first_row: int, texts: Sequence[str]) -> None:
        """As in `Sink`."""
        dataset = self.dataset(column)
        dataset.resize(max(dataset.rows, self.rows))
        h5py.Dataset(dataset.id)[first_row : first_row + len(texts)] = texts
        self.written_bytes += sum(map(len, texts))

    def write_presence(self, number: int, first_row: int, pulse_ids: NDArray[np.int64], flags: NDArray[np.uint8]) -> None:
        """As in `Sink`."""
        id_dataset, flag_dataset = self._class(number)
        self._write(id_dataset, first_row, pulse_ids, 0, rows=self.rows)
        self._write(flag_dataset, first_row, flags, 0, rows=self.rows)
        self.written_bytes += pulse_ids.nbytes + flags.nbytes

    def _write(self, dataset: Dataset, first_row: int, chunk: Chunk, filter_mask: int, *, rows: int) -> None:
        """HDF5 need not be asked again for the place of a chunk that comes with each flush until it is full."""
        if first_row != dataset.latest or not isinstance(chunk, np.ndarray):
            dataset.write_chunk(first_row, chunk, filter_mask, rows=rows)
            dataset.latest, dataset.place = first_row, 0
        elif dataset.place:
            dataset.resize(max(dataset.rows, rows))
            self._storage.replace(dataset.place, chunk)
        else:
            self._storage.replaces = chunk
            dataset.write_chunk(first_row, chunk, filter_mask, rows=rows)
            dataset.place = self._storage.take_place()

    def split(self, split: Split) -> None:
        """As in `Sink`."""
        if split.old not in self._classes or split.old == NEVER:
            return  # nothing written yet that would have to be copied
        members = self._members(split.new)
        group = self._unlinked(members[0])
        pulse_id, is_data_present = self._classes[split.old]
        h5o.copy(pulse_id.id, b".", group, PULSE_ID, None, self._links)
        h5o.copy(is_data_present.id, b".", group, IS_DATA_PRESENT, None, self._links)
        self._classes[split.new] = (
            self._kind(TIMES, self.rows).open(group, PULSE_ID),
            self._kind(FLAGS, self.rows).open(group, IS_DATA_PRESENT),
        )
        self._linked[members[0]] = split.new
        self._link(members[1:], split.new)

    def retire(self, column: Column, name: str) -> None:
        """As in `Sink`."""
        self._rename(column, name)
        dataset = self._datasets.pop(column)  # not kept open: a channel that changes with each message would have thousands
        if column.last_row is not None:
            dataset.resize(column.last_row + 1)

    def revive(self, column: Column, name: str) -> None:
        """As in `Sink`."""
        self._rename(column, name)
        self._datasets[column] = self._kind(column.layout, self.rows).open(self.group(column.group), name.encode())

    def drop(self, column: Column) -> None:
        """As in `Sink`."""
        if self._datasets.pop(column, None) is not None or column.last_row is not None:
            self.group(column.group).unlink(column.name.encode())

    def complete(self) -> None:
        """Makes what chunks alone do not make: groups of channels that never had a value, and all links to shared datasets."""
        if self._completed == self._presence.version:
            return
        for number in np.unique(self._presence.class_of).tolist():
            self._class(number)
            self._link(self._members(number), number)
        for channel in self._channels.all[self._named :]:
            self._keep_name(channel)
        self._named = len(self._channels.all)
        self._completed = self._presence.version

    def close_rows(self, rows: int) -> None:
        """Gives every dataset this number of rows, and takes out channels that first appeared later."""
        gone = {channel.group for channel in self._channels.all if channel.first_row >= rows}
        for column, dataset in list(self._datasets.items()):
            if column.group in gone:
                del self._datasets[column]
            elif column.last_row is None:
                dataset.resize(rows)
        for channel in self._channels.all:
            if channel.group in gone:
                self._remove(channel)
        for number, datasets in list(self._classes.items()):
            if number not in self._linked.values():
                del self._classes[number]
                continue
            for dataset in datasets:
                dataset.resize(rows)

    def present_from(self, number: int, row: int) -> int:
        """How many rows of a class have a value from ``row`` on."""
        if number not in self._classes:
            return 0
        return int(h5py.Dataset(self._classes[number][1].id)[row:].sum())

    def group(self, path: str) -> h5g.GroupID:
        """The group at a path: ``stream``, ``data``, or a channel's ``data/name``, which is made if there is none yet."""
        group = self._groups.get(path)
        if group is None:
            parent, _, name = path.rpartition("/")
            group = self._groups[path] = h5g.create(self.group(parent), name.encode(), self._links)
        return group

    def dataset(self, column: Column) -> Dataset:
        """The dataset of a column, made if there is none yet."""
        dataset = self._datasets.get(column)
        if dataset is None:
            kind = self._kind(column.layout, self._rows_of(column))
            dataset = self._datasets[column] = kind.create(self.group(column.group), column.name.encode(), self._links)
        return dataset

    def _rows_of(self, column: Column) -> int:
        """How many rows a column gets now. Single numbers of channels get some `ROWS_AHEAD`, until `close_rows`: to tell HDF5 of
        new rows at each flush would take most of the time that a flush of thousands of channels takes.
        """
        layout = column.layout
        if layout.keeping is not Keeping.CELLS or column.group == STREAM:
            return self.rows
        return -(-self.rows // ROWS_AHEAD) * ROWS_AHEAD

    def _kind(self, layout: DatasetLayout, rows: int) -> _Kind:
        kind = self._kinds.get(layout)
        if kind is None or kind.rows != rows:
            kind = self._kinds[layout] = _Kind(layout, rows)
        return kind

    def _rename(self, column: Column, name: str) -> None:
        self.group(column.group).links.move(column.name.encode(), self.group(column.group), name.encode(), self._links)
        column.name = name

    def _keep_name(self, channel: FileChannel) -> None:
        """Notes a channel's own name where its group has another one."""
        if channel.group.partition("/")[2] != channel.name:
            text = channel.name.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
            h5py.Group(self.group(channel.group)).attrs["channel"] = text[:MAX_ATTRIBUTE_CHARACTERS]

    def _class(self, number: int) -> tuple[Dataset, Dataset]:
        datasets = self._classes.get(number)
        if datasets is None:
            members = self._members(number)
            group = self._unlinked(members[0])
            datasets = (
                self._kind(TIMES, self.rows).create(group, PULSE_ID, self._links),
                self._kind(FLAGS, self.rows).create(group, IS_DATA_PRESENT, self._links),
            )
            self._classes[number] = datasets
            self._linked[members[0]] = number
            self._link(members[1:], number)
        return datasets

    def _members(self, number: int) -> list[int]:
        """Channels of a class; the first of them is where its datasets are made."""
        members: list[int] = np.flatnonzero(self._presence.class_of == number).tolist()
        return members

    def _link(self, members: Iterable[int], number: int) -> None:
        pulse_id, is_data_present = self._classes[number]
        for member in members:
            if self._linked.get(member) != number:
                group = self._unlinked(member)
                h5o.link(pulse_id.id, group, PULSE_ID, self._links)
                h5o.link(is_data_present.id, group, IS_DATA_PRESENT, self._links)
                self._linked[member] = number

    def _unlinked(self, member: int) -> h5g.GroupID:
        """A channel's group, without links to the datasets of a class it may have been in."""
        group = self.group(self._channels.all[member].group)
        if self._linked.pop(member, None) is not None:
            group.unlink(PULSE_ID)
            group.unlink(IS_DATA_PRESENT)
        return group

    def _remove(self, channel: FileChannel) -> None:
        self._linked.pop(channel.number, None)
        if self._groups.pop(channel.group, None) is not None:
            parent, _, name = channel.group.rpartition("/")
            self.group(parent).unlink(name.encode())
