"""The handshake without a socket: fed in arbitrary pieces, with every stranger of the corpus, at both ends."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError, StateError
from sf_bsread_writer.testing.strangers import (
    GREETING,
    SAYS_TOO_LITTLE,
    SAYS_TOO_MUCH,
    WRONG_SOCKET_TYPES,
    Stranger,
    greeting,
    ready,
)
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame
from sf_bsread_writer.zmtp.handshake import (
    Announcement,
    Handshake,
    Ready,
    SocketType,
    TryLater,
    WrongRole,
    encode_error,
    encode_greeting,
    read_greeting,
    serving_role,
)

TRAFFIC = encode_frame(b"the first message")


def answer(peer: Ready) -> Announcement:
    return serving_role(peer), {"X-Bsread-Buffer": b"1"}


def connecting(role: SocketType = SocketType.PULL, *, minor: int = 1) -> Handshake:
    return Handshake(announce=(role, {"X-Start": b"pulse 100"}), minor=minor)


def listening(*, minor: int = 1) -> Handshake:
    return Handshake(answer=answer, minor=minor)


def feed_in_pieces(handshake: Handshake, data: bytes, cuts: list[int]) -> bytes:
    """Feeds the data cut at these places until the handshake is done, whose remaining pieces then count as leftover."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    sent = b""
    for start, stop in itertools.pairwise(edges):
        if handshake.ready is not None:
            handshake.leftover += data[start:stop]
        else:
            sent += handshake.feed(data[start:stop])
    return sent


def test_the_greeting_is_that_of_the_specification() -> None:
    assert b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL" + bytes(48) == encode_greeting()
    assert encode_greeting() == connecting().start() == listening().start()


@pytest.mark.parametrize("minor", [0, 1, 7, 255])
def test_a_greeting_is_read_back_and_not_before_it_is_whole(minor: int) -> None:
    data = encode_greeting(minor=minor)
    assert minor == read_greeting(data)
    assert [read_greeting(data[:stop]) for stop in range(64)] == [None] * 64


@given(cuts=st.lists(st.integers(0, 400), max_size=12), role=st.sampled_from([SocketType.PULL, SocketType.SUB]))
def test_the_connecting_end_gets_the_peer_and_the_first_traffic_however_the_bytes_are_cut(
    cuts: list[int], role: SocketType
) -> None:
    handshake = connecting(role)
    source = GREETING + ready(Socket_Type=role.partner.encode(), X_Messages=b"12")
    sent = feed_in_pieces(handshake, source + TRAFFIC, cuts)
    assert ready(Socket_Type=role.encode(), X_Start=b"pulse 100") == sent
    assert handshake.ready is not None
    assert (role.partner, 1, b"12") == (
        handshake.ready.socket_type,
        handshake.ready.minor,
        handshake.ready.properties.get("x-messages"),
    )
    assert (role, TRAFFIC, b"", b"") == (handshake.socket_type, handshake.leftover, handshake.farewell, handshake.received)


@given(cuts=st.lists(st.integers(0, 400), max_size=12), role=st.sampled_from([SocketType.PULL, SocketType.SUB]))
def test_the_listening_end_becomes_what_the_peer_needs_however_the_bytes_are_cut(cuts: list[int], role: SocketType) -> None:
    handshake = listening()
    sent = feed_in_pieces(handshake, GREETING + ready(socket_type=role.encode(), X_Start=b"live") + TRAFFIC, cuts)
    assert ready(Socket_Type=role.partner.encode(), X_Bsread_Buffer=b"1") == sent
    assert handshake.ready is not None
    assert (role, b"live") == (handshake.ready.socket_type, handshake.ready.properties.get("X-Start"))
    assert (role.partner, TRAFFIC) == (handshake.socket_type, handshake.leftover)


@pytest.mark.parametrize("role", [SocketType.PULL, SocketType.SUB])
def test_both_ends_come_to_terms_byte_by_byte(role: SocketType) -> None:
    client, server = connecting(role), listening()
    to_server, to_client = bytearray(client.start()), bytearray(server.start())
    while to_server or to_client:
        if to_client:
            to_server += client.feed(bytes((to_client.pop(0),)))
        if to_server:
            to_client += server.feed(bytes((to_server.pop(0),)))
    assert client.ready is not None
    assert server.ready is not None
    assert (role.partner, role) == (client.ready.socket_type, server.ready.socket_type)
    assert (role, role.partner) == (client.socket_type, server.socket_type)


@pytest.mark.parametrize(("ours", "theirs", "agreed"), [(1, 1, 1), (1, 0, 0), (0, 1, 0), (1, 5, 1)])
def test_the_lower_minor_version_counts(ours: int, theirs: int, agreed: int) -> None:
    handshake = connecting(minor=ours)
    handshake.feed(greeting(minor=theirs) + ready(Socket_Type=b"PUSH"))
    assert handshake.ready is not None
    assert agreed == handshake.ready.minor


def test_a_higher_major_version_is_expected_to_adapt_to_ours() -> None:
    handshake = connecting()
    handshake.feed(greeting(major=4, minor=0) + ready(Socket_Type=b"PUSH"))
    assert handshake.ready is not None
    assert handshake.ready.minor == 1


@pytest.mark.parametrize("make", [connecting, listening])
@pytest.mark.parametrize("stranger", SAYS_TOO_MUCH, ids=lambda stranger: stranger.name)
def test_a_stranger_is_told_apart_by_its_bytes(stranger: Stranger, make: type[Handshake]) -> None:
    handshake = make()
    with pytest.raises(PeerError) as caught:
        handshake.feed(stranger.says)
    assert stranger.complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (handshake.ready, handshake.farewell, handshake.leftover) == (None, b"", b"")
    with pytest.raises(StateError, match="has failed"):
        handshake.feed(b"x")


