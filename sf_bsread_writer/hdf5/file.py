"""One output file, from its first row to its final name. All calls from one thread.

While it is written it is called ``<name>.partial``. What was flushed is in it, whatever happens to the process; `Journal` makes
sure of that. Room on the disk for everything that has yet to be written is reserved beforehand, so that a full disk is found out
before it damages anything: the file can then still be finished, with all rows written until then.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5f
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError, OutputError
from sf_bsread_writer.hdf5.channels import Channels, FileChannel
from sf_bsread_writer.hdf5.compressing import WAITING_BYTES, CompressingSink
from sf_bsread_writer.hdf5.datasets import Datasets
from sf_bsread_writer.hdf5.general import general_datasets
from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.partial import Partial
from sf_bsread_writer.hdf5.place import (
    UNKNOWN_BYTES,
    Room,
    coded_error,
    free_name,
    journal_path,
    make_way,
    output_error,
    try_room,
)
from sf_bsread_writer.hdf5.presence import Presence
from sf_bsread_writer.hdf5.storage import Storage
from sf_bsread_writer.hdf5.table import INDEX_BYTES, Table
from sf_bsread_writer.hdf5.writeback import PIECE_BYTES, WriteBack
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.ring.segment import Segment

INDEX_BLOCK_BYTES = 1 << 20
"""HDF5 takes room for its index in blocks of this size. With its own 2 KiB, creating a dataset costs 270 µs instead of 15."""

INDEX_CACHE_BYTES = (16 << 20, 64 << 20, 128 << 20)
"""Least, first and largest size of HDF5's cache for its index: 5000 channels need 40 MB, and then write a quarter faster."""

FILE_FORMAT = {"libver": "earliest", "meta_block_size": INDEX_BLOCK_BYTES}

