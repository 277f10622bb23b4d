"""What is seen of the channels in the last messages of a ring."""

import asyncio
from dataclasses import replace

import numpy as np

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.channels import LOOKED_AT_MESSAGES, Look, Seen, SeenChannel
from sf_bsread_writer.relay.reading import Reader
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.rings import MIB, feed, ring_of

A = Channel(name="A", type=ValueType.FLOAT64)


def look_at(ring: Ring) -> Seen:
    return asyncio.run(Look(ring, Reader(ring))(now_ns=(ring.next + 1) * 1_000_000_000))


def by_name(seen: Seen) -> dict[str, SeenChannel]:
    return {channel.channel.name: channel for channel in seen.channels}


def test_an_empty_ring_has_no_channels() -> None:
    assert look_at(ring_of([])) == Seen(
        channels=(), messages=0, undecodable=0, first_pulse_id=None, last_pulse_id=None, span_s=0.0
    )


def test_values_of_every_kind_are_the_last_ones() -> None:
    values = {"F": 1.5, "I": -7, "B": True, "T": "last words", "W": np.arange(4, dtype=">i2"), "V": np.zeros((40, 40), np.uint16)}
    seen = look_at(ring_of([message_of(1, values | {"F": 0.0, "T": "first"}), message_of(2, values)]))
    assert {name: channel.last_value for name, channel in by_name(seen).items()} == values | {"W": [0, 1, 2, 3], "V": None}
    assert {(c.present_messages, c.due_messages, c.last_pulse_id) for c in seen.channels} == {(2, 2, 2)}
    assert (seen.messages, seen.first_pulse_id, seen.last_pulse_id, seen.span_s) == (2, 1, 2, 2.0)


def test_a_slow_channel_is_missing_only_where_it_is_due() -> None:
    slow = replace(A, name="SLOW", modulo=10, offset=3)
    messages = [
        message_of(i, {"A": float(i)} | ({"SLOW": float(i)} if i in (13, 33) else {}), channels=(A, slow)) for i in range(11, 41)
    ]
    found = by_name(look_at(ring_of(messages)))
    assert found["A"].due_messages == found["A"].present_messages == 30
    expected = SeenChannel(channel=slow, due_messages=3, present_messages=2, last_pulse_id=33, last_value=33.0)
    assert found["SLOW"] == expected


def test_only_the_last_messages_are_looked_at() -> None:
    seen = look_at(ring_of([message_of(i, {"A": float(i)}) for i in range(3 * LOOKED_AT_MESSAGES)]))
    assert (seen.messages, seen.first_pulse_id) == (LOOKED_AT_MESSAGES, 2 * LOOKED_AT_MESSAGES)


def test_a_channel_keeps_its_counts_when_the_header_changes_and_one_that_is_gone_is_still_told() -> None:
    before = [message_of(i, {"A": float(i), "GONE": i}) for i in range(5)]
    after = [message_of(i, {"NEW": i, "A": float(i)}) for i in range(5, 8)]
    found = by_name(look_at(ring_of(before + after)))
    assert list(found) == ["NEW", "A", "GONE"]
    assert {name: (c.present_messages, c.last_pulse_id) for name, c in found.items()} == {
        "NEW": (3, 7),
        "A": (8, 7),
        "GONE": (5, 4),
    }


def test_compressed_values_are_decoded_if_they_are_small_and_damaged_ones_are_not_shown() -> None:
    channels = (replace(A, compression=Compression.LZ4), replace(A, name="B", compression=Compression.BITSHUFFLE_LZ4))
    whole = message_of(1, {"A": 2.5, "B": 3.5}, channels=channels)
    found = by_name(look_at(ring_of([whole])))
    assert [found[name].last_value for name in "AB"] == [2.5, 3.5]
    damaged = [*whole[:2], b"\xff" * len(whole[2]), *whole[3:]]
    found = by_name(look_at(ring_of([damaged])))
    assert [found[name].last_value for name in "AB"] == [None, 3.5]


def test_messages_that_cannot_be_decoded_are_counted_and_the_others_seen() -> None:
    good = message_of(1, {"A": 1.0})
    seen = look_at(ring_of([good, [good[0], b"no header", *good[2:]], good]))
    assert (seen.messages, seen.undecodable, len(seen.channels)) == (2, 1, 1)


def test_it_ends_where_the_ring_has_let_go_meanwhile_and_holds_nothing_up() -> None:
    messages = [message_of(i, {"A": float(i), "W": np.zeros(2000)}) for i in range(200)]
    ring = ring_of(messages, memory=2 * MIB)
    assert ring.next - ring.log.oldest < len(messages)

    async def both() -> Seen:
        looking = asyncio.create_task(Look(ring, Reader(ring))(now_ns=10**12))
        while not looking.done():
            await asyncio.sleep(0)
            feed(ring, messages[:40])  # goes through, though what is looked at has to go for it
        return looking.result()

    seen = asyncio.run(both())
    assert 0 < seen.messages <= LOOKED_AT_MESSAGES
    assert by_name(seen)["A"].present_messages == seen.messages


def test_what_is_long_is_not_shown_however_few_bytes_it_takes() -> None:
    text = Channel(name="T", type=ValueType.STRING)
    channels = [replace(text, name=f"T{i}", compression=kind) for i, kind in enumerate(Compression)]
    values = {channel.name: "x" * 1000 for channel in channels} | {"W": np.zeros(64), "LONGER": np.zeros(65, np.uint8)}
    channels += [replace(A, name="W", shape=(64,)), Channel(name="LONGER", type=ValueType.UINT8, shape=(65,))]
    found = by_name(look_at(ring_of([message_of(1, values, channels=channels)])))
    assert {name: channel.last_value for name, channel in found.items()} == values | {"W": [0.0] * 64, "LONGER": None}
    longer = {name: value + "x" if isinstance(value, str) else value for name, value in values.items()}
    found = by_name(look_at(ring_of([message_of(1, longer, channels=channels)])))
    assert [found[f"T{i}"].last_value for i in range(3)] == [None] * 3
    assert {channel.last_pulse_id for channel in found.values()} == {1}


def test_of_each_channel_the_newest_value_counts_though_layouts_alternate() -> None:
    slow = [A, replace(A, name="B", modulo=3), replace(A, name="C", compression=Compression.LZ4)]
    messages = [
        message_of(i, {"A": float(i), "C": float(i)} | ({"B": float(i)} if i % 3 == 0 else {}), channels=slow) for i in range(50)
    ]
    messages[49][6] = b"\0" * len(messages[49][6])  # says that it holds nothing
    found = by_name(look_at(ring_of(messages)))
    assert {name: (c.last_pulse_id, c.last_value, c.present_messages, c.due_messages) for name, c in found.items()} == {
        "A": (49, 49.0, 50, 50),
        "B": (48, 48.0, 17, 17),
        "C": (48, 48.0, 49, 50),
    }
