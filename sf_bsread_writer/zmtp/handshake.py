"""The first bytes of a ZMTP 3.x connection as a state machine without I/O. Pure.

Both ends send a greeting of 64 bytes, then a READY command (mechanism NULL) with their socket type and properties. The
connecting end announces itself as soon as it has seen a usable greeting; the listening end decides by the other's READY what
it wants to be, or refuses with an ERROR command. Source: RFC 23 (ZMTP 3.0), RFC 37 (ZMTP 3.1).

We greet as 3.1. Subscriptions are then SUBSCRIBE commands between us and libzmq 4.3; with a peer that greeted as 3.0 they are
messages. Nothing else differs between the two for the sockets used here.

The texts of the errors are predicates whose subject is the peer, as in `frames`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

from sf_bsread_writer.errors import PeerError, StateError
from sf_bsread_writer.zmtp.frames import (
    encode_command,
    encode_properties,
    parse_command,
    parse_properties,
    read_frame_header,
)

GREETING_BYTES = 64
VERSION_STOP = 12
"""Signature and version; the security mechanism follows."""
MAX_HANDSHAKE_BYTES = 64 * 1024
_SIGNATURE_BYTES = 10
_MECHANISM = slice(VERSION_STOP, 32)
_REFUSED = "X-Refused"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""How a TLS server's alert and a TLS client's hello begin."""


class SocketType(StrEnum):
    """The socket types that this program plays; the value is the name on the wire."""

    PULL = "PULL"
    PUSH = "PUSH"
    SUB = "SUB"
    PUB = "PUB"

    @property
    def partner(self) -> "SocketType":
        """The socket type at the other end of the connection."""
        return _PARTNERS[self]


_PARTNERS = {
    SocketType.PULL: SocketType.PUSH,
    SocketType.PUSH: SocketType.PULL,
    SocketType.SUB: SocketType.PUB,
    SocketType.PUB: SocketType.SUB,
}
# XPUB and XSUB are PUB and SUB on the wire; they are what forwarders between a source and its readers are made of.
_ROLE_TO_READ = {"PUSH": SocketType.PULL, "PUB": SocketType.SUB, "XPUB": SocketType.SUB}
_ROLE_TO_SERVE = {"PULL": SocketType.PUSH, "SUB": SocketType.PUB, "XSUB": SocketType.PUB}


class WrongRole(PeerError):  # noqa: N818 - named for what is wrong, as its callers say it
    """The peer is a source, but of the other kind than we announced; ``partner`` is the role it needs at our end."""

    def __init__(self, text: str, *, partner: SocketType) -> None:
        super().__init__(text)
        self.partner = partner


class Refused(PeerError):  # noqa: N818 - named for what happened, as WrongRole
    """The peer sent ERROR in place of READY. What it is remains unsaid, and its reason may be our socket type."""


class TryLater(PeerError):  # noqa: N818 - named for what it says to the peer
    """Raised by an ``answer`` that refuses for the moment only; ``role`` is what it would have been for this peer.

    The peer gets READY with the reason as property ``X-Refused``, then the connection is closed. An ERROR command would say it
    more plainly, but after one libzmq never connects again.
    """

    def __init__(self, text: str, *, role: SocketType) -> None:
        super().__init__(text)
        self.role = role


@dataclass(frozen=True, slots=True)
class Ready:
    """What the peer said of itself; ``minor`` is 0 for ZMTP 3.0, 1 for 3.1: the lower of its version and ours.

    The properties, ``Socket-Type`` included, are found by name in any case.
    """

    socket_type: str
    properties: Mapping[str, bytes]
    minor: int


Announcement = tuple[SocketType, Mapping[str, bytes]]


class _State(Enum):
    GREETING = "waiting for the greeting"
    READY = "waiting for READY"
    DONE = "finished"
    FAILED = "failed"


