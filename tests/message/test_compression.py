import contextlib
import struct
import tracemalloc
from pathlib import Path

import bitshuffle
import h5py
import hdf5plugin  # registers the filters that the files here are read with
import lz4.block
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import (
    MAX_HEADER_BYTES,
    bitshuffle_chunk,
    chunk_bound,
    compress,
    decompress,
    decompress_header,
    is_missing_payload,
    lz4_chunk,
    make_chunk,
    uncompressed_bytes,
)
from sf_bsread_writer.message.types import Compression

LZ4 = Compression.LZ4
BITSHUFFLE = Compression.BITSHUFFLE_LZ4
COMPRESSED = [LZ4, BITSHUFFLE]
ITEM_BYTES = [1, 2, 4, 8]


def ramp(items: int, item_bytes: int) -> bytes:
    """Values that compress: a slow ramp."""
    return (np.arange(items) // 7).astype(f"<u{item_bytes}").tobytes()


def noise(items: int, item_bytes: int) -> bytes:
    return np.random.default_rng(items).bytes(items * item_bytes)


# both ways


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("item_bytes", ITEM_BYTES)
@pytest.mark.parametrize("items", [1, 7, 8, 9, 1000, 4096, 8192, 20_003])
@pytest.mark.parametrize("make", [ramp, noise])
def test_a_value_goes_both_ways(compression: Compression, item_bytes: int, items: int, make: object) -> None:
    raw = make(items, item_bytes)  # type: ignore[operator]
    for big_endian in (False, True):
        payload = compress(compression, raw, item_bytes=item_bytes, big_endian=big_endian)
        assert uncompressed_bytes(compression, payload, big_endian=big_endian) == len(raw)
        assert not is_missing_payload(compression, payload)
        for order in (False, True):
            got = decompress(compression, payload, expected_bytes=len(raw), item_bytes=item_bytes, big_endian=order)
            assert got == raw


@given(raw=st.binary(max_size=300), compression=st.sampled_from(Compression), big_endian=st.booleans())
def test_bytes_of_unknown_length_go_both_ways(raw: bytes, compression: Compression, big_endian: bool) -> None:
    payload = compress(compression, raw, item_bytes=1, big_endian=big_endian)
    assert decompress(compression, payload, expected_bytes=None, item_bytes=1, big_endian=big_endian) == raw


@given(raw=st.binary(min_size=1, max_size=300), compression=st.sampled_from(Compression))
def test_memoryviews_do_as_well_as_bytes(raw: bytes, compression: Compression) -> None:
    payload = memoryview(bytearray(compress(compression, memoryview(raw), item_bytes=1)))
    assert decompress(compression, payload, expected_bytes=len(raw), item_bytes=1) == raw


# lz4: both byte orders of its length


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("big_endian", [False, True])
def test_an_lz4_length_is_read_in_the_order_that_fits_the_channel(order: str, big_endian: bool) -> None:
    raw = ramp(300, 8)
    payload = len(raw).to_bytes(4, order) + lz4.block.compress(raw, store_size=False)  # type: ignore[arg-type]
    assert decompress(LZ4, payload, expected_bytes=len(raw), item_bytes=8, big_endian=big_endian) == raw


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize("size", [1, 200, 256, 257, 65536, 131072, 0x010001])
def test_an_lz4_header_is_read_in_the_order_that_decodes(order: str, size: int) -> None:
    raw = (b'{"htype":"bsr_d-1.1"}' * (size // 20 + 1))[:size]
    payload = size.to_bytes(4, order) + lz4.block.compress(raw, store_size=False)  # type: ignore[arg-type]
    assert decompress_header(LZ4, payload) == raw


def test_an_lz4_length_that_fits_in_no_order_is_an_error_with_both() -> None:
    payload = struct.pack(">I", 258) + lz4.block.compress(bytes(8), store_size=False)
    with pytest.raises(MessageError, match=r"258 bytes \(or 33619968.*expected 8"):
        decompress(LZ4, payload, expected_bytes=8, item_bytes=8)


# damage


def damaged(compression: Compression) -> dict[str, bytes]:
    good = compress(compression, ramp(5000, 2), item_bytes=2)
    size = 12 if compression is BITSHUFFLE else 4
    return {
        "empty": b"",
        "half a length": good[: size // 2],
        "only a length": good[:size],
        "truncated": good[:-1],
        "cut in half": good[: len(good) // 2],
        "length one more": good[: size - 4] + b"\x00\x00\x27\x11" + good[size:],
        "length one less": good[: size - 4] + b"\x00\x00\x27\x0f" + good[size:],
        "length gigantic": b"\x7f" + good[1:],
        "length negative": b"\xff" * size + good[size:],
        "blocks overwritten": good[: size + 8] + b"\xff" * (len(good) - size - 8),
    }


CASES = [(compression, name) for compression in COMPRESSED for name in damaged(compression)]


@pytest.mark.parametrize(("compression", "name"), CASES)
def test_a_damaged_value_is_a_message_error(compression: Compression, name: str) -> None:
    with pytest.raises(MessageError):
        decompress(compression, damaged(compression)[name], expected_bytes=10_000, item_bytes=2)


@pytest.mark.parametrize(("compression", "name"), CASES)
def test_a_damaged_header_is_a_message_error(compression: Compression, name: str) -> None:
    with pytest.raises(MessageError):
        decompress_header(compression, damaged(compression)[name])


@given(
    compression=st.sampled_from(COMPRESSED),
    item_bytes=st.sampled_from(ITEM_BYTES),
    items=st.integers(1, 3000),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 50),
)
def test_no_damage_gives_anything_but_the_right_number_of_bytes_or_an_error(
    compression: Compression, item_bytes: int, items: int, changes: list[tuple[int, int]], cut: int
) -> None:
    payload = bytearray(compress(compression, ramp(items, item_bytes), item_bytes=item_bytes))
    for place, byte in changes:
        payload[place % len(payload)] = byte
    payload = payload[: len(payload) - cut]
    try:
        got = decompress(compression, payload, expected_bytes=items * item_bytes, item_bytes=item_bytes)
    except MessageError:
        return
    assert len(got) == items * item_bytes


@given(st.sampled_from(COMPRESSED), st.binary(max_size=64))
def test_no_bytes_break_the_decompression_of_headers(compression: Compression, payload: bytes) -> None:
    with contextlib.suppress(MessageError):
        decompress_header(compression, payload)


@pytest.mark.parametrize("block_bytes", [0, -8192, 8, 8190, 2**31 - 1])
def test_blocks_of_impossible_size_are_refused(block_bytes: int) -> None:
    payload = bytearray(compress(BITSHUFFLE, ramp(5000, 2), item_bytes=2))
    payload[8:12] = struct.pack(">i", block_bytes)
    with pytest.raises(MessageError):
        decompress(BITSHUFFLE, payload, expected_bytes=10_000, item_bytes=2)


def test_sizes_are_checked_before_memory_is_taken() -> None:
    payloads = {
        LZ4: [struct.pack(">I", 0xFFFFFFFF) + b"\xff" * 10_000, struct.pack(">I", MAX_HEADER_BYTES) + b"\0" * 100],
        BITSHUFFLE: [
            struct.pack(">qi", 1 << 62, 8192) + b"\0" * 10_000,
            struct.pack(">qi", MAX_HEADER_BYTES, 8192) + b"\0" * 100,
        ],
    }
    huge = 1 << 40
    tracemalloc.start()
    try:
        for compression, hostile in payloads.items():
            for payload in hostile:
                with pytest.raises(MessageError):
                    decompress_header(compression, payload)
                with pytest.raises(MessageError):
                    decompress(compression, payload, expected_bytes=None, item_bytes=1)
                with pytest.raises(MessageError):
                    decompress(compression, payload, expected_bytes=huge, item_bytes=1)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_an_uncompressed_value_must_have_its_size() -> None:
    assert decompress(Compression.NONE, b"12345678", expected_bytes=8, item_bytes=8) == b"12345678"
    for payload in (b"", b"1234567", b"123456789"):
        with pytest.raises(MessageError, match=f"{len(payload)} bytes, expected 8"):
            decompress(Compression.NONE, payload, expected_bytes=8, item_bytes=8)


# missing values


@pytest.mark.parametrize("compression", Compression)
def test_an_empty_frame_is_missing(compression: Compression) -> None:
    assert is_missing_payload(compression, b"")
    assert uncompressed_bytes(compression, b"") == 0


@pytest.mark.parametrize(
    ("compression", "payload"),
    [(LZ4, bytes(4)), (LZ4, bytes(5)), (BITSHUFFLE, bytes(12)), (BITSHUFFLE, struct.pack(">qi", 0, 8192))],
)
def test_zero_bytes_uncompressed_is_missing(compression: Compression, payload: bytes) -> None:
    assert is_missing_payload(compression, payload)
    assert uncompressed_bytes(compression, payload) == 0
    assert is_missing_payload(compression, memoryview(payload))


@pytest.mark.parametrize("payload", [b"\0", bytes(8), b"\0\0\0\1\0"])
def test_any_other_frame_is_a_value(payload: bytes) -> None:
    assert not is_missing_payload(Compression.NONE, payload)


def test_too_short_for_a_length_is_damaged_and_not_missing() -> None:
    assert not is_missing_payload(LZ4, bytes(3))
    assert not is_missing_payload(BITSHUFFLE, bytes(7))
    for compression, payload in ((LZ4, bytes(3)), (BITSHUFFLE, bytes(7))):
        with pytest.raises(MessageError):
            uncompressed_bytes(compression, payload)


# payloads as chunks of a file


def read_chunk(path: Path, chunk: bytes, shape: tuple[int, ...], dtype: np.dtype, **filters: object) -> np.ndarray:
    """What h5py and hdf5plugin read from a file whose only chunk is this one."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", shape=(1, *shape), chunks=(1, *shape), dtype=dtype, **filters)
        dataset.id.write_direct_chunk((0,) * (1 + len(shape)), chunk)
    with h5py.File(path) as file:
        values: np.ndarray = file["x"][0]
        return values


@pytest.mark.parametrize("item_bytes", ITEM_BYTES)
@pytest.mark.parametrize("shape", [(1,), (7,), (4096,), (30, 41), (128, 1280)])
def test_a_bitshuffle_payload_is_a_chunk_of_filter_32008(tmp_path: Path, item_bytes: int, shape: tuple[int, ...]) -> None:
    image = np.frombuffer(ramp(int(np.prod(shape)), item_bytes), f"<u{item_bytes}").reshape(shape)
    payload = compress(BITSHUFFLE, image.tobytes(), item_bytes=item_bytes)
    chunk = bitshuffle_chunk(payload, image.nbytes, item_bytes)
    assert chunk is payload
    got = read_chunk(tmp_path / "x.h5", bytes(chunk), shape, image.dtype, **hdf5plugin.Bitshuffle(cname="lz4"))
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("shape", [(100,), (30, 41), (128, 1280)])
def test_an_lz4_payload_becomes_a_chunk_of_filter_32004(tmp_path: Path, shape: tuple[int, ...], big_endian: bool) -> None:
    image = np.frombuffer(ramp(int(np.prod(shape)), 2), "<u2").reshape(shape)
    chunk = lz4_chunk(compress(LZ4, image.tobytes(), item_bytes=2, big_endian=big_endian), image.nbytes)
    assert chunk is not None
    got = read_chunk(tmp_path / "x.h5", chunk, shape, image.dtype, **hdf5plugin.LZ4())
    np.testing.assert_array_equal(got, image)


def test_incompressible_lz4_payloads_are_longer_than_their_value_and_still_chunks(tmp_path: Path) -> None:
    image = np.frombuffer(noise(1000, 8), "<u8")
    payload = compress(LZ4, image.tobytes(), item_bytes=8)
    assert len(payload) - 4 > image.nbytes
    chunk = lz4_chunk(payload, image.nbytes)
    assert chunk is not None
    np.testing.assert_array_equal(read_chunk(tmp_path / "x.h5", chunk, (1000,), image.dtype, **hdf5plugin.LZ4()), image)


def test_an_lz4_block_as_long_as_its_value_is_no_chunk() -> None:
    # The filter would read such a block as the value itself. 14 bytes, the last one 4 times more, 12 bytes: 30 bytes in 30.
    block = bytes([14 << 4]) + bytes(range(1, 15)) + b"\x01\x00" + bytes([12 << 4]) + bytes(range(50, 62))
    raw = lz4.block.decompress(block, uncompressed_size=30)
    assert len(block) == len(raw)
    assert lz4_chunk(struct.pack(">I", 30) + block, 30) is None


@pytest.mark.parametrize("raw_bytes", [0, 9_999, 10_001])
def test_a_payload_of_another_size_is_no_chunk(raw_bytes: int) -> None:
    with pytest.raises(MessageError, match=str(raw_bytes)):
        lz4_chunk(compress(LZ4, ramp(5000, 2), item_bytes=2), raw_bytes)
    with pytest.raises(MessageError, match=str(raw_bytes)):
        bitshuffle_chunk(compress(BITSHUFFLE, ramp(5000, 2), item_bytes=2), raw_bytes, 2)


@pytest.mark.parametrize("name", damaged(BITSHUFFLE))
def test_a_damaged_bitshuffle_payload_never_reaches_the_file(name: str) -> None:
    with pytest.raises(MessageError):
        bitshuffle_chunk(damaged(BITSHUFFLE)[name], 10_000, 2)


def test_a_payload_that_is_no_whole_number_of_items_is_no_chunk() -> None:
    with pytest.raises(MessageError, match="whole number"):
        bitshuffle_chunk(compress(BITSHUFFLE, bytes(9), item_bytes=1), 9, 2)


# uncompressed values as compressed chunks of a file

FILTERS = {LZ4: dict(hdf5plugin.LZ4()), BITSHUFFLE: dict(hdf5plugin.Bitshuffle(cname="lz4"))}


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("item_bytes", ITEM_BYTES)
@pytest.mark.parametrize("shape", [(100,), (30, 41), (4099,), (128, 1280)])
def test_a_value_becomes_a_chunk_that_hdf5_reads(
    tmp_path: Path, compression: Compression, item_bytes: int, shape: tuple[int, ...]
) -> None:
    image = np.frombuffer(ramp(int(np.prod(shape)), item_bytes), f"<u{item_bytes}").reshape(shape)
    memory = np.empty(chunk_bound(compression, image.nbytes, item_bytes), np.uint8)
    size = make_chunk(compression, memoryview(image.tobytes()), item_bytes, memory)
    assert size is not None
    assert size < image.nbytes
    got = read_chunk(tmp_path / "x.h5", memory[:size].tobytes(), shape, image.dtype, **FILTERS[compression])
    np.testing.assert_array_equal(got, image)


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("items", [1, 7, 8, 1000, 20_003])
def test_what_does_not_get_smaller_is_no_chunk(compression: Compression, items: int) -> None:
    memory = np.empty(chunk_bound(compression, items * 2, 2), np.uint8)
    assert make_chunk(compression, noise(items, 2), 2, memory) is None


# the peer


@pytest.mark.parametrize("item_bytes", ITEM_BYTES)
@pytest.mark.parametrize("items", [1, 7, 8, 9, 4096, 4097, 100_003])
def test_the_bitshuffle_package_makes_and_reads_the_same_blocks(item_bytes: int, items: int) -> None:
    values = np.frombuffer(ramp(items, item_bytes), f"<u{item_bytes}")
    payload = compress(BITSHUFFLE, values.tobytes(), item_bytes=item_bytes)
    blocks = bitshuffle.compress_lz4(values)
    assert payload[12:] == blocks.tobytes()
    got = bitshuffle.decompress_lz4(np.frombuffer(payload[12:], np.uint8), values.shape, values.dtype)
    np.testing.assert_array_equal(got, values)


@pytest.mark.parametrize("block_items", [128, 1024])
def test_other_block_sizes_of_the_bitshuffle_package_are_read(block_items: int) -> None:
    values = np.frombuffer(ramp(5003, 4), "<u4")
    blocks = bitshuffle.compress_lz4(values, block_items)
    payload = struct.pack(">qi", values.nbytes, block_items * 4) + blocks.tobytes()
    assert decompress(BITSHUFFLE, payload, expected_bytes=values.nbytes, item_bytes=4) == values.tobytes()
    assert bitshuffle_chunk(payload, values.nbytes, 4) is payload