CLOSING_BYTES = 4 << 20
"""Room for what is written last: parameters, report, and the rest of the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """What a user may want of a file.

    ``overwrite``: a file that has the final name already is replaced; else it is moved aside. ``compression`` is that of images
    and large arrays that come uncompressed; ``compressing_bytes`` the memory for it, see `CompressingSink`. ``min_free_bytes``
    are left free on the disk. ``check_place`` raises `OutputError` for a final name that may not be used any more; it is asked
    before and after each use.
    """

    overwrite: bool = False
    compression: Compression = Compression.NONE
    compressing_bytes: int = WAITING_BYTES
    min_free_bytes: int = 0
    check_place: Callable[[Path], None] = lambda path: None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSummary:
    """One channel of a finished file. ``name`` is the source's, ``group`` the name below ``/data``.

    ``type`` is the bsread name and ``shape`` in NumPy order (``()`` scalar), both of the latest data header. ``damaged`` counts
    values that could not be used, or not completely, in rows that were trimmed too.
    """

    name: str
    group: str
    type: str
    shape: tuple[int, ...]
    rows_present: int
    datasets: tuple[str, ...]
    damaged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSummary:
    """A finished file. ``channels`` are in order of appearance; ``bytes`` is the size on disk, 0 in a dry run.

    ``dead_bytes`` of them are room that rows taken back had: HDF5 gives back what is at the end of a file, and no more.
    """

    rows: int
    channels: tuple[ChannelSummary, ...]
    bytes: int
    dead_bytes: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Output:
    """What there is only if something is really written."""

    path: Path
    partial: Partial
    storage: Storage
    file: h5py.File
    datasets: Datasets
    sink: CompressingSink
    room: Room
    writeback: WriteBack

    def close(self) -> None:
        """Ends what HDF5 has to do with it. May be called again, whatever happened the first time."""
        self.sink.close()
        self.writeback.close()
        self.file.close()

    def release(self) -> None:
        """Lets go of the file and its journal, whatever they are called by then."""
        self.partial.release()
        self.storage.close()


class PulseFile:
    """Writes runs of messages as rows.

    ``path`` is the final name, None for a dry run that does everything but write. Folders are made. Every method may raise
    `OutputError`, with ``errno`` where there is one; nothing more can be written then, but the file can still be finished, unless
    it ``is_lost``: then it has been closed as it was, under its partial name.
    """

    def __init__(self, path: Path | None, *, options: FileOptions | None = None) -> None:
        channels, presence = Channels(), Presence()
        self._options = options or FileOptions()
        self._output = None if path is None else _open(path, channels, presence, self._options)
        sink = None if self._output is None else self._output.sink
        self._table = Table(sink, channels, presence, self._options.compression)
        self._failure: OutputError | None = None
        self.is_lost = False
        self._aside: Path | None = None

    @property
    def rows(self) -> int:
        """Rows that are complete, flushed or not."""
        return self._table.rows

    @property
    def damaged(self) -> dict[str, int]:
        """How many values could not be used, or not completely, by the names of groups below ``/data``; without zeros."""
        return {channel.group.partition("/")[2]: channel.damaged for channel in self._table.channels.all if channel.damaged}

    @property
    def written_bytes(self) -> int:
        """Bytes of all chunks written so far."""
        return 0 if self._output is None else self._output.datasets.written_bytes

    @property
    def size_bytes(self) -> int:
        """The size on disk, 0 in a dry run."""
        return 0 if self._output is None else self._output.storage.size

    @property
    def free_bytes(self) -> int | None:
        """How much more can be written; None if nobody knows, and in a dry run."""
        if self._output is None:
            return None
        free_bytes = self._output.room.free_bytes(self._output.file.id.get_filesize())
        return None if free_bytes == UNKNOWN_BYTES else max(0, free_bytes - CLOSING_BYTES)

    @property
    def partial_path(self) -> Path | None:
        """Its name while it is written, None in a dry run."""
        return None if self._output is None else self._output.partial.path

    @property
    def has_vanished(self) -> bool:
        """Whether somebody has taken the file's name away while it is written; `seal` gives it one again."""
        return self._output is not None and not self._output.partial.has_name

    def write(self, run: Run, rows: NDArray[np.intp], arrivals_ns: NDArray[np.int64], memory: Segment | None = None) -> None:
        """Writes these messages of the run (ascending indices), which need no longer be kept then, as the next rows.

        ``arrivals_ns`` has shape (rows,). ``memory`` is where the run lies, and is pinned for values that are not compressed yet
        then; without it they are waited for. Raises `MessageError`, and writes nothing, if one cannot be assigned to channels.
        """
        if self._failure is not None:
            raise self._failure
        with self._errors("write"):
            if self._output is None:
                self._table.add(run, rows, arrivals_ns)
                return
            sink = self._output.sink
            self._make_room(self._output, self._table.needed_bytes(run, rows) + sink.waiting_bytes)
            sink.memory = memory
            try:
                self._table.add(run, rows, arrivals_ns)
            finally:
                if memory is None:
                    sink.settle()
            self._output.writeback.send(self._output.storage.size, least_bytes=PIECE_BYTES)

    def flush(self, notes: bytes = b"") -> None:
        """Brings everything written so far into the file, from where it can be recovered, and ``notes`` with it into the journal.

        To be called at least once a second.
        """
        with self._errors("write"):
            self._table.drain()
            if self._output is not None:
                self._output.sink.finish()
                self._output.datasets.complete()
                h5f.flush(self._output.file.id)
                self._output.room.expect_cut(self._output.storage.size)
                self._output.storage.commit(notes)
                self._output.writeback.send(self._output.storage.size)
                if self._failure is None:
                    self._make_room(self._output, self._table.waiting_bytes)

    def finish(self, rows: int) -> FileSummary:
        """Trims the file to its first ``rows`` rows; nothing can be written afterwards, only `seal` or `abandon` remain."""
        rows = min(rows, self._table.rows)
        table, output = self._table, self._output
        with self._errors("finish", close=True):
            table.drain()
            if output is not None:
                output.sink.finish()
            trimmed = self._trimmed(rows)
            table.trim(rows)
            if output is not None:
                for column in table.stream_columns:
                    output.datasets.dataset(column)
                output.datasets.complete()
                output.datasets.close_rows(rows)
                h5f.flush(output.file.id)
                output.storage.commit()
        return FileSummary(
            rows=rows,
            channels=tuple(self._summary(channel, rows, trimmed) for channel in table.channels.all if channel.first_row < rows),
            bytes=self.size_bytes,
            dead_bytes=0 if output is None else output.file.id.get_freespace(),
        )

    def has_room_for(self, parameters: Mapping[str, object], report_json: str) -> bool:
        """Whether `seal` can write these; room for what they usually are has been kept."""
        size = sum(len(content) + INDEX_BYTES for content in general_datasets(parameters).values()) + len(report_json.encode())
        if self._output is None or size <= CLOSING_BYTES // 2:
            return True
        try:
            self._make_room(self._output, size)
        except OutputError:
            return False
        return True

    def aside_for(self, final: Path | None) -> Path | None:
        """Where `seal` will move an earlier file of the final name, for the report; None if none has to be moved.

        Nothing is moved yet: until the new file is complete, the earlier one keeps its name. ``final`` as there.
        """
        if self._output is None:
            return None
        final = final or self._output.path
        self._aside = free_name(final) if os.path.lexists(final) and not self._options.overwrite else None
        return self._aside

    def seal(self, final: Path | None, parameters: Mapping[str, object], report_json: str) -> Path | None:
        """Adds parameters and report, closes the file and gives it its final name; everything is on disk then.

        Returns where an earlier file of that name has been moved, None if there was none. Without ``final`` it gets the name
        given at first.
        """
        if self._output is None:
            return None
        output = self._output
        if self.is_lost:
            assert self._failure is not None
            raise self._failure
        with self._errors("finish", close=True):
            add_ending(output.file, parameters, report_json)
            output.close()
            output.storage.commit()
            output.storage.journal.delete()
        final = final or output.path
        try:
            self._options.check_place(final)
            moved = output.partial.give_final_name(final, overwrite=self._options.overwrite, aside=self._aside)
            self._options.check_place(final)
            return moved
        finally:
            output.release()

    def abandon(self) -> None:
        """Closes and deletes what has been written."""
        if self._output is not None:
            with suppress(Exception):  # what cannot be closed is deleted all the same
                self._output.close()
            with self._errors("delete"):
                self._output.partial.delete()
                self._output.storage.journal.delete()
            self._output.release()

    def _make_room(self, output: _Output, needed_bytes: int) -> None:
        """Makes sure that so much can be written, and that the file can be closed after that."""
        output.room.ensure(output.file.id.get_filesize(), needed_bytes + CLOSING_BYTES)

    def _trimmed(self, rows: int) -> dict[int, int]:
        """For each class of channels, how many of its values are in rows from ``rows`` on."""
        if rows == self._table.begun or self._output is None:
            return {}
        return {number: self._output.datasets.present_from(number, rows) for number in range(self._table.presence.count)}

    def _summary(self, channel: FileChannel, rows: int, trimmed: Mapping[int, int]) -> ChannelSummary:
        presence = self._table.presence
        number = int(presence.class_of[channel.number])
        # A dry run has no columns to look up what was trimmed.
        rows_present = min(rows, int(presence.rows_present[number]) - trimmed.get(number, 0))
        return ChannelSummary(
            name=channel.name,
            group=channel.group,
            type=channel.described.type.wire,
            shape=channel.described.shape,
            rows_present=rows_present,
            datasets=tuple(column.name for column in channel.values),
            damaged=channel.damaged,
        )

    @contextmanager
    def _errors(self, doing: str, *, close: bool = False) -> Iterator[None]:
        """Turns what HDF5 and the system raise into `OutputError`; ``close``: the file is closed then, under its partial name."""
        try:
            yield
        except Exception as error:
            if self._output is None or isinstance(error, MessageError):
                raise
            cause = error if isinstance(error, OutputError) else self._output.storage.error or error
            if not isinstance(cause, OSError | RuntimeError):
                raise
            self._failure = cause if isinstance(cause, OutputError) else output_error(cause, doing, self._output.path)
            if close:
                self.is_lost = True
                with suppress(Exception):
                    self._output.close()
                self._output.release()
            if self._failure is error:
                raise
            raise self._failure from error


