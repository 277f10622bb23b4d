"""Values and timestamps: payloads that a C library decodes."""

import struct
from random import Random

import lz4.block
import numpy as np
from numpy.typing import NDArray

from fuzz.make import cells, damaged, number_bytes
from fuzz.target import Input, Target
from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.hdf5.chunks import UNFILTERED, chunk_of
from sf_bsread_writer.hdf5.layout import Keeping, dataset_layout
from sf_bsread_writer.message.bitshuffle import DatasetCodec
from sf_bsread_writer.message.compression import compress, is_missing_payload, uncompressed_bytes
from sf_bsread_writer.message.decode import decode_string, decode_timestamp, decode_value
from sf_bsread_writer.message.headers import INT64_MAX, Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.fence import Fence

TYPES, COMPRESSIONS = tuple(ValueType), tuple(Compression)
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (8,), (2, 5), (513,), (1024,), (33, 65), (4097,), (70, 120))
_FENCE = Fence(1 << 17)
_DATASET = DatasetCodec()


def value(data: bytes) -> None:
    """A value is refused, or is what a reading with nothing but LZ4 and NumPy gives; nothing around the payload is looked at."""
    given = Input(data)
    channel, payload = _channel(given.number(3)), given.rest()[: 1 << 17]
    expected = _plainly(channel, payload)
    for place in (_FENCE.at_its_end, _FENCE.at_its_start):
        fenced = place(payload)
        is_missing_payload(channel.compression, fenced)
        try:
            uncompressed_bytes(channel.compression, fenced, big_endian=channel.big_endian)
        except MessageError:
            assert expected is None
        try:
            found = decode_value(channel, fenced)
        except MessageError as error:
            assert len(str(error)) < 1000
            assert expected is None
            continue
        assert expected is not None
        if isinstance(found, str):
            assert found == decode_string(expected)[0]
        else:
            assert found.shape == channel.shape
            assert found.dtype.isnative
            assert _stored(channel, found) == _stored(channel, np.frombuffer(expected, channel.dtype))
    if channel.value_bytes and not channel.is_string:
        _check_chunk(channel, payload, expected)


def _stored(channel: Channel, values: NDArray[np.generic]) -> bytes:
    if channel.type is ValueType.BOOL:
        values = values.view(np.uint8) != 0
    raw: bytes = values.astype(channel.type.numpy).tobytes()
    return raw


def _check_chunk(channel: Channel, payload: bytes, expected: bytes | None) -> None:
    """What goes into the file as it came is read by HDF5 as that value, or as an error where there is none."""
    layout = dataset_layout(channel)
    if layout.keeping is not Keeping.CHUNKS:
        return
    try:
        chunk, mask = chunk_of(layout, channel, _FENCE.at_its_end(payload))
    except MessageError:
        assert expected is None
        return
    if mask == UNFILTERED or layout.filter is Compression.NONE:
        assert expected is not None
        return
    chunk = bytes(chunk)
    if layout.filter is Compression.LZ4:
        size, block, length = struct.unpack_from(">qii", chunk)
        assert (size, block, length) == (layout.row_bytes, layout.row_bytes, len(chunk) - 16)
        assert chunk[16:] == payload[4:]
        return
    assert chunk == payload
    try:
        read = _DATASET.decode(chunk, layout.row_bytes, channel.item_bytes)
    except (OSError, RuntimeError):
        assert expected is None
        return
    assert read == expected


def _plainly(channel: Channel, payload: bytes) -> bytes | None:
    size = channel.value_bytes
    match channel.compression:
        case Compression.NONE:
            return payload if size is None or len(payload) == size else None
        case Compression.LZ4:
            return _lz4_plainly(payload, size, channel.big_endian)
    return _bitshuffle_plainly(payload, size, channel.item_bytes)


def _lz4_plainly(payload: bytes, size: int | None, big_endian: bool) -> bytes | None:
    if len(payload) < 4:
        return None
    both = [int.from_bytes(payload[:4], order) for order in (("big", "little") if big_endian else ("little", "big"))]
    for claimed in both:
        if (size is not None and claimed != size) or claimed > 255 * (len(payload) - 4):
            continue
        if claimed == 0:
            return b""
        try:
            raw: bytes = lz4.block.decompress(payload[4:], uncompressed_size=claimed)
        except lz4.block.LZ4BlockError:
            continue
        if len(raw) == claimed:
            return raw
    return None


def _bitshuffle_plainly(payload: bytes, expected: int | None, item_bytes: int) -> bytes | None:
    if len(payload) < 12:
        return None
    size, block_bytes = struct.unpack_from(">qi", payload)
    if expected is None and size == 0:
        return b""
    group = 8 * item_bytes
    if (expected is not None and size != expected) or size < 0 or size % item_bytes or block_bytes <= 0 or block_bytes % group:
        return None
    if size > 255 * len(payload):
        return None
    place, parts, left = 12, [], size
    while left >= group:
        now = min(block_bytes, left // group * group)
        if place + 4 > len(payload):
            return None
        (length,) = struct.unpack_from(">i", payload, place)
        block = payload[place + 4 : place + 4 + length]
        if length <= 0 or len(block) != length:
            return None
        try:
            planes = lz4.block.decompress(block, uncompressed_size=now)
        except lz4.block.LZ4BlockError:
            return None
        if len(planes) != now:
            return None
        bits = np.unpackbits(np.frombuffer(planes, np.uint8).reshape(8 * item_bytes, -1), axis=1, bitorder="little")
        parts.append(np.packbits(bits.reshape(item_bytes, 8, -1), axis=1, bitorder="little")[:, 0].T.tobytes())
        place, left = place + 4 + length, left - now
    if place + left > len(payload):
        return None
    return b"".join(parts) + payload[place : place + left]


def timestamp(data: bytes) -> None:
    """A timestamp is refused, or fits into int64."""
    given = Input(data)
    channel = Channel(name="T", type=ValueType.FLOAT64, big_endian=bool(given.number() & 1))
    frame = given.rest()
    try:
        time_ns = decode_timestamp(channel, frame, 5)
    except MessageError:
        assert len(frame) > 0
        return
    assert -INT64_MAX <= time_ns <= INT64_MAX


def _channel(number: int) -> Channel:
    kind = TYPES[(number >> 16) % len(TYPES)]
    return Channel(
        name="C",
        type=kind,
        shape=() if kind is ValueType.STRING else SHAPES[(number >> 8) % 256 % len(SHAPES)],
        compression=COMPRESSIONS[number % 256 % len(COMPRESSIONS)],
        big_endian=bool(number >> 7 & 1),
    )


def _value(random: Random) -> bytes:
    number = random.getrandbits(24)
    channel = _channel(number)
    size = random.choice((0, 1, 5, 3000)) if channel.value_bytes is None else channel.value_bytes
    raw = cells(random, size)[:size]
    payload = compress(channel.compression, raw, item_bytes=channel.item_bytes, big_endian=bool(random.randint(0, 1)))
    if payload and not random.randint(0, 3):  # in the lengths, where most is decided
        place = random.choice((0, 4, 7, 8, 11, 12, 15))
        payload = payload[:place] + number_bytes(random) + payload[place + 4 :]
    return number.to_bytes(3, "big") + damaged(random, payload)


def _timestamp(random: Random) -> bytes:
    return random.randbytes(1) + damaged(random, struct.pack("<qq", 1_700_000_000, 5), most=3)


TARGETS = {
    "value": Target(run=value, make=_value, share=30),
    "timestamp": Target(run=timestamp, make=_timestamp, share=2),
}
