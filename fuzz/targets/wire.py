"""What a peer of the wire may say: frames, the handshake, what clients ask, what buffer and writer tell each other."""

from contextlib import suppress
from random import Random

from fuzz.make import damaged
from fuzz.target import Input, Target, pieces
from sf_bsread_writer.errors import PeerError, UsageError
from sf_bsread_writer.zmtp.extension import (
    ClientList,
    ClientsRequest,
    ClientWishes,
    Holdings,
    Lost,
    Marked,
    MarkRequest,
    RunAnnouncement,
    Started,
    StartPoint,
    StartRequest,
    client_properties,
    decode_extension,
    encode_extension,
    encode_run,
    holdings_properties,
)
from sf_bsread_writer.zmtp.frames import (
    encode_command,
    encode_frame,
    encode_frame_header,
    encode_properties,
    encode_subscribe,
    parse_command,
    parse_properties,
    parse_subscription_message,
    read_frame_header,
)
from sf_bsread_writer.zmtp.handshake import Handshake, SocketType, encode_error, encode_greeting, serving_role
from sf_bsread_writer.zmtp.requests import Requests

MOST_BYTES = 1 << 16
INT64_MAX = (1 << 63) - 1


def frames(data: bytes) -> None:
    """Whatever is read as a frame, command or properties is what our own encoder would write for it."""
    position = 0
    with suppress(PeerError):
        while header := read_frame_header(data, position, len(data), max_frame_bytes=MOST_BYTES):
            length = header.body_stop - header.body_start
            assert header.body_start - position in (2, 9)
            assert 0 <= length <= MOST_BYTES
            if header.body_start - position == 2 or length > 255:
                written = encode_frame_header(length, more=header.more, command=header.command)
                assert written == data[position : header.body_start]
            body = data[header.body_start : header.body_stop]
            position = header.body_stop
            if not header.command:
                change = parse_subscription_message(body)
                assert change is None or bytes((change[0],)) + change[1] == body
                continue
            name, content = parse_command(body)
            again = encode_command(name, content)
            assert again[len(again) - len(body) :] == body
            assert encode_properties(parse_properties(content)) == content


def requests(data: bytes) -> None:
    """What a client asks is the same in pieces; what cannot be asked ends it in both cases, behind the same requests."""
    given = Input(data)
    is_sub, seed, said = bool(given.number() & 1), given.number(2), given.rest()
    whole, whole_failed = _asked(is_sub, [said])
    in_pieces, failed = _asked(is_sub, pieces(said, seed))
    assert failed == whole_failed
    assert whole_failed or whole == in_pieces


def _asked(is_sub: bool, said: list[bytes]) -> tuple[list[object], bool]:
    reader, found = Requests(is_sub=is_sub), list[object]()
    for piece in said:
        try:
            found += reader.feed(piece)
        except PeerError:
            return found, True
    return found, False


def handshake(data: bytes) -> None:
    """Both ends come to the same end of it, however it arrives; what the peer wants is then understood or refused."""
    given = Input(data)
    form, seed, said = given.number(), given.number(2), given.rest()
    ends = [_shaken(form, [said]), _shaken(form, pieces(said, seed))]
    (one, failed, _), (other, other_failed, farewell) = ends
    assert failed == other_failed
    assert (one.ready, one.socket_type) == (other.ready, other.socket_type)
    assert farewell.startswith((one.farewell, b"") if failed else b"")
    if one.ready is not None:
        assert said.endswith(one.leftover)
        for understand in (ClientWishes.from_ready, Holdings.from_ready):
            with suppress(PeerError):
                str(understand(one.ready))


def _shaken(form: int, said: list[bytes]) -> tuple[Handshake, bool, bytes]:
    role = list(SocketType)[form % 4]
    if form & 4:
        end = Handshake(announce=(role, {"X-Name": b"fuzz"}), minor=form >> 3 & 1)
    else:
        end = Handshake(answer=lambda ready: (serving_role(ready), {}), minor=form >> 3 & 1)
    for piece in said:
        if end.ready is not None:
            break
        try:
            end.feed(piece)
        except PeerError as error:
            assert "\n" not in str(error)
            return end, True, end.farewell
    return end, False, b""


