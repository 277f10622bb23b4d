"""Sends what was written to a file on its way to the disk, in a thread of its own.

Left to itself, the system begins with that after half a minute or some gigabytes. The end of an acquisition, which is to be safe
on disk, would have to wait for all of it: longer than people wait before they kill it. Handing it to the disk costs 0.5 ms/MB,
as much as writing it, so the thread that writes does not do it. Big files are sent on in pieces as they grow, so that the disk
has something to do from the start; small ones once a second.
"""

import ctypes
import os
from concurrent.futures import Future, ThreadPoolExecutor

_SYNC_FILE_RANGE_WRITE = 2

PIECE_BYTES = 32 << 20
"""So much is worth a call before the second is over."""

# By way of C, since Python does not have it. Linux only; elsewhere the system is left to itself.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


class WriteBack:
    """For one open file. `close` must be called in the end; the thread is there from the first `send` to then."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writeback")
        self._job: Future[None] | None = None
        self._sent = 0

    def send(self, size: int, *, least_bytes: int = 1) -> None:
        """Has the file's first ``size`` bytes sent, as far as they were not yet and are ``least_bytes`` at least.

        Left out if the last time is not over.
        """
        if _sync_file_range is None or size - self._sent < least_bytes or (self._job is not None and not self._job.done()):
            return
        self._job = self._thread.submit(self._send, self._sent, size)
        self._sent = size

    def close(self) -> None:
        """Ends the thread. May be called again."""
        self._thread.shutdown()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _send(self, start: int, stop: int) -> None:
        if _sync_file_range is not None:  # what it answers does not matter: the end waits for the disk in any case
            _sync_file_range(
                ctypes.c_int(self._descriptor),
                ctypes.c_int64(start),
                ctypes.c_int64(stop - start),
                ctypes.c_uint(_SYNC_FILE_RANGE_WRITE),
            )
