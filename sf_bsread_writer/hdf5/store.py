"""The columns of a file in memory, and what of them goes to the file when. Pure: chunks are handed to a `Sink`."""

from collections.abc import Sequence
from math import prod
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import TIMES, UNKNOWN_SLOT, Binding, Column, FileChannel, Slots
from sf_bsread_writer.hdf5.chunks import Chunk
from sf_bsread_writer.hdf5.columns import Block, Index, RowBuffer, TextBuffer, chunks_of, index_of
from sf_bsread_writer.hdf5.layout import CHUNK_ROWS, DatasetLayout, Keeping, dataset_layout, spec_of, value_dataset
from sf_bsread_writer.hdf5.presence import Presence, Split
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression

MAX_WAITING_CHARACTERS = 1 << 20
"""What the strings of one channel may wait for."""

MAX_ALL_CHARACTERS = 16 << 20
"""And those of all channels together: compressed texts of a small message may be hundreds of megabytes."""


class Sink(Protocol):
    """Where chunks go. When a method returns it has done its work: the memory it was given is used again, unless the sink has
    been told otherwise (see `CompressingSink`).

    ``rows`` is set to the number of rows of the file, those being taken included, before anything of them is handed over.
    """

    rows: int

    def write_chunk(self, column: Column, first_row: int, chunk: Chunk, filter_mask: int = 0) -> None:
        """One whole chunk, which starts at ``first_row`` of the file. It may have been written before, with fewer values."""

    def write_texts(self, column: Column, first_row: int, texts: Sequence[str]) -> None:
        """Strings of successive rows."""

    def write_presence(self, number: int, first_row: int, pulse_ids: NDArray[np.int64], flags: NDArray[np.uint8]) -> None:
        """One chunk of both columns of a class of channels."""

    def split(self, split: Split) -> None:
        """Some channels of a class are a class of their own from here on; what was written until now is theirs too."""

    def retire(self, column: Column, name: str) -> None:
        """A channel's values go on in another column. This one gets the new name, and ends with its ``last_row``."""

    def revive(self, column: Column, name: str) -> None:
        """Takes `retire` back: the later column has been dropped."""

    def drop(self, column: Column) -> None:
        """The column has no values in the rows that remain."""


