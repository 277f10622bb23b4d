"""What somebody sees of a ring who looks at it."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest

from sf_bsread_writer.errors import AbsentError, UsageError
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay import looks, reading
from sf_bsread_writer.relay.looks import MOST_SHOWN_BYTES, Looks, Shown
from sf_bsread_writer.relay.picture import Picture, Trace, picture_of, trace_of
from sf_bsread_writer.relay.trend import Trend
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.testing.messages import message_of, time_of
from sf_bsread_writer.testing.rings import MIB, feed, ring_of

_Result = TypeVar("_Result")

A = Channel(name="A", type=ValueType.FLOAT64)
IMAGE = np.random.default_rng(1).poisson(100, (1024, 1280)).astype(np.uint16)
"""2.6 MB, as a camera of today has."""


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is a turn of its own."""
    monkeypatch.setattr(reading, "TURN_S", 1e-9)


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    return asyncio.run(work)


def trend(ring: Ring, name: str = "A", *, after: int | None = None, points: int = 1000) -> Trend:
    return run(Looks(ring).trend(name, after=after, points=points))


def trace(ring: Ring, name: str = "W", *, pulse_id: int | None = None, points: int = 1000) -> Shown[Trace]:
    return run(Looks(ring).trace(name, pulse_id=pulse_id, points=points))


def image(ring: Ring, name: str = "V", *, pulse_id: int | None = None, pixels: int = 64) -> Shown[Picture]:
    return run(Looks(ring).image(name, pulse_id=pulse_id, pixels=pixels))


def scalars(pulse_ids: Sequence[int]) -> list[list[bytes]]:
    return [message_of(pulse_id, {"A": float(pulse_id)}) for pulse_id in pulse_ids]


# Trends


def test_a_trend_is_of_all_that_the_ring_holds() -> None:
    found = trend(ring_of(scalars(range(300)), length=200))
    assert (found.messages, found.first_pulse_id, found.last_pulse_id) == (200, 100, 299)
    assert found.values == list(map(float, range(100, 300)))
    few = trend(ring_of(scalars(range(5000)), length=10_000), points=100)
    assert (few.messages, few.present_messages, few.thinned, few.values[0], few.values[-1]) == (5000, 5000, True, 0.0, 4999.0)
    assert len(few.values) <= 100


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (14, [15, 17, 18]),
        (16, [17, 18]),  # one that never came
        (5, [11, 12, 13, 14, 15, 17, 18]),  # one that is gone
        (18, []),
        (100, [11, 12, 13, 14, 15, 17, 18]),  # of a counter that has started over since
    ],
)
def test_what_came_behind_a_pulse(after: int, expected: list[int]) -> None:
    ring = ring_of(scalars([9, 10, 11, 12, 13, 14, 15, 17, 18]), length=7)
    assert trend(ring, after=after).pulse_ids == expected


def test_behind_a_pulse_goes_by_arrival() -> None:
    ring = ring_of(scalars([50, 51, 52, 53, 1, 2]))
    assert trend(ring, after=52).pulse_ids == [53, 1, 2]
    assert trend(ring, after=1).pulse_ids == [2]


def test_one_who_asks_again_and_again_misses_nothing_and_has_nothing_twice() -> None:
    ring, seen = ring_of(scalars([5])), [5]
    for batch in ([6, 7], [8], [], [1, 2, 3], [4]):
        feed(ring, scalars(batch))
        seen += trend(ring, after=seen[-1]).pulse_ids
    assert seen == [5, 6, 7, 8, 1, 2, 3, 4]


def test_a_channel_without_anything_new_is_described_all_the_same() -> None:
    ring = ring_of([message_of(1, {"A": 1.0}), message_of(2, {"B": 2.0})])
    found = trend(ring, after=2)
    assert (found.channel, found.messages, found.first_pulse_id, found.values) == (A, 0, None, [])
    found = trend(ring, after=1)
    assert (found.channel, found.messages, found.first_pulse_id, found.values) == (A, 1, 2, [])


# Traces and images


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("big_endian", [False, True])
def test_the_newest_image(compression: Compression, big_endian: bool) -> None:
    channel = Channel(name="V", type=ValueType.UINT16, shape=IMAGE.shape, compression=compression, big_endian=big_endian)
    ring = ring_of([message_of(i, {"V": IMAGE + i}, channels=[channel]) for i in range(4)], memory=64 * MIB)
    found, expected = image(ring, pixels=512), picture_of(IMAGE + 3, 512)
    assert (found.channel, found.pulse_id, found.global_timestamp_ns) == (channel, 3, time_of(3))
    np.testing.assert_array_equal(found.drawn.pixels, expected.pixels)
    assert replace(found.drawn, pixels=expected.pixels) == expected
    assert image(ring, pulse_id=1).drawn.mean == pytest.approx(IMAGE.mean() + 1)


