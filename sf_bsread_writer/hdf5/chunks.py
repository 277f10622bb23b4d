"""One value as one chunk of its dataset: as it came wherever that is possible. Pure."""

from typing import cast

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.hdf5.layout import DatasetLayout
from sf_bsread_writer.message.compression import Payload, bitshuffle_chunk, lz4_chunk
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType

Chunk = Payload | NDArray[np.generic]

UNFILTERED = 1
"""Filter mask of a chunk that was not put through the (only) filter of its dataset."""


def chunk_of(layout: DatasetLayout, channel: Channel, payload: Payload) -> tuple[Chunk, int]:
    """The chunk of one row, and its filter mask; ``payload`` is a value that is present.

    A channel may have changed its compression or byte order since its dataset was made; then its values are converted, and not
    put through the filter. Nor are those that came uncompressed (but see `CompressingSink`). A chunk that is the payload itself
    shares its memory. Raises `MessageError` if the payload does not fit.
    """
    mask = 0 if channel.compression is layout.filter else UNFILTERED
    if channel.dtype == layout.dtype and channel.compression in (layout.filter, Compression.NONE):
        chunk = _as_it_came(channel, payload)
        if chunk is not None:
            return chunk, mask
    return decoded(layout, channel, payload), UNFILTERED if layout.filter is not Compression.NONE else 0


def decoded(layout: DatasetLayout, channel: Channel, payload: Payload) -> NDArray[np.generic]:
    """The value as its dataset stores it uncompressed, shape ``row_shape``; raises `MessageError` if the payload does not fit."""
    value = cast(NDArray[np.generic], decode_value(channel, payload))
    return np.ascontiguousarray(value, layout.dtype).reshape(layout.row_shape)


def _as_it_came(channel: Channel, payload: Payload) -> Payload | None:
    size = cast(int, channel.value_bytes)
    if channel.compression is Compression.BITSHUFFLE_LZ4:
        return bitshuffle_chunk(payload, size, channel.item_bytes)
    if channel.compression is Compression.LZ4:
        return lz4_chunk(payload, size)
    if channel.type is ValueType.BOOL:
        return None  # senders write any byte for true; HDF5's enumeration has only 0 and 1
    if len(payload) != size:
        raise MessageError(f"value has {len(payload)} bytes, expected {size}")
    return payload
