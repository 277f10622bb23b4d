import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import MessageError, PeerError
from sf_bsread_writer.message.encode import encode_data_header, encode_main_header
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import CommandFrame, Dropped, Event, Run
from sf_bsread_writer.message.scanner import Limits, Scanner
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import message_of, run_of, scan_pieces, stream_of
from sf_bsread_writer.testing.plain import Item, flat_with_kinds, read_plainly
from sf_bsread_writer.zmtp.frames import (
    encode_command,
    encode_frame,
    encode_frame_header,
)

CHANNELS = [Channel(name=f"C{i}", type=ValueType.FLOAT64) for i in range(3)]
SCALARS = {channel.name: 1.5 for channel in CHANNELS}
DATA = encode_data_header([])
PING = encode_command("PING", b"\0\0context")


def main(pulse_id: int = 1, **changes: object) -> bytes:
    header = json.loads(encode_main_header(pulse_id=pulse_id, global_timestamp_ns=pulse_id, hash="hash"))
    return json.dumps({**header, **changes}).encode()


def pieces_of(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    """The stream, cut at these places (taken modulo its length)."""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(places)]


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[i : i + 1] for i in range(len(stream))]


def expected(stream: bytes) -> list[Item]:
    return read_plainly(stream).items


def without_kinds(found: list[Item]) -> list[Item]:
    return [item[:1] if item[0] == "dropped" else item for item in found]


# Fast, plain, and read with nothing but frame headers: all the same -----------------------------------------------------------

