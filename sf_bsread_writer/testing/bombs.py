"""Decompression bombs: small payloads that are, or say they are, very large."""

import struct
from collections.abc import Mapping

from sf_bsread_writer.message.compression import MAX_HEADER_BYTES, compress
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.testing.oddities import Frames, data_frame, main_frame

_BLOCK_BYTES = 1 << 30
_COMPRESSED = (Compression.LZ4, Compression.BITSHUFFLE_LZ4)

_HEADERS = {
    "of blanks": b" " * (4 * MAX_HEADER_BYTES),
    "of channels": b'{"channels":[' + b'{"name":""},' * (MAX_HEADER_BYTES // 12 - 10) + b'{"name":""}]}',
    "of lists": b'{"channels":[{"name":"","shape":[' + b"[]," * (MAX_HEADER_BYTES // 3 - 100) + b"0]}]}",
}
_SIZES = {"of a GiB": 1 << 30, "of 4 GiB": 1 << 32, "of 16 GiB": 1 << 34}


def packed(compression: Compression, raw: bytes, *, item_bytes: int = 1) -> bytes:
    """An honest payload."""
    return compress(compression, raw, item_bytes=item_bytes, big_endian=True)


def hollow(compression: Compression, size: int) -> bytes:
    """A payload that says it holds so many bytes, and has next to none: at most 4 GiB less one for lz4."""
    if compression is Compression.LZ4:
        return struct.pack(">I", min(size, 0xFFFFFFFF)) + bytes(1000)
    return struct.pack(">qi", size, _BLOCK_BYTES) + struct.pack(">ib", 1, 0) * -(-size // _BLOCK_BYTES)


def bombs() -> Mapping[str, Frames]:
    """Messages by what they are: a data header of no use (their names begin with ``header``), or one value of no use."""
    messages: dict[str, Frames] = {}
    for compression in _COMPRESSED:
        kind = compression.value
        for what, raw in _HEADERS.items():
            main = main_frame(1 + len(messages), dh_compression=kind)
            messages[f"header {what}, {kind}"] = [main, packed(compression, raw)]
        for what, size in _SIZES.items():
            header = data_frame({"name": f"{kind} image {what}", "type": "float64", "shape": [size // 8], "compression": kind})
            messages[f"image {what}, {kind}"] = [main_frame(1 + len(messages)), header, hollow(compression, size), b""]
        header = data_frame({"name": f"{kind} text", "type": "string", "compression": kind})
        messages[f"text, {kind}"] = [main_frame(1 + len(messages)), header, packed(compression, b"a" * (64 << 20)), b""]
    return messages
