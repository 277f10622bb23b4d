"""Makes a file of what a killed writer has left: brings it back to its last flush, and adds what it would have been closed with.

It is done in the file itself, since a second one of its size may not fit on the disk, and by way of its journal: killed in the
middle, it can be done again. Until everything is on the disk, the file keeps its partial name.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np
from h5py import h5o
from numpy.typing import NDArray

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.channels import FLAGS, TIMES
from sf_bsread_writer.hdf5.file import FILE_FORMAT, add_ending, keep_index
from sf_bsread_writer.hdf5.inspect import unreadable
from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.layout import DatasetLayout
from sf_bsread_writer.hdf5.partial import Partial
from sf_bsread_writer.hdf5.place import coded_error, free_name, journal_path, lock
from sf_bsread_writer.hdf5.storage import Storage
from sf_bsread_writer.hdf5.table import STREAM_COLUMNS

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_RETIRED = re.compile(r"data\((\d+)\)")
_PARTIAL = re.compile(r"(.+)\.partial(?:\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftChannel:
    """A channel of such a file; as in `ChannelSummary`."""

    name: str
    group: str
    rows_present: int
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRows:
    """What is in such a file: the pulse id of each row, shape (rows,), and its channels, by name.

    ``cut`` counts rows that were taken back: behind the stop, or, without a journal, not there in every column of the stream.
    """

    pulse_ids: NDArray[np.int64]
    cut: int
    channels: tuple[LeftChannel, ...]


def final_path(path: Path) -> Path:
    """The name that a file left under this one gets: without ``.partial``, and with a free number if that name is taken."""
    found = _PARTIAL.fullmatch(path.name)
    if found is None:
        return path
    final = path.with_name(found[1])
    return free_name(final) if os.path.lexists(final) else final


def is_closed(path: Path) -> bool:
    """Whether there is nothing to do: it has been closed, and has its name. Raises `OutputError` if it cannot be read."""
    try:
        if final_path(path) != path or journal_path(path).exists() or not path.stat().st_size:
            return False
        with h5py.File(path, "r", locking="best-effort") as file:
            return "report" in file
    except (OSError, RuntimeError) as error:
        raise unreadable(error, path) from error


_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises for damaged files: where something else stands than what should, and for places and sizes beyond all files."""


