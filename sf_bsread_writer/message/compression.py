"""Compressed payloads: bytes in, bytes out, every size checked before memory is taken. Pure, but for HDF5 in memory (bitshuffle).

Values usually reach the file as they came, because a payload is a chunk of an HDF5 filter or nearly so: `bitshuffle_chunk` and
`lz4_chunk`. They are decompressed only where somebody must look at them.

- lz4: uint32 uncompressed bytes, then one raw LZ4 block. Senders disagree about the byte order of the length, so that order is
  taken which fits: to the size that is known from the channel, or else (headers, texts) to what the block really gives.
- bitshuffle_lz4: int64 uncompressed bytes and int32 block bytes, both big-endian, then for each block int32 compressed bytes and
  an LZ4 block, then up to 7 elements as they are. Exactly a chunk of HDF5 filter 32008.
"""

import struct
from struct import Struct
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.types import Compression

if TYPE_CHECKING:
    from sf_bsread_writer.message.bitshuffle import Codec

MAX_HEADER_BYTES = 16 << 20
"""A decompressed data header; the largest streams (4000 channels) have 1 MB, as many channels as there may be some 8 MB."""

MAX_TEXT_BYTES = 16 << 20
"""A decompressed text: of numbers the channel's shape says how many bytes they have, of texts nobody does."""

MAX_VALUE_BYTES = 1 << 30
"""A decompressed value; as much as a whole message may have."""

_LZ4_BEST_RATIO = 255
"""No LZ4 block gives more than so many bytes for one of its own."""

_LZ4_PREFIX_BYTES = 4
_BITSHUFFLE_GROUP = 8
"""Bitshuffle transposes this many elements at a time; what is left over at the end is stored as it is."""

_BITSHUFFLE_HEADER = Struct(">qi")
_CHUNK_HEADER = Struct(">qii")
_INT32 = Struct(">i")

Payload = bytes | bytearray | memoryview


def decompress(
    compression: Compression, payload: Payload, *, expected_bytes: int | None, item_bytes: int, big_endian: bool = False
) -> bytes:
    """The bytes of one value.

    ``expected_bytes`` is what the channel's shape and type need; None for texts, which have any length. ``big_endian`` is the
    channel's byte order, the better guess for the order of an lz4 length that nothing else tells.
    Raises `MessageError` if the payload does not hold exactly that many bytes, or is damaged.
    """
    limit = MAX_TEXT_BYTES if expected_bytes is None else expected_bytes
    _check_value(limit)
    return _decompress(compression, payload, expected_bytes, limit=limit, item_bytes=item_bytes, big_endian=big_endian)


def decompress_header(compression: Compression, payload: Payload) -> bytes:
    """The JSON of a data header frame; raises `MessageError` if it is damaged or larger than `MAX_HEADER_BYTES`."""
    return _decompress(compression, payload, None, limit=MAX_HEADER_BYTES, item_bytes=1, big_endian=True)


def compress(compression: Compression, raw: Payload, *, item_bytes: int, big_endian: bool = False) -> bytes:
    """The payload for these bytes. ``big_endian`` is the byte order in which an lz4 length is written."""
    if compression is Compression.NONE:
        return bytes(raw)
    if compression is Compression.LZ4:
        block: bytes = lz4.block.compress(raw, store_size=False)
        return len(raw).to_bytes(_LZ4_PREFIX_BYTES, "big" if big_endian else "little") + block
    if len(raw) == 0:
        return _BITSHUFFLE_HEADER.pack(0, 0)
    codec = _bitshuffle()
    chunk = np.empty(codec.bound(len(raw), item_bytes), np.uint8)
    return chunk[: codec.encode_into(chunk, raw, item_bytes)].tobytes()


def uncompressed_bytes(compression: Compression, payload: Payload, *, big_endian: bool = False) -> int:
    """How many bytes a payload says that it holds; 0 for an empty one. Nothing is decompressed.

    An lz4 length is read in both orders: the channel's (``big_endian``) is given if it is possible, else the other.
    Raises `MessageError` for a payload that is too short for its length, and for a length that cannot be.
    """
    if compression is Compression.NONE or len(payload) == 0:
        return len(payload)
    if compression is Compression.BITSHUFFLE_LZ4:
        return _bitshuffle_sizes(payload)[0]
    sizes = _lz4_sizes(payload, None, MAX_VALUE_BYTES, big_endian)
    return sizes[0]


