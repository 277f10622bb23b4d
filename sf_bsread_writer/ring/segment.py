"""Recycled pieces of memory that received bytes stay in until nobody needs them.

Fresh memory costs up to 3 ms/MB at first touch on virtual machines, more than receiving costs; so segments are taken
from a pool and go back to it, and a process in its steady state allocates nothing.

A segment stays out as long as somebody pins it: the connection that fills it, the ring that indexes it, a consumer that
has not written it yet. Pins may be taken and given back from any thread.
"""

import contextlib
import itertools
import mmap
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MIB = 1 << 20
DEFAULT_SEGMENT_BYTES = 32 * MIB
_serials = itertools.count(1)


def rounding_bytes(segment_bytes: int) -> int:
    """Segments larger than the usual ones are a multiple of this."""
    return min(MIB, max(1, segment_bytes // 8))


class Allocator(Protocol):
    """Where the memory of segments comes from."""

    def allocate(self, size: int) -> mmap.mmap | None:
        """So many bytes, or None if there are none now."""

    def release(self, memory: mmap.mmap) -> None:
        """They are not needed any more."""


class Anonymous:
    """Memory that goes with the process; implements `Allocator`."""

    def allocate(self, size: int) -> mmap.mmap:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):  # a fault for each 2 MiB instead of 4 KiB; kernels without it refuse
            with contextlib.suppress(OSError):
                memory.madvise(mmap.MADV_HUGEPAGE)
        return memory

    def release(self, memory: mmap.mmap) -> None:
        """Nothing: it goes when the last view of it does."""


class Segment:
    """One piece of memory; ``data`` (uint8) and ``view`` show the same bytes, ``serial`` is never used twice.

    A recycled segment comes out of the pool with a new serial, so that an old index row can never be taken for a new one.
    """

    __slots__ = ("_pins", "_pool", "data", "memory", "serial", "size", "view")

    def __init__(self, pool: "SegmentPool", memory: mmap.mmap) -> None:
        self.memory = memory
        self.view = memoryview(memory)
        self.data: NDArray[np.uint8] = np.frombuffer(self.view, np.uint8)
        self.size = len(memory)
        self.serial = 0
        self._pool = pool
        self._pins = 0

    @property
    def pins(self) -> int:
        """How many holders it has; 0 means that it lies in its pool."""
        return self._pins

    def pin(self) -> None:
        """Keeps the bytes as they are until the matching `unpin`; only for one who knows that it is pinned already."""
        self._pool._pin(self)

    def unpin(self) -> None:
        """Gives one pin back; with the last one the memory returns to the pool and may be overwritten at any time."""
        self._pool._unpin(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """Memory of one pool: of ``allocated_bytes``, never more than ``limit_bytes``, ``used_bytes`` are pinned."""

    limit_bytes: int
    allocated_bytes: int
    used_bytes: int
    segments: int
    used_segments: int


class SegmentPool:
    """Hands out segments up to a limit of memory in all, recycled ones first.

    ``reclaim`` is asked when the limit is reached: it lets go of the oldest segment and returns True, or False if it has
    nothing to give. ``on_free`` is called, in the thread that gave up the last pin, whenever a segment has come back.
    ``usual_bytes`` is a lower limit (None: the same) as long as messages fit into a segment: memory that was used just now is
    faster than memory that was never used, so reading far ahead of a consumer costs more than it gives.
    ``allocator`` gives the memory, by default anonymous one.
    """

    def __init__(
        self,
        limit_bytes: int,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        *,
        usual_bytes: int | None = None,
        reclaim: Callable[[], bool] | None = None,
        on_free: Callable[[], None] | None = None,
        allocator: Allocator | None = None,
    ) -> None:
        self.limit_bytes = limit_bytes
        self.usual_bytes = limit_bytes if usual_bytes is None else min(usual_bytes, limit_bytes)
        self.segment_bytes = segment_bytes
        self.reclaim = reclaim
        self.on_free = on_free
        self._allocator = allocator or Anonymous()
        self._lock = threading.Lock()
        self._free: list[Segment] = []
        self._allocated_bytes = 0
        self._segments = 0

    def take(self, at_least_bytes: int = 1, *, multiple_of_bytes: int = 1) -> Segment | None:
        """A segment of at least that size, pinned once; None while the limit allows none.

        A new one has ``segment_bytes``, or what is asked for if that is more, or if the limit allows so much that pieces of
        ``multiple_of_bytes`` fill it without a rest; rounded up, so that messages of similar size can use it in turn.
        """
        smallest, best = self._size_for(at_least_bytes), self._size_for(at_least_bytes, multiple_of_bytes)
        limit_bytes = self.usual_bytes if at_least_bytes <= self.segment_bytes else self.limit_bytes
        while True:
            with self._lock:
                segment = (
                    self._take_free(at_least_bytes) or self._take_new(best, limit_bytes) or self._take_new(smallest, limit_bytes)
                )
            if segment is not None:
                return segment
            if self.reclaim is None or not self.reclaim():
                return None

    def adopt(self, memory: mmap.mmap) -> Segment:
        """A segment of memory that has been there before, pinned once; its content stays."""
        with self._lock:
            return self._counted(Segment(self, memory))

    def statistics(self) -> PoolStatistics:
        """A snapshot."""
        with self._lock:
            free_bytes = sum(segment.size for segment in self._free)
            return PoolStatistics(
                limit_bytes=self.limit_bytes,
                allocated_bytes=self._allocated_bytes,
                used_bytes=self._allocated_bytes - free_bytes,
                segments=self._segments,
                used_segments=self._segments - len(self._free),
            )

    def _size_for(self, at_least_bytes: int, multiple_of_bytes: int = 1) -> int:
        wanted = max(at_least_bytes, _rounded_up(self.segment_bytes, multiple_of_bytes))
        return _rounded_up(wanted, rounding_bytes(self.segment_bytes)) if wanted > self.segment_bytes else self.segment_bytes

    def _take_free(self, at_least_bytes: int) -> Segment | None:
        fitting = [segment for segment in self._free if segment.size >= at_least_bytes]
        if not fitting:
            return None
        segment = min(reversed(fitting), key=lambda one: one.size)  # of equal ones, the one that is still in the cache
        self._free.remove(segment)
        return self._handed_out(segment)

    def _take_new(self, size: int, limit_bytes: int) -> Segment | None:
        # Free segments are all too small for what is asked (else one would have been taken): they make room for it.
        while True:
            memory = self._allocator.allocate(size) if self._allocated_bytes + size <= limit_bytes else None
            if memory is not None:
                return self._counted(Segment(self, memory))
            if not self._free:
                return None
            segment = self._free.pop()
            self._allocated_bytes -= segment.size
            self._segments -= 1
            self._allocator.release(segment.memory)

    def _counted(self, segment: Segment) -> Segment:
        self._allocated_bytes += segment.size
        self._segments += 1
        return self._handed_out(segment)

    @staticmethod
    def _handed_out(segment: Segment) -> Segment:
        segment.serial = next(_serials)
        segment._pins = 1
        return segment

    def _pin(self, segment: Segment) -> None:
        with self._lock:
            if segment._pins == 0:
                raise RuntimeError(f"segment {segment.serial} is not pinned by anybody: its bytes may be gone already")
            segment._pins += 1

    def _unpin(self, segment: Segment) -> None:
        with self._lock:
            if segment._pins == 0:
                raise RuntimeError(f"segment {segment.serial} was given back more often than it was pinned")
            segment._pins -= 1
            if segment._pins:
                return
            self._free.append(segment)
        if self.on_free is not None:
            self.on_free()


def _rounded_up(value: int, step: int) -> int:
    return -(-value // step) * step
