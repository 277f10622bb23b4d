"""The output file's place on disk: the way to its name while it is written, and room for it. No HDF5 here.

A file is called ``<name>.partial`` until it is closed and safe on disk. Whatever stands in the way of either name is moved aside,
never overwritten, unless somebody asked for that.
"""

import ctypes
import errno
import fcntl
import logging
import os
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

from sf_bsread_writer.errors import OutputError

logger = logging.getLogger(__name__)

_ADVICE = {
    errno.ENOSPC: "free some space, or choose another disk",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another disk",
    errno.EFBIG: "the limit for file sizes is reached (see `ulimit -f`)",
    errno.EACCES: "choose another folder, or give the user of this process the permission",
    errno.EPERM: "choose another folder, or give the user of this process the permission",
    errno.EROFS: "the file system is read-only: choose another one",
    errno.EISDIR: "it is a folder: name a file in it",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EXDEV: "the final name must be on the file system on which the file was begun",
    errno.EIO: "the disk or the file server reports an error; see the system's log",
    errno.ESTALE: "the file server has forgotten this file; see the server's log",
    errno.EBUSY: "another writer is writing this file: choose another name, or stop that one",
}

_FALLOC_FL_KEEP_SIZE = 1
_RESERVE_STEP_BYTES = 64 << 20

UNKNOWN_BYTES = sys.maxsize
"""Free space where nobody can tell how much there is."""


def output_error(error: BaseException, doing: str, path: Path) -> OutputError:
    """What became impossible, with the path, the reason and what to do; ``errno`` is set if the reason has one."""
    number = getattr(error, "errno", None)
    if number is None:  # HDF5 tells it only in the text of some errors
        found = re.search(r"errno = (\d+)", str(error))
        number = int(found[1]) if found else None
    if number is None:
        return OutputError(f"cannot {doing} {path}: {error}")
    return coded_error(number, doing, path)


def coded_error(number: int, doing: str, path: Path) -> OutputError:
    """The same for an error number."""
    advice = f"; {_ADVICE[number]}" if number in _ADVICE else ""
    coded = OutputError(f"cannot {doing} {path}: {os.strerror(number)}{advice}")
    coded.errno = number
    return coded


def partial_path(path: Path) -> Path:
    """The file's name while it is written."""
    return path.with_name(f"{path.name}.partial")


def journal_path(partial: Path) -> Path:
    """The journal of a file with this partial name, see `Journal`."""
    return partial.with_name(f"{partial.name}.journal")


def make_way(path: Path) -> Path:
    """Makes the folders for a file and clears the way for its partial name, which is returned; raises `OutputError`."""
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_taken = path.is_dir()
        is_written = not is_taken and partial.exists() and not _cleared(partial)
    except FileExistsError as error:
        raise coded_error(errno.ENOTDIR, "create", path) from error
    except OSError as error:
        raise output_error(error, "create", path) from error
    if is_taken or is_written:
        raise coded_error(errno.EISDIR if is_taken else errno.EBUSY, "create", path)
    return partial


