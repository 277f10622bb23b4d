"""The value types of bsread, and the one place where shapes are flipped. Pure.

Shapes stand fastest dimension first on the wire and slowest first in NumPy and HDF5: an image 1280 wide and 1024 high is
``[1280, 1024]`` there and ``(1024, 1280)`` everywhere inside this package.
Source of the names: the bsread specification 1.1 and its implementations, which differ in case.
"""

from collections.abc import Sequence
from enum import Enum
from math import prod

import numpy as np

from sf_bsread_writer.errors import MessageError

MAX_DIMENSIONS = 31
"""HDF5 has 32, and the file needs one for the rows."""

MAX_ELEMENTS = 1 << 31
"""More elements than any frame that the scanner lets through can hold."""


class Compression(Enum):
    """How a data header or a channel's values are compressed; the member's value is its name on the wire."""

    NONE = "none"
    LZ4 = "lz4"
    BITSHUFFLE_LZ4 = "bitshuffle_lz4"


class ValueType(Enum):
    """The type of one channel's values; the member's value is its name on the wire."""

    BOOL = "bool"
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"

    @property
    def wire(self) -> str:
        """The name in a data header, lower case."""
        return self.value

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The little-endian dtype of one element; raises `MessageError` for strings, which have none."""
        dtype = _DTYPES.get(self)
        if dtype is None:
            raise MessageError("a string channel has no NumPy dtype; decode its frames one by one")
        return dtype


_DTYPES: dict[ValueType, np.dtype[np.generic]] = {
    kind: np.dtype(kind.value).newbyteorder("<") for kind in ValueType if kind is not ValueType.STRING
}
_COMPRESSIONS = {kind.value: kind for kind in Compression}
_BY_NAME = {kind.value: kind for kind in ValueType}


def parse_type(text: str) -> ValueType:
    """The type named ``text``, in upper, lower or mixed case; raises `MessageError` for a name that bsread does not have."""
    kind = _BY_NAME.get(text) or _BY_NAME.get(text.lower())
    if kind is None:
        raise MessageError(f"unknown value type {text!r:.100}; bsread has {', '.join(_BY_NAME)}")
    return kind


def parse_compression(text: str | None) -> Compression:
    """The compression named ``text`` (None: none), any case; raises `MessageError` for one that bsread does not have."""
    if text is None:
        return Compression.NONE
    kind = _COMPRESSIONS.get(text) or _COMPRESSIONS.get(text.lower())
    if kind is None:
        raise MessageError(f"unknown compression {text!r:.100}; bsread has {', '.join(_COMPRESSIONS)}")
    return kind


def numpy_shape(shape: object, *, may_be_empty: bool = False) -> tuple[int, ...]:
    """The shape of one value in NumPy order (slowest first), from the wire's order (fastest first).

    ``[1280, 1024]`` gives ``(1024, 1280)``. ``None``, ``[]`` and ``[1]`` are how senders write a scalar, and give ``()``.
    ``may_be_empty`` allows dimensions of 0.
    Raises `MessageError` for anything but a list, for a dimension that is no positive whole number, and for more elements
    than a frame can hold.
    """
    if shape is None:
        return ()
    if not isinstance(shape, list | tuple):
        raise MessageError(f"shape {shape!r:.100} is no list of dimensions")
    if len(shape) > MAX_DIMENSIONS:
        raise MessageError(f"shape has {len(shape)} dimensions; at most {MAX_DIMENSIONS} can be stored")
    if any(type(n) is not int or n < (0 if may_be_empty else 1) for n in shape):
        raise MessageError(f"shape {shape!r:.100} has a dimension that is no positive whole number")
    if prod(shape) > MAX_ELEMENTS:
        raise MessageError(f"shape {shape!r:.100} has more than {MAX_ELEMENTS} elements")
    return () if len(shape) == 1 and shape[0] == 1 else tuple(reversed(shape))


def wire_shape(shape: Sequence[int]) -> list[int]:
    """The shape as it stands in a data header (fastest first), from NumPy order.

    ``(1024, 1280)`` gives ``[1280, 1024]``, ``()`` gives ``[1]``.
    """
    return list(reversed(shape)) or [1]
