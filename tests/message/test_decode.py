import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.decode import decode_string, decode_timestamp, decode_value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType

F8 = Channel(name="F8", type=ValueType.FLOAT64)
TEXT = Channel(name="TEXT", type=ValueType.STRING)

# Type, byte order, bytes on the wire, value: the wire's half is written by hand.
TABLE = [
    (ValueType.BOOL, False, "01", True),
    (ValueType.INT8, False, "ff", -1),
    (ValueType.UINT8, True, "ff", 255),
    (ValueType.INT16, False, "feff", -2),
    (ValueType.INT16, True, "fffe", -2),
    (ValueType.UINT16, False, "0102", 0x0201),
    (ValueType.UINT16, True, "0102", 0x0102),
    (ValueType.INT32, False, "04030201", 0x01020304),
    (ValueType.INT32, True, "01020304", 0x01020304),
    (ValueType.UINT32, True, "ffffffff", 0xFFFFFFFF),
    (ValueType.INT64, False, "0100000000000080", -(2**63) + 1),
    (ValueType.UINT64, True, "8000000000000001", 2**63 + 1),
    (ValueType.FLOAT32, False, "0000c03f", 1.5),
    (ValueType.FLOAT32, True, "3fc00000", 1.5),
    (ValueType.FLOAT64, False, "000000000000f83f", 1.5),
    (ValueType.FLOAT64, True, "3ff8000000000000", 1.5),
]


@pytest.mark.parametrize(("kind", "big_endian", "wire", "expected"), TABLE)
def test_a_scalar_of_each_type_and_byte_order_is_read(kind: ValueType, big_endian: bool, wire: str, expected: object) -> None:
    value = decode_value(Channel(name="A", type=kind, big_endian=big_endian), bytes.fromhex(wire))
    assert isinstance(value, np.ndarray)
    assert value.shape == ()
    assert value.dtype == kind.numpy
    assert value.dtype.isnative
    assert value[()] == expected


def test_an_image_has_its_slowest_dimension_first() -> None:
    channel = Channel(name="CAM", type=ValueType.UINT16, shape=(2, 3))
    value = decode_value(channel, np.array([1, 2, 3, 4, 5, 6], "<u2").tobytes())
    np.testing.assert_array_equal(value, [[1, 2, 3], [4, 5, 6]])


def test_any_byte_but_zero_is_true() -> None:
    channel = Channel(name="B", type=ValueType.BOOL, shape=(4,))
    value = decode_value(channel, bytes([0, 1, 2, 255]))
    np.testing.assert_array_equal(value, [False, True, True, True])
    assert value.dtype == np.bool_  # type: ignore[union-attr]


def test_a_decoded_array_owns_its_memory() -> None:
    memory = bytearray(struct.pack("<d", 1.5))
    value = decode_value(F8, memoryview(memory))
    memory[:] = bytes(8)
    assert value == 1.5


@pytest.mark.parametrize("payload", [b"", b"1234567", b"123456789", bytes(16)])
def test_a_value_of_another_size_is_an_error_that_names_the_channel(payload: bytes) -> None:
    with pytest.raises(MessageError, match=rf"channel 'F8', float64 of shape \(\): value has {len(payload)} bytes, expected 8"):
        decode_value(F8, payload)


@pytest.mark.parametrize("compression", [Compression.LZ4, Compression.BITSHUFFLE_LZ4])
def test_garbage_in_a_compressed_channel_is_an_error_that_names_it(compression: Compression) -> None:
    channel = Channel(name="CAM", type=ValueType.UINT16, shape=(4, 4), compression=compression)
    with pytest.raises(MessageError, match=r"channel 'CAM', uint16 of shape \(4, 4\)"):
        decode_value(channel, b"garbage" * 3)


def test_a_channel_without_elements_has_an_empty_value() -> None:
    value = decode_value(Channel(name="E", type=ValueType.FLOAT64, shape=(0,)), b"")
    assert isinstance(value, np.ndarray)
    assert value.shape == (0,)


STRINGS = [
    (b"", "", False),
    (b"abc", "abc", False),
    ("ä€😀".encode(), "ä€😀", False),
    (b"abc\0\0\0", "abc", False),
    (b"abc\0def", "abc", False),
    (b"\0", "", False),
    (b"caf\xe9", "caf\ufffd", True),
    (b"\xf0\x9f\x98", "\ufffd", True),
    (b"abc\0\xff", "abc", False),
    (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd", True),
]


@pytest.mark.parametrize(("raw", "text", "damaged"), STRINGS)
def test_a_text_ends_at_the_first_nul_and_damage_is_told(raw: bytes, text: str, damaged: bool) -> None:
    assert decode_string(raw) == (text, damaged)
    assert decode_string(memoryview(raw)) == (text, damaged)
    assert decode_value(TEXT, raw) == text


@given(st.binary())
def test_every_text_can_be_written_to_hdf5(raw: bytes) -> None:
    text, _ = decode_string(raw)
    assert "\0" not in text
    text.encode()


@pytest.mark.parametrize("big_endian", [False, True])
def test_a_timestamp_is_seconds_and_nanoseconds_in_the_channels_byte_order(big_endian: bool) -> None:
    channel = Channel(name="A", type=ValueType.UINT8, big_endian=big_endian)
    frame = struct.pack(">qq" if big_endian else "<qq", 1_700_000_000, 42)
    assert decode_timestamp(channel, frame, 7) == 1_700_000_000_000_000_042


def test_an_empty_timestamp_means_the_global_one() -> None:
    assert decode_timestamp(F8, b"", 7) == 7


@pytest.mark.parametrize("size", [1, 8, 15, 17, 32])
def test_a_timestamp_of_another_size_is_an_error(size: int) -> None:
    with pytest.raises(MessageError, match=f"channel 'F8': timestamp has {size} bytes"):
        decode_timestamp(F8, bytes(size), 7)


@pytest.mark.parametrize(("sec", "ns"), [(2**62, 0), (-(2**62), 0), (2**63 - 1, 2**63 - 1)])
def test_a_time_that_int64_cannot_hold_is_an_error(sec: int, ns: int) -> None:
    with pytest.raises(MessageError, match="out of range"):
        decode_timestamp(F8, struct.pack("<qq", sec, ns), 7)