def _cleared(path: Path) -> bool:
    """Moves what an earlier writer left there aside; False if it is still being written.

    Under the lock that a writer takes right after creating its file: one that is about to do so finds out.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)  # NFS locks only what may be written
    except (PermissionError, IsADirectoryError):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        if not lock(descriptor):
            return False
        if is_name_of(path, descriptor):
            move_aside(path)
    finally:
        os.close(descriptor)
    return True


def lock(descriptor: int) -> bool:
    """Takes the lock of an open file; False if somebody else has it. Where the file system has no locks, nobody can know."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def is_name_of(path: Path, descriptor: int) -> bool:
    """Whether a path is a name of this open file."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return os.path.samestat(named, os.fstat(descriptor))


def free_name(path: Path) -> Path:
    """The next free number behind a name: ``NAME.1``, ``NAME.2``, …"""
    number = 1
    while os.path.lexists(free := path.with_name(f"{path.name}.{number}")):
        number += 1
    return free


def move_aside(partial: Path) -> Path:
    """Renames a file, with its journal, to the next free number behind its name; returns the new path."""
    aside = free_name(partial)
    partial.rename(aside)
    with suppress(FileNotFoundError):
        journal_path(partial).rename(journal_path(aside))
    logger.warning("A killed writer has left %s; it is now %s; `sf_bsread recover %s` makes a file of it", partial, aside, aside)
    return aside


class Room:
    """Disk space reserved behind the end of a growing file, so that it can still be closed when the disk is full.

    Without it the last thing to fail would be the file's own index, and the file would be lost. Reserved space is also written
    to faster (ext4: 1.5 times), since it is found in one piece. Where nothing can be reserved, free space is asked for.
    ``min_free_bytes`` of the disk are never taken.
    """

    def __init__(self, path: Path, descriptor: int, *, min_free_bytes: int = 0) -> None:
        self._path = path
        self._descriptor = descriptor
        self._min_free_bytes = min_free_bytes
        self._reserved_end = 0
        self.can_reserve = True
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]

    def ensure(self, end: int, needed_bytes: int) -> None:
        """Makes sure that ``needed_bytes`` can be written behind ``end``, or raises `OutputError`."""
        wanted = end + needed_bytes
        if self._limit != resource.RLIM_INFINITY and wanted > self._limit:
            raise coded_error(errno.EFBIG, "write on", self._path)
        if wanted <= self._reserved_end:
            return
        # Asked for first: a file system that is asked to reserve more than it has may hand out all of it before it refuses.
        free_bytes = self.free_bytes(end)
        if needed_bytes > free_bytes:
            raise self._full()
        if self.can_reserve:
            self._reserve(end, wanted + _RESERVE_STEP_BYTES if needed_bytes + _RESERVE_STEP_BYTES <= free_bytes else wanted)

    def expect_cut(self, size: int) -> None:
        """To be called before the file is given this size: if that cuts it, what was reserved behind its end is lost."""
        if os.fstat(self._descriptor).st_size > size:
            self._reserved_end = 0

    def free_bytes(self, end: int) -> int:
        """How much can be written behind ``end``; `UNKNOWN_BYTES` where nobody can know."""
        free_bytes = self._free_bytes()
        return free_bytes if free_bytes == UNKNOWN_BYTES else free_bytes + max(0, self._reserved_end - end) - self._min_free_bytes

    def _full(self) -> OutputError:
        if not self._min_free_bytes:
            return coded_error(errno.ENOSPC, "write on", self._path)
        kept = f"{self._min_free_bytes / 1e6:,.1f} MB"
        error = OutputError(
            f"cannot write on {self._path}: the disk would have less than {kept} left, which --min_free keeps free; "
            f"{_ADVICE[errno.ENOSPC]}"
        )
        error.errno = errno.ENOSPC
        return error

    def _free_bytes(self) -> int:
        try:
            space = os.fstatvfs(self._descriptor)
        except OSError:
            return UNKNOWN_BYTES
        if space.f_blocks == 0:
            return UNKNOWN_BYTES  # so say file systems that do not know
        return space.f_bavail * space.f_frsize

    def _reserve(self, end: int, reserved_end: int) -> None:
        number = _fallocate(self._descriptor, end, reserved_end - end)
        if number == 0:
            self._reserved_end = reserved_end
        elif number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self._give_back(end)
            raise coded_error(number, "write on", self._path)
        else:
            self.can_reserve = False  # this file system cannot

    def _give_back(self, end: int) -> None:
        """Leaves no more reserved than there was before it failed; some file systems keep what they had found until then."""
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)
        if self._reserved_end > end and _fallocate(self._descriptor, end, self._reserved_end - end) != 0:
            self._reserved_end = 0


def try_room(partial: Path, needed_bytes: int, *, min_free_bytes: int = 0) -> None:
    """Finds out whether so much can be written into a new file of this name, which is not there yet and is not left there.

    Raises `OutputError` if not. HDF5 must not begin a file that has no room: it cannot close it then, and crashes at the end.
    """
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            if not (lock(descriptor) and is_name_of(partial, descriptor)):
                raise coded_error(errno.EBUSY, "create", partial)
            Room(partial, descriptor, min_free_bytes=min_free_bytes).ensure(0, needed_bytes)
        finally:
            if is_name_of(partial, descriptor):
                partial.unlink()
            os.close(descriptor)
    except OutputError:
        raise
    except OSError as error:
        raise output_error(error, "create", partial) from error


_libc = ctypes.CDLL(None, use_errno=True)


def _fallocate(descriptor: int, start: int, length: int) -> int:
    """Reserves disk space in a file without changing its size; returns 0 or an error number.

    By way of C, and Linux only: Python's posix_fallocate changes the size, and writes zeros where a file system cannot reserve.
    """
    call = getattr(_libc, "fallocate", None)
    if call is None:
        return errno.ENOSYS
    arguments = (ctypes.c_int(descriptor), ctypes.c_int(_FALLOC_FL_KEEP_SIZE), ctypes.c_int64(start), ctypes.c_int64(length))
    while call(*arguments):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            return number
    return 0
