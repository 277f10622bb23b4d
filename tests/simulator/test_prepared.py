"""Patched messages are those that the plain encoder makes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.message.encode import encode_message
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.simulator.batch import Batch
from sf_bsread_writer.simulator.channels import SimulatedChannel, parse_channel, preset
from sf_bsread_writer.simulator.prepared import MAIN_HEADER_START, PreparedHeader
from sf_bsread_writer.simulator.values import salt, value_at
from sf_bsread_writer.zmtp.frames import encode_message as on_the_wire

MIXED = tuple(
    parse_channel(text)
    for text in (
        "A:float64",
        "B:int16:byte_order=big",
        "WAVE:float32:100:byte_order=big",
        "LONG:int64:100",
        "TEXT:string",
        "SMALL:uint8:compression=lz4",
        "IMAGE:uint16:20x10:compression=bitshuffle_lz4",
        "BIG-TEXT:string:byte_order=big",
        "Z:bool",
    )
)
FIRST_ID = 26_012_345_678
FIRST_NS = 1_700_000_000_999_999_990
"""Near the end of a second: the channels' own timestamps, up to 1 ms later, must carry over."""


def encoded(channels: tuple[SimulatedChannel, ...], pulse_id: int, time_ns: int, present: list[bool]) -> bytes:
    """One message by way of the plain encoder."""
    frames = encode_message(
        pulse_id=pulse_id,
        global_timestamp_ns=time_ns,
        channels=[simulated.channel for simulated in channels],
        values=[
            (value_at(simulated, pulse_id), time_ns + salt(simulated.channel.name)) if is_present else (None, None)
            for simulated, is_present in zip(channels, present, strict=True)
        ],
    )
    return on_the_wire(frames)


def messages_of(batch: Batch) -> list[bytes]:
    return [b"".join(batch.pieces[first:stop]) for first, stop in zip([0, *batch.ends], batch.ends, strict=False)]


@given(present=st.lists(st.lists(st.booleans(), min_size=len(MIXED), max_size=len(MIXED)), min_size=1, max_size=6))
def test_batch_equals_encoded_messages_whatever_is_missing(present: list[list[bool]]) -> None:
    pulse_ids, times_ns = FIRST_ID + np.arange(len(present)), FIRST_NS + 10_000_000 * np.arange(len(present))
    batch = PREPARED.batch(pulse_ids, times_ns, np.array(present))
    expected = [encoded(MIXED, int(i), int(t), row) for i, t, row in zip(pulse_ids, times_ns, present, strict=True)]
    assert messages_of(batch) == expected


PREPARED = PreparedHeader(MIXED)


@pytest.mark.parametrize("channels", [preset("types"), MIXED[:1], MIXED[4:5]], ids=["types", "one scalar", "one text"])
def test_prepared_values_come_round_after_their_period(channels: tuple[SimulatedChannel, ...]) -> None:
    pulse_ids = np.arange(100, 140)
    batch = PreparedHeader(channels).batch(pulse_ids, pulse_ids, np.ones((40, len(channels)), np.bool_))
    assert messages_of(batch) == [encoded(channels, int(i), int(i), [True] * len(channels)) for i in pulse_ids]


@pytest.mark.parametrize("simulated", MIXED, ids=lambda simulated: simulated.channel.name)
def test_message_of_one_missing_channel_is_two_empty_frames_behind_the_header(simulated: SimulatedChannel) -> None:
    batch = PreparedHeader([simulated]).batch(np.array([5]), np.array([6]), np.zeros((1, 1), np.bool_))
    assert messages_of(batch) == [encoded((simulated,), 5, 6, [False])]


@pytest.mark.parametrize("compression", [Compression.LZ4, Compression.BITSHUFFLE_LZ4])
def test_data_header_is_compressed_as_asked_for(compression: Compression) -> None:
    frames = encode_message(
        pulse_id=5,
        global_timestamp_ns=6,
        channels=[MIXED[0].channel],
        values=[(value_at(MIXED[0], 5), 6 + salt("A"))],
        dh_compression=compression,
    )
    prepared = PreparedHeader(MIXED[:1], dh_compression=compression)
    assert messages_of(prepared.batch(np.array([5]), np.array([6]), np.ones((1, 1), np.bool_))) == [on_the_wire(frames)]


def test_size_is_that_of_a_whole_message() -> None:
    assert PREPARED.message_bytes == len(encoded(MIXED, 0, 0, [True] * len(MIXED)))


def test_messages_begin_as_subscriptions_are_told() -> None:
    assert encoded(MIXED[:1], 1, 1, [True])[2:].startswith(MAIN_HEADER_START)


def test_batch_is_cut_between_messages() -> None:
    batch = PREPARED.batch(np.arange(5), np.arange(5), np.ones((5, len(MIXED)), np.bool_))
    assert [messages_of(batch.head(n)) + messages_of(batch.tail(n)) for n in range(6)] == [messages_of(batch)] * 6
    assert [batch.messages_before(end) for end in batch.ends] == [1, 2, 3, 4, 5]
    assert batch.messages_before(batch.ends[1] - 1) == 1
