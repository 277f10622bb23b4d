"""What clients say, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.extension import ClientsRequest, MarkRequest, Started, StartRequest, encode_extension
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame, encode_subscribe
from sf_bsread_writer.zmtp.requests import MAX_REQUEST_BYTES, Ping, Request, Requests, Subscription

START = StartRequest(generation=3, at="pulse 7")
MARK = MarkRequest(token=5)

SAID: list[tuple[bytes, Request | None]] = [
    (encode_command("PING", b"\x00\x0acontext"), Ping(b"\x00\x0acontext")),
    (encode_command("PING", b""), Ping(b"")),
    (encode_extension(START), START),
    (encode_extension(MARK), MARK),
    (encode_extension(ClientsRequest()), ClientsRequest()),
    (encode_subscribe(b"prefix"), Subscription(True, b"prefix")),
    (encode_subscribe(b"", minor=0), Subscription(True, b"")),
    (encode_command("CANCEL", b"prefix"), Subscription(False, b"prefix")),
    (encode_frame(b"\x00prefix"), Subscription(False, b"prefix")),
    (encode_command("PONG", b"context"), None),
    (encode_command("HOCUS", b"pocus"), None),
    (
        encode_extension(
            Started(generation=1, now_ns=1, oldest_pulse_id=None, newest_pulse_id=None, messages=0, first_sequence=0)
        ),
        None,
    ),
]


@pytest.mark.parametrize(("said", "meant"), SAID)
def test_each_request_is_understood(said: bytes, meant: Request | None) -> None:
    assert Requests(is_sub=True).feed(said) == ([] if meant is None else [meant])


@given(which=st.lists(st.sampled_from(SAID), max_size=8), sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_pieces_of_any_size_make_the_same_requests(which: list[tuple[bytes, Request | None]], sizes: list[int]) -> None:
    requests = Requests(is_sub=True)
    rest = b"".join(said for said, _ in which)
    got: list[Request] = []
    turn = 0
    while rest:
        size = sizes[turn % len(sizes)]
        got += requests.feed(rest[:size])
        rest = rest[size:]
        turn += 1
    assert got == [meant for _, meant in which if meant is not None]


def test_a_puller_has_no_subscriptions() -> None:
    assert Requests(is_sub=False).feed(encode_subscribe(b"prefix")) == []
    with pytest.raises(PeerError, match="sent a message of 7 bytes, but only reads from here"):
        Requests(is_sub=False).feed(encode_frame(b"\x01prefix"))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (encode_frame(b"hello"), "sent a message of 5 bytes"),
        (encode_frame(b""), "sent a message of 0 bytes"),
        (b"\x48\x00", "reserved flag bits 0x48"),
        (b"\x06" + (MAX_REQUEST_BYTES + 1).to_bytes(8, "big"), "announced a frame of 65537 bytes, at most 65536"),
        (b"\x04\x00", "command without a whole name"),
        (encode_command("BSR-START", b"{}"), "unusable BSR-START"),
        (encode_extension(StartRequest(generation=1, at="eldest")), "'eldest'"),
        (encode_command("BSR-MARK", b"["), "unusable BSR-MARK"),
    ],
)
def test_what_no_reader_says_is_an_error_that_shows_it(said: bytes, complaint: str) -> None:
    with pytest.raises(PeerError, match=complaint):
        Requests(is_sub=True).feed(said)
