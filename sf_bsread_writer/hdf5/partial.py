"""The name of the output file from its creation to the end, held against other writers and against whoever clears up a disk.

The open file itself is locked, with a lock of our own: HDF5's is left out where HDF5_USE_FILE_LOCKING=FALSE says so, as many GPFS
sites do. A name is never taken on trust: somebody may rename or remove the file meanwhile, or put another in its place, so before
anything is done to the file by its name, that name is compared with the open file.
"""

import errno
import logging
import os
import shutil
import weakref
from pathlib import Path

from sf_bsread_writer.hdf5.place import coded_error, free_name, is_name_of, lock, output_error

logger = logging.getLogger(__name__)

_COPY_BYTES = 16 << 20


class Partial:
    """Holds a file that has just been created under ``path``; ``descriptor`` stays the caller's. Raises `OutputError`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._hold(os.dup(descriptor))
        if not (lock(self._descriptor) and self.has_name):
            self.release()
            raise coded_error(errno.EBUSY, "create", path)

    @property
    def has_name(self) -> bool:
        """Whether ``path`` still is this file's name."""
        return is_name_of(self.path, self._descriptor)

    def release(self) -> None:
        """Lets go of the file, whatever it is called by then; happens by itself when nobody refers to this any more."""
        self._release()

    def delete(self) -> None:
        """Takes its name away, if it still has it; raises OSError."""
        if self.has_name:
            self.path.unlink()

    def give_final_name(self, final: Path, *, overwrite: bool, aside: Path | None = None) -> Path | None:
        """Calls the file, closed but for this, by its final name, with everything on disk before it is called so.

        An earlier file of that name is moved to ``aside``, or the next free number if that is taken or None, at the last moment,
        unless ``overwrite`` says that it is to be replaced; returns where it went. Raises `OutputError`; then the file still has
        its partial name, and the earlier one its own.
        """
        try:
            lock(self._descriptor)  # HDF5 takes its lock back when it closes the file, and with it ours
            self._recover()
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size)  # gives back the room reserved behind its end
            os.fsync(self._descriptor)
            final.parent.mkdir(parents=True, exist_ok=True)
            moved = self._rename(final, overwrite=overwrite, aside=aside)
            for folder in {final.parent, self.path.parent}:
                _sync_folder(folder)
        except OSError as error:
            raise output_error(error, "give the finished file its name", final) from error
        return moved

    def _hold(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._release = weakref.finalize(self, os.close, descriptor)

    def _rename(self, final: Path, *, overwrite: bool, aside: Path | None) -> Path | None:
        self._recover()  # writing all to the disk may have taken long
        moved = None
        if os.path.lexists(final) and not overwrite:
            moved = free_name(final) if aside is None or os.path.lexists(aside) else aside
            final.rename(moved)
        try:
            self.path.rename(final)
        except OSError:
            if moved is not None:
                moved.rename(final)
            raise
        return moved

    def _recover(self) -> None:
        """Gives the file a partial name again if somebody has taken that away: what is still open can be linked or copied."""
        if self.has_name:
            return
        lost, self.path = self.path, free_name(self.path) if os.path.lexists(self.path) else self.path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if os.fstat(self._descriptor).st_nlink and self._link():
            logger.warning(
                "%s was renamed while it was written: it is linked to %s, and keeps its new name beside that", lost, self.path
            )
            return
        with open(f"/proc/self/fd/{self._descriptor}", "rb") as source, self.path.open("x+b") as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
            target.flush()
            self.release()
            self._hold(os.dup(target.fileno()))
        lock(self._descriptor)
        level = logging.INFO if self.path == lost else logging.WARNING
        logger.log(level, "%s was removed while it was written: all of it is copied to %s", lost, self.path)

    def _link(self) -> bool:
        """By way of the open file, since nobody knows what it is called now; False where there are no such links."""
        try:
            # Without a folder's descriptor, which is of no account here, Python would not follow the link.
            os.link(f"/proc/self/fd/{self._descriptor}", self.path, src_dir_fd=self._descriptor, follow_symlinks=True)
        except OSError:
            return False
        return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