class Handshake:
    """One end of one handshake; feed it what arrives, send what it returns, until `ready` is set or it raises.

    Parameters
    ----------
    announce
        Connecting end: our socket type and properties (without ``Socket-Type``).
    answer
        Listening end: gets the peer's `Ready`, gives our socket type and properties, or raises `PeerError` to refuse for
        good (the text goes to the peer, and libzmq then never asks again) or `TryLater`.
    minor
        The minor version to greet with: 1, or 0 to be a ZMTP 3.0 peer.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Ready], Announcement] | None = None,
        announce: Announcement | None = None,
        minor: int = 1,
    ) -> None:
        if (answer is None) == (announce is None):
            raise ValueError(
                "a handshake either announces (connecting end) or answers (listening end): give exactly one of the two"
            )
        self.ready: Ready | None = None
        """The peer, once the handshake is done."""
        self.socket_type: SocketType | None = None if announce is None else announce[0]
        """What we are in this connection."""
        self.leftover = b""
        """Bytes that came behind the peer's READY: the beginning of the traffic."""
        self.farewell = b""
        """What to send before closing, after `feed` has raised: the reason if it was us who refused, else nothing."""
        self._answer = answer
        self._announce = announce
        self._minor = minor
        self._peer_minor = 0
        self._greeted = False
        self._state = _State.GREETING
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """What has come and is not used yet: an unfinished greeting or READY."""
        return bytes(self._received)

    @property
    def greeted(self) -> bool:
        """Whether the peer's greeting has been accepted: from then on it is a ZMTP 3 peer with mechanism NULL."""
        return self._greeted

    def start(self) -> bytes:
        """The greeting, to be sent first."""
        return encode_greeting(minor=self._minor)

    def feed(self, data: bytes) -> bytes:
        """Takes what arrived, in pieces of any size; returns what to send now.

        Raises
        ------
        WrongRole
            Connecting end: the peer is a bsread source of the other kind (PUB where we are PULL, PUSH where we are SUB).
        PeerError
            The peer is of no use, with the reason; send `farewell`, then close.
        """
        if self._state in {_State.DONE, _State.FAILED}:
            raise StateError(f"this handshake has {self._state.value}; {len(data)} more bytes were fed to it")
        self._received += data
        try:
            answer = self._feed_greeting() if self._state is _State.GREETING else b""
            return answer + self._feed_ready() if self._state is _State.READY else answer
        except PeerError:
            self._state = _State.FAILED
            raise

    def _feed_greeting(self) -> bytes:
        minor = read_greeting(self._received)
        if minor is None:
            return b""
        del self._received[:GREETING_BYTES]
        self._peer_minor = min(minor, self._minor)
        self._greeted = True
        self._state = _State.READY
        return b"" if self._announce is None else _encode_ready(*self._announce)

    def _feed_ready(self) -> bytes:
        header = read_frame_header(self._received, 0, len(self._received), max_frame_bytes=MAX_HANDSHAKE_BYTES - GREETING_BYTES)
        if header is None or len(self._received) < header.body_stop:
            return b""
        body = bytes(self._received[header.body_start : header.body_stop])
        if not header.command:
            raise PeerError(f"sent a message of {len(body)} bytes before READY; it is not a ZMTP 3 peer or is broken")
        ready = _parse_ready(body, self._peer_minor)
        answer = self._decide(ready)
        self.leftover = bytes(self._received[header.body_stop :])
        self._received = bytearray()
        self.ready = ready
        self._state = _State.DONE
        return answer

    def _decide(self, ready: Ready) -> bytes:
        if self._announce is not None:
            _check_source(ready, self._announce[0])
            return b""
        assert self._answer is not None
        try:
            self.socket_type, properties = self._answer(ready)
        except TryLater as error:
            self.farewell = _encode_ready(error.role, {_REFUSED: _to_ascii(str(error))})
            raise
        except PeerError as error:
            self.farewell = encode_error(str(error))
            raise
        return _encode_ready(self.socket_type, properties)


def serving_role(ready: Ready) -> SocketType:
    """What a listening end is for this peer: PUSH for PULL, PUB for SUB and XSUB; raises `PeerError` for other socket types."""
    role = _ROLE_TO_SERVE.get(ready.socket_type)
    if role is None:
        raise PeerError(f"a {ready.socket_type} socket cannot read here, only PULL and SUB can")
    return role


def encode_greeting(*, minor: int = 1) -> bytes:
    """64 bytes: signature, version 3.``minor``, mechanism NULL, not a server, zeros.

    The ninth byte is 1, not 0: libzmq 3 reads the padding as the length of a ZMTP 1.0 identity and answers only then.
    """
    return b"\xff" + bytes(7) + b"\x01\x7f" + bytes((3, minor)) + b"NULL".ljust(20, b"\0") + bytes(32)


