"""What psi-bsread sends is read right, and what we encode is received right by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bsread
import numpy as np
import pytest
import zmq

from sf_bsread_writer.message.compression import is_missing_payload
from sf_bsread_writer.message.decode import decode_timestamp, decode_value
from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import message_of, run_of, time_of

pytestmark = pytest.mark.peer

TIMEOUT_MS = 10_000
COMPRESSIONS = [None, "lz4", "bitshuffle_lz4"]

VALUES: dict[str, Value] = {
    "FLOAT": 1.5,
    "INT": -7,
    "TRUE": True,
    "TEXT": "ä text",
    "WAVE": np.linspace(0, 1, 2000),
    "IMAGE": np.arange(640 * 48, dtype="u2").reshape(48, 640),
    "BYTES": np.arange(5, dtype="i1"),
    "FLOAT32": np.array([1.25, -2.5, np.inf], "f4"),
}


@contextmanager
def pull_socket() -> Iterator[tuple[zmq.Socket[bytes], int]]:
    with zmq.Context() as context, context.socket(zmq.PULL) as receiver:
        receiver.linger = 0
        receiver.rcvtimeo = TIMEOUT_MS
        port = receiver.bind_to_random_port("tcp://127.0.0.1")
        yield receiver, port


@contextmanager
def sender_to(port: int, **options: Any) -> Iterator[bsread.Sender]:
    sender = bsread.Sender(port=port, address="tcp://127.0.0.1", conn_type="connect", **options)
    sender.open()
    try:
        yield sender
    finally:
        sender.close()


def values_of(run: Run, index: int) -> dict[str, object]:
    """Every present value of one message by channel name."""
    layout, frames = run.layouts[run.layout_index[index]], run.frames(index)
    return {
        channel.name: decode_value(channel, frames[2 + 2 * i])
        for i, channel in enumerate(layout.channels.channels)
        if layout.present[i] and not is_missing_payload(channel.compression, frames[2 + 2 * i])
    }


def assert_equal(actual: dict[str, object], expected: dict[str, Value]) -> None:
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)
        if isinstance(value, np.ndarray):
            got = actual[name]
            assert isinstance(got, np.ndarray)
            assert (got.shape, got.dtype) == (value.shape, value.dtype)


@pytest.mark.parametrize("header_compression", COMPRESSIONS)
@pytest.mark.parametrize("data_compression", COMPRESSIONS)
def test_what_bsread_sends_is_read(header_compression: str | None, data_compression: str | None) -> None:
    options = {"data_header_compression": header_compression, "data_compression": data_compression}
    with pull_socket() as (receiver, port), sender_to(port, **options) as sender:
        messages = []
        for pulse_id in range(100, 105):
            sender.send(**{**VALUES, "EMPTY": [], "INT": pulse_id}, pulse_id=pulse_id, timestamp=(1_700_000_000, 42))
            messages.append(receiver.recv_multipart())
    run = run_of(messages)
    assert run.pulse_ids.tolist() == [100, 101, 102, 103, 104]
    assert run.global_timestamps_ns.tolist() == [1_700_000_000_000_000_042] * 5
    for index, pulse_id in enumerate(run.pulse_ids.tolist()):
        assert_equal(values_of(run, index), {**VALUES, "INT": pulse_id})
    layout = run.layouts[0]
    assert layout.dh_compression.value == (header_compression or "none")
    assert {channel.compression.value for channel in layout.channels.channels} == {data_compression or "none"}
    times = [
        decode_timestamp(channel, frame, -1) for channel, frame in zip(layout.channels.channels, run.frames(0)[3::2], strict=True)
    ]
    assert set(times) == {1_700_000_000_000_000_042}


def test_a_channel_that_bsread_leaves_out_is_missing() -> None:
    with pull_socket() as (receiver, port), sender_to(port) as sender:
        sender.add_channel("SLOW", lambda pulse_id: None if pulse_id % 2 else 0.5, metadata={"type": "float64", "modulo": 2})
        sender.add_channel("FAST", lambda pulse_id: pulse_id, metadata={"type": "int32"})
        messages = []
        for pulse_id in range(4):
            sender.send(pulse_id=pulse_id)
            messages.append(receiver.recv_multipart())
    run = run_of(messages)
    (slow, fast) = run.layouts[0].channels.channels
    assert (slow.name, slow.modulo, slow.type) == ("SLOW", 2, ValueType.FLOAT64)
    assert (fast.name, fast.modulo, fast.type) == ("FAST", 1, ValueType.INT32)
    for index in range(4):
        values = values_of(run, index)
        assert values["FAST"] == index
        assert ("SLOW" in values) is (index % 2 == 0)


# The other way round ----------------------------------------------------------------------------------------------------------

CHANNELS = [
    Channel(name="FLOAT", type=ValueType.FLOAT64, big_endian=True),
    Channel(name="INT", type=ValueType.INT64),
    Channel(name="TRUE", type=ValueType.BOOL),
    Channel(name="TEXT", type=ValueType.STRING),
    Channel(name="WAVE", type=ValueType.FLOAT64, shape=(2000,)),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(48, 640), big_endian=True),
    Channel(name="BYTES", type=ValueType.INT8, shape=(5,)),
    Channel(name="FLOAT32", type=ValueType.FLOAT32, shape=(3,)),
    Channel(name="SLOW", type=ValueType.FLOAT64),
]


def compressed(compression: Compression) -> list[Channel]:
    """The channels, those with more than one value compressed."""
    return [
        Channel(
            name=c.name,
            type=c.type,
            shape=c.shape,
            big_endian=c.big_endian,
            compression=compression if c.shape else Compression.NONE,
        )
        for c in CHANNELS
    ]


@pytest.mark.parametrize("dh_compression", Compression)
@pytest.mark.parametrize("compression", Compression)
def test_what_we_encode_is_received_by_bsread(dh_compression: Compression, compression: Compression) -> None:
    channels = compressed(compression)
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.linger = 0
        sender.sndtimeo = TIMEOUT_MS
        port = sender.bind_to_random_port("tcp://127.0.0.1")
        with bsread.Source(host="127.0.0.1", port=port, mode=bsread.PULL, receive_timeout=TIMEOUT_MS) as source:
            for pulse_id in (7, 8):
                frames = message_of(pulse_id, VALUES, channels=channels, dh_compression=dh_compression)
                sender.send_multipart(frames)
                message = source.receive()
                received = message.data
                assert received.pulse_id == pulse_id
                assert received.global_timestamp == time_of(pulse_id) // 10**9
                assert received.global_timestamp_offset == time_of(pulse_id) % 10**9
                values = {name: value.value for name, value in received.data.items() if value.value is not None}
                assert values.keys() == VALUES.keys()
                for name, value in VALUES.items():
                    np.testing.assert_array_equal(values[name], value, err_msg=name)
                assert received.data["INT"].timestamp == (time_of(pulse_id) + 1) // 10**9
                assert received.data["INT"].timestamp_offset == (time_of(pulse_id) + 1) % 10**9
