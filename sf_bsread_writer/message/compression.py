"""Compressed payloads."""

from sf_bsread_writer.message.types import Compression


def decompress_header(compression: Compression, payload: bytes | memoryview) -> bytes:
    """Decompresses a data header frame."""
    raise NotImplementedError
