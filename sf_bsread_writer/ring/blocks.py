"""The index rows of a segment as a store keeps them: one block for each run, with check values. Pure.

A block is a row of int64, as this machine has them: check value, sequence number of the first message, number of messages,
arrival time (ns since 1970), sum of the run's bytes; then all pulse ids, all starts and all ends. The check value is the CRC-32
of what follows it, begun with the seed of the store, so that blocks of another store are not taken for its own. The bytes are
summed up as 64-bit words: a CRC of them would cost ten times as much, and what a sum cannot see is words that changed places.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.layout import Run

_HEAD = 5
_COLUMNS = 3
_ITEM_BYTES = 8
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """The messages of one run, numbered from ``first``; the columns are int64, shape (messages,)."""

    first: int
    arrival_ns: int
    byte_sum: int
    pulse_ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of_run(cls, run: Run, first: int, arrival_ns: int) -> Self:
        """Sums up the run's bytes, which have to stay as they are from now on."""
        return cls(
            first=first,
            arrival_ns=arrival_ns,
            byte_sum=byte_sum(run.data, int(run.starts[0]), int(run.ends[-1])),
            pulse_ids=run.pulse_ids,
            starts=run.starts,
            ends=run.ends,
        )

    @property
    def stop(self) -> int:
        """Sequence number behind the last message."""
        return self.first + len(self.pulse_ids)

    @property
    def encoded_bytes(self) -> int:
        """How much of an index it takes."""
        return (_HEAD + _COLUMNS * len(self.pulse_ids)) * _ITEM_BYTES

    def holds(self, data: NDArray[np.uint8]) -> bool:
        """Whether the messages lie in this memory as they did when the block was made."""
        start, stop = int(self.starts[0]), int(self.ends[-1])
        return 0 <= start < stop <= len(data) and byte_sum(data, start, stop) == self.byte_sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The blocks up to the first that is not whole. ``torn_messages``: of a last one that is cut off; at least 1 if it is.

    ``is_damaged``: a block is whole and wrong, or does not follow on the one before it.
    """

    blocks: Sequence[Block]
    torn_messages: int = 0
    is_damaged: bool = False


def encode_block(block: Block, seed: int) -> bytes:
    """What is appended to the index of the segment, in one piece."""
    count = len(block.pulse_ids)
    items = np.empty(_HEAD + _COLUMNS * count, np.int64)
    items[1:_HEAD] = (block.first, count, block.arrival_ns, _signed(block.byte_sum))
    items[_HEAD:].reshape(_COLUMNS, count)[:] = (block.pulse_ids, block.starts, block.ends)
    items[0] = zlib.crc32(items[1:].data, seed)
    return items.tobytes()


def decode_blocks(data: bytes, seed: int) -> Decoded:
    """Reads what was appended to the index of one segment, however much of it is left."""
    items = np.frombuffer(data[: len(data) // _ITEM_BYTES * _ITEM_BYTES], np.int64)
    blocks: list[Block] = []
    place = 0
    while place * _ITEM_BYTES < len(data):
        rest = items[place:]
        count = int(rest[2]) if len(rest) > 2 else 1
        size = _HEAD + _COLUMNS * count
        if len(rest) < size:  # appending goes from front to back: what a kill leaves is a beginning
            return Decoded(blocks=blocks, torn_messages=max(1, count))
        if count < 1 or int(rest[0]) != zlib.crc32(rest[1:size].tobytes(), seed):
            return Decoded(blocks=blocks, is_damaged=True)
        columns = rest[_HEAD:size].reshape(_COLUMNS, count)
        block = Block(
            first=int(rest[1]),
            arrival_ns=int(rest[3]),
            byte_sum=int(rest[4]) & _MASK,
            pulse_ids=columns[0],
            starts=columns[1],
            ends=columns[2],
        )
        if blocks and blocks[-1].stop != block.first:
            return Decoded(blocks=blocks, is_damaged=True)
        blocks.append(block)
        place += size
    return Decoded(blocks=blocks)


def byte_sum(data: NDArray[np.uint8], start: int, stop: int) -> int:
    """The sum of ``data[start:stop]`` as 64-bit words at multiples of 8 bytes, modulo 2**64; ``data`` begins at one."""
    first, last = -(-start // _ITEM_BYTES) * _ITEM_BYTES, stop // _ITEM_BYTES * _ITEM_BYTES
    if first > last:  # inside of a word
        return int.from_bytes(data[start:stop].tobytes(), "little")
    words = int(np.add.reduce(data[first:last].view(np.uint64)))
    edges = int.from_bytes(data[start:first].tobytes(), "little") + int.from_bytes(data[last:stop].tobytes(), "little")
    return (words + edges) & _MASK


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
