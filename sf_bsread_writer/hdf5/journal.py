"""What finishes a flush that was cut short: its changes to what the file held before, written down before they are made.

HDF5 changes its index in place, in many writes; a process that is killed between two of them leaves a file in which even old
rows can be lost. So changes to bytes that the file had at its last commit are held back until HDF5 has flushed. Then they go
into the journal, all of them, with a **commit**; only then into the file. At whatever moment the process is killed, the file is
what it was at the last commit, or becomes that by `Journal.restore`. Databases call this a redo log. Nothing here knows how HDF5
works.

What a killed process had written the system keeps. The machine itself must not go down: nothing is forced to the disk before the
end.

Layout, little-endian: two slots of `SLOT_BYTES`, each with a commit; of those that are whole the one with the higher number
counts, and the other one is there while that is replaced. Then the changes, over those of the commit before, which have been made
by then.

========  =====================================================================================================================
slot      ``SFBSJRN1``, u64 number, u64 size of the file, u8 usable, u32 length of notes, u32 CRC-32 of the rest, notes
changes   u64 number of their commit, u64 how many, then u64 place in the file and u64 length of each, then the bytes of all
========  =====================================================================================================================
"""

import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sf_bsread_writer.errors import OutputError

MAGIC = b"SFBSJRN1"
SLOT_BYTES = 256 << 10
"""Room for a report with all its ranges. Notes that do not fit are left out."""

_SLOT = struct.Struct("<8sQQBI")
_CHECK = struct.Struct("<I")
_CHANGES = struct.Struct("<QQ")
_CHANGES_START = 2 * SLOT_BYTES
_MOST_PIECES = 1000
"""Below IOV_MAX of Linux."""

Change = tuple[int, bytes]
"""A place in the file, and what it is to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A moment at which the file was whole, with ``size`` bytes.

    ``notes`` are the caller's. Not ``usable``: changes were being made after it that the disk had no room to write down.
    """

    number: int
    size: int
    notes: bytes = b""
    usable: bool = True


class Journal:
    """Open for one writer. ``size`` is that of the file, which is whole now: a new journal takes the place of what has its name.

    With ``size`` None it is one that exists; ``last`` is None if it has no commit that is whole. Raises OSError.
    """

    def __init__(self, path: Path, *, size: int | None) -> None:
        self.path = path
        self.last: Commit | None = None
        self._descriptor = os.open(path, os.O_RDWR | (0 if size is None else os.O_CREAT | os.O_TRUNC), 0o666)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        if size is None:
            found = [commit for commit in map(self._read_slot, (0, 1)) if commit is not None]
            self.last = max(found, key=lambda commit: commit.number, default=None)
        else:
            os.posix_fallocate(self._descriptor, 0, _CHANGES_START)  # so that a full disk does not hinder a commit
            self._put(Commit(number=1, size=size))

    @property
    def notes(self) -> bytes:
        """Those of the last commit."""
        return b"" if self.last is None else self.last.notes

    def commit(self, size: int, changes: Sequence[Change], notes: bytes) -> None:
        """The file is whole, with this size, once the changes have been made in this order: from here on they can be made.

        If there is no room to write them down, the journal says so of itself, and this raises: they can still be made, but until
        the next commit nothing helps if that is cut short.
        """
        number = 1 if self.last is None else self.last.number + 1
        try:
            self._write_changes(number, changes)
        except OSError:
            self._put(Commit(number=number, size=size, notes=self.notes, usable=False))
            raise
        self._put(Commit(number=number, size=size, notes=notes))

    def restore(self, descriptor: int) -> None:
        """Makes the open file what it was at the last commit. May be done again.

        Raises OutputError, before it does anything, if the file is shorter than it was: it is another one, or cut off.
        """
        assert self.last is not None
        changes = list(self._read_changes(self.last.number))
        if max([os.fstat(descriptor).st_size, *(start + len(data) for start, data in changes)]) < self.last.size:
            raise OutputError(
                f"{self.path} is not the journal of this file, or the file is cut off: it had {self.last.size} bytes"
            )
        make_changes(descriptor, changes)
        os.ftruncate(descriptor, self.last.size)

    def close(self) -> None:
        """May be called again, and happens by itself when nobody refers to this any more."""
        self._close()

    def delete(self) -> None:
        """Closes it and takes it away: the file is complete, or gone. Somebody else may have done so."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _put(self, commit: Commit) -> None:
        room = SLOT_BYTES - _SLOT.size - _CHECK.size
        notes = commit.notes if len(commit.notes) <= room else b""
        head = _SLOT.pack(MAGIC, commit.number, commit.size, commit.usable, len(notes))
        check = _CHECK.pack(zlib.crc32(notes, zlib.crc32(head)))
        os.pwrite(self._descriptor, head + check + notes, commit.number % 2 * SLOT_BYTES)
        self.last = commit

    def _read_slot(self, slot: int) -> Commit | None:
        content = os.pread(self._descriptor, SLOT_BYTES, slot * SLOT_BYTES)
        if len(content) < _SLOT.size + _CHECK.size:
            return None
        magic, number, size, usable, length = _SLOT.unpack_from(content)
        notes = content[_SLOT.size + _CHECK.size :][:length]
        (check,) = _CHECK.unpack_from(content, _SLOT.size)
        if magic != MAGIC or check != zlib.crc32(notes, zlib.crc32(content[: _SLOT.size])):
            return None
        return Commit(number=number, size=size, notes=notes, usable=bool(usable))

    def _write_changes(self, number: int, changes: Sequence[Change]) -> None:
        table = np.array([(start, len(data)) for start, data in changes], "<u8").tobytes()
        head = _CHANGES.pack(number, len(changes)) + table
        make_changes(self._descriptor, [(_CHANGES_START, head)])
        make_changes(self._descriptor, _behind_each_other(_CHANGES_START + len(head), changes))

    def _read_changes(self, number: int) -> Iterator[Change]:
        """Those of this commit; none if those of the next one were being written over them, for then they have been made."""
        found, count = _CHANGES.unpack(os.pread(self._descriptor, _CHANGES.size, _CHANGES_START).ljust(_CHANGES.size, b"\0"))
        if found != number:
            return
        place = _CHANGES_START + _CHANGES.size
        table = np.frombuffer(os.pread(self._descriptor, 16 * count, place), "<u8").reshape(-1, 2)
        place += 16 * count
        for start, length in table.tolist():
            yield start, os.pread(self._descriptor, length, place)
            place += length


def make_changes(descriptor: int, changes: Sequence[Change]) -> None:
    """Writes each to its place, in this order; what lies behind each other goes together, for the sake of speed."""
    pieces: list[bytes] = []
    begin = end = 0
    for start, data in changes:
        if start != end or len(pieces) == _MOST_PIECES:
            _write_pieces(descriptor, pieces, begin)
            pieces, begin = [], start
        pieces.append(data)
        end = start + len(data)
    _write_pieces(descriptor, pieces, begin)


def _write_pieces(descriptor: int, pieces: list[bytes], start: int) -> None:
    if not pieces:
        return
    done, total = os.pwritev(descriptor, pieces, start), sum(map(len, pieces))
    while done < total:
        done += os.pwrite(descriptor, b"".join(pieces)[done:], start + done)


def _behind_each_other(start: int, changes: Sequence[Change]) -> list[Change]:
    moved = []
    for _, data in changes:
        moved.append((start, data))
        start += len(data)
    return moved