def test_a_slow_channel_is_found_far_behind_the_newest_message() -> None:
    slow = Channel(name="W", type=ValueType.INT32, shape=(5,), modulo=100)
    messages = [message_of(i, {"A": 1.0} | ({"W": np.full(5, i, np.int32)} if i == 100 else {}), channels=[A, slow])
                for i in range(90, 350)]  # fmt: skip
    ring = ring_of(messages)
    found = trace(ring)
    assert (found.channel, found.pulse_id, found.drawn) == (slow, 100, trace_of(np.full(5, 100), 10))


def test_a_compressed_payload_that_holds_nothing_is_no_value() -> None:
    channel = Channel(name="W", type=ValueType.INT32, shape=(50,), compression=Compression.BITSHUFFLE_LZ4)
    messages = [message_of(i, {"W": np.full(50, i, np.int32)}, channels=[channel]) for i in range(3)]
    messages[2][2] = b"\0" * 12
    assert trace(ring_of(messages)).pulse_id == 1


def test_where_a_header_changes_each_value_is_what_its_own_says() -> None:
    ring = ring_of([message_of(1, {"W": np.arange(3)}), message_of(2, {"X": 1.0, "W": np.arange(2.0)}), message_of(3, {"W": 5})])
    assert trace(ring, pulse_id=1).drawn.values == [0, 1, 2]
    assert trace(ring, pulse_id=2).drawn.values == [0.0, 1.0]
    with pytest.raises(UsageError, match="channel 'W' is a scalar, not a waveform; GET /trend shows it"):
        trace(ring)
    assert (trend(ring, "W").pulse_ids, trend(ring, "W").values) == ([3], [5])


def test_of_pulses_that_came_twice_the_newer_one_counts() -> None:
    ring = ring_of([message_of(1, {"W": np.full(2, i)}) for i in range(3)])
    assert trace(ring, pulse_id=1).drawn.values == [2, 2]


def test_a_damaged_value_is_told() -> None:
    for compression, payload in ((Compression.NONE, b"short"), (Compression.LZ4, b"\x28\0\0\0damaged")):
        channel = Channel(name="W", type=ValueType.INT64, shape=(5,), compression=compression)
        message = message_of(7, {"W": np.arange(5)}, channels=[channel])
        ring = ring_of([[*message[:2], payload, message[3]]])
        with pytest.raises(UsageError, match="the value of pulse 7 is damaged: channel 'W', int64 of shape"):
            trace(ring)


def test_a_few_bytes_that_claim_to_be_many_are_not_decoded() -> None:
    side = 1 << 14
    channel = Channel(name="V", type=ValueType.UINT8, shape=(side, side), compression=Compression.LZ4)
    message = message_of(1, {"V": None}, channels=[channel])
    bomb = (side * side).to_bytes(4, "little") + b"\x1f\0\x01\0" + b"\xff" * 1000
    with pytest.raises(UsageError, match=f"has {side * side} bytes; at most {MOST_SHOWN_BYTES} are shown"):
        image(ring_of([[*message[:2], bomb, b"\0" * 16]]))


# What is not there


def test_an_empty_ring_has_nothing() -> None:
    looks = Looks(ring_of([]))
    for work in (
        looks.trend("A", after=None, points=10),
        looks.trace("A", pulse_id=None, points=10),
        looks.image("A", pulse_id=1, pixels=10),
        looks.completeness(messages=10, parts=10, search="", rows=10),
    ):
        with pytest.raises(AbsentError, match="the ring is empty: nothing has arrived yet"):
            run(work)


def test_a_channel_a_value_or_a_pulse_that_is_not_there() -> None:
    channels = [A, Channel(name="W", type=ValueType.INT64, shape=(2,))]
    ring = ring_of([message_of(i, {"A": 1.0}, channels=channels) for i in (5, 6, 8)])
    with pytest.raises(AbsentError, match="no message in the ring has a channel 'X'; GET /channels"):
        trend(ring, "X")
    with pytest.raises(AbsentError, match="there is no channel 'X' in any message of the ring"):
        image(ring, "X")
    with pytest.raises(AbsentError, match="channel 'W' has no value in any message of the ring"):
        trace(ring)
    with pytest.raises(AbsentError, match="channel 'W' has no value in pulse 6"):
        trace(ring, pulse_id=6)
    with pytest.raises(AbsentError, match="pulse 7 is not in the ring, which holds 5 to 8"):
        trace(ring, pulse_id=7)


def test_each_kind_of_channel_is_shown_by_its_own_path() -> None:
    ring = ring_of([message_of(1, {"A": 1.0, "T": "text", "W": np.zeros(3), "V": np.zeros((3, 4)), "D": np.zeros((2, 3, 4))})])
    assert image(ring, "D").drawn.plane == "[0, :, :]"
    for name, path in (("T", "/channels"), ("W", "/trace"), ("V", "/image"), ("D", "/image")):
        with pytest.raises(UsageError, match=f"channel '{name}' is an? .*, not a scalar; GET {path}"):
            trend(ring, name)
    with pytest.raises(UsageError, match=r"channel 'V' is an image of shape \[3, 4\], not a waveform; GET /image shows it"):
        trace(ring, "V")
    with pytest.raises(UsageError, match="channel 'A' is a scalar, not an image; GET /trend shows it"):
        image(ring, "A")


