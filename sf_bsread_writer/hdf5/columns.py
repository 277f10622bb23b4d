"""Values of successive rows side by side, until they are a chunk. Pure.

A message holds one value of each channel; a chunk of the file holds many values of one channel. Turning the one into the other
value by value would cost a Python call each. Here it costs one NumPy call for all channels of equal item size and all messages
of equal layout: every item's address is the sum of its message's body and its channel's place in the layout, and an
array with a stride of one byte makes every address an index, aligned or not.

Rows are counted from the first row of the file; a *slot* is a line of a block, lent to one dataset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.layout import CHUNK_ROWS
from sf_bsread_writer.message.headers import INT64_MAX
from sf_bsread_writer.model import NS_PER_S

GATHER_BYTES = 4096
"""Values up to here are copied all at once; larger ones one by one, since the copy in between would cost more than the calls."""

_USUAL_S = INT64_MAX // NS_PER_S

Owner = TypeVar("Owner")
Scalar = TypeVar("Scalar", bound=np.generic)

Index = slice | NDArray[np.intp]
"""Ascending positions: a slice where there are no gaps, which NumPy handles several times faster."""


def index_of(positions: NDArray[np.intp]) -> Index:
    """The same ascending positions as a slice, if they have no gaps."""
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first + 1 == len(positions) else positions


def rectangle(block: Index, line: Index) -> tuple[Index, Index]:
    """Both indices so that they span a rectangle: two arrays would be paired element by element."""
    if isinstance(block, slice) or isinstance(line, slice):
        return block, line
    return block[:, None], line


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where some channels' items start, relative to the body of a message; ``spacing`` is their distance, 0 if it varies."""

    starts: NDArray[np.int64]
    spacing: int

    @classmethod
    def of(cls, starts: NDArray[np.int64]) -> "Places":
        """Finds out whether the items are equally far apart, as those of many scalars of one type are."""
        distances = np.diff(starts)
        even = len(distances) > 0 and bool((distances == distances[0]).all()) and distances[0] > 0
        return cls(np.ascontiguousarray(starts), int(distances[0]) if even else 0)


def gather(
    data: NDArray[np.uint8], places: Places, bodies: NDArray[np.int64], dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """One item for each channel and message, shape (channels, messages); may be transposed in memory.

    ``data`` holds the messages, ``bodies`` says where each starts. Items may lie anywhere, aligned or not, but whole.
    """
    starts, spacing = places.starts, places.spacing
    if spacing:  # one index per message instead of one per item
        span = (len(starts) - 1) * spacing + dtype.itemsize
        lines = np.ndarray((len(data) - span + 1, len(starts)), dtype, data, strides=(1, spacing))
        chosen: NDArray[np.generic] = lines[bodies + starts[0]].T
        return chosen
    items = np.ndarray((len(data) - dtype.itemsize + 1,), dtype, data, strides=(1,))
    gathered: NDArray[np.generic] = items[starts[:, None] + bodies]
    return gathered


def gather_times(
    data: NDArray[np.uint8], places: Places, bodies: NDArray[np.int64], *, big_endian: bool, default_ns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_] | None]:
    """One timestamp in ns for each channel and message, shape (channels, messages), from two int64 on the wire: s and ns.

    A time that int64 cannot hold becomes ``default_ns`` of its message, shape (messages,). The second says which ones do; None
    if all are good.
    """
    dtype = np.dtype(">i8" if big_endian else "<i8")
    seconds = gather(data, places, bodies, dtype).astype(np.int64, copy=False)
    nanoseconds = gather(data, places, bodies + 8, dtype).astype(np.int64, copy=False)
    # Read without sign, what is negative is large: so these two comparisons let no overflow pass, and all times since 1970.
    are_usual = seconds.view(np.uint64).max(initial=0) < _USUAL_S and nanoseconds.view(np.uint64).max(initial=0) < NS_PER_S
    if are_usual:
        seconds *= NS_PER_S
        seconds += nanoseconds
        return seconds, None
    exact = seconds.astype(object) * NS_PER_S + nanoseconds
    is_bad = (np.abs(exact) > INT64_MAX).astype(np.bool_)
    return np.where(is_bad, default_ns, exact).astype(np.int64), is_bad


