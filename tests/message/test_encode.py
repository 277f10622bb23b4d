import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.decode import decode_timestamp, decode_value
from sf_bsread_writer.message.encode import (
    Value,
    encode_data_header,
    encode_main_header,
    encode_message,
    encode_timestamp,
    encode_value,
    header_hash,
)
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing import strategies

F8 = Channel(name="F8", type=ValueType.FLOAT64)
CAMERA = Channel(name="CAM", type=ValueType.UINT16, shape=(2, 3), big_endian=True, modulo=10, offset=1)
TEXT = Channel(name="TEXT", type=ValueType.STRING)


def assert_same(actual: object, expected: Value) -> None:
    """Equal bit for bit, NaNs too."""
    if isinstance(expected, str):
        assert actual == expected
        return
    array = np.asarray(expected)
    assert isinstance(actual, np.ndarray)
    assert (actual.shape, actual.dtype, actual.tobytes()) == (array.shape, array.dtype, array.tobytes())


@given(st.data(), strategies.channels())
def test_a_value_goes_both_ways(data: st.DataObject, channel: Channel) -> None:
    value = data.draw(strategies.values(channel))
    assert_same(decode_value(channel, encode_value(channel, value)), value)


@given(strategies.channels(), strategies.TIMES_NS)
def test_a_timestamp_goes_both_ways(channel: Channel, time_ns: int) -> None:
    assert decode_timestamp(channel, encode_timestamp(channel, time_ns), -1) == time_ns


def test_the_main_header_is_the_json_of_the_specification() -> None:
    frame = encode_main_header(pulse_id=1, global_timestamp_ns=2_000_000_003, hash="x", dh_compression=Compression.LZ4)
    assert json.loads(frame) == {
        "htype": "bsr_m-1.1",
        "pulse_id": 1,
        "global_timestamp": {"sec": 2, "ns": 3},
        "hash": "x",
        "dh_compression": "lz4",
    }


def test_the_data_header_writes_every_field_and_shapes_fastest_first() -> None:
    assert json.loads(encode_data_header([CAMERA, F8])) == {
        "htype": "bsr_d-1.1",
        "channels": [
            {
                "name": "CAM",
                "type": "uint16",
                "shape": [3, 2],
                "encoding": "big",
                "modulo": 10,
                "offset": 1,
                "compression": "none",
            },
            {
                "name": "F8",
                "type": "float64",
                "shape": [1],
                "encoding": "little",
                "modulo": 1,
                "offset": 0,
                "compression": "none",
            },
        ],
    }


def test_the_hash_is_the_md5_of_the_json() -> None:
    assert header_hash([F8]) == hashlib.md5(encode_data_header([F8])).hexdigest()
    assert header_hash([F8]) != header_hash([CAMERA])


def test_a_message_has_two_frames_per_channel() -> None:
    frames = encode_message(pulse_id=1, global_timestamp_ns=2, channels=[F8, TEXT], values=[(1.5, 3), ("abc", 4)])
    assert frames[2:] == [
        bytes.fromhex("000000000000f83f"),
        bytes(8) + b"\x03" + bytes(7),
        b"abc",
        bytes(8) + b"\x04" + bytes(7),
    ]
    assert json.loads(frames[0])["hash"] == header_hash([F8, TEXT])
    assert frames[1] == encode_data_header([F8, TEXT])


def test_a_missing_value_is_two_empty_frames() -> None:
    assert encode_message(pulse_id=1, global_timestamp_ns=2, channels=[F8], values=[(None, 3)])[2:] == [b"", b""]


def test_a_value_without_its_own_time_has_an_empty_timestamp() -> None:
    assert encode_message(pulse_id=1, global_timestamp_ns=2, channels=[F8], values=[(0.0, None)])[2:] == [bytes(8), b""]


def test_an_empty_text_is_an_empty_value_with_a_timestamp() -> None:
    value, timestamp = encode_message(pulse_id=1, global_timestamp_ns=2, channels=[TEXT], values=[("", 3)])[2:]
    assert value == b""
    assert len(timestamp) == 16


def test_header_and_hash_are_taken_from_who_has_them() -> None:
    frames = encode_message(
        pulse_id=1, global_timestamp_ns=2, channels=[F8], values=[(0.0, 1)], data_header=b"ready", hash="made"
    )
    assert frames[1] == b"ready"
    assert json.loads(frames[0])["hash"] == "made"


@pytest.mark.parametrize(("channel", "value"), [(F8, [1.0]), (CAMERA, np.zeros((3, 2))), (TEXT, 5), (F8, np.zeros(0))])
def test_a_value_that_does_not_fit_its_channel_is_a_usage_error(channel: Channel, value: Value) -> None:
    with pytest.raises(UsageError, match=channel.name):
        encode_value(channel, value)


def test_values_must_be_as_many_as_channels() -> None:
    with pytest.raises(ValueError, match="zip"):
        encode_message(pulse_id=1, global_timestamp_ns=2, channels=[F8], values=[])
