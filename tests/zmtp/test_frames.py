"""Frames, commands and properties: tables read both ways, each damage, and everything hypothesis can think of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.frames import (
    FrameHeader,
    Properties,
    encode_command,
    encode_frame,
    encode_frame_header,
    encode_message,
    encode_pong,
    encode_properties,
    encode_subscribe,
    parse_command,
    parse_properties,
    parse_subscription_message,
    read_frame_header,
    subscription_change,
)

MEBIBYTE = 1 << 20

FRAMES = [
    # body bytes, more, command, header on the wire
    (0, False, False, b"\x00\x00"),
    (0, True, False, b"\x01\x00"),
    (1, False, True, b"\x04\x01"),
    (255, False, False, b"\x00\xff"),
    (255, True, False, b"\x01\xff"),
    (256, False, False, b"\x02\x00\x00\x00\x00\x00\x00\x01\x00"),
    (256, True, False, b"\x03\x00\x00\x00\x00\x00\x00\x01\x00"),
    (256, False, True, b"\x06\x00\x00\x00\x00\x00\x00\x01\x00"),
    (MEBIBYTE, True, False, b"\x03\x00\x00\x00\x00\x00\x10\x00\x00"),
]

COMMANDS = [
    ("READY", b"", b"\x04\x06\x05READY"),
    ("PING", b"\x00\x0acontext", b"\x04\x0e\x04PING\x00\x0acontext"),
    ("SUBSCRIBE", b"", b"\x04\x0a\x09SUBSCRIBE"),
    ("ERROR", b"x" * 300, b"\x06\x00\x00\x00\x00\x00\x00\x01\x32\x05ERROR" + b"x" * 300),
]

PROPERTIES = [
    ({}, b""),
    ({"Socket-Type": b"PULL"}, b"\x0bSocket-Type\x00\x00\x00\x04PULL"),
    ({"X-Empty": b"", "a": b"\x00\xff"}, b"\x07X-Empty\x00\x00\x00\x00\x01a\x00\x00\x00\x02\x00\xff"),
]

property_names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)
some_properties = st.lists(st.tuples(property_names, st.binary(max_size=300)), max_size=6, unique_by=lambda pair: pair[0].lower())


def header_of(data: bytes, *, max_frame_bytes: int = MEBIBYTE) -> FrameHeader | None:
    return read_frame_header(data, 0, len(data), max_frame_bytes=max_frame_bytes)


@pytest.mark.parametrize(("length", "more", "command", "wire"), FRAMES)
def test_a_frame_header_is_written_as_the_specification_says(length: int, more: bool, command: bool, wire: bytes) -> None:
    assert wire == encode_frame_header(length, more=more, command=command)


@pytest.mark.parametrize(("length", "more", "command", "wire"), FRAMES)
def test_a_frame_header_is_read_back(length: int, more: bool, command: bool, wire: bytes) -> None:
    assert FrameHeader(len(wire), len(wire) + length, more, command) == header_of(wire)


@pytest.mark.parametrize("wire", [wire for *_, wire in FRAMES])
def test_a_frame_header_that_is_cut_off_asks_for_more(wire: bytes) -> None:
    assert [None] * len(wire) == [header_of(wire[:stop]) for stop in range(len(wire))]


def test_a_frame_header_is_read_where_it_stands_and_not_beyond_stop() -> None:
    data = b"??" + encode_frame(b"abc", more=True) + b"\x00\x00"
    assert FrameHeader(4, 7, True, False) == read_frame_header(data, 2, len(data), max_frame_bytes=3)
    assert read_frame_header(data, 2, 3, max_frame_bytes=3) is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_a_frame_header_is_read_from_any_memory(kind: type) -> None:
    data = kind(encode_frame(bytes(70_000), more=True))
    assert FrameHeader(9, 70_009, True, False) == read_frame_header(data, 0, len(data), max_frame_bytes=MEBIBYTE)


def test_a_short_body_with_a_long_header_is_read() -> None:
    assert FrameHeader(9, 12, False, False) == header_of(b"\x02\x00\x00\x00\x00\x00\x00\x00\x03abc")


@pytest.mark.parametrize("flags", [flags for flags in range(256) if flags & 0xF8])
def test_reserved_flag_bits_are_refused(flags: int) -> None:
    with pytest.raises(PeerError, match=f"reserved flag bits 0x{flags & 0xF8:02x} set"):
        header_of(bytes((flags, 0)))


@pytest.mark.parametrize("wire", [b"\x05\x00", b"\x07" + bytes(8)])
def test_a_command_with_more_is_refused(wire: bytes) -> None:
    with pytest.raises(PeerError, match=rf"a command frame with the MORE flag \(0x0{wire[0]}\)"):
        header_of(wire)


@pytest.mark.parametrize(("length", "limit"), [(4, 3), (256, 255), (2**63, 2**40), (2**64 - 1, 2**40)])
def test_a_frame_beyond_the_limit_is_refused_before_its_body_comes(length: int, limit: int) -> None:
    with pytest.raises(PeerError, match=f"announced a frame of {length} bytes, at most {limit} are accepted"):
        header_of(encode_frame_header(length), max_frame_bytes=limit)


def test_a_frame_at_the_limit_is_read() -> None:
    assert header_of(encode_frame(bytes(300)), max_frame_bytes=300) == FrameHeader(9, 309, False, False)


@given(st.lists(st.binary(max_size=600), min_size=1, max_size=8))
def test_a_message_is_read_back_frame_by_frame(frames: list[bytes]) -> None:
    wire = encode_message(frames)
    position, found, more = 0, [], True
    while more:
        header = read_frame_header(wire, position, len(wire), max_frame_bytes=MEBIBYTE)
        assert header is not None
        assert not header.command
        found.append(wire[header.body_start : header.body_stop])
        position, more = header.body_stop, header.more
    assert frames == found
    assert len(wire) == position
    assert wire == b"".join(encode_frame(frame, more=i < len(frames) - 1) for i, frame in enumerate(frames))


def test_a_message_takes_any_kind_of_memory() -> None:
    assert encode_message([b"a", bytearray(b"b"), memoryview(b"c")]) == b"\x01\x01a\x01\x01b\x00\x01c"


def test_a_message_has_at_least_one_frame() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        encode_message([])


@given(st.binary(max_size=40))
def test_any_bytes_are_a_header_or_too_few_or_an_error(data: bytes) -> None:
    damaged = len(data) >= 2 and (data[0] > 7 or data[0] & 5 == 5)
    too_long = len(data) >= 9 and bool(data[0] & 2) and int.from_bytes(data[1:9], "big") > MEBIBYTE
    if damaged or too_long:
        with pytest.raises(PeerError):
            header_of(data)
    else:
        assert (header_of(data) is None) == (len(data) < 2 or (len(data) < 9 and bool(data[0] & 2)))


@pytest.mark.parametrize(("name", "data", "wire"), COMMANDS)
def test_a_command_is_written_and_read_back(name: str, data: bytes, wire: bytes) -> None:
    assert wire == encode_command(name, data)
    header = header_of(wire)
    assert header is not None
    assert (name, data) == parse_command(wire[header.body_start : header.body_stop])


@given(property_names, st.binary(max_size=600))
def test_every_command_is_read_back(name: str, data: bytes) -> None:
    wire = encode_command(name, data)
    header = header_of(wire)
    assert header is not None
    assert (header.command, header.more, header.body_stop) == (True, False, len(wire))
    assert (name, data) == parse_command(wire[header.body_start :])


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00READY", b"\x06READY", b"\x01", b"\x01\xff"])
def test_a_damaged_command_is_refused_with_its_bytes(body: bytes) -> None:
    with pytest.raises(PeerError, match="sent a command") as caught:
        parse_command(body)
    assert repr(body[-1:]).strip("b'") in str(caught.value)


@pytest.mark.parametrize("name", ["", "x" * 256])
def test_a_command_name_has_1_to_255_characters(name: str) -> None:
    with pytest.raises(ValueError, match=f"has {len(name)}"):
        encode_command(name)


@pytest.mark.parametrize(("properties", "wire"), PROPERTIES)
def test_properties_are_written_and_read_back(properties: dict[str, bytes], wire: bytes) -> None:
    assert wire == encode_properties(properties)
    assert properties == dict(parse_properties(wire))


@given(some_properties)
def test_all_properties_are_read_back_in_order(pairs: list[tuple[str, bytes]]) -> None:
    assert pairs == list(parse_properties(encode_properties(dict(pairs))).items())


@given(some_properties, st.data())
def test_properties_that_are_cut_off_are_never_taken_for_whole_ones(pairs: list[tuple[str, bytes]], data: st.DataObject) -> None:
    wire = encode_properties(dict(pairs))
    whole = {len(encode_properties(dict(pairs[:count]))) for count in range(len(pairs) + 1)}
    stop = data.draw(st.integers(0, len(wire)))
    if stop in whole:
        assert len(parse_properties(wire[:stop])) <= len(pairs)
    else:
        with pytest.raises(PeerError, match="damaged property at byte"):
            parse_properties(wire[:stop])


@given(st.binary(max_size=60))
def test_any_bytes_are_properties_that_read_back_or_an_error(data: bytes) -> None:
    try:
        properties = parse_properties(data)
    except PeerError:
        return
    assert data == encode_properties(properties)


def test_a_property_is_found_in_any_case() -> None:
    properties = parse_properties(encode_properties({"x-START": b"live"}))
    assert (properties["X-Start"], properties.get("x-start"), "X-sTART" in properties) == (b"live", b"live", True)
    assert (properties.get("X-Name"), "X-Name" in properties, 7 in properties) == (None, False, False)
    assert repr(properties) == "Properties({'x-START': b'live'})"
    assert len(Properties()) == 0


def test_a_property_named_twice_is_refused() -> None:
    with pytest.raises(PeerError, match="the property 'x-a' twice"):
        parse_properties(encode_properties({"X-A": b"1", "x-a": b"2"}))


def test_a_property_name_beyond_ascii_is_refused() -> None:
    with pytest.raises(PeerError, match="a property whose name is not ASCII"):
        parse_properties(b"\x01\xe9\x00\x00\x00\x00")


@pytest.mark.parametrize(("ping_data", "context"), [(b"\x00\x0a", b""), (b"\x00\x64abc", b"abc"), (b"", b""), (b"\x00", b"")])
def test_pong_returns_the_context_of_a_ping_without_its_time_to_live(ping_data: bytes, context: bytes) -> None:
    assert encode_command("PONG", context) == encode_pong(ping_data)


@pytest.mark.parametrize("prefix", [b"", b"a", b"x" * 300])
def test_a_subscription_is_read_back_as_command_and_as_message(prefix: bytes) -> None:
    command, message = encode_subscribe(prefix), encode_subscribe(prefix, minor=0)
    headers = header_of(command), header_of(message)
    assert headers[0] is not None
    assert headers[1] is not None
    assert (headers[0].command, headers[1].command) == (True, False)
    assert (True, prefix) == subscription_change(*parse_command(command[headers[0].body_start :]))
    assert (True, prefix) == parse_subscription_message(message[headers[1].body_start :])


def test_a_cancelled_subscription_is_read() -> None:
    assert subscription_change("CANCEL", b"ab") == (False, b"ab")
    assert parse_subscription_message(memoryview(b"\x00ab")) == (False, b"ab")


def test_other_commands_and_messages_are_no_subscriptions() -> None:
    assert subscription_change("PING", b"") is None
    assert [parse_subscription_message(body) for body in (b"", b"\x02ab")] == [None, None]