CONTENTS = st.one_of(
    st.just(b""),
    st.sampled_from([8, 8, 8, 16, 100, 300]).map(bytes),
    st.sampled_from([b'\x01\x50{"htype":"bsr_m-1.1"', b"\x00\x02{}", b"\x04\x05", b"\x03" + bytes(8)]),  # what guessing looks for
    st.binary(max_size=300),
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Messages of a few recurring layouts, with everything between and inside them that a source may send."""
    headers = [encode_data_header(CHANNELS[: draw(st.integers(0, 3))]) for _ in range(draw(st.integers(1, 2)))]
    bodies: list[list[bytes]] = []
    for _ in range(draw(st.integers(1, 3))):
        header = draw(st.sampled_from(headers))
        bodies.append([header, *draw(st.lists(CONTENTS, max_size=6))])
    return b"".join(draw(st.lists(parts(bodies), max_size=12)))


def parts(bodies: list[list[bytes]]) -> st.SearchStrategy[bytes]:
    mains = st.one_of(
        st.integers(0, 2**63 - 1).map(main),
        st.integers(0, 2**63 - 1).map(main),
        st.integers(0, 2**63 - 1).map(main),
        st.just(main(hash="h" * 300)),
        st.just(main(dh_compression="lz4")),
        st.sampled_from([b"", b"garbage", b'{"htype":"bsr_x-1.0"}', b'{"htype":"bsr_stop-1.0"}', main(pulse_id=-1)]),
    )
    whole = st.tuples(mains, st.sampled_from(bodies))
    commands = st.sampled_from([PING, encode_command("SOME", bytes(300))])
    return st.one_of(
        whole.map(lambda m: stream_of([[m[0], *m[1]]])),
        whole.map(lambda m: stream_of([[m[0], *m[1]]])),
        st.tuples(whole, st.integers(0, 20), commands).map(lambda m: with_command(m[0], m[1], m[2])),
        whole.map(lambda m: with_long_headers([m[0], *m[1]])),
        commands,
        mains.map(encode_frame),
    )


def with_command(message: tuple[bytes, list[bytes]], place: int, command: bytes) -> bytes:
    """A message with a command between its frames, as libzmq sends its heartbeats."""
    frames = [message[0], *message[1]]
    place = 1 + place % (len(frames) - 1)
    first = b"".join(encode_frame(frame, more=True) for frame in frames[:place])
    return first + command + stream_of([frames[place:]])


def with_long_headers(frames: list[bytes], *, only: int | None = None) -> bytes:
    """A message whose short frames (or only one of them) have the long form of header, which ZMTP allows."""
    last = len(frames) - 1
    parts_ = []
    for i, frame in enumerate(frames):
        long = bytes([2 | (i < last)]) + len(frame).to_bytes(8, "big")
        parts_ += [long if only in (None, i) else encode_frame_header(len(frame), more=i < last), frame]
    return b"".join(parts_)


@given(stream=streams(), cuts=st.lists(st.integers(0, 10_000), max_size=8), speculate=st.booleans(), repeat=st.integers(1, 3))
def test_any_stream_cut_anywhere_gives_the_messages_that_are_in_it(
    stream: bytes, cuts: list[int], speculate: bool, repeat: int
) -> None:
    stream *= repeat
    events = scan_pieces(pieces_of(stream, cuts), Scanner(speculate=speculate))
    assert without_kinds(flat_with_kinds(events)) == expected(stream)


@given(stream=streams(), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_guessing_and_walking_give_the_same_events(stream: bytes, cuts: list[int]) -> None:
    pieces = pieces_of(stream * 2, cuts)
    fast, plain = (flat_with_kinds(scan_pieces(pieces, Scanner(speculate=speculate))) for speculate in (True, False))
    assert fast == plain


@given(stream=streams(), speculate=st.booleans())
def test_need_is_never_too_much_and_nothing_happens_before_it(stream: bytes, speculate: bool) -> None:
    scanner = Scanner(speculate=speculate)
    memory = bytearray(stream)
    data, view = np.frombuffer(memory, np.uint8), memoryview(memory)
    start = stop = need = 0
    events: list[Event] = []
    for byte in stream:
        view[stop] = byte
        stop += 1
        scan = scanner.scan(data, view, start, stop)
        if stop < need:
            assert scan.events == []
            assert (scan.consumed, scan.stop) == (start, stop)
        events += scan.events
        start, stop, need = scan.consumed, scan.stop, scan.need
        assert need > stop
    assert without_kinds(flat_with_kinds(events)) == expected(stream)


@given(stream=streams(), cuts=st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
def test_an_unfinished_message_may_be_moved_to_other_memory(stream: bytes, cuts: list[int]) -> None:
    scanner = Scanner()
    events: list[Event] = []
    rest = b""
    for shift, piece in enumerate(pieces_of(stream, cuts)):
        memory = bytearray(shift) + rest + piece
        scan = scanner.scan(np.frombuffer(memory, np.uint8), memoryview(memory), shift, len(memory))
        events += scan.events
        rest = bytes(memory[scan.consumed : scan.stop])
    assert without_kinds(flat_with_kinds(events)) == expected(stream)


@given(stream=streams(), cut=st.integers(0, 10_000))
def test_after_a_reset_the_next_connection_starts_afresh(stream: bytes, cut: int) -> None:
    scanner = Scanner()
    scan_pieces([stream[: cut % (len(stream) + 1)]], scanner)
    scanner.reset()
    assert scanner.partial_bytes == 0
    assert without_kinds(flat_with_kinds(scan_pieces([stream], scanner))) == expected(stream)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_no_bytes_break_the_scanner(noise: bytes, good: int) -> None:
    stream = stream_of([message_of(i, SCALARS) for i in range(good)])
    try:
        events = scan_pieces([stream + noise])
    except PeerError:
        assert good == 0
        return
    assert flat_with_kinds(events)[:good] == expected(stream)


# What steady streams look like ------------------------------------------------------------------------------------------------


def test_messages_that_are_alike_share_one_layout() -> None:
    run = run_of([message_of(i, SCALARS) for i in range(5, 105)])
    assert run.pulse_ids.tolist() == list(range(5, 105))
    assert len(run) == 100
    assert len(run.layouts) == 1
    assert run.layout_index.tolist() == [0] * 100


def test_layouts_are_remembered_from_call_to_call_and_over_a_reset() -> None:
    scanner = Scanner()
    stream = stream_of([message_of(1, SCALARS)])
    (first,) = scan_pieces([stream], scanner)
    scanner.reset()
    (second,) = scan_pieces([stream], scanner)
    assert isinstance(first, Run)
    assert isinstance(second, Run)
    assert first.layouts[0] is second.layouts[0]


def test_layouts_of_slow_channels_alternate_and_share_their_data_header() -> None:
    messages = [message_of(i, SCALARS if i % 10 == 0 else {"C0": 0.5}, channels=CHANNELS) for i in range(100)]
    run = run_of(messages)
    assert len(run.layouts) == 2
    assert run.layout_index.tolist() == [0 if i % 10 == 0 else 1 for i in range(100)]
    assert run.layouts[0].channels is run.layouts[1].channels


def test_layouts_of_the_same_length_are_told_apart() -> None:
    run = run_of([message_of(i, {f"C{i % 3}": 0.5}, channels=CHANNELS) for i in range(60)])
    assert len(run.layouts) == 3
    assert len({layout.total_bytes for layout in run.layouts}) == 1
    for i in range(60):
        assert run.layouts[run.layout_index[i]].present.tolist() == [i % 3 == channel for channel in range(3)]


def test_a_new_data_header_of_the_same_length_is_seen_at_once() -> None:
    # The IOC driver changes the hash one message later, so only the bytes tell.
    before, after = ([Channel(name=name, type=ValueType.FLOAT64)] for name in ("A", "B"))
    messages = [message_of(i, {}, channels=before if i < 7 else after) for i in range(20)]
    run = run_of([[main(i), *frames[1:]] for i, frames in enumerate(messages)])
    names = [run.layouts[index].channels.channels[0].name for index in run.layout_index]
    assert names == ["A"] * 7 + ["B"] * 13


def test_the_same_data_header_with_another_compression_is_another_layout() -> None:
    header = encode_data_header([])
    run = run_of([[main(dh_compression=kind), header] for kind in ("none", "none", "lz4", "lz4", "none")])
    assert [layout.dh_compression for layout in run.layouts] == [Compression.NONE, Compression.LZ4]
    assert run.layout_index.tolist() == [0, 0, 1, 1, 0]


def test_payloads_that_change_their_length_share_the_decoded_data_header() -> None:
    text = Channel(name="TEXT", type=ValueType.STRING)
    run = run_of([message_of(i, {"TEXT": "x" * (i % 270), **SCALARS}, channels=[*CHANNELS, text]) for i in range(300)])
    assert len(run.layouts) > 200
    assert len({id(layout.channels) for layout in run.layouts}) == 1
    assert [bytes(run.frames(i)[8]) for i in range(300)] == [b"x" * (i % 270) for i in range(300)]


def test_guessing_ends_where_each_message_is_new_and_begins_again_where_one_is_not() -> None:
    class Counting(Scanner):
        guesses = 0

        def _guess(self, *args: object) -> tuple[list[int], list[int], list[int]]:
            self.guesses += 1
            return super()._guess(*args)  # type: ignore[arg-type]

    new = [[main(i), DATA, bytes(i)] for i in range(100)]
    alike = [[main(i), DATA, b"alike"] for i in range(200, 600)]
    scanner = Counting()
    assert flat_with_kinds(scan_pieces([stream_of(new)], scanner)) == [("message", *frames) for frames in new]
    assert 1 <= scanner.guesses < 20
    scanner.guesses = 0
    assert flat_with_kinds(scan_pieces([stream_of(alike)], scanner)) == [("message", *frames) for frames in alike]
    assert 5 <= scanner.guesses < 20  # 1, 2, 4, … messages each


def test_no_more_layouts_are_kept_than_allowed() -> None:
    scanner = Scanner(Limits(max_layouts=2))
    stream = stream_of([[main(i), bytes(i % 5)] for i in range(50)])
    assert flat_with_kinds(scan_pieces([stream], scanner)) == expected(stream)
    assert len(scanner._layouts) == 2


def test_no_more_is_kept_of_layouts_than_allowed() -> None:
    scanner = Scanner(Limits(max_layout_bytes=100_000))
    stream = stream_of([[main(i), bytes([i]) * 40_000] for i in range(10)] + [[main(10), bytes(300_000)]])
    assert flat_with_kinds(scan_pieces([stream], scanner)) == expected(stream)
    assert [len(layout.data_header) for layout in scanner._layouts] == [300_000]
    scan_pieces([stream], scanner)
    scan_pieces([stream_of([[main(1), b"", bytes(i)] for i in range(10)])], scanner)
    assert len(scanner._layouts) == 10  # the data header is shared, so these cost little
    scan_pieces([stream_of([[main(1), bytes(40_000)]])], scanner)
    assert len(scanner._layouts) == 11


def test_frames_of_the_same_lengths_behind_other_headers_are_another_layout() -> None:
    frames = [main(), DATA, b"1", b"2"]
    stream = b"".join(with_long_headers(frames, only=i % 2 + 2) for i in range(20))
    (run,) = scan_pieces([stream])
    assert isinstance(run, Run)
    assert len(run.layouts) == 2
    assert len({layout.total_bytes for layout in run.layouts}) == 1
    assert flat_with_kinds([run]) == [("message", *frames)] * 20


def test_a_layout_is_remembered_once() -> None:
    scanner = Scanner()
    scan_pieces([stream_of([message_of(i, {f"C{i % 3}": 0.5}, channels=CHANNELS) for i in range(60)])], scanner)
    assert len(scanner._layouts) == 3


def test_main_headers_of_any_length_keep_the_layout() -> None:
    run = run_of([[main(10**i, hash="h" * (300 * (i % 2))), *message_of(1, SCALARS)[1:]] for i in range(18)])
    assert len(run.layouts) == 1
    assert run.pulse_ids.tolist() == [10**i for i in range(18)]


# What must be cheap -----------------------------------------------------------------------------------------------------------


def calls(pieces: Sequence[bytes]) -> int:
    """How often an inlet that respects ``need`` has to call."""

    class Counting(Scanner):
        count = 0

        def scan(self, *args: object) -> object:  # type: ignore[override]
            self.count += 1
            return super().scan(*args)  # type: ignore[arg-type]

    scanner = Counting()
    scan_pieces(pieces, scanner)
    return scanner.count


def test_a_camera_frame_that_arrives_in_pieces_costs_one_call() -> None:
    image = np.zeros((1024, 1280), np.uint16)
    stream = stream_of([message_of(i, {"CAM": image}) for i in range(4)])
    pieces = [stream[i : i + 100 * 1024] for i in range(0, len(stream), 100 * 1024)]
    assert len(pieces) > 100
    assert calls(pieces) <= 2 * 4 + 1


def test_need_is_the_end_of_the_frame_and_the_next_frames_header() -> None:
    stream = stream_of([[main(), DATA, bytes(1000), bytes(16)]])
    until_value = len(stream) - 1009 - 18
    for scanner in (Scanner(), Scanner(speculate=False)):
        for stop, need in [
            (0, 2),
            (1, 2),
            (2, len(encode_frame(main())) + 2),
            (until_value, until_value + 2),
            (until_value + 2, until_value + 9),
            (until_value + 9, until_value + 1009 + 2),
            (len(stream) - 18, len(stream) - 16),
            (len(stream) - 16, len(stream)),
        ]:
            memory = bytearray(stream)
            scan = scanner.scan(np.frombuffer(memory, np.uint8), memoryview(memory), 0, stop)
            assert (stop, scan.need) == (stop, need)
        scanner.reset()


def test_a_message_that_trickles_in_is_walked_once() -> None:
    # 2000 frames, byte by byte: begun anew at each call this would be a million frames and take half a minute.
    stream = stream_of([[main(1), b"", *[b"x"] * 2000]])
    assert len(flat_with_kinds(scan_pieces(bytewise(stream), Scanner(speculate=False)))) == 1
    assert calls(bytewise(stream)) <= 2 * 2002 + 1


def test_the_whole_length_of_a_message_that_has_begun_is_guessed() -> None:
    image = np.zeros((1024, 1280), np.uint16)
    stream = stream_of([message_of(1, {"CAM": image})])
    scanner = Scanner()
    assert scanner.partial_bytes == 0
    scan_pieces([stream[:5000]], scanner)  # the frame's header tells
    assert image.nbytes <= scanner.partial_bytes <= len(stream)
    scanner = Scanner()
    scan_pieces([stream, stream[:5]], scanner)  # the message before tells
    assert len(stream) <= scanner.partial_bytes <= len(stream) + 300
    scan_pieces([stream], scanner := Scanner())
    assert scanner.partial_bytes == 0  # nothing has begun


# What is not passed on --------------------------------------------------------------------------------------------------------

DROPPED = {
    "stop": ([b'{"htype":"bsr_stop-1.0"}'], "stop", "stop"),
    "reconnect": ([b'{"htype":"bsr_reconnect-1.0","address":"tcp://a:1"}'], "reconnect", "tcp://a:1"),
    "a stop with more frames": ([b'{"htype":"bsr_stop-1.0"}', DATA], "unknown htype", "bsr_stop-1.0"),
    "unknown htype": ([b'{"htype":"array-1.0"}', DATA], "unknown htype", "array-1.0"),
    "unknown htype alone": ([b'{"htype":"array-1.0"}'], "unknown htype", "array-1.0"),
    "data header first": ([DATA, DATA], "unknown htype", "bsr_d-1.1"),
    "garbage": ([b"\xff\xfe", DATA], "bad main header", r"\xff\xfe"),
    "garbage alone": ([b"\xff\xfe"], "bad main header", r"\xff\xfe"),
    "empty": ([b""], "empty main header", "1 frames"),
    "empty first frame": ([b"", main(), DATA], "empty main header", "3 frames"),
    "main header alone": ([main(77)], "no data header", "77"),
    "pulse id out of range": ([main(pulse_id=2**63), DATA], "bad main header", str(2**63)),
    "compression unknown": ([main(dh_compression="zip"), DATA], "bad main header", "zip"),
}


@pytest.mark.parametrize(("frames", "kind", "text"), DROPPED.values(), ids=DROPPED.keys())
@pytest.mark.parametrize("speculate", [True, False])
def test_a_message_that_cannot_be_used_is_dropped_alone(frames: list[bytes], kind: str, text: str, speculate: bool) -> None:
    good = [message_of(i, SCALARS) for i in range(6)]
    stream = stream_of([*good[:3], frames, *good[3:]])
    events = scan_pieces([stream], Scanner(speculate=speculate))
    before, dropped, after = events
    assert isinstance(before, Run)
    assert isinstance(after, Run)
    assert isinstance(dropped, Dropped)
    assert before.pulse_ids.tolist() == [0, 1, 2]
    assert after.pulse_ids.tolist() == [3, 4, 5]
    assert dropped.kind == kind
    assert text in dropped.text
    assert stream[dropped.start : dropped.stop] == stream_of([frames])


@pytest.mark.parametrize("odd", [main(7), main(10**18), main(hash="other"), main(dh_compression="lz4"), b"", b"?" * 20, main(-1)])
@pytest.mark.parametrize("place", [700, 1023])
def test_main_headers_of_many_messages_are_read_as_each_alone(odd: bytes, place: int) -> None:
    mains = [main(10**9 - 500 + number) for number in range(1024)]
    mains[place] = odd
    stream = stream_of([[first, *message_of(0, SCALARS)[1:]] for first in mains])
    assert without_kinds(flat_with_kinds(scan_pieces([stream]))) == expected(stream)


def test_a_bad_main_header_before_a_known_body_is_dropped_alone() -> None:
    body = message_of(0, SCALARS)[1:]
    mains = [main(0), main(1), b"?" * 20, main(3), main(4), b"", main(6)]
    found = flat_with_kinds(scan_pieces([stream_of([[first, *body] for first in mains])]))
    assert [item[:2] for item in found] == [
        ("message", mains[0]),
        ("message", mains[1]),
        ("dropped", "bad main header"),
        ("message", mains[3]),
        ("message", mains[4]),
        ("dropped", "empty main header"),
        ("message", mains[6]),
    ]


BODIES = {
    "data header missing its channels' frames": [encode_data_header(CHANNELS)],
    "a frame too many": [*message_of(1, SCALARS)[1:], b""],
    "a frame too few": message_of(1, SCALARS)[1:-1],
    "empty data header": [b"", b"", b""],
    "garbage for a data header": [b"\xff", b"", b""],
    "oversized value": [encode_data_header(CHANNELS[:1]), bytes(100_000), bytes(16)],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_message_whose_body_is_odd_is_passed_on_as_it_is(body: list[bytes]) -> None:
    good = message_of(1, SCALARS)
    stream = stream_of([good, [main(2), *body], good, [main(3), *body]])
    assert flat_with_kinds(scan_pieces([stream])) == expected(stream)


@pytest.mark.parametrize("body", list(BODIES.values())[:5], ids=list(BODIES)[:5])
def test_a_message_whose_body_is_odd_has_no_channels(body: list[bytes]) -> None:
    layout = run_of([[main(2), *body]]).layouts[0]
    for _ in range(2):
        with pytest.raises(MessageError):
            _ = layout.channels


def test_zero_channels_are_a_message() -> None:
    assert run_of([[main(2), DATA]]).layouts[0].channels.channels == ()


# Commands ---------------------------------------------------------------------------------------------------------------------


def test_a_command_between_messages_is_an_event_between_runs() -> None:
    message = stream_of([message_of(1, SCALARS)])
    events = scan_pieces([message + PING + message])
    assert [type(event) for event in events] == [Run, CommandFrame, Run]
    assert events[1] == CommandFrame(name="PING", data=b"\0\0context")


@pytest.mark.parametrize("place", range(1, 8))
@pytest.mark.parametrize("bytes_at_once", [1, 7, 1000])
def test_a_heartbeat_inside_a_message_is_cut_out(place: int, bytes_at_once: int) -> None:
    frames = message_of(1, SCALARS)
    stream = stream_of([frames]) + with_command((frames[0], frames[1:]), place - 1, PING) + stream_of([frames])
    pieces = [stream[i : i + bytes_at_once] for i in range(0, len(stream), bytes_at_once)]
    message = ("message", *frames)
    assert flat_with_kinds(scan_pieces(pieces)) == [message, ("command", "PING", b"\0\0context"), message, message]


# Framing that is lost ---------------------------------------------------------------------------------------------------------

LOST = {
    "reserved flags": (b"\x08\x00", "0x08"),
    "reserved flags with others": (b"\xff\xff", "0xf8"),
    "command with more": (b"\x05\x05\x04PING", "0x05"),
    "huge frame": (b"\x03" + (1 << 40).to_bytes(8, "big"), str(1 << 40)),
    "huge command": (b"\x06" + (1 << 40).to_bytes(8, "big"), str(1 << 40)),
    "nameless command": (b"\x04\x00", "command"),
}


class CountedMoves(np.ndarray):  # type: ignore[type-arg]
    """Memory that knows how many bytes were moved in it."""

    moved = 0

    def __setitem__(self, key: object, value: object) -> None:
        CountedMoves.moved += len(value)  # type: ignore[arg-type]
        super().__setitem__(key, value)


@pytest.mark.parametrize("between", [b"", b"\x01\x00"], ids=["one behind the other", "a frame between each two"])
def test_thousands_of_heartbeats_inside_a_message_move_each_byte_once(between: bytes) -> None:
    heartbeats = 3000
    stream = encode_frame(main(), more=True) + (PING + between) * heartbeats + encode_frame(DATA)
    memory = np.frombuffer(bytearray(stream), np.uint8)
    data, view = memory.view(CountedMoves), memoryview(memory)
    CountedMoves.moved = 0
    events = Scanner().scan(data, view, 0, len(stream)).events
    assert flat_with_kinds(events) == [*([("command", "PING", b"\0\0context")] * heartbeats), *expected(stream)[-1:]]
    assert CountedMoves.moved <= len(stream)


@pytest.mark.parametrize(("damage", "text"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize(
    "begun", [b"", encode_frame(main(), more=True), encode_frame(main(), more=True) + encode_frame(DATA, more=True)]
)
def test_lost_framing_is_a_peer_error(damage: bytes, text: str, begun: bytes) -> None:
    with pytest.raises(PeerError, match=text):
        scan_pieces([begun + damage])


@pytest.mark.parametrize(("damage", "text"), LOST.values(), ids=LOST.keys())
@pytest.mark.parametrize("speculate", [True, False])
def test_what_came_before_the_damage_is_kept(damage: bytes, text: str, speculate: bool) -> None:
    good = stream_of([message_of(i, SCALARS) for i in range(10)])
    memory = bytearray(good + damage)
    scanner = Scanner(speculate=speculate)
    scan = scanner.scan(np.frombuffer(memory, np.uint8), memoryview(memory), 0, len(memory))
    assert flat_with_kinds(scan.events) == expected(good)
    assert scan.need <= len(memory)
    with pytest.raises(PeerError, match=text):
        scanner.scan(np.frombuffer(memory, np.uint8), memoryview(memory), scan.consumed, scan.stop)


LIMITS = Limits(max_frame_bytes=1000, max_frames=5, max_message_bytes=2000)
OVER = {
    "frame": ([main(), bytes(1001)], "1001"),
    "frames": ([main(), b"", b"", b"", b"", b""], "5 frames"),
    "message": ([main(), bytes(1000), bytes(1000)], "2000"),
}
AT = [main(), bytes(1000), bytes(300), bytes(300), b""]
OVER_BY_THE_MAIN_HEADER = {
    "frame": ([main(), bytes(10), b"", b""], [main(x="x" * 1000), bytes(10), b"", b""]),
    "message": ([main(), bytes(900), bytes(900)], [main(x="x" * 100), bytes(900), bytes(900)]),
}


@pytest.mark.parametrize(("known", "over"), OVER_BY_THE_MAIN_HEADER.values(), ids=OVER_BY_THE_MAIN_HEADER)
def test_a_known_body_behind_too_long_a_main_header_is_too_large(known: list[bytes], over: list[bytes]) -> None:
    events = scan_pieces([stream_of([known, known, over, known])], Scanner(LIMITS))
    assert flat_with_kinds(events) == [("message", *known)] * 2 + [("dropped", "too large"), ("message", *known)]


@pytest.mark.parametrize(("frames", "text"), OVER.values(), ids=OVER.keys())
@pytest.mark.parametrize("pieces", [1, 7, 10_000])
@pytest.mark.parametrize("speculate", [True, False])
def test_what_is_over_a_limit_is_passed_over_alone(frames: list[bytes], text: str, pieces: int, speculate: bool) -> None:
    stream = stream_of([AT, frames, AT, frames, frames, AT])
    cut = [stream[i : i + pieces] for i in range(0, len(stream), pieces)]
    at, over = ("message", *AT), ("dropped", "too large")
    events = scan_pieces(cut, Scanner(LIMITS, speculate=speculate))
    assert flat_with_kinds(events) == [at, over, at, over, over, at]
    for event in events:
        if isinstance(event, Dropped):
            assert event.text.startswith("pulse 1 has ")
            assert text in event.text


def test_a_frame_over_the_limit_is_given_up_when_its_header_has_come_and_nothing_of_it_is_kept() -> None:
    scanner = Scanner(LIMITS)
    memory = bytearray(encode_frame(main(), more=True) + encode_frame_header(1_000_000) + bytes(500))
    scan = scanner.scan(np.frombuffer(memory, np.uint8), memoryview(memory), 0, len(memory))
    assert (scan.consumed, scan.stop, scanner.partial_bytes) == (0, 0, 0)


@pytest.mark.parametrize("pieces", [1, 10_000])
def test_a_heartbeat_inside_a_message_that_is_passed_over_is_heard(pieces: int) -> None:
    ping = encode_command("PING", b"\0\0context")
    large = encode_frame(main(), more=True) + ping + encode_frame(bytes(1001), more=True) + ping + ping + encode_frame(b"")
    stream = ping + large + stream_of([AT])
    events = scan_pieces([stream[i : i + pieces] for i in range(0, len(stream), pieces)], Scanner(LIMITS))
    heard = ("command", "PING", b"\0\0context")
    assert flat_with_kinds(events) == [heard, heard, heard, heard, ("dropped", "too large"), ("message", *AT)]


@pytest.mark.parametrize(
    ("rest", "text"),
    [
        (
            [encode_frame(bytes(900), more=True)] * 6,
            r"sent a message of at least 5\d\d\d bytes, .*: mend the sender",
        ),  # no end in sight
        ([encode_frame(b"", more=True) * 3000], r"sent a message of at least 5\d\d\d bytes, .*: mend the sender"),
        ([b"\x08\x00"], "reserved flag bits 0x08"),
        ([encode_frame_header(1500, command=True)], "announced a frame of 1500 bytes"),
        ([encode_frame_header(6000)], "announced a frame of 6000 bytes"),
        ([b"\x04\x00"], "command"),
    ],
)
@pytest.mark.parametrize("begins_with_a_good_one", [True, False])
def test_what_breaks_a_message_that_is_passed_over_is_a_peer_error(
    rest: list[bytes], text: str, begins_with_a_good_one: bool
) -> None:
    limits = replace(LIMITS, max_skipped_bytes=5000)
    scanner = Scanner(limits)
    good = stream_of([AT]) if begins_with_a_good_one else b""
    with pytest.raises(PeerError, match=text):
        scan_pieces(
            [good + encode_frame(main(), more=True) + encode_frame(bytes(1001), more=True) + b"".join(rest), b"x"], scanner
        )
    scanner.reset()
    assert flat_with_kinds(scan_pieces([stream_of([AT])], scanner)) == [("message", *AT)]


def test_a_frame_beyond_all_that_is_passed_over_is_a_peer_error_at_once() -> None:
    with pytest.raises(PeerError, match="announced a frame of 10737418240 bytes, at most 1000 are accepted"):
        scan_pieces([encode_frame(main(), more=True) + encode_frame_header(10 << 30)], Scanner(LIMITS))
