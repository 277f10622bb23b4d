"""A folder that the ring lies in, so that it outlives the process.

Segments are files in shared memory, and each has an index file, to which a block is appended for each run (see `blocks`). A
process that is killed leaves all that it had done before, in that order; so the order is all that is needed: the bytes of a run
are there before its block, and the index of a segment goes before its bytes are used again. A segment has what its index says;
one without index is free. What the machine still has in its memory when it fails is lost.
"""

import errno
import fcntl
import itertools
import logging
import mmap
import os
import time
from collections.abc import Sequence
from pathlib import Path

from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.ring.blocks import Block, encode_block
from sf_bsread_writer.ring.found import BYTES, INDEX, SEGMENTS, Kept, find, number_of, segment_path
from sf_bsread_writer.ring.mapping import FileMemory, allow_files, free_bytes, map_file
from sf_bsread_writer.ring.memory import SMALLEST_MEMORY_LIMIT_BYTES

logger = logging.getLogger(__name__)

_INDEX_SHARE = 16
"""So small a part of the segments' room is kept for their indexes: 24 bytes a message, and 40 a run."""

_TRY_AGAIN_S = 60.0


class Store:
    """The folder of one ring, from whose other files it keeps away; `load` comes first, `close` last.

    Raises `SetupError` if the folder cannot be used, is in use, or holds another stream's ring.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        self.folder = folder
        self._complaints = Complaints(logger)
        self._lock = _locked(folder)
        try:
            found = find(folder, stream)
        except BaseException:
            os.close(self._lock)
            raise
        self._seed = found.seed
        self._found = found.kept
        self.next = found.kept[-1].blocks[-1].stop if found.kept else 0
        """Sequence number that goes on behind the newest message that was found."""
        self._numbers = itertools.count(1 + max(map(number_of, folder.glob(f"{SEGMENTS}*")), default=0))
        self._index = -1  # open file
        self._indexed: FileMemory | None = None  # the segment that it is of
        self._unindexed: FileMemory | None = None  # the segment of which it could not be written
        self._full_until_s = 0.0

    def room_bytes(self) -> int:
        """How much room there is for segments, before `load`. Raises `SetupError` if that is too little to work with."""
        room_bytes = sum(len(each.memory) for each in self._found) + free_bytes(self.folder)
        room_bytes -= room_bytes // _INDEX_SHARE
        if room_bytes < SMALLEST_MEMORY_LIMIT_BYTES:
            raise SetupError(
                f"the store {self.folder} has room for {room_bytes >> 20} MiB of messages, and at least "
                f"{SMALLEST_MEMORY_LIMIT_BYTES >> 20} are needed; make room on its file system, or give a folder on another"
            )
        return room_bytes

    def load(self, limit_bytes: int, segment_bytes: int) -> Sequence[Kept]:
        """The newest of what was found, as many segments as the limit allows, oldest first; all else is removed.

        None is larger than half the limit, which no new one would be: the message that is received and the one before it must
        both find room. Raises `SetupError` if so many segments as the limit allows cannot be files all at once.
        """
        allow_files(limit_bytes // segment_bytes)
        kept, self._found = self._found, ()
        first, size = len(kept), 0
        while first:
            before = len(kept[first - 1].memory)
            if before > limit_bytes // 2 or size + before > limit_bytes:
                break
            first, size = first - 1, size + before
        lost = sum(each.messages for each in kept[:first])
        if lost:
            logger.warning("The oldest %d messages in the store %s go: there is less room than before", lost, self.folder)
        numbers = {each.memory.number for each in kept[first:]}
        for path in self.folder.glob(f"{SEGMENTS}*"):
            if number_of(path) not in numbers:
                path.unlink()
        return kept[first:]

    def allocate(self, size: int) -> FileMemory | None:
        """Memory of a new segment; None if there is no room for it now."""
        now_s = time.monotonic()
        if now_s < self._full_until_s:
            return None
        number = next(self._numbers)
        path = segment_path(self.folder, number, BYTES)
        try:
            if free_bytes(self.folder) < size + size // _INDEX_SHARE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return map_file(path, number, size)
        except OSError as error:
            path.unlink(missing_ok=True)
            self._full_until_s = now_s + _TRY_AGAIN_S
            text = f"The store {self.folder} cannot grow: {error.strerror}; the ring stays smaller than its memory limit"
            self._complaints.add("full", text, now_s=now_s)
            return None

    def release(self, memory: mmap.mmap) -> None:
        """Gives back the room of a segment that is not needed any more."""
        assert isinstance(memory, FileMemory)
        segment_path(self.folder, memory.number, BYTES).unlink(missing_ok=True)
        self._full_until_s = 0.0

    def append(self, memory: mmap.mmap, run: Run, first: int, arrival_ns: int) -> None:
        """From now on this run, whose first message has this sequence number, is found again; unless the log says otherwise."""
        assert isinstance(memory, FileMemory)
        if memory is self._unindexed:
            return
        block = encode_block(Block.of_run(run, first, arrival_ns), self._seed)
        try:
            if memory is not self._indexed:
                self._begin_index(memory)
            if os.write(self._index, block) != len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._break_off(memory, error)

    def forget(self, memory: mmap.mmap) -> None:
        """The messages in this segment are not found again; to be called before its bytes are overwritten."""
        assert isinstance(memory, FileMemory)
        if memory is self._indexed:
            self._end_index()
        if memory is self._unindexed:
            self._unindexed = None
        segment_path(self.folder, memory.number, INDEX).unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves everything as it is, for the next one."""
        self._end_index()
        self._found = ()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _begin_index(self, memory: FileMemory) -> None:
        self._end_index()
        path = segment_path(self.folder, memory.number, INDEX)
        self._index = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._indexed = memory

    def _end_index(self) -> None:
        if self._index >= 0:
            os.close(self._index)
        self._index, self._indexed = -1, None

    def _break_off(self, memory: FileMemory, error: OSError) -> None:
        """Without this run, what was kept before it would end in a gap: better nothing, and a new beginning."""
        self._end_index()
        self._unindexed = memory
        for path in self.folder.glob(f"{SEGMENTS}*{INDEX}"):
            path.unlink(missing_ok=True)
        text = (
            f"The store {self.folder} cannot be written: {error.strerror}; what has come until now goes with this process, and "
            "the store begins anew with the next segment"
        )
        self._complaints.add("unwritten", text, now_s=time.monotonic())


def _locked(folder: Path) -> int:
    """Opens the folder, made if need be, and locks it until the descriptor is closed, however the process ends."""
    lock = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SetupError(f"the store {folder} is in use by another buffer; give each buffer a folder of its own") from None
    except OSError as error:
        if lock >= 0:
            os.close(lock)
        raise SetupError(f"cannot open the store {folder}: {error.strerror}; give a folder that can be written") from error
    return lock