class Leftover:
    """The file of a killed writer, as it was at its last flush, held against others. To be left as a context.

    ``without_journal``: it is taken as it is, if it has no journal that can be used; whether it was torn nobody can know.
    ``notes`` are those of its last flush, and ``was_closed`` says that nothing is missing but its name. ``is_from_before_boot``:
    if the machine has lost its power since then, nobody knows what of it was on the disk. Raises `OutputError` if it cannot be
    used; what is in it is as it was then.
    """

    def __init__(self, path: Path, *, without_journal: bool = False) -> None:
        self.path = Path(os.path.realpath(path))
        self.notes = b""
        self.is_from_before_boot = False
        self._has_storage = False
        with self._errors():
            descriptor = os.open(self.path, os.O_RDWR)
            try:
                if not lock(descriptor):
                    raise coded_error(errno.EBUSY, "recover", self.path)
                journal = self._journal(descriptor, without_journal=without_journal)
                self._partial = Partial(self.path, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            self._storage = Storage(descriptor, journal)
            self._has_storage = True
            try:
                self._file = h5py.File(self._storage, "r+" if self._storage.size else "x", **FILE_FORMAT)
            except BaseException:
                self._let_go()
                raise
            keep_index(self._file)
            self.was_closed = "report" in self._file

    @property
    def bytes(self) -> int:
        """Its size."""
        return self._storage.size

    def complete(self, told: Callable[[int, int], None], *, last: int | None = None) -> LeftRows:
        """Gives all datasets the same number of rows, none behind the pulse id ``last``.

        ``told`` is called with how many of how many channels are done.
        """
        with self._errors():
            stream, data = (self._file.require_group(name) for name in ("stream", "data"))
            common = min(len(stream[name]) if name in stream else 0 for name in STREAM_COLUMNS)
            ids = stream["pulse_id"][:common] if common else np.zeros(0, np.int64)
            rows = common if last is None else int(np.count_nonzero(ids <= last))
            completion = _Completion(rows)
            for name in STREAM_COLUMNS:
                completion.column(stream, name, TIMES)
            channels = []
            for number, name in enumerate(data):
                told(number, len(data))
                channels.append(completion.channel(name, data[name]))
            told(len(data), len(data))
            return LeftRows(pulse_ids=ids[:rows], cut=completion.longest - rows, channels=tuple(channels))

    def seal(self, final: Path, ending: tuple[Mapping[str, object], str] | None) -> None:
        """Adds parameters and report, unless it has them, and gives the file its name, with all of it on the disk."""
        with self._errors():
            if ending is not None:
                add_ending(self._file, *ending)
            self._file.close()
            self._storage.commit()
            self._storage.journal.delete()
            self._partial.give_final_name(final, overwrite=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """What was not sealed stays as it was."""
        with suppress(Exception):  # what HDF5 still writes goes nowhere without a commit
            self._file.close()
        self._let_go()

    def _let_go(self) -> None:
        self._partial.release()
        self._storage.close()

    def _journal(self, descriptor: int, *, without_journal: bool) -> Journal:
        """The journal, with the file brought back to its last commit."""
        path, size = journal_path(self.path), os.fstat(descriptor).st_size
        if size == 0:
            return Journal(path, size=0)  # killed before it had written anything
        journal = Journal(path, size=None) if path.exists() else None
        if journal is not None and journal.last is not None and journal.last.usable:
            self.notes = journal.last.notes
            self.is_from_before_boot = path.stat().st_mtime < _boot_s()
            journal.restore(descriptor)
            return journal
        if os.pread(descriptor, len(SIGNATURE), 0) != SIGNATURE:
            raise OutputError(f"cannot recover {self.path}: it is not an HDF5 file")
        has_report = (journal is None or journal.last is None) and _has_report(descriptor)
        if not (without_journal or has_report):
            what = "has no journal" if journal is None else "cannot be used: the disk was full when its writer was killed"
            raise OutputError(
                f"cannot recover {self.path}: {path} {what}, so nobody knows whether a flush was cut short; "
                "with --without_journal the file is taken as it is"
            )
        return Journal(path, size=size)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OutputError:
            raise
        except _DAMAGE as error:
            raise unreadable(self._first_error or error, self.path, "recover") from error

    @property
    def _first_error(self) -> OSError | None:
        return self._storage.error if self._has_storage else None


def _has_report(descriptor: int) -> bool:
    with open(descriptor, "rb", closefd=False) as file, h5py.File(file, "r") as content:  # so, HDF5 does not ask for our lock
        return "report" in content


def _boot_s() -> float:
    """When the machine was started, in s since 1970; 0 where it does not say so."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        return float(next(line for line in lines if line.startswith("btime ")).split()[1])
    return 0.0


class _Completion:
    """Gives every dataset ``rows`` rows; what several channels share is looked at once. ``longest`` had most rows before."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.longest = rows
        self._present: dict[int, int] = {}

    def column(self, group: h5py.Group, name: str, layout: DatasetLayout) -> h5py.Dataset:
        """A column that every group of its kind has, made if it has none."""
        if name not in group:
            shape = {"shape": (self._rows,), "maxshape": (None,), "chunks": (layout.chunk_rows,)}
            group.create_dataset(name, dtype=layout.dtype, **shape)
        dataset = group[name]
        self.longest = max(self.longest, len(dataset))  # these have the rows that there are, others may have whole chunks
        self._resize(dataset, self._rows)
        return dataset

    def channel(self, group_name: str, group: h5py.Group) -> LeftChannel:
        retired = sorted((int(found[1]), name) for name in group if (found := _RETIRED.fullmatch(name)))
        for _, name in retired:
            self._resize(group[name], min(self._rows, len(group[name])))
        for name in ("data", "timestamp"):
            if name in group:
                self._resize(group[name], self._rows)
        self.column(group, "pulse_id", TIMES)
        flags = self.column(group, "is_data_present", FLAGS)
        address = h5o.get_info(flags.id).addr
        if address not in self._present:
            self._present[address] = int(np.count_nonzero(flags[:]))
        return LeftChannel(
            name=str(group.attrs.get("channel", group_name)),
            group=group_name,
            rows_present=self._present[address],
            datasets=(*(name for _, name in retired), *(["data"] if "data" in group else [])),
        )

    def _resize(self, dataset: h5py.Dataset, rows: int) -> None:
        if len(dataset) != rows:
            dataset.id.set_extent((rows, *dataset.shape[1:]))