def read_greeting(data: bytes | bytearray) -> int | None:
    """The peer's minor version, or None while the greeting is not whole.

    Raises `PeerError` as soon as the bytes show that the peer will not do: a stranger may never send 64 of them.
    """
    if data and (data[0] != 0xFF or (len(data) >= _SIGNATURE_BYTES and data[9] != 0x7F)):
        raise PeerError(_describe_stranger(bytes(data)))
    if len(data) > _SIGNATURE_BYTES and data[10] < 3:
        # The revision byte is 0 for ZMTP 1.0 and 1 for ZMTP 2.0 (libzmq 3.x); only from 3 on it is the version's number.
        version = "1.0" if data[10] == 0 else "2.0"
        raise PeerError(f"speaks ZMTP {version}; this program needs 3.x: update the peer to libzmq 4, JeroMQ 0.4 or newer")
    if len(data) < GREETING_BYTES:
        return None
    mechanism = bytes(data[_MECHANISM]).rstrip(b"\0")
    if mechanism != b"NULL":
        raise PeerError(
            f"wants security mechanism {_readable(mechanism) or '(none)'}, only NULL is supported; switch it off at the peer"
        )
    # A higher version than ours must be accepted: such a peer adapts to us (RFC 23).
    return data[11] if data[10] == 3 else 255


def encode_error(reason: str) -> bytes:
    """An ERROR command frame; of the reason the first 255 characters, ASCII."""
    text = _to_ascii(reason)
    return encode_command("ERROR", bytes((len(text),)) + text)


def _to_ascii(reason: str) -> bytes:
    return reason.encode("ascii", "replace")[:255]


def _encode_ready(socket_type: SocketType, properties: Mapping[str, bytes]) -> bytes:
    return encode_command("READY", encode_properties({"Socket-Type": socket_type.value.encode(), **properties}))


def _parse_ready(body: bytes, minor: int) -> Ready:
    name, data = parse_command(body)
    if name == "ERROR":
        reason = data[1 : 1 + data[0]] if data else b""
        raise Refused(f"refused the connection: {_readable(reason) or 'it gave no reason'}")
    if name != "READY":
        raise PeerError(f"sent the command {name[:40]!r} where READY was expected; it is not a ZMTP 3 peer with mechanism NULL")
    properties = parse_properties(data)
    socket_type = properties.get("Socket-Type")
    if socket_type is None:
        raise PeerError("sent READY without a Socket-Type; it is not a ZMTP 3 peer or is broken")
    return Ready(_readable(socket_type[:40]), properties, minor)


def _check_source(ready: Ready, ours: SocketType) -> None:
    needed = _ROLE_TO_READ.get(ready.socket_type)
    if needed is None:
        raise PeerError(f"is a {ready.socket_type} socket; a bsread source is PUSH or PUB: check host and port")
    if needed is not ours:
        raise WrongRole(f"is a {ready.socket_type} socket, which needs mode {needed.lower()}, not {ours.lower()}", partner=needed)
    if _REFUSED in ready.properties:
        raise PeerError(f"refused the connection: {_readable(ready.properties[_REFUSED][:255])}")


def _describe_stranger(data: bytes) -> str:
    # An anonymous ZMTP 1.0 peer begins with an empty identity frame: length 1, flags 0. One with an identity of more than 254
    # bytes begins as a signature does, but has flags where the signature ends.
    if data[:2] == b"\x01\x00" or (data[0] == 0xFF and not data[9] & 1):
        return "speaks ZMTP 1.0; this program needs 3.x: update the peer to libzmq 4, JeroMQ 0.4 or newer"
    kind = ", which is TLS" if data.startswith(_TLS_RECORDS) else ""
    shown = repr(data) if len(data) <= 24 else f"{data[:24]!r}…"
    return f"is not a ZMTP peer (got {shown}{kind}); check host and port"


def _readable(data: bytes) -> str:
    """Text of a peer as it may stand in one line of a log."""
    text = data.decode("ascii", "backslashreplace")
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
