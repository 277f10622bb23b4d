"""Frames of one value and its timestamp into Python and NumPy values. Pure; not on the hot path, which copies bytes by layout."""

from struct import Struct

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import MAX_TEXT_BYTES, Payload, decompress
from sf_bsread_writer.message.headers import INT64_MAX, Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.model import NS_PER_S

_TIMESTAMP = {False: Struct("<qq"), True: Struct(">qq")}


def decode_value(channel: Channel, payload: Payload) -> NDArray[np.generic] | str:
    """The value in a frame that is present: an array of the machine's own byte order in NumPy shape (scalars ``()``), or a text.

    The array owns its memory, so the frame's may be used again. Raises `MessageError` if the bytes do not fit shape and type.
    """
    try:
        raw = decompress(
            channel.compression,
            payload,
            expected_bytes=channel.value_bytes,
            item_bytes=channel.item_bytes,
            big_endian=channel.big_endian,
        )
    except MessageError as error:
        raise MessageError(f"channel {channel.name!r:.200}, {channel.type.wire} of shape {channel.shape}: {error}") from None
    if channel.is_string:
        return decode_string(raw)[0]
    if channel.type is ValueType.BOOL:
        # Senders write any byte for true; a NumPy bool made of a 2 would be unequal to one made of a 1.
        return np.frombuffer(raw, np.uint8).reshape(channel.shape).astype(np.bool_)
    values: NDArray[np.generic] = np.frombuffer(raw, channel.dtype).reshape(channel.shape)
    return values.astype(channel.dtype.newbyteorder("="))


def decode_timestamp(channel: Channel, payload: Payload, default_ns: int) -> int:
    """A channel's own time in ns since 1970; ``default_ns`` (the global timestamp) if the frame is empty.

    Raises `MessageError` for a frame of any other size than 16 bytes, and for a time that int64 cannot hold.
    """
    if len(payload) == 0:
        return default_ns
    layout = _TIMESTAMP[channel.big_endian]
    if len(payload) != layout.size:
        raise MessageError(f"channel {channel.name!r:.200}: timestamp has {len(payload)} bytes, expected {layout.size} or none")
    sec, ns = layout.unpack(payload)
    time_ns: int = sec * NS_PER_S + ns
    if not -INT64_MAX <= time_ns <= INT64_MAX:
        raise MessageError(f"channel {channel.name!r:.200}: timestamp {sec} s {ns} ns is out of range")
    return time_ns


def decode_string(raw: Payload) -> tuple[str, bool]:
    """A decompressed text, and whether it was damaged.

    It ends at the first NUL, because senders pad with them and HDF5 texts cannot hold one. Bytes that are no UTF-8 become
    replacement characters, and only that is called damage. Raises `MessageError` for more than `MAX_TEXT_BYTES`.
    """
    if len(raw) > MAX_TEXT_BYTES:
        raise MessageError(f"text of {len(raw)} bytes, more than {MAX_TEXT_BYTES}")
    text = bytes(raw).partition(b"\0")[0]
    try:
        return text.decode(), False
    except UnicodeDecodeError:
        return text.decode(errors="replace"), True
