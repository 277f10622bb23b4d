"""Where HDF5 reads and writes its bytes while a file is made: the file, of which nothing old changes but by way of the journal.

h5py calls it as it calls any Python file object; its own lock is held meanwhile, so there is one caller at a time.
"""

import logging
import os
import weakref

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.journal import Journal, make_changes
from sf_bsread_writer.hdf5.waiting import Waiting

logger = logging.getLogger(__name__)

_LARGE_BYTES = 4096
"""To read so much costs less than to write it twice."""


class Storage:
    """An open file and its journal, both of which are its own from here on.

    New bytes go straight into the file; what would change bytes of the last commit waits in memory for the next one: the parts of
    HDF5's index that have changed, 5 KB for each channel.

    ``replaces`` is a chunk that is about to be written over an earlier version of itself: it goes straight into the file, since
    all that the earlier version said is in it too. ``error`` is the first that the system raised; HDF5 goes on after it, and what
    comes to light in the end may be another one.
    """

    def __init__(self, descriptor: int, journal: Journal) -> None:
        self.descriptor = descriptor
        self.journal = journal
        self.replaces: NDArray[np.generic] | None = None
        self._place = 0
        self.error: OSError | None = None
        self.size = self._committed = os.fstat(descriptor).st_size
        self._at = 0
        self._waiting = Waiting()
        self._close = weakref.finalize(self, os.close, descriptor)

    def commit(self, notes: bytes | None = None) -> None:
        """To be called when HDF5 has flushed, or closed, its file; ``notes`` replace the earlier ones."""
        changes = self._waiting.all()
        notes = self.journal.notes if notes is None else notes
        try:
            self.journal.commit(self.size, changes, notes)
        except OSError as error:  # a full disk: the file itself has its room, and is to be finished
            logger.warning("If this writer were killed now, its file could not be recovered: %s: %s", self.journal.path, error)
            make_changes(self.descriptor, changes)
            self.journal.commit(self.size, (), notes)
        else:
            make_changes(self.descriptor, changes)
        self._waiting.clear()
        self._committed = self.size
        if os.fstat(self.descriptor).st_size > self.size:
            os.ftruncate(self.descriptor, self.size)

    def replace(self, place: int, chunk: NDArray[np.generic]) -> None:
        """Writes a chunk over its earlier version, past HDF5."""
        self._write(place, chunk.data, chunk.nbytes)

    def take_place(self) -> int:
        """Where ``replaces`` went, which is forgotten now; 0 if it waits, or its earlier version was not in the last commit."""
        place, self._place, self.replaces = self._place, 0, None
        return place

    def close(self) -> None:
        """May be called again, and happens by itself when nobody refers to this any more."""
        self._close()
        self.journal.close()

    # What h5py calls

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """From the beginning or the end."""
        self._at = offset if whence == os.SEEK_SET else self.size + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, length: int) -> bytes:
        """h5py knows a file object by this, and calls `readinto`."""
        data = bytearray(length)
        return bytes(data[: self.readinto(memoryview(data))])

    def readinto(self, target: memoryview) -> int:
        """All of it, with what waits; HDF5 reads nothing behind the end."""
        into = np.frombuffer(target, np.uint8)
        into[os.preadv(self.descriptor, [target], self._at) :] = 0
        self._waiting.show(self._at, into)
        self._at += len(into)
        return len(into)

    def write(self, data: memoryview) -> int:
        start, length = self._at, len(data)
        if start >= self._committed or self._is_replaced(start, data):
            self._write(start, data, length)
        elif not self._is_there(start, data):
            self._waiting.put(start, bytes(data))
        self._at = stop = start + length
        self.size = max(self.size, stop)
        return length

    def truncate(self, size: int | None = None) -> int:
        """What it cuts off stays in the file until the next commit."""
        self.size = self._at if size is None else size
        try:
            if self.size > os.fstat(self.descriptor).st_size:
                os.ftruncate(self.descriptor, self.size)
        except OSError as error:
            self.error = self.error or error
            raise
        return self.size

    def flush(self) -> None:
        """Nothing: what waits, waits for the commit."""

    def _write(self, start: int, data: memoryview, length: int) -> None:
        try:
            done = os.pwrite(self.descriptor, data, start)
            while done < length:
                done += os.pwrite(self.descriptor, np.frombuffer(data, np.uint8)[done:].data, start + done)
        except OSError as error:
            self.error = self.error or error
            raise

    def _is_there(self, start: int, data: memoryview) -> bool:
        """Whether a large piece changes nothing: HDF5 writes the last chunk of each column anew where rows are cut off."""
        if len(data) < _LARGE_BYTES or self._waiting.touches(start, len(data)):
            return False
        return os.pread(self.descriptor, len(data), start) == bytes(data)  # memoryviews compare item by item

    def _is_replaced(self, start: int, data: memoryview) -> bool:
        """Whether this is the memory of ``replaces``, which HDF5 hands on as it is."""
        chunk = self.replaces
        if chunk is None or chunk.nbytes != len(data) or chunk.ctypes.data != np.frombuffer(data, np.uint8).ctypes.data:
            return False
        self._place = start
        return True
