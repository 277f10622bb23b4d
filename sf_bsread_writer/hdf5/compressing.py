"""Compresses chunks on their way into the file, in as many threads as there are cores. A `Sink` in front of another one.

The thread that writes has HDF5's lock and the interpreter's; a codec needs neither. So that thread only hands chunks over, and
writes those that are ready, in the order in which they came. What is received is read where it lies, and pinned until that is
done; what comes of it lies in recycled memory of limited size. When that is used up, the thread that writes waits for the
oldest chunk, and with it, in the end, the stream.

Only chunks come here that a filter of their dataset could have been put to but was not (`UNFILTERED`): images and large arrays
that the source has not compressed. What would not become smaller is stored as it is.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import Column
from sf_bsread_writer.hdf5.chunks import UNFILTERED, Chunk
from sf_bsread_writer.hdf5.layout import DatasetLayout
from sf_bsread_writer.hdf5.presence import Split
from sf_bsread_writer.hdf5.store import Sink
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.compression import chunk_bound, make_chunk
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.ring.segment import MIB, Segment, SegmentPool

WAITING_BYTES = 64 * MIB
"""Memory for compressed chunks that are not in the file yet; if two of them do not fit in there, as much as two need."""

MOST_THREADS = 8
"""One compresses up to 2.8 GB/s, and the chunks of a stream come through one thread before."""

WAITING_PER_THREAD = 4
"""Chunks that wait or are compressed. More would only take more memory, whose first touch costs as much as compressing does."""

_PIECE_BYTES = 256 * 1024

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Made:
    """A chunk in recycled memory. ``problem`` is why it is not compressed, if that is not as it should be."""

    chunk: NDArray[np.uint8]
    filter_mask: int
    problem: Exception | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A chunk that is made or has been made; ``target`` holds it, and ``raw_bytes`` is the most that it can have."""

    column: Column
    first_row: int
    raw_bytes: int
    target: Segment
    made: Future[_Made]


class CompressingSink:
    """Implements `Sink` on another one. All calls from one thread; `close` must be called in the end.

    ``compression`` is what values are compressed with that come uncompressed; NONE leaves everything as it is. ``memory`` holds
    the chunks that are handed over next, if they may be read after that: it is pinned then. Without it, `settle` must be called
    before they change. ``waiting_bytes`` is the most that is added to the file by what is not written yet.
    """

    def __init__(self, sink: Sink, compression: Compression, *, memory_bytes: int = WAITING_BYTES) -> None:
        self.compression = compression
        self.memory: Segment | None = None
        self.waiting_bytes = 0
        self._sink = sink
        self._waiting: deque[_Waiting] = deque()
        self._pool = SegmentPool(memory_bytes, min(_PIECE_BYTES, memory_bytes))
        self._threads: ThreadPoolExecutor | None = None
        self._most_waiting = WAITING_PER_THREAD * _threads()
        self._complaints = Complaints(logger)

    @property
    def rows(self) -> int:
        """As in `Sink`."""
        return self._sink.rows

    @rows.setter
    def rows(self, rows: int) -> None:
        self._sink.rows = rows

    def write_chunk(self, column: Column, first_row: int, chunk: Chunk, filter_mask: int = 0) -> None:
        """As in `Sink`."""
        if filter_mask == UNFILTERED and self.compression is not Compression.NONE:
            self._hand_over(column, first_row, _bytes_of(chunk))
        else:
            self._sink.write_chunk(column, first_row, chunk, filter_mask)

    def write_texts(self, column: Column, first_row: int, texts: Sequence[str]) -> None:
        """As in `Sink`."""
        self._sink.write_texts(column, first_row, texts)

    def write_presence(self, number: int, first_row: int, pulse_ids: NDArray[np.int64], flags: NDArray[np.uint8]) -> None:
        """As in `Sink`."""
        self._sink.write_presence(number, first_row, pulse_ids, flags)

    def split(self, split: Split) -> None:
        """As in `Sink`."""
        self._sink.split(split)

    def retire(self, column: Column, name: str) -> None:
        """As in `Sink`."""
        self.finish()
        self._sink.retire(column, name)

    def revive(self, column: Column, name: str) -> None:
        """As in `Sink`."""
        self.finish()
        self._sink.revive(column, name)

    def drop(self, column: Column) -> None:
        """As in `Sink`."""
        self.finish()
        self._sink.drop(column)

    def settle(self) -> None:
        """Waits until nothing that was handed over is read any more."""
        wait([waiting.made for waiting in self._waiting])

    def finish(self) -> None:
        """Waits for all chunks and writes them. One that cannot be written stays, and so do those behind it."""
        while self._waiting:
            self._write_oldest()

    def close(self) -> None:
        """Ends the threads; what has not been written never is. May be called again."""
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._waiting.clear()

    def _hand_over(self, column: Column, first_row: int, raw: memoryview) -> None:
        while self._waiting and (self._waiting[0].made.done() or len(self._waiting) >= self._most_waiting):
            self._write_oldest()
        layout = column.layout
        target = self._room_for(chunk_bound(layout.filter, raw.nbytes, _item_bytes(layout)))
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_threads(), thread_name_prefix="compress")
        made = self._threads.submit(_make, layout, raw, target.data)
        memory = self.memory
        if memory is not None:
            memory.pin()
            made.add_done_callback(lambda _: memory.unpin())
        self._waiting.append(_Waiting(column, first_row, raw.nbytes, target, made))
        self.waiting_bytes += raw.nbytes

    def _room_for(self, size: int) -> Segment:
        """Memory for one more chunk; others are written until there is some."""
        self._pool.limit_bytes = max(self._pool.limit_bytes, 2 * (size + MIB))
        while True:
            segment = self._pool.take(size)
            if segment is not None:
                return segment
            self._write_oldest()

    def _write_oldest(self) -> None:
        oldest = self._waiting[0]
        made = oldest.made.result()
        if made.problem is not None:
            text = f"Values of {oldest.column.group} are stored uncompressed: {made.problem!r}"
            self._complaints.add_reason("compression", text, now_s=time.monotonic())
        self._sink.write_chunk(oldest.column, oldest.first_row, made.chunk, made.filter_mask)
        self._waiting.popleft()
        self.waiting_bytes -= oldest.raw_bytes
        oldest.target.unpin()


def _make(layout: DatasetLayout, raw: memoryview, into: NDArray[np.uint8]) -> _Made:
    """In one of the threads."""
    problem = None
    try:
        size = make_chunk(layout.filter, raw, _item_bytes(layout), into)
    except Exception as error:  # whatever a codec cannot do, the value is there
        size, problem = None, error
    if size is not None:
        return _Made(into[:size], 0)
    into[: raw.nbytes] = np.frombuffer(raw, np.uint8)
    return _Made(into[: raw.nbytes], UNFILTERED, problem)


def _item_bytes(layout: DatasetLayout) -> int:
    return 1 if layout.dtype is None else layout.dtype.itemsize


def _bytes_of(chunk: Chunk) -> memoryview:
    return chunk.reshape(-1).view(np.uint8).data if isinstance(chunk, np.ndarray) else memoryview(chunk)


def _threads() -> int:
    """As many as there are cores for this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST_THREADS, cores or 1)
