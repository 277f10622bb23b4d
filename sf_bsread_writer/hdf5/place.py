"""The output file's place on disk: its name while it is written, room for it, and its final name. No HDF5 here.

A file is called ``<name>.partial`` until it is closed and safe on disk. Whatever stands in the way of either name is moved aside,
never overwritten, unless somebody asked for that.
"""

import ctypes
import errno
import fcntl
import os
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sf_bsread_writer.errors import OutputError

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
_COPY_BYTES = 16 << 20


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


def make_way(path: Path) -> Path:
    """Makes the folders for a file and clears the way for its partial name, which is returned; raises `OutputError`."""
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_taken, is_left_over = path.is_dir(), partial.exists()
        is_written = is_left_over and _is_being_written(partial)
        if is_left_over and not is_written and not is_taken:
            move_aside(partial)
    except FileExistsError as error:
        raise coded_error(errno.ENOTDIR, "create", path) from error
    except OSError as error:
        raise output_error(error, "create", path) from error
    if is_taken or is_written:
        raise coded_error(errno.EISDIR if is_taken else errno.EBUSY, "create", path)
    return partial


def _is_being_written(path: Path) -> bool:
    """True if some process holds HDF5's lock on the file. Where the file system has no locks, nobody can know."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def move_aside(path: Path) -> Path:
    """Renames a file to the next free number behind its name: ``NAME.1``, ``NAME.2``, …; returns the new path."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.{number}")):
        number += 1
    path.rename(aside)
    return aside


def clear_name(final: Path, *, overwrite: bool) -> Path | None:
    """Makes the folders for a final name, and moves an earlier file of that name aside; returns where that went.

    With ``overwrite`` it stays, to be replaced. Raises `OutputError`.
    """
    try:
        return _clear(final, overwrite=overwrite)
    except OSError as error:
        raise output_error(error, "make way for", final) from error


def _clear(final: Path, *, overwrite: bool) -> Path | None:
    final.parent.mkdir(parents=True, exist_ok=True)
    return move_aside(final) if os.path.lexists(final) and not overwrite else None


@contextmanager
def outliving(partial: Path, descriptor: int) -> Iterator[None]:
    """Keeps an open file alive while it is closed inside, and writes it once more if somebody has taken its name away.

    Who clears up a disk may take a file that is being written, or its folder; what is still open can be copied. Raises OSError.
    """
    kept = os.dup(descriptor)
    try:
        yield
        if not os.path.lexists(partial):
            partial.parent.mkdir(parents=True, exist_ok=True)
            with open(f"/proc/self/fd/{kept}", "rb") as source, partial.open("xb") as target:
                shutil.copyfileobj(source, target, _COPY_BYTES)
    finally:
        os.close(kept)


def give_final_name(partial: Path, final: Path, *, overwrite: bool) -> Path | None:
    """Gives a closed file its final name, with everything on disk before it is called so; returns where an earlier file went.

    Raises `OutputError`; then the file still has its partial name.
    """
    try:
        with partial.open("r+b") as file:
            file.truncate(partial.stat().st_size)  # gives back the room reserved behind its end
            os.fsync(file.fileno())
        aside = _clear(final, overwrite=overwrite)
        partial.rename(final)
        for folder in {final.parent, partial.parent}:
            _sync_folder(folder)
    except OSError as error:
        raise output_error(error, "give the finished file its name", final) from error
    return aside


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Room:
    """Disk space reserved behind the end of a growing file, so that it can still be closed when the disk is full.

    Without it the last thing to fail would be the file's own index, and the file would be lost. Reserved space is also written
    to faster (ext4: 1.5 times), since it is found in one piece. Where nothing can be reserved, free space is asked for.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = 0
        self._reserved_end = 0
        self._can_reserve = True
        self._limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]

    def ensure(self, end: int, needed_bytes: int) -> None:
        """Makes sure that ``needed_bytes`` can be written behind ``end``, or raises `OutputError`."""
        wanted = end + needed_bytes
        if self._limit != resource.RLIM_INFINITY and wanted > self._limit:
            raise coded_error(errno.EFBIG, "write on", self._path)
        if wanted <= self._reserved_end:
            return
        # Asked for first: a file system that is asked to reserve more than it has may hand out all of it before it refuses.
        free_bytes = self._free_bytes() + max(0, self._reserved_end - end)
        if needed_bytes > free_bytes:
            raise coded_error(errno.ENOSPC, "write on", self._path)
        if self._can_reserve:
            self._reserve(end, wanted + _RESERVE_STEP_BYTES if needed_bytes + _RESERVE_STEP_BYTES <= free_bytes else wanted)

    def recheck(self) -> None:
        """To be called after HDF5 has flushed: where it cut the file at its end, what was reserved behind that is lost."""
        size = os.fstat(self._descriptor).st_size
        if size < self._size:
            self._reserved_end = 0
        self._size = size

    def _free_bytes(self) -> int:
        try:
            space = os.fstatvfs(self._descriptor)
        except OSError:
            return sys.maxsize
        if space.f_blocks == 0:
            return sys.maxsize  # so say file systems that do not know
        return space.f_bavail * space.f_frsize

    def _reserve(self, end: int, reserved_end: int) -> None:
        number = _fallocate(self._descriptor, end, reserved_end - end)
        if number == 0:
            self._reserved_end = reserved_end
        elif number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            self._give_back(end)
            raise coded_error(number, "write on", self._path)
        else:
            self._can_reserve = False  # this file system cannot

    def _give_back(self, end: int) -> None:
        """Leaves no more reserved than there was before it failed; some file systems keep what they had found until then."""
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)
        if self._reserved_end > end and _fallocate(self._descriptor, end, self._reserved_end - end) != 0:
            self._reserved_end = 0


def try_room(partial: Path, needed_bytes: int) -> None:
    """Finds out whether so much can be written into a new file of this name, which is not there yet and is not left there.

    Raises `OutputError` if not. HDF5 must not begin a file that has no room: it cannot close it then, and crashes at the end.
    """
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            Room(partial, descriptor).ensure(0, needed_bytes)
        finally:
            os.close(descriptor)
            partial.unlink()
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