@pytest.mark.parametrize("make", [connecting, listening])
@pytest.mark.parametrize("stranger", SAYS_TOO_MUCH, ids=lambda stranger: stranger.name)
def test_a_stranger_is_told_apart_byte_by_byte_too(stranger: Stranger, make: type[Handshake]) -> None:
    handshake = make()
    with pytest.raises(PeerError):
        feed_in_pieces(handshake, stranger.says, list(range(len(stranger.says))))
    assert handshake.ready is None


@pytest.mark.parametrize("stranger", SAYS_TOO_LITTLE, ids=lambda stranger: stranger.name)
def test_an_unfinished_handshake_waits(stranger: Stranger) -> None:
    handshake = connecting()
    handshake.feed(stranger.says)
    assert (None, len(stranger.says) >= 64) == (handshake.ready, handshake.greeted)


@given(st.binary(max_size=200).map(lambda tail: GREETING + tail) | st.binary(max_size=200))
def test_any_bytes_lead_to_a_peer_or_wait_or_are_refused(data: bytes) -> None:
    handshake = connecting()
    with contextlib.suppress(PeerError):
        handshake.feed(data)
    assert handshake.ready is None or handshake.ready.socket_type == "PUSH"


@pytest.mark.parametrize(("role", "source", "partner"), [
    (SocketType.PULL, b"PUB", SocketType.SUB),
    (SocketType.PULL, b"XPUB", SocketType.SUB),
    (SocketType.SUB, b"PUSH", SocketType.PULL),
])  # fmt: skip
def test_a_source_of_the_other_kind_names_the_role_it_needs(role: SocketType, source: bytes, partner: SocketType) -> None:
    with pytest.raises(WrongRole, match=f"is a {source.decode()} socket, which needs mode {partner.lower()}, not") as caught:
        connecting(role).feed(GREETING + ready(Socket_Type=source))
    assert partner is caught.value.partner


@pytest.mark.parametrize("socket_type", [*WRONG_SOCKET_TYPES, "PULL", "SUB", "XSUB"])
def test_the_connecting_end_refuses_what_is_no_source(socket_type: str) -> None:
    with pytest.raises(PeerError, match=f"is a {socket_type} socket; a bsread source is PUSH or PUB") as caught:
        connecting().feed(GREETING + ready(Socket_Type=socket_type.encode()))
    assert type(caught.value) is PeerError


@pytest.mark.parametrize("socket_type", [*WRONG_SOCKET_TYPES, "PUSH", "PUB", "XPUB"])
def test_the_listening_end_refuses_what_is_no_reader_and_says_so_to_it(socket_type: str) -> None:
    handshake = listening()
    with pytest.raises(PeerError, match=f"a {socket_type} socket cannot read here, only PULL and SUB can"):
        handshake.feed(GREETING + ready(Socket_Type=socket_type.encode()))
    assert encode_error(f"a {socket_type} socket cannot read here, only PULL and SUB can") == handshake.farewell


def test_a_refusal_reaches_the_connecting_end() -> None:
    server = Handshake(answer=lambda peer: (_ for _ in ()).throw(PeerError("256 clients are connected")))
    client = connecting()
    with pytest.raises(PeerError, match="256 clients"):
        server.feed(client.start() + client.feed(server.start()))
    with pytest.raises(PeerError, match="refused the connection: 256 clients are connected"):
        client.feed(server.farewell)


def test_a_refusal_for_the_moment_reaches_the_connecting_end_without_an_error_command() -> None:
    # After an ERROR libzmq would never ask again.
    server = Handshake(answer=lambda peer: (_ for _ in ()).throw(TryLater("256 clients…", role=SocketType.PUSH)))
    client = connecting()
    with pytest.raises(TryLater, match="256 clients"):
        server.feed(client.start() + client.feed(server.start()))
    assert server.farewell == ready(Socket_Type=b"PUSH", X_Refused=b"256 clients?")
    with pytest.raises(PeerError, match=r"refused the connection: 256 clients\?") as caught:
        client.feed(server.farewell)
    assert type(caught.value) is PeerError


def test_a_reason_is_cut_to_what_an_error_command_can_hold() -> None:
    assert encode_command("ERROR", b"\xff" + b"?" + b"x" * 254) == encode_error("…" + "x" * 1000)


def test_a_socket_type_fit_for_a_log_line_is_shown() -> None:
    with pytest.raises(PeerError, match=r"is a PUSH\\x0a\\xe9 socket"):
        connecting().feed(GREETING + ready(Socket_Type=b"PUSH\n\xe9"))


def test_a_finished_handshake_takes_no_more_bytes() -> None:
    handshake = connecting()
    handshake.feed(GREETING + ready(Socket_Type=b"PUSH"))
    with pytest.raises(StateError, match="has finished; 3 more bytes"):
        handshake.feed(b"abc")


def test_a_handshake_is_at_one_end() -> None:
    with pytest.raises(ValueError, match="exactly one of the two"):
        Handshake()
    with pytest.raises(ValueError, match="exactly one of the two"):
        Handshake(answer=answer, announce=(SocketType.PULL, {}))


@pytest.mark.parametrize("role", SocketType)
def test_the_partner_of_a_partner_is_the_socket_type_itself(role: SocketType) -> None:
    assert role is role.partner.partner
    assert role is not role.partner
