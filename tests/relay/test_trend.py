"""A scalar in many messages."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import AbsentError, UsageError
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.trend import Gathering, Trend
from sf_bsread_writer.testing import strategies
from sf_bsread_writer.testing.messages import message_of, run_of

A = Channel(name="A", type=ValueType.FLOAT64)


def trend_of(messages: list[list[bytes]], name: str = "A", points: int = 1000) -> Trend:
    gathering = Gathering(name)
    assert gathering.take(100, run_of(messages))
    return gathering.trend(points)


@pytest.mark.parametrize("kind", [kind for kind in ValueType if kind is not ValueType.STRING])
@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("big_endian", [False, True])
def test_values_of_every_type_as_they_were_sent(kind: ValueType, compression: Compression, big_endian: bool) -> None:
    channel = replace(A, type=kind, compression=compression, big_endian=big_endian)
    if kind is ValueType.BOOL:
        sent: list[Any] = [True, False, True]
    else:
        dtype = kind.numpy
        sent = [0.5, -2.0, 1e30] if dtype.kind == "f" else [np.iinfo(dtype).min, 3, np.iinfo(dtype).max]
        sent = [dtype.type(value).item() for value in sent]
    trend = trend_of([message_of(i, {"X": "x" * i, "A": value}, channels=[replace(A, name="X", type=ValueType.STRING), channel])
                      for i, value in enumerate(sent)])  # fmt: skip
    assert trend == Trend(
        channel=channel,
        messages=3,
        present_messages=3,
        first_pulse_id=0,
        last_pulse_id=2,
        thinned=False,
        pulse_ids=[0, 1, 2],
        values=sent,
    )


def test_any_byte_but_zero_is_true() -> None:
    frames = message_of(1, {"A": True})
    assert trend_of([[*frames[:2], b"\x02", frames[3]]]).values == [True]


def test_missing_where_due_is_none_and_elsewhere_nothing() -> None:
    slow = replace(A, modulo=4, offset=1)
    messages = [
        message_of(i, {"B": 1} | ({"A": float(i)} if i in (1, 9, 10) else {}), channels=[slow, replace(A, name="B")])
        for i in range(12)
    ]
    trend = trend_of(messages)
    assert (trend.pulse_ids, trend.values) == ([1, 5, 9, 10], [1.0, None, 9.0, 10.0])
    assert (trend.messages, trend.present_messages) == (12, 3)


@pytest.mark.parametrize("compression", Compression)
def test_damaged_values_and_such_that_are_no_numbers_are_none(compression: Compression) -> None:
    channel = replace(A, compression=compression)
    messages = [message_of(i, {"A": value}, channels=[channel]) for i, value in enumerate((1.0, math.nan, -math.inf, 2.0))]
    messages.append([*messages[0][:2], b"\x01\x02\x03\x04\x05", messages[0][3]])
    trend = trend_of(messages)
    assert trend.values == [1.0, None, None, 2.0, None]
    assert trend.present_messages == 5


def test_it_is_described_by_the_newest_header_that_has_it() -> None:
    messages = [
        message_of(1, {"A": 1}),
        message_of(2, {"A": np.zeros(3)}),
        message_of(3, {"A": "one"}),
        message_of(4, {"B": 0, "A": 2.5}),
        message_of(5, {"B": 1}),
    ]
    trend = trend_of(messages)
    assert (trend.channel, trend.messages, trend.pulse_ids, trend.values) == (A, 5, [1, 4], [1.0, 2.5])
    with pytest.raises(UsageError, match=r"channel 'A' is a waveform of shape \[3\], not a scalar; GET /trace shows it"):
        trend_of(messages[:2])
    with pytest.raises(UsageError, match="channel 'A' is a text, not a scalar; GET /channels has its last value"):
        trend_of(messages[:3])


def test_runs_may_come_in_any_order() -> None:
    messages = [message_of(i, {"A": float(i), "T": "t" * (i % 3)}) for i in (5, 6, 7, 2, 3)]
    gathering = Gathering("A")
    gathering.take(13, run_of(messages[3:]))
    gathering.take(10, run_of(messages[:3]))
    trend = gathering.trend(10)
    assert (trend.pulse_ids, trend.values) == ([5, 6, 7, 2, 3], [5.0, 6.0, 7.0, 2.0, 3.0])
    assert (trend.first_pulse_id, trend.last_pulse_id) == (5, 3)


def test_a_single_spike_among_many_values_is_kept() -> None:
    values = [math.sin(i / 100) for i in range(1000)]
    values[617], values[618] = 50.0, -50.0
    trend = trend_of([message_of(i, {"A": value}) for i, value in enumerate(values)], points=20)
    assert trend.thinned
    assert len(trend.values) <= 20
    assert {(617, 50.0), (618, -50.0)} <= set(zip(trend.pulse_ids, trend.values, strict=True))


def test_an_unknown_channel_is_absent_and_one_of_earlier_messages_known() -> None:
    gathering = Gathering("B")
    gathering.take(5, run_of([message_of(1, {"A": 1.0})]))
    with pytest.raises(AbsentError, match="'B'"):
        gathering.trend(10)
    assert gathering.describe(0, run_of([message_of(0, {"A": 1.0})]))
    assert not gathering.describe(0, run_of([message_of(0, {"B": 1.0})]))
    trend = gathering.trend(10)
    assert (trend.channel.name, trend.messages, trend.values) == ("B", 1, [])


def test_a_message_whose_header_cannot_be_read_has_no_value() -> None:
    good = message_of(1, {"A": 1.0})
    trend = trend_of([good, [good[0], b"no header", *good[2:]], good])
    assert (trend.messages, trend.present_messages, trend.values) == (3, 2, [1.0, 1.0])


@given(st.data())
def test_any_stream_gives_what_a_plain_decoder_reads(data: st.DataObject) -> None:
    of = data.draw(st.lists(strategies.channels(), min_size=1, max_size=3, unique_by=lambda channel: channel.name))
    messages = data.draw(st.lists(strategies.messages(of), min_size=1, max_size=8))
    number = data.draw(st.integers(0, len(of) - 1))
    channel = of[number]
    gathering = Gathering(channel.name)
    gathering.take(0, run_of([message.frames for message in messages]))
    if channel.is_string or channel.shape:
        with pytest.raises(UsageError, match="not a scalar"):
            gathering.trend(1000)
        return
    ids, values = [], []
    for message in messages:
        value = message.values[number][0]
        if value is not None or (message.pulse_id - channel.offset) % channel.modulo == 0:
            ids.append(message.pulse_id)
            values.append(np.asarray(value).item() if value is not None and np.isfinite(value) else None)
    trend = gathering.trend(1000)
    assert (trend.pulse_ids, trend.values) == (ids, values)
    assert trend.present_messages == sum(message.values[number][0] is not None for message in messages)
