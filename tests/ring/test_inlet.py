"""Bytes in pieces of any size become whole messages in segments, none lost, none torn."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.message.layout import CommandFrame, Dropped
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.ring.inlet import Arrived, Event, Inlet
from sf_bsread_writer.ring.segment import Segment, SegmentPool
from sf_bsread_writer.testing.messages import message_of, stream_of
from sf_bsread_writer.zmtp.frames import encode_command, encode_message

SEGMENT_BYTES = 4096


def text(pulse_id: int, size: int) -> list[bytes]:
    return message_of(pulse_id, {"T": chr(97 + pulse_id % 26) * size})


def pour(inlet: Inlet, data: bytes, pieces: list[int] | None = None) -> list[Event]:
    """Puts the bytes in as a socket would: at most as many as there is room for; ``pieces`` limits each turn."""
    events: list[Event] = []
    rest = memoryview(data)
    turn = 0
    while rest:
        free = inlet.buffer()
        assert free is not None
        count = min(len(free), len(rest), pieces[turn % len(pieces)] if pieces else len(rest))
        free[:count] = rest[:count]
        rest = rest[count:]
        turn += 1
        events += inlet.received(count)
    return events


def kept(events: list[Event]) -> list[bytes]:
    """All messages as bytes; their segments stay pinned."""
    messages = []
    for event in events:
        if isinstance(event, Arrived):
            ends = zip(event.run.starts.tolist(), event.run.ends.tolist(), strict=True)
            messages += [bytes(event.segment.view[start:end]) for start, end in ends]
    return messages


@given(
    sizes=st.lists(st.sampled_from([0, 10, 11, 300, 301, 1500, 4000, 9000, 30_000]), min_size=1, max_size=30),
    pieces=st.lists(st.sampled_from([1, 7, 100, 1000, 4096, 50_000]), min_size=1, max_size=5),
)
def test_messages_of_any_size_in_pieces_of_any_size_arrive_whole(sizes: list[int], pieces: list[int]) -> None:
    messages = [encode_message(text(i, size)) for i, size in enumerate(sizes)]
    if sum(sizes) > 5000:
        pieces = [max(piece, 100) for piece in pieces]
    pool = SegmentPool(1 << 20, SEGMENT_BYTES)
    inlet = Inlet(pool)
    got: list[bytes] = []
    rest = b"".join(messages)
    turn = 0
    while rest:  # as `pour`, but looking at each message while it is there: nobody pins the segments
        free = inlet.buffer()
        assert free is not None
        count = min(len(free), len(rest), pieces[turn % len(pieces)])
        free[:count] = rest[:count]
        rest = rest[count:]
        turn += 1
        got += kept(inlet.received(count))
    assert got == messages
    inlet.close()
    statistics = pool.statistics()
    assert statistics.used_bytes == 0
    # Never more than the present segment, the next one, and room to double for a message without a known end.
    assert statistics.allocated_bytes <= 4 * (max(sizes) + 2 * SEGMENT_BYTES)


def test_messages_stay_where_they_are_as_long_as_their_segment_is_pinned() -> None:
    pool = SegmentPool(1 << 20, SEGMENT_BYTES)
    inlet = Inlet(pool)
    held: list[tuple[Segment, Event]] = []
    messages = [text(i, 500) for i in range(60)]
    for frames in messages:
        for event in pour(inlet, encode_message(frames)):
            assert isinstance(event, Arrived)
            event.segment.pin()
            held.append((event.segment, event))
    assert kept([event for _, event in held]) == [encode_message(frames) for frames in messages]
    inlet.close()
    for segment, _ in held:
        segment.unpin()
    assert pool.statistics().used_bytes == 0


def test_without_free_memory_there_is_no_buffer_until_a_segment_is_given_back() -> None:
    pool = SegmentPool(2 * SEGMENT_BYTES, SEGMENT_BYTES)
    inlet = Inlet(pool)
    pinned = []
    sent = 0
    while inlet.buffer() is not None:
        for event in pour(inlet, encode_message(text(sent, 700))):
            assert isinstance(event, Arrived)
            event.segment.pin()
            pinned.append(event.segment)
        sent += 1
    assert inlet.buffer() is None
    assert len(pinned) == sent >= 6
    for segment in pinned:
        segment.unpin()
    assert kept(pour(inlet, encode_message(text(sent, 700)))) == [encode_message(text(sent, 700))]
    inlet.close()


def test_a_steady_stream_is_never_moved() -> None:
    inlet = Inlet(SegmentPool(1 << 20, 1 << 16))
    one = encode_message(text(3, 20_000))
    got = kept(pour(inlet, one))
    segments: list[tuple[int, int]] = []  # serial, and what was in it before anything was received into it
    rest = one * 20
    while rest:
        free = inlet.buffer()
        assert free is not None
        assert inlet._segment is not None
        segments.append((inlet._segment.serial, inlet._stop))
        count = min(len(free), len(rest))
        free[:count] = rest[:count]
        rest = rest[count:]
        got += kept(inlet.received(count))
    assert got == [one] * 21
    moved = [stop for (before, _), (serial, stop) in pairwise(segments) if serial != before]
    assert len(moved) >= 6
    assert set(moved) == {0}
    inlet.close()


def test_a_message_without_a_known_end_is_not_moved_at_each_frame() -> None:
    pool = SegmentPool(1 << 24, SEGMENT_BYTES)
    inlet = Inlet(pool)
    frames = [*text(1, 10), *[b"x" * 1000] * 400]
    serials = set()
    data = memoryview(encode_message(frames))
    events: list[Event] = []
    while data:
        free = inlet.buffer()
        assert free is not None
        assert inlet._segment is not None
        serials.add(inlet._segment.serial)
        count = min(len(free), len(data), 1000)
        free[:count] = data[:count]
        data = data[count:]
        events += inlet.received(count)
    assert kept(events) == [encode_message(frames)]
    assert len(serials) <= 9  # doubled from 4 KiB to 400 KB
    inlet.close()


def test_a_lost_connection_loses_the_unfinished_message_only() -> None:
    inlet = Inlet(SegmentPool(1 << 20, SEGMENT_BYTES))
    first, second, third = (encode_message(text(i, 500)) for i in range(3))
    assert kept(pour(inlet, first + second[:100])) == [first]
    assert inlet.reset() == 100
    assert inlet.reset() == 0
    assert kept(pour(inlet, third)) == [third]
    inlet.close()


def test_commands_and_dropped_messages_come_in_their_order() -> None:
    inlet = Inlet(SegmentPool(1 << 20, SEGMENT_BYTES))
    good = encode_message(text(1, 5))
    events = pour(inlet, good + encode_command("PING", b"\0\0x") + encode_message([b"garbage", b"x"]) + good)
    assert [type(event) for event in events] == [Arrived, CommandFrame, Dropped, Arrived]
    inlet.close()


def test_bytes_that_came_with_the_handshake_are_taken_first() -> None:
    inlet = Inlet(SegmentPool(1 << 20, SEGMENT_BYTES))
    messages = [text(i, 3000) for i in range(5)]
    data = stream_of(messages)
    got = kept(inlet.feed(data[:7000]))
    got += kept(pour(inlet, data[7000:]))
    assert got == [encode_message(frames) for frames in messages]
    inlet.close()


def test_bytes_of_the_handshake_without_free_memory_are_an_error() -> None:
    pool = SegmentPool(SEGMENT_BYTES, SEGMENT_BYTES)
    taken = pool.take()
    assert taken is not None
    with pytest.raises(MemoryError, match="no segment is free for the 4 bytes"):
        Inlet(pool).feed(b"abcd")


def test_lost_framing_is_an_error_behind_all_that_was_whole() -> None:
    inlet = Inlet(SegmentPool(1 << 20, SEGMENT_BYTES), Limits(max_frame_bytes=1000))
    good = encode_message(text(1, 5))
    assert kept(pour(inlet, good + b"\x78\x00")) == [good]
    with pytest.raises(PeerError, match="reserved flag bits 0x78"):
        pour(inlet, b"more")
    inlet.close()


def test_a_message_larger_than_all_memory_goes_by_in_the_place_where_it_began() -> None:
    pool = SegmentPool(2 * SEGMENT_BYTES, SEGMENT_BYTES)
    inlet = Inlet(pool, Limits(max_frame_bytes=1000, max_message_bytes=1000))
    good, large = encode_message(text(1, 300)), encode_message([*text(2, 300)[:2], bytes(100 * SEGMENT_BYTES), b""])
    events = pour(inlet, good + large + good, [1, 5000])
    assert kept(events) == [good, good]
    assert [event.kind for event in events if isinstance(event, Dropped)] == ["too large"]
    assert pool.statistics().segments == 1
    inlet.close()


def test_lost_framing_at_the_end_of_a_segment_is_told_with_the_next_byte() -> None:
    good = encode_message(text(1, 300))
    inlet = Inlet(SegmentPool(4 * SEGMENT_BYTES, SEGMENT_BYTES))
    assert kept(pour(inlet, good + b"\xff" * (SEGMENT_BYTES - len(good)))) == [good]
    with pytest.raises(PeerError, match="reserved flag bits"):
        pour(inlet, b"\0")
    inlet.close()


def test_a_segment_may_end_anywhere_within_a_message_that_goes_by() -> None:
    goes_by = encode_message([b"{}", *[bytes(300)] * 20])
    for size in range(300, 610):
        before = encode_message([b'{"htype":"bsr_m-1.1"}', bytes(900), bytes(size)])
        inlet = Inlet(SegmentPool(4 * SEGMENT_BYTES, SEGMENT_BYTES), Limits(max_frame_bytes=1000, max_message_bytes=2000))
        events = pour(inlet, before + goes_by + before)
        assert [event.kind for event in events if isinstance(event, Dropped)] == ["too large"]
        assert [len(event.run) for event in events if isinstance(event, Arrived)] == [1, 1]
        inlet.close()