class Store:
    """Finds and makes columns, and empties them into the sink.

    ``version`` changes whenever a slot of a block changes hands, so that what was derived from slots can be kept until then.
    ``chunk_start`` is the first row of the present chunk of scalars. ``columns`` counts those made so far, ``waiting_bytes`` is
    the most that draining adds to the file. ``compression`` as in `dataset_layout`.
    """

    def __init__(self, sink: Sink, presence: Presence, compression: Compression = Compression.NONE) -> None:
        self.version = 0
        self.chunk_start = 0
        self.columns = 0
        self.waiting_bytes = 0
        self._sink = sink
        self._presence = presence
        self._compression = compression
        self._blocks = {size: Block[Column](f"<u{size}") for size in (1, 2, 4, 8)}
        self._times = Block[Column]("<i8")
        self._buffered: list[Column] = []
        self._characters = 0  # of all strings that wait

    def stream_column(self, name: str) -> Column:
        """A column with one int64 for each message."""
        return self._times_column("stream", name, 0)

    def times(self, owner: FileChannel, row: int) -> Column:
        """The column of a channel's own timestamps, made if there is none yet; ``row`` has one."""
        if owner.times is None:
            owner.times = self._times_column(owner.group, "timestamp", row)
        owner.times.first_row = min(owner.times.first_row, row)
        return owner.times

    def values(self, owner: FileChannel, channel: Channel, row: int) -> Column:
        """The column for values of such a channel, made if it has none, or one of another type or shape; ``row`` has a value."""
        spec = spec_of(channel)
        if owner.values:
            column = owner.values[-1]
            if column.spec == spec:
                column.first_row = min(column.first_row, row)
                return column
            column.last_row = self._presence.last_row_of(owner.number)
            self._end(column)
            self._sink.retire(column, value_dataset(len(owner.values)))
        column = Column(group=owner.group, name=value_dataset(0), layout=self._new_layout(channel), spec=spec, first_row=row)
        owner.values.append(column)
        self._begin(column)
        return column

    def layout_for(self, owner: FileChannel, channel: Channel) -> DatasetLayout:
        """The layout of the column that `values` would give, without making one."""
        if owner.values and owner.values[-1].spec == spec_of(channel):
            return owner.values[-1].layout
        return self._new_layout(channel)

    def _new_layout(self, channel: Channel) -> DatasetLayout:
        return dataset_layout(channel, self._compression)

    def value_slots(
        self, binding: Binding, members: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> tuple[Block[Column], NDArray[np.intp]]:
        """Block and slots of some channels' single numbers of one size, columns made where there are none.

        ``rows`` are the first ones with a value; both shape (members,).
        """
        slots = self._known_slots(binding).values
        for place in np.flatnonzero(slots[members] == UNKNOWN_SLOT).tolist():
            member = int(members[place])
            column = self.values(binding.channels[member], binding.header.channels[member], int(rows[place]))
            slots[member] = column.slot
        # A column made now may have ended an earlier one, but of the same channel: all other slots are still theirs.
        binding.slots.version = self.version
        return self._blocks[binding.header.channels[members[0]].item_bytes], slots[members]

    def time_slots(
        self, binding: Binding, members: NDArray[np.intp], rows: NDArray[np.intp]
    ) -> tuple[Block[Column], NDArray[np.intp]]:
        """The same for their own timestamps."""
        slots = self._known_slots(binding).times
        for place in np.flatnonzero(slots[members] == UNKNOWN_SLOT).tolist():
            slots[members[place]] = self.times(binding.channels[members[place]], int(rows[place])).slot
        return self._times, slots[members]

    def _known_slots(self, binding: Binding) -> Slots:
        slots = binding.slots
        if slots.version != self.version:
            slots.values[:] = UNKNOWN_SLOT
            slots.version = self.version
        return slots

    def drain(self) -> None:
        """Hands everything to the sink that it does not have yet."""
        for block in (*self._blocks.values(), self._times):
            for column, chunk in block.take_dirty():
                self._sink.write_chunk(column, self.chunk_start, chunk)
        for column in self._buffered:
            self.drain_buffer(column)

    def drain_buffer(self, column: Column) -> None:
        """The same for one column that is not in a block."""
        if column.rows is not None and column.rows.dirty:
            self._sink.write_chunk(column, column.rows.chunk * column.rows.chunk_rows, column.rows.whole())
            column.rows.dirty = False
        if column.texts is not None:
            self._characters -= column.texts.characters
            waiting = column.texts.take()
            if waiting is not None:
                self._sink.write_texts(column, *waiting)

    def next_chunk(self) -> None:
        """Goes on to the next chunk of scalars; everything must have been drained."""
        self.chunk_start += CHUNK_ROWS
        for block in (*self._blocks.values(), self._times):
            block.next_chunk()

    def put_numbers(self, column: Column, lines: Index, numbers: NDArray[np.generic]) -> None:
        """Puts numbers into some lines of the present chunk of a column that has a slot."""
        if column.block is not None:
            column.block.put(slice(column.slot, column.slot + 1), lines, numbers)

    def write_row(self, column: Column, row: int, chunk: Chunk, filter_mask: int) -> None:
        """Hands one value, which is a chunk, straight to the sink."""
        self._sink.write_chunk(column, row, chunk, filter_mask)

    def put_rows(
        self, column: Column, data: NDArray[np.uint8], offsets: NDArray[np.int64], rows: NDArray[np.intp], *, big_endian: bool
    ) -> None:
        """Puts the values at ``offsets`` of ``data`` into these ascending rows of a column with `Keeping.ROWS`."""
        buffer = cast(RowBuffer, column.rows)
        for number, part in chunks_of(rows, buffer.chunk_rows):
            self._go_to(column, buffer, number)
            buffer.put(data, offsets[part], rows[part], big_endian=big_endian)

    def put_value(self, column: Column, value: NDArray[np.generic], row: int) -> None:
        """Puts one decoded value into a column with `Keeping.ROWS` or `Keeping.CELLS`."""
        if column.block is not None:
            line = row - self.chunk_start
            self.put_numbers(column, slice(line, line + 1), value.reshape(1, 1).view(column.block.cells.dtype))
        elif column.rows is not None:
            self._go_to(column, column.rows, row // column.rows.chunk_rows)
            column.rows.put_value(value, row)

    def put_text(self, column: Column, text: str, row: int) -> None:
        """Puts one string."""
        texts = cast(TextBuffer, column.texts)
        texts.put(row, text)
        self._characters += len(text)
        if texts.characters > MAX_WAITING_CHARACTERS:
            self.drain_buffer(column)
        if self._characters > MAX_ALL_CHARACTERS:
            for each in self._buffered:
                if each.texts is not None:
                    self.drain_buffer(each)

    def put_times(self, owner: FileChannel, rows: NDArray[np.intp], times_ns: NDArray[np.int64]) -> None:
        """Puts a channel's own timestamps of some rows of the present chunk of scalars."""
        self.put_numbers(self.times(owner, int(rows[0])), index_of(rows - self.chunk_start), times_ns)

    def _go_to(self, column: Column, buffer: RowBuffer, chunk: int) -> None:
        if buffer.chunk != chunk:
            self.drain_buffer(column)
            buffer.start(chunk)

    def _times_column(self, group: str, name: str, row: int) -> Column:
        column = Column(group=group, name=name, layout=TIMES, first_row=row, block=self._times)
        column.slot = self._times.take(column)
        self._count(column, 1)
        return column

    def _count(self, column: Column, sign: int) -> None:
        self.columns += sign
        if column.layout.keeping is not Keeping.CHUNKS:
            self.waiting_bytes += sign * column.layout.chunk_bytes

    def _begin(self, column: Column) -> None:
        layout = column.layout
        self._count(column, 1)
        if layout.keeping is Keeping.CELLS:
            column.block = self._blocks[layout.row_bytes]
            column.slot = column.block.take(column)
        elif layout.keeping is Keeping.ROWS and layout.dtype is not None:
            column.rows = RowBuffer(layout.chunk_rows, layout.dtype, prod(layout.row_shape))
            self._buffered.append(column)
        elif layout.keeping is Keeping.TEXTS:
            column.texts = TextBuffer()
            self._buffered.append(column)

    def _end(self, column: Column) -> None:
        """Writes what waits and gives the memory back."""
        self._count(column, -1)
        if column.block is not None:
            chunk = column.block.give_back(column.slot)
            if chunk is not None:
                self._sink.write_chunk(column, self.chunk_start, chunk)
            self.version += 1
            column.block, column.slot = None, -1
        elif column in self._buffered:
            self.drain_buffer(column)
            self._buffered.remove(column)
            column.rows = column.texts = None
