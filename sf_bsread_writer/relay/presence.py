"""In which messages which channels have a value, found for many messages at once. Pure.

Nearly all of it is known per layout. Only a compressed value may say in its first bytes that it holds nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.due import Due, due_pulses, is_due, rule_of
from sf_bsread_writer.message.headers import Channel, DataHeader
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression

_LENGTH_BYTES = {Compression.LZ4: 4, Compression.BITSHUFFLE_LZ4: 8}


class Rules:
    """When each of some channels is due: as few different rules as they have."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        pairs = np.array([rule_of(channel) for channel in channels], np.int64)
        self._set(pairs.reshape(-1, 2))

    def _set(self, pairs: NDArray[np.int64]) -> None:
        self._pairs, of_channel = np.unique(pairs, axis=0, return_inverse=True)
        self.of_channel: NDArray[np.intp] = of_channel.reshape(-1)
        """Index of each channel's rule, shape (channels,)."""

    def __len__(self) -> int:
        return len(self._pairs)

    def of(self, numbers: NDArray[np.intp]) -> "Rules":
        """Those of the channels at these places, in this order."""
        rules = Rules(())
        rules._set(self._pairs[self.of_channel[numbers]])
        return rules

    def due(self, pulse_ids: NDArray[np.int64], rule: int) -> NDArray[np.bool_]:
        """Which of these pulses are due by one rule."""
        return is_due(pulse_ids, *self._pairs[rule])

    def each(self, pulse_ids: NDArray[np.int64], numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which of these pulses are due for the channels at these places, shape (pulses, numbers)."""
        return is_due(pulse_ids[:, None], *self._pairs[self.of_channel[numbers]].T)

    def count(self, pulse_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of these pulses are due by each rule, shape (rules,)."""
        return np.array([np.count_nonzero(self.due(pulse_ids, rule)) for rule in range(len(self))], np.int64)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the channels of one data header are, shapes (channels,).

    ``compressed`` has the places of those that are, ascending; ``elements`` is how many each value has, -1 for texts.
    """

    rules: Rules
    due: Due
    compressed: NDArray[np.intp]
    elements: NDArray[np.int64]


_known: WeakKeyDictionary[DataHeader, Facts] = WeakKeyDictionary()


def facts_of(header: DataHeader) -> Facts:
    """The same object at each call: finding it out of thousands of channels takes milliseconds."""
    facts = _known.get(header)
    if facts is None:
        channels = header.channels
        compressed = np.flatnonzero([channel.compression is not Compression.NONE for channel in channels])
        elements = np.array([-1 if channel.is_string else prod(channel.shape) for channel in channels], np.int64)
        facts = _known[header] = Facts(Rules(channels), due_pulses(channels), compressed, elements)
    return facts


def present(run: Run, layout: Layout, rows: NDArray[np.intp], number: int) -> NDArray[np.bool_]:
    """In which of these messages it has a value."""
    found = np.full(len(rows), layout.present[number])
    if found.any() and layout.channels.channels[number].compression is not Compression.NONE:
        found &= ~void(run, layout, rows, np.array([number]))[:, 0]
    return found


def void(run: Run, layout: Layout, rows: NDArray[np.intp], numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Where compressed channels have a payload that means "no value", shape (rows, numbers).

    ``numbers`` are places in the layout's header, and ``rows`` messages of the run that have this layout.
    """
    found = np.zeros((len(rows), len(numbers)), np.bool_)
    channels, lengths = layout.channels.channels, layout.value_lengths[numbers]
    kinds = [channels[number].compression for number in numbers.tolist()]
    for compression, size in _LENGTH_BYTES.items():
        columns = np.array([kind is compression for kind in kinds], np.bool_) & (lengths >= size)
        if columns.any():
            places = run.bodies[rows][:, None] + layout.value_starts[numbers[columns]]
            found[:, columns] = np.equal(items(run.data, np.dtype(f"u{size}"))[places], 0)
    found[:, lengths == 0] = True
    return found


def items(data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The item that begins at each byte, aligned or not."""
    return np.ndarray((max(0, len(data) - dtype.itemsize + 1),), dtype, data, strides=(1,))
