"""Values into the frames of one message: what `headers` and `decode` read. Pure.

Source of the format: the bsread specification 1.1. All fields are written out, defaults too, as the Python sender does.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.headers import DATA_HTYPE, MAIN_HTYPE, Channel
from sf_bsread_writer.message.types import Compression, wire_shape
from sf_bsread_writer.model import NS_PER_S

Value = ArrayLike | str


def encode_main_header(
    *, pulse_id: int, global_timestamp_ns: int, hash: str, dh_compression: Compression = Compression.NONE
) -> bytes:
    """The first frame of a message."""
    sec, ns = divmod(global_timestamp_ns, NS_PER_S)
    return msgspec.json.encode(
        {
            "htype": MAIN_HTYPE,
            "pulse_id": pulse_id,
            "global_timestamp": {"sec": sec, "ns": ns},
            "hash": hash,
            "dh_compression": dh_compression.value,
        }
    )


def encode_data_header(
    channels: Sequence[Channel], compression: Compression = Compression.NONE, *, big_endian: bool = False
) -> bytes:
    """The second frame of a message.

    ``big_endian`` is the byte order of an lz4 length: readers in Java, C++ and Rust expect it big, the Python one little.
    """
    return compress(compression, _data_header_json(channels), item_bytes=1, big_endian=big_endian)


def header_hash(channels: Sequence[Channel]) -> str:
    """What the main header says about a data header: MD5 of its JSON, 32 hexadecimal digits."""
    return hashlib.md5(_data_header_json(channels), usedforsecurity=False).hexdigest()


def encode_value(channel: Channel, value: Value) -> bytes:
    """The value frame; raises `UsageError` if the value has another shape than the channel, or is of another kind."""
    if channel.is_string:
        if not isinstance(value, str):
            raise UsageError(f"channel {channel.name!r} carries texts, got {type(value).__name__}")
        raw = value.encode()
    else:
        array = np.asarray(value)
        if array.shape != channel.shape:
            raise UsageError(f"channel {channel.name!r} has values of shape {channel.shape}, got {array.shape}")
        raw = array.astype(channel.dtype).tobytes()
    return compress(channel.compression, raw, item_bytes=channel.item_bytes, big_endian=channel.big_endian)


def encode_timestamp(channel: Channel, time_ns: int) -> bytes:
    """The timestamp frame: seconds and nanoseconds in the channel's byte order."""
    order = ">" if channel.big_endian else "<"
    return np.array(divmod(time_ns, NS_PER_S), f"{order}i8").tobytes()


def encode_message(
    *,
    pulse_id: int,
    global_timestamp_ns: int,
    channels: Sequence[Channel],
    values: Sequence[tuple[Value | None, int | None]],
    data_header: bytes | None = None,
    hash: str | None = None,
    dh_compression: Compression = Compression.NONE,
) -> list[bytes]:
    """All frames of one message, main header first.

    ``values`` has value and time in ns for each channel. A value of None is missing: both its frames are empty. A time of None
    leaves the timestamp frame empty, which means the global timestamp. ``data_header`` and ``hash`` are made from the channels
    unless the caller, who sends many messages with the same ones, has them.
    """
    frames = [
        encode_main_header(
            pulse_id=pulse_id,
            global_timestamp_ns=global_timestamp_ns,
            hash=header_hash(channels) if hash is None else hash,
            dh_compression=dh_compression,
        ),
        encode_data_header(channels, dh_compression) if data_header is None else data_header,
    ]
    for channel, (value, time_ns) in zip(channels, values, strict=True):
        frames.append(b"" if value is None else encode_value(channel, value))
        frames.append(b"" if value is None or time_ns is None else encode_timestamp(channel, time_ns))
    return frames


def _data_header_json(channels: Sequence[Channel]) -> bytes:
    return msgspec.json.encode(
        {
            "htype": DATA_HTYPE,
            "channels": [
                {
                    "name": channel.name,
                    "type": channel.type.wire,
                    "shape": wire_shape(channel.shape),
                    "encoding": "big" if channel.big_endian else "little",
                    "modulo": channel.modulo,
                    "offset": channel.offset,
                    "compression": channel.compression.value,
                }
                for channel in channels
            ],
        }
    )