def _open(path: Path, channels: Channels, presence: Presence, options: FileOptions) -> _Output:
    options.check_place(path)
    name = make_way(path)
    try_room(name, INDEX_BLOCK_BYTES + CLOSING_BYTES, min_free_bytes=options.min_free_bytes)
    try:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        partial = Partial(name, descriptor)
        _check_created(path, partial, descriptor, options)
        storage = Storage(descriptor, Journal(journal_path(name), size=0))
        file = h5py.File(storage, "x", **FILE_FORMAT)
        keep_index(file)
        datasets = Datasets(file, channels, presence, storage)
        h5f.flush(file.id)
        storage.commit()
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        raise output_error(error, "create", name) from error
    return _Output(
        path=path,
        partial=partial,
        storage=storage,
        file=file,
        datasets=datasets,
        sink=CompressingSink(datasets, options.compression, memory_bytes=options.compressing_bytes),
        room=Room(path, descriptor, min_free_bytes=options.min_free_bytes),
        writeback=WriteBack(descriptor),
    )


def add_ending(file: h5py.File, parameters: Mapping[str, object], report_json: str) -> None:
    """What is written last: parameters and report."""
    general = file.create_group("general")
    for name, content in general_datasets(parameters).items():
        is_ascii = content.isascii()
        general.create_dataset(name, data=np.bytes_(content), dtype=None if is_ascii else h5py.string_dtype(length=len(content)))
    file.create_dataset("report", data=report_json, dtype=h5py.string_dtype())


def _check_created(path: Path, partial: Partial, descriptor: int, options: FileOptions) -> None:
    """Takes the new file away again if it is not where it was to be: a folder may have been replaced by a link meanwhile."""
    try:
        options.check_place(path)
        if not partial.has_name:  # the link has gone again, and the file with it
            raise coded_error(errno.EBUSY, "create", partial.path)
    except OutputError:
        partial.delete()
        partial.release()
        os.close(descriptor)
        raise


def keep_index(file: h5py.File) -> None:
    """Lets HDF5 keep the index of thousands of datasets in memory, where it is changed for each chunk."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.min_size, config.initial_size, config.max_size = INDEX_CACHE_BYTES
    file.id.set_mdc_config(config)
