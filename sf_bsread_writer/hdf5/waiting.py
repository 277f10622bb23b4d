"""Changes to a file that are not made yet, and what the file would read like with them. Pure."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 16
"""Changes are found by the blocks that they touch: HDF5 changes thousands of small places, and reads among them."""

Key = tuple[int, int]


class Waiting:
    """Changes in the order in which they came, which counts where they overlap."""

    def __init__(self) -> None:
        self._changes: dict[Key, bytes] = {}
        self._blocks: defaultdict[int, dict[Key, None]] = defaultdict(dict)

    def put(self, start: int, data: bytes) -> None:
        """Adds one; another of the same place and length is over then."""
        key = start, len(data)
        self._changes.pop(key, None)
        self._changes[key] = data
        for block in _blocks_of(*key):
            self._blocks[block].pop(key, None)
            self._blocks[block][key] = None

    def touches(self, start: int, length: int) -> bool:
        """Whether one of them changes something in there."""
        stop = start + length
        return any(
            begin < stop and start < begin + size
            for block in _blocks_of(start, length)
            for begin, size in self._blocks.get(block, ())
        )

    def show(self, start: int, content: NDArray[np.uint8]) -> None:
        """Makes what the file has from ``start`` on into what it would have."""
        for block in _blocks_of(start, len(content)):
            low, high = max(start, block * _BLOCK_BYTES), min(start + len(content), (block + 1) * _BLOCK_BYTES)
            for begin, size in self._blocks.get(block, ()):
                first, last = max(low, begin), min(high, begin + size)
                if first < last:
                    data = np.frombuffer(self._changes[begin, size], np.uint8)
                    content[first - start : last - start] = data[first - begin : last - begin]

    def all(self) -> Sequence[tuple[int, bytes]]:
        """Places and what they are to hold."""
        return [(start, data) for (start, _), data in self._changes.items()]

    def clear(self) -> None:
        """Forgets them."""
        self._changes.clear()
        self._blocks.clear()


def _blocks_of(start: int, length: int) -> range:
    return range(start // _BLOCK_BYTES, (start + length - 1) // _BLOCK_BYTES + 1) if length else range(0)
