"""Memory that nobody may leave: reading one byte too many, or too early, ends the process."""

import ctypes
import mmap


class Fence:
    """So many bytes, rounded up to whole pages, with a page before and one behind it that nobody may touch."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        size = -(-size // page) * page
        self._memory = mmap.mmap(-1, size + 2 * page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._bytes = memoryview(self._memory)[page : page + size]
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for place in (start, start + page + size):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(place), page, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_its_end(self, content: bytes) -> memoryview:
        """These bytes right before the forbidden page."""
        place = self._bytes[len(self._bytes) - len(content) :]
        place[:] = content
        return place

    def at_its_start(self, content: bytes) -> memoryview:
        """These bytes right behind the forbidden page."""
        place = self._bytes[: len(content)]
        place[:] = content
        return place