def is_missing_payload(compression: Compression, payload: Payload) -> bool:
    """True for a value frame that means "no value": an empty one, or a compressed one that says it holds 0 bytes."""
    if len(payload) == 0:
        return True
    if compression is Compression.NONE:
        return False
    size = 8 if compression is Compression.BITSHUFFLE_LZ4 else _LZ4_PREFIX_BYTES
    return len(payload) >= size and not any(payload[:size])


def lz4_chunk(payload: Payload, raw_bytes: int) -> bytes | None:
    """An lz4 payload as a chunk of HDF5 filter 32004 that holds ``raw_bytes`` bytes; None if it must be stored decompressed.

    That filter takes a block of as many bytes as it holds for one that is stored as it is, so such a payload cannot be told from
    that. Raises `MessageError` if the payload does not say that it holds ``raw_bytes``. The block itself is not looked at.
    """
    _check_value(raw_bytes)
    _lz4_sizes(payload, raw_bytes, raw_bytes, False)
    block = payload[_LZ4_PREFIX_BYTES:]
    if len(block) == raw_bytes:
        return None
    return _CHUNK_HEADER.pack(raw_bytes, raw_bytes, len(block)) + block


def bitshuffle_chunk(payload: Payload, raw_bytes: int, item_bytes: int) -> Payload:
    """A bitshuffle_lz4 payload, which is a chunk of HDF5 filter 32008 already: the same object, its sizes checked.

    The filter trusts the block lengths in a chunk and reads wherever they point, so a damaged one would take the process of
    whoever reads the file with it. Raises `MessageError` if the payload does not say that it holds ``raw_bytes``, or if its
    blocks do not lie one behind the other inside it.
    """
    size, block_bytes = _bitshuffle_sizes(payload)
    if size != raw_bytes:
        raise MessageError(f"bitshuffle_lz4 payload says it holds {size} bytes, expected {raw_bytes}")
    _check_value(size)
    if size > _LZ4_BEST_RATIO * len(payload):
        raise MessageError(f"bitshuffle_lz4 payload of {len(payload)} bytes says it holds {size}, more than is possible")
    if size % item_bytes:
        raise MessageError(f"bitshuffle_lz4 payload of {size} bytes is no whole number of items of {item_bytes} bytes")
    if block_bytes <= 0 or block_bytes % (_BITSHUFFLE_GROUP * item_bytes):
        raise MessageError(
            f"bitshuffle_lz4 payload has blocks of {block_bytes} bytes, no multiple of 8 items of {item_bytes} bytes"
        )
    whole, rest = divmod(size, block_bytes)
    left_over = rest % (_BITSHUFFLE_GROUP * item_bytes)
    blocks = whole + (rest > left_over)
    position = _BITSHUFFLE_HEADER.size
    read = _INT32.unpack_from
    try:
        for _ in range(blocks):
            (length,) = read(payload, position)
            if length <= 0:
                raise MessageError(f"bitshuffle_lz4 payload has a block of {length} bytes at byte {position}")
            position += 4 + length
    except struct.error:
        raise MessageError(f"bitshuffle_lz4 payload of {len(payload)} bytes ends before byte {position + 4}") from None
    if position + left_over > len(payload):
        raise MessageError(f"bitshuffle_lz4 payload of {len(payload)} bytes ends before byte {position + left_over}")
    return payload


def chunk_bound(filter: Compression, raw_bytes: int, item_bytes: int) -> int:
    """How much memory `make_chunk` needs at most for so many bytes."""
    if filter is Compression.BITSHUFFLE_LZ4:
        return _bitshuffle().bound(raw_bytes, item_bytes)
    return _CHUNK_HEADER.size + raw_bytes


def make_chunk(filter: Compression, raw: Payload, item_bytes: int, into: NDArray[np.uint8]) -> int | None:
    """Compresses a value for the HDF5 filter that undoes ``filter``, into memory of at least the bound; the bytes taken of it.

    None if that is not smaller than the value itself. Raises what the codec does. Other threads run meanwhile.
    """
    if filter is Compression.BITSHUFFLE_LZ4:
        size = _bitshuffle().encode_into(into, raw, item_bytes)
        return size if size < len(raw) else None
    block = lz4.block.compress(raw, store_size=False)
    size = _CHUNK_HEADER.size + len(block)
    if size >= len(raw):
        return None
    _CHUNK_HEADER.pack_into(into.data, 0, len(raw), len(raw), len(block))
    into[_CHUNK_HEADER.size : size] = np.frombuffer(block, np.uint8)
    return size