def test_messages_that_cannot_be_read_are_passed_by() -> None:
    good = message_of(1, {"W": np.arange(3)})
    ring = ring_of([good, [good[0], b"no header", *good[2:]], [*good, b"one more"]])
    assert trace(ring).drawn.values == [0, 1, 2]
    found = run(Looks(ring).completeness(messages=10, parts=1, search="", rows=10))
    assert (found.messages, found.undecodable, found.channels[0].missing) == (3, 2, 0)


# While the ring goes on


@pytest.mark.usefixtures("short_turns")
def test_looks_hold_nothing_up_and_end_though_all_goes_meanwhile() -> None:
    values = {"A": 1.0, "W": np.zeros(2000), "V": np.zeros((300, 400), np.uint16)}
    messages = [message_of(i, values) for i in range(60)]
    ring = ring_of(messages, memory=4 * MIB)

    async def all_of_them() -> list[Any]:
        looks, began = Looks(ring), ring.next
        works = [
            looks.trend("A", after=None, points=10),
            looks.trace("W", pulse_id=None, points=10),
            looks.image("V", pulse_id=None, pixels=10),
            looks.completeness(messages=100, parts=5, search="", rows=5),
            looks.channels(10**12),
        ]
        looking = asyncio.gather(*works, return_exceptions=True)
        while not looking.done():
            await asyncio.sleep(0)
            if ring.next < began + 30:  # then the source rests, or the newest would always be gone before it is copied
                feed(ring, messages[:1])  # goes through, though what is looked at has to go for it
        return looking.result()

    trend, trace, image, completeness, channels = run(all_of_them())
    assert 0 < trend.messages <= 60
    assert set(trend.values) == {1.0}
    assert (trace.drawn.high, image.drawn.mean) == (0.0, 0.0)
    assert completeness.channels[0].missing == 0
    assert [channel.last_value for channel in channels.channels] == [1.0, None, None]
    assert ring.pool.statistics().used_segments == len({*ring.log.rows(ring.log.oldest, ring.next).serials.tolist()})


@pytest.mark.parametrize("path", ["trend", "image"])
def test_nothing_is_said_of_what_has_gone_before_it_was_read(path: str) -> None:
    ballast = np.zeros((300, 400), np.uint16)
    ring = ring_of([message_of(i, {"A": 1.0, "V": ballast}) for i in range(10)], memory=4 * MIB)
    later = [message_of(i, {"W": ballast}) for i in range(10, 40)]
    feed(ring, later[:1])

    async def overtaken() -> None:
        looks = Looks(ring)
        with pytest.raises(AbsentError):
            await looks.trace("A", pulse_id=10, points=1)  # now it knows the newest data header, and not the one before it
        work = looks.trend("A", after=None, points=10) if path == "trend" else looks.image("V", pulse_id=None, pixels=10)
        looking = asyncio.ensure_future(work)
        await asyncio.sleep(0)  # it waits for that to be decoded
        feed(ring, later[1:])
        with pytest.raises(AbsentError, match="the ring lets go of messages faster than they can be read"):
            await looking

    run(overtaken())


def test_few_values_are_decoded_at_a_time_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = ring_of([message_of(1, {"V": np.zeros((4, 4))})])
    may_go_on = threading.Event()
    begun: list[int] = []

    def slowly(values: Any, pixels: int) -> Picture:
        begun.append(pixels)
        assert may_go_on.wait(10)
        return picture_of(values, pixels)

    monkeypatch.setattr(looks, "picture_of", slowly)

    async def six() -> None:
        looking = Looks(ring)
        asked = [asyncio.ensure_future(looking.image("V", pulse_id=None, pixels=2)) for _ in range(6)]
        for _ in range(1000):  # as many turns as all of them would need
            await asyncio.sleep(0)
        assert len(begun) <= 2
        may_go_on.set()
        await asyncio.gather(*asked)

    run(six())
    assert len(begun) == 6


def test_only_the_channel_asked_for_is_decoded_of_thousands() -> None:
    channels = [replace(A, name=f"C{i}", compression=Compression.LZ4 if i % 2 else Compression.NONE) for i in range(4000)]
    message = message_of(1, {channel.name: float(i) for i, channel in enumerate(channels)}, channels=channels)
    damaged = [*message[:2], *[b"\xff" * len(frame) for frame in message[2:]]]
    place = 2 + 2 * 1235
    damaged[place] = message[place]
    ring = ring_of([damaged, damaged])
    assert trend(ring, "C1235").values == [1235.0, 1235.0]
    assert trend(ring, "C1233").values == [None, None]
