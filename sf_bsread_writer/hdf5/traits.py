"""What a data header says about its channels that decides where their values go, as arrays. Pure.

Asking each channel for its sizes again with each new layout would cost a microsecond each. Where layouts never repeat, that would
be most of the time that a message takes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType

ANY_SIZE = -1
"""In place of a number of bytes."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Numbers:
    """Channels of single numbers that can be gathered together, as ascending ``members`` of the data header."""

    dtype: np.dtype[np.generic]
    is_truth: bool
    members: NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Traits:
    """All channels of a data header; arrays have shape (channels,).

    Attributes
    ----------
    value_bytes : size of a value frame, `ANY_SIZE` for strings and everything compressed
    is_packed : whether a value frame is compressed
    is_big_endian : byte order of values and timestamps
    is_single : whether each value needs a look of its own: an array, a string, or anything compressed
    numbers : all others, sorted by what one gather can fetch
    """

    value_bytes: NDArray[np.int64]
    is_packed: NDArray[np.bool_]
    is_big_endian: NDArray[np.bool_]
    is_single: NDArray[np.bool_]
    numbers: tuple[Numbers, ...]

    @classmethod
    def of(cls, channels: Sequence[Channel]) -> "Traits":
        """Asks each channel once."""
        count = len(channels)
        value_bytes = np.full(count, ANY_SIZE, np.int64)
        is_packed, is_big_endian, is_single = np.zeros((3, count), np.bool_)
        numbers: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
        for member, channel in enumerate(channels):
            is_packed[member] = channel.compression is not Compression.NONE
            is_big_endian[member] = channel.big_endian
            is_single[member] = is_packed[member] or channel.is_string or prod(channel.shape) > 1
            if channel.value_bytes is not None and not is_packed[member]:
                value_bytes[member] = channel.value_bytes
            if not is_single[member]:
                dtype = f"{'>' if channel.big_endian else '<'}u{channel.item_bytes}"
                numbers[dtype, channel.type is ValueType.BOOL].append(member)
        return cls(
            value_bytes=value_bytes,
            is_packed=is_packed,
            is_big_endian=is_big_endian,
            is_single=is_single,
            numbers=tuple(
                Numbers(dtype=np.dtype(dtype), is_truth=is_truth, members=np.array(members, np.intp))
                for (dtype, is_truth), members in numbers.items()
            ),
        )