def _decompress(
    compression: Compression, payload: Payload, expected: int | None, *, limit: int, item_bytes: int, big_endian: bool
) -> bytes:
    if compression is Compression.LZ4:
        return _decompress_lz4(payload, expected, limit, big_endian)
    if compression is Compression.BITSHUFFLE_LZ4:
        return _decompress_bitshuffle(payload, expected, limit, item_bytes)
    if expected is not None and len(payload) != expected:
        raise MessageError(f"value has {len(payload)} bytes, expected {expected}")
    if len(payload) > limit:
        raise MessageError(f"payload has {len(payload)} bytes, more than {limit}")
    return bytes(payload)


def _decompress_lz4(payload: Payload, expected: int | None, limit: int, big_endian: bool) -> bytes:
    block = memoryview(payload)[_LZ4_PREFIX_BYTES:]
    problem = ""
    for size in _lz4_sizes(payload, expected, limit, big_endian):
        if size == 0:
            return b""
        try:
            raw: bytes = lz4.block.decompress(block, uncompressed_size=size)
        except (lz4.block.LZ4BlockError, ValueError, MemoryError) as error:
            problem = str(error)
            continue
        if len(raw) == size:
            return raw
        problem = f"its block gives {len(raw)} bytes"
    raise MessageError(f"lz4 payload of {len(payload)} bytes is damaged: {problem}")


def _lz4_sizes(payload: Payload, expected: int | None, limit: int, big_endian: bool) -> list[int]:
    """The lengths that an lz4 payload may mean, the likelier first; at least one."""
    if len(payload) < _LZ4_PREFIX_BYTES:
        raise MessageError(f"lz4 payload of {len(payload)} bytes is too short for its length")
    prefix = bytes(payload[:_LZ4_PREFIX_BYTES])
    big, little = int.from_bytes(prefix, "big"), int.from_bytes(prefix, "little")
    if expected is not None and expected not in (big, little):
        raise MessageError(f"lz4 payload says it holds {big} bytes (or {little}, read as little-endian), expected {expected}")
    likely = dict.fromkeys((expected,) if expected is not None else (big, little) if big_endian else (little, big))
    most = min(limit, _LZ4_BEST_RATIO * (len(payload) - _LZ4_PREFIX_BYTES))
    sizes = [size for size in likely if size <= most]
    if not sizes:
        raise MessageError(
            f"lz4 payload of {len(payload)} bytes says it holds {' or '.join(map(str, likely))}, possible are {most}"
        )
    return sizes


def _decompress_bitshuffle(payload: Payload, expected: int | None, limit: int, item_bytes: int) -> bytes:
    size, _ = _bitshuffle_sizes(payload)
    if expected is None and size == 0:
        return b""
    if size > limit:
        raise MessageError(f"bitshuffle_lz4 payload says it holds {size} bytes, at most {limit} are decompressed")
    bitshuffle_chunk(payload, size if expected is None else expected, item_bytes)
    if size < _BITSHUFFLE_GROUP * item_bytes:
        start = _BITSHUFFLE_HEADER.size
        return bytes(payload[start : start + size])
    try:
        return _bitshuffle().decode(payload, size, item_bytes)
    except (OSError, RuntimeError, ValueError) as error:
        raise MessageError(f"bitshuffle_lz4 payload of {len(payload)} bytes is damaged: {error}") from None


def _check_value(size: int) -> None:
    if size > MAX_VALUE_BYTES:
        raise MessageError(f"value of {size} bytes is larger than any message: at most {MAX_VALUE_BYTES} are possible")


def _bitshuffle_sizes(payload: Payload) -> tuple[int, int]:
    """Uncompressed bytes and block bytes."""
    if len(payload) < _BITSHUFFLE_HEADER.size:
        raise MessageError(f"bitshuffle_lz4 payload of {len(payload)} bytes is too short for its header")
    size, block_bytes = _BITSHUFFLE_HEADER.unpack_from(payload)
    if size < 0:
        raise MessageError(f"bitshuffle_lz4 payload says it holds {size} bytes")
    return size, block_bytes


def _bitshuffle() -> "Codec":
    # Imported at first use: h5py and the filters cost 0.15 s and 20 MB, and the buffer does without them.
    from sf_bsread_writer.message.bitshuffle import codec  # noqa: PLC0415

    return codec