COMMANDS = ("BSR-START", "BSR-STARTED", "BSR-MARK", "BSR-MARKED", "BSR-LOST", "BSR-RUN", "PING", "ERROR")


def extension(data: bytes) -> None:
    """Commands are refused, or can be written again and hold nothing that does not fit into int64."""
    given = Input(data)
    name, content = COMMANDS[given.number() % len(COMMANDS)], given.rest()
    with suppress(UsageError):
        start = StartPoint.parse(content.decode("latin1"))
        assert str(start).encode() == content or start.value is not None
        assert StartPoint.parse(str(start)) == start
    try:
        command = decode_extension(name, content)
    except PeerError as error:
        assert "\n" not in str(error)
        return
    if isinstance(command, RunAnnouncement):
        assert encode_run(*command)[-len(content) :] == content
    elif command is not None:
        _, again = parse_command(encode_extension(command)[2:])
        assert decode_extension(name, again) == command
        numbers = [value for value in (getattr(command, field) for field in command.__struct_fields__) if isinstance(value, int)]
        assert all(0 <= number <= INT64_MAX for number in numbers)
        if isinstance(command, StartRequest):
            assert command.start == StartPoint.parse(str(command.start))


# Inputs ----------------------------------------------------------------------------------------------------------------------


def _command(random: Random) -> bytes:
    n = random.choice((0, 1, 7, INT64_MAX))
    return random.choice(
        (
            encode_extension(StartRequest(generation=n, at=random.choice(("oldest", "now", "pulse 5", f"arrival {INT64_MAX}")))),
            encode_extension(MarkRequest(token=n)),
            encode_extension(Marked(token=1, now_ns=n)),
            encode_extension(ClientsRequest()),
            encode_extension(ClientList(now_ns=n, connected=n, clients=())),
            encode_extension(Lost(messages=n, first_sequence=n)),
            encode_extension(
                Started(generation=n, now_ns=n, oldest_pulse_id=None, newest_pulse_id=n, messages=n, first_sequence=n)
            ),
            encode_command("BSR-RUN", random.randbytes(8 * random.randint(0, 4))),
            encode_command("PING", b"\0\0context"),
            encode_subscribe(b"abc"),
            encode_command("CANCEL", b"abc"),
            encode_subscribe(b"abc", minor=0),
            encode_frame(random.randbytes(random.randint(0, 300)), more=bool(random.randint(0, 1))),
            encode_command("READY", encode_properties({"Socket-Type": b"PULL", "Identity": b""})),
        )
    )


def _conversation(random: Random) -> bytes:
    return damaged(random, b"".join(_command(random) for _ in range(random.randint(0, 5))))


def _introduction(random: Random) -> bytes:
    properties = {"Socket-Type": random.choice((b"PULL", b"PUSH", b"SUB", b"PUB", b"XPUB", b"DEALER", b""))}
    properties |= random.choice(
        (
            {},
            client_properties(name="ä\n", start=StartPoint("pulse", 5), arrivals=True),
            holdings_properties(oldest_pulse_id=1, newest_pulse_id=10**19 - 1, messages=4),
            {"X-Refused": b"no"},
        )
    )
    ready = random.choice((encode_command("READY", encode_properties(properties)), encode_error("no\r\n")))
    said = random.choice(
        (encode_greeting(), encode_greeting(), encode_greeting(minor=0), b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01")
    )
    return damaged(random, said + ready + b"behind", most=2)


def _extension(random: Random) -> bytes:
    frame = _command(random)
    name, content = parse_command(frame[2 if frame[0] in (4,) else 9 :]) if frame[0] in (4, 6) else ("PING", b"")
    number = COMMANDS.index(name) if name in COMMANDS else random.randint(0, 255)
    if not random.randint(0, 4):
        content = random.choice((b"pulse 5", b"arrival 9223372036854775807", b"oldest", b"now"))
    return bytes((number,)) + damaged(random, content)


TARGETS = {
    "frames": Target(run=frames, make=_conversation, share=12),
    "requests": Target(run=requests, make=lambda random: random.randbytes(3) + _conversation(random), share=12),
    "handshake": Target(run=handshake, make=lambda random: random.randbytes(3) + _introduction(random), share=12),
    "extension": Target(run=extension, make=_extension, share=10),
}