def grown(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The same with at least twice the length, zero behind what was there. Memory that stays zero is not touched."""
    larger = np.zeros((max(16, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


class Block(Generic[Owner]):
    """Items of one size for the rows of one chunk: ``cells[slot, row % CHUNK_ROWS]``, zero where nothing was put."""

    __slots__ = ("_dirty", "_free", "_owners", "cells")

    def __init__(self, dtype: str) -> None:
        self.cells: NDArray[np.generic] = np.zeros((0, CHUNK_ROWS), dtype)
        self._dirty: NDArray[np.bool_] = np.zeros(0, bool)
        self._owners: list[Owner | None] = []
        self._free: list[int] = []

    def take(self, owner: Owner) -> int:
        """A slot, zero throughout. New ones follow one another, so that channels taken in order can be put as a slice."""
        if self._free:
            slot = self._free.pop()
            self._owners[slot] = owner
            return slot
        slot = len(self._owners)
        if slot == len(self.cells):
            self.cells = grown(self.cells)
            self._dirty = grown(self._dirty)
        self._owners.append(owner)
        return slot

    def give_back(self, slot: int) -> NDArray[np.generic] | None:
        """Ends the loan of a slot; returns a copy of the chunk if something in it was not taken yet."""
        untaken = self.cells[slot].copy() if self._dirty[slot] else None
        self.cells[slot] = 0
        self._dirty[slot] = False
        self._owners[slot] = None
        self._free.append(slot)
        return untaken

    def put(self, slots: Index, lines: Index, items: NDArray[np.generic]) -> None:
        """Sets items of shape (slots, lines), in whatever byte order; ``lines`` are rows from the start of the chunk."""
        self.cells[rectangle(slots, lines)] = items
        self._dirty[slots] = True

    def scatter(self, slots: NDArray[np.intp], lines: NDArray[np.intp], items: NDArray[np.generic]) -> None:
        """Sets single items, each in the slot and line at its index; all of shape (items,)."""
        self.cells[slots, lines] = items
        self._dirty[slots] = True

    def take_dirty(self) -> Iterator[tuple[Owner, NDArray[np.generic]]]:
        """Owners and whole chunks of all slots that something was put in since they were last taken."""
        dirty = np.flatnonzero(self._dirty).tolist()
        self._dirty[:] = False
        for slot in dirty:
            owner = self._owners[slot]
            if owner is not None:
                yield owner, self.cells[slot]

    def next_chunk(self) -> None:
        """Zero again, for the rows that follow. Everything dirty must have been taken."""
        self.cells[: len(self._owners)] = 0


class RowBuffer:
    """Values of one channel, of any size, for the rows of one chunk at a time. ``chunk`` is that chunk's number."""

    __slots__ = ("_filled", "cells", "chunk", "chunk_rows", "dirty")

    def __init__(self, chunk_rows: int, dtype: np.dtype[np.generic], items: int) -> None:
        self.chunk_rows = chunk_rows
        self.cells: NDArray[np.generic] = np.empty((chunk_rows, items), dtype)
        self.chunk = 0
        self.dirty = False
        self._filled = np.zeros(chunk_rows, bool)

    def start(self, chunk: int) -> None:
        """Goes on to another chunk. What was dirty must have been written."""
        self.chunk = chunk
        self._filled[:] = False

    def put(self, data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.intp], *, big_endian: bool) -> None:
        """Copies the values at ``offsets`` of ``data`` to these rows of the file, all in the present chunk."""
        cells = self.cells
        dtype = cells.dtype.newbyteorder(">") if big_endian else cells.dtype
        if dtype.kind == "b":
            dtype = np.dtype("u1")  # any byte but 0 is true on the wire, which NumPy finds out in the assignment
        row_bytes = cells.shape[1] * dtype.itemsize
        values = np.ndarray((len(data) - row_bytes + 1, cells.shape[1]), dtype, data, strides=(1, dtype.itemsize))
        lines = rows - self.chunk * self.chunk_rows
        if row_bytes <= GATHER_BYTES:
            cells[rectangle(index_of(lines), slice(None))] = values[offsets]
        else:
            for line, offset in zip(lines.tolist(), offsets.tolist(), strict=True):
                cells[line] = values[offset]
        self._filled[lines] = True
        self.dirty = True

    def put_value(self, value: NDArray[np.generic], row: int) -> None:
        """Sets one decoded value of the present chunk."""
        line = row - self.chunk * self.chunk_rows
        self.cells[line] = value.reshape(-1)
        self._filled[line] = True
        self.dirty = True

    def whole(self) -> NDArray[np.generic]:
        """The whole chunk as it stands, zero where no value was put."""
        if not self._filled.all():  # clearing only what is not overwritten anyway saves a pass over the memory
            self.cells[~self._filled] = 0
        return self.cells


def chunks_of(rows: NDArray[np.intp], chunk_rows: int) -> Iterator[tuple[int, slice]]:
    """Cuts ascending rows where a chunk ends: each chunk's number, and which of the rows are in it."""
    if not len(rows):
        return
    first, last = int(rows[0]) // chunk_rows, int(rows[-1]) // chunk_rows
    if first == last:
        yield first, slice(0, len(rows))
        return
    numbers = np.arange(first, last + 2)
    cuts = np.searchsorted(rows, numbers * chunk_rows).tolist()
    for number, start, stop in zip(numbers.tolist(), cuts, cuts[1:], strict=False):
        if stop > start:
            yield number, slice(start, stop)


class TextBuffer:
    """Strings of one channel that wait to be written. ``characters`` is their length altogether."""

    __slots__ = ("_rows", "_texts", "characters")

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._texts: list[str] = []
        self.characters = 0

    def put(self, row: int, text: str) -> None:
        """Adds one string; rows ascend."""
        self._rows.append(row)
        self._texts.append(text)
        self.characters += len(text)

    def take(self) -> tuple[int, Sequence[str]] | None:
        """First row and strings of all that waits, empty ones in the gaps between; what is taken is forgotten."""
        if not self._rows:
            return None
        first = self._rows[0]
        texts = [""] * (self._rows[-1] - first + 1)
        for row, text in zip(self._rows, self._texts, strict=True):
            texts[row - first] = text
        self._rows, self._texts, self.characters = [], [], 0
        return first, texts
