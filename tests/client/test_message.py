"""Messages as Python and NumPy values."""

from typing import Any

import numpy as np
import pytest

from sf_bsread_writer.client.message import Message
from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.beam import CHANNELS, OWN_TIME_STEP_NS, beam_message, beam_values
from sf_bsread_writer.testing.messages import message_of, run_of, time_of


def one(frames: list[bytes]) -> Message:
    return Message(run_of([frames]), 0)


def assert_beam(message: Message) -> None:
    """The message is that of its pulse in `beam`, and nothing else."""
    expected = {name: value for name, value in beam_values(message.pulse_id).items() if value is not None}
    assert message.global_timestamp_ns == time_of(message.pulse_id)
    assert list(message.values) == list(message.timestamps_ns) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(message.values[name], value, err_msg=name)
    times = {channel.name: time_of(message.pulse_id) + n * OWN_TIME_STEP_NS for n, channel in enumerate(CHANNELS)}
    assert dict(message.timestamps_ns) == {name: times[name] for name in expected}


@pytest.mark.parametrize("pulse_id", [6, 10, 11])
def test_values_and_times_are_those_that_were_sent_and_what_is_missing_is_absent(pulse_id: int) -> None:
    message = one(beam_message(pulse_id))
    assert message.pulse_id == pulse_id
    assert_beam(message)
    assert ("SOMETIMES" in message.values) == (len(message.values) == 6) == (pulse_id % 3 != 0)
    assert tuple(message.channels.values()) == CHANNELS
    assert message.values.get("NOT THERE") is None
    with pytest.raises(KeyError, match="NOT THERE"):
        message.timestamps_ns["NOT THERE"]


def test_values_are_numpy_scalars_arrays_of_the_machines_byte_order_and_texts() -> None:
    values = one(beam_message(1)).values
    kinds = [np.float64, np.ndarray, np.ndarray, str, np.bool_, np.int64]
    assert [type(value) for value in values.values()] == kinds
    assert values["WAVE:FORM-1"].dtype == np.dtype("=i4")
    assert values["IMAGE"].shape == (4, 6)
    values["IMAGE"][:] = 0  # its own memory: the message still has what was sent
    np.testing.assert_array_equal(values["IMAGE"], np.asarray(beam_values(1)["IMAGE"]))


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("big_endian", [False, True])
def test_compressed_values_of_either_byte_order_are_decoded(compression: Compression, big_endian: bool) -> None:
    image = np.arange(3000, dtype=np.uint16).reshape(50, 60)
    channels = [
        Channel(name="I", type=ValueType.UINT16, shape=(50, 60), compression=compression, big_endian=big_endian),
        Channel(name="T", type=ValueType.STRING, compression=compression, big_endian=big_endian),
        Channel(name="EMPTY", type=ValueType.STRING, compression=compression, big_endian=big_endian),
        Channel(name="NONE", type=ValueType.INT32, compression=compression, big_endian=big_endian),
    ]
    given: dict[str, Any] = {"I": image, "T": "µ", "EMPTY": "", "NONE": None}
    values = one(message_of(1, given, channels=channels, dh_compression=compression)).values
    assert list(values) == ["I", "T", "EMPTY"]
    np.testing.assert_array_equal(values["I"], image, strict=True)
    assert (values["T"], values["EMPTY"]) == ("µ", "")


@pytest.mark.parametrize("payload", [b"\0\0\0\0", bytes(12)])
def test_compressed_value_that_says_it_holds_nothing_is_absent(payload: bytes) -> None:
    compression = Compression.LZ4 if len(payload) == 4 else Compression.BITSHUFFLE_LZ4
    frames = message_of(1, {"A": 7}, channels=[Channel(name="A", type=ValueType.INT32, compression=compression)])
    assert list(one(frames).values) == ["A"]
    frames[2] = payload
    assert len(one(frames).values) == len(one(frames).timestamps_ns) == 0


def test_damage_to_one_value_is_told_where_it_is_looked_at_and_nowhere_else() -> None:
    frames = message_of(1, {"A": 7, "B": 8})
    frames[2], frames[5] = b"short", b"no time"
    message = one(frames)
    assert (message.values["B"], message.timestamps_ns["A"]) == (8, time_of(1))
    with pytest.raises(MessageError, match="'A'"):
        message.values["A"]
    with pytest.raises(MessageError, match="'B'"):
        message.timestamps_ns["B"]


def test_header_that_cannot_be_understood_leaves_pulse_id_and_time() -> None:
    frames = message_of(5, {"A": 7})
    frames[1] = b"{}}"
    message = one(frames)
    assert (message.pulse_id, message.global_timestamp_ns) == (5, time_of(5))
    with pytest.raises(MessageError, match="data header"):
        list(message.values)


def test_of_channels_with_one_name_the_first_counts() -> None:
    channel = Channel(name="A", type=ValueType.INT32)
    message = one(message_of(1, {"A": 7}, channels=[channel, Channel(name="A", type=ValueType.FLOAT64)]))
    assert message.channels == {"A": channel}
    assert (list(message.values), message.values["A"].dtype) == (["A"], np.int32)
