"""Frames, commands and properties of ZMTP 3.x as bytes. Pure: bytes in, values out, and back.

A frame is a flags byte, a length of 1 byte (or 8, big-endian, if `LONG` is set), and the body. A command frame's body is
a length byte, the command's name, and its data. Source: RFC 23 (ZMTP 3.0) and RFC 37 (ZMTP 3.1).

The texts of the `PeerError` raised here are predicates whose subject is the peer ("sent a frame of …"): whoever knows its
address puts it in front.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sf_bsread_writer.errors import PeerError

MORE = 0x01
LONG = 0x02
COMMAND = 0x04
_RESERVED = 0xFF ^ (MORE | LONG | COMMAND)

Octets = bytes | bytearray | memoryview
"""What frames are made of; memoryviews must be contiguous and of single bytes."""

_PING_TTL_BYTES = 2
_DAMAGED = "the stream is damaged, or the peer is not what it seems: reconnect, and look at the peer if it happens again"
_BROKEN = "it is broken or not a ZMTP 3 peer: check host and port"


class Indexable(Protocol):
    """Anything that gives single bytes by position: bytes, bytearray, memoryview, a uint8 array."""

    def __getitem__(self, position: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """Where a frame's body lies: ``[body_start, body_stop)`` in the memory that the header was read from.

    The body may end beyond what has arrived.
    """

    body_start: int
    body_stop: int
    more: bool
    command: bool


class Properties(Mapping[str, bytes]):
    """Properties of a READY command: looked up by name in any case, iterated in the order and case in which they came."""

    __slots__ = ("_by_folded_name",)

    def __init__(self, pairs: Mapping[str, bytes] | None = None) -> None:
        self._by_folded_name = {name.lower(): (name, bytes(value)) for name, value in (pairs or {}).items()}

    def __getitem__(self, name: str) -> bytes:
        return self._by_folded_name[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._by_folded_name.values())

    def __len__(self) -> int:
        return len(self._by_folded_name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._by_folded_name

    def __repr__(self) -> str:
        return f"Properties({dict(self)!r})"


def encode_frame_header(length: int, *, more: bool = False, command: bool = False) -> bytes:
    """The 2 bytes (bodies up to 255 bytes) or 9 bytes that stand before a body of ``length`` bytes."""
    flags = (MORE if more else 0) | (COMMAND if command else 0)
    if length < 256:
        return bytes((flags, length))
    return bytes((flags | LONG,)) + length.to_bytes(8, "big")


def encode_frame(body: Octets, *, more: bool = False) -> bytes:
    """One message frame with its header."""
    return encode_frame_header(len(body), more=more) + body


def encode_message(frames: Sequence[Octets]) -> bytes:
    """All frames of one message (at least one), `MORE` set on all but the last."""
    if not frames:
        raise ValueError("a ZMTP message has at least one frame, got none")
    last = len(frames) - 1
    return b"".join(part for i, body in enumerate(frames) for part in (encode_frame_header(len(body), more=i < last), body))


def encode_command(name: str, data: bytes = b"") -> bytes:
    """A whole command frame; the name has 1 to 255 ASCII characters."""
    body = _encode_name(name) + data
    return encode_frame_header(len(body), command=True) + body


def read_frame_header(data: Indexable, position: int, stop: int, *, max_frame_bytes: int) -> FrameHeader | None:
    """The frame header at ``position``, or None while ``[position, stop)`` does not hold all of it.

    Raises
    ------
    PeerError
        Reserved flag bits are set, a command has `MORE`, or the body is longer than ``max_frame_bytes``: the framing is lost,
        no later byte can be trusted.
    """
    if stop - position < 2:
        return None
    flags = int(data[position])
    if flags & _RESERVED:
        raise PeerError(f"sent a frame with the reserved flag bits 0x{flags & _RESERVED:02x} set; {_DAMAGED}")
    if flags & COMMAND and flags & MORE:
        raise PeerError(f"sent a command frame with the MORE flag (0x{flags:02x}), which ZMTP 3 forbids; {_DAMAGED}")
    if flags & LONG:
        if stop - position < 9:
            return None
        length = 0
        for i in range(position + 1, position + 9):
            length = length << 8 | int(data[i])
        body_start = position + 9
    else:
        length = int(data[position + 1])
        body_start = position + 2
    if length > max_frame_bytes:
        raise PeerError(
            f"announced a frame of {length} bytes, at most {max_frame_bytes} are accepted; if it does send such ones, give more "
            f"--memory_limit, else {_DAMAGED}"
        )
    return FrameHeader(body_start, body_start + length, bool(flags & MORE), bool(flags & COMMAND))


def parse_command(body: bytes) -> tuple[str, bytes]:
    """Name and data of a command frame's body; raises `PeerError` if the name is empty, cut off or not ASCII."""
    size = body[0] if body else 0
    if size == 0 or len(body) < 1 + size:
        raise PeerError(f"sent a command without a whole name: {_shown(body)}; {_BROKEN}")
    return _decode_name(body[1 : 1 + size], "command"), body[1 + size :]


def encode_properties(properties: Mapping[str, bytes]) -> bytes:
    """The metadata part of a READY command; names have 1 to 255 ASCII characters."""
    return b"".join(
        part for name, value in properties.items() for part in (_encode_name(name), len(value).to_bytes(4, "big"), value)
    )


def parse_properties(data: bytes) -> Properties:
    """The metadata part of a READY command; raises `PeerError` if anything is cut off, left over, nameless or named twice."""
    found: dict[str, bytes] = {}
    seen: set[str] = set()
    position = 0
    while position < len(data):
        value_at = position + 1 + data[position] + 4
        value_stop = value_at + int.from_bytes(data[value_at - 4 : value_at], "big")
        if data[position] == 0 or value_at > len(data) or value_stop > len(data):
            raise PeerError(f"sent READY with a damaged property at byte {position}: {_shown(data[position:])}; {_BROKEN}")
        name = _decode_name(data[position + 1 : value_at - 4], "property")
        if name.lower() in seen:
            raise PeerError(f"sent READY with the property {name!r} twice; a peer must name each once")
        seen.add(name.lower())
        found[name] = data[value_at:value_stop]
        position = value_stop
    return Properties(found)


def encode_pong(ping_data: bytes) -> bytes:
    """The PONG command frame that answers a PING with this data: its context, without the 2 bytes of time-to-live before it."""
    return encode_command("PONG", ping_data[_PING_TTL_BYTES:])


def encode_subscribe(prefix: bytes = b"", *, minor: int = 1) -> bytes:
    """A subscription to messages whose first frame begins with ``prefix``: a command in ZMTP 3.1, a message in 3.0."""
    return encode_command("SUBSCRIBE", prefix) if minor >= 1 else encode_frame(b"\x01" + prefix)


def subscription_change(name: str, data: bytes) -> tuple[bool, bytes] | None:
    """What a ZMTP 3.1 command changes: (True, prefix) subscribes, (False, prefix) cancels, None: another command."""
    if name == "SUBSCRIBE":
        return True, data
    return (False, data) if name == "CANCEL" else None


def parse_subscription_message(body: Octets) -> tuple[bool, bytes] | None:
    """What a ZMTP 3.0 message frame from a SUB socket changes, as `subscription_change`; None: not a subscription."""
    if len(body) == 0 or body[0] > 1:
        return None
    return body[0] == 1, bytes(body[1:])


def _encode_name(name: str) -> bytes:
    encoded = name.encode("ascii")
    if not 1 <= len(encoded) <= 255:
        raise ValueError(f"a ZMTP name has 1 to 255 characters, {name!r} has {len(encoded)}")
    return bytes((len(encoded),)) + encoded


def _decode_name(name: bytes, what: str) -> str:
    if not name.isascii():
        raise PeerError(f"sent a {what} whose name is not ASCII: {_shown(name)}; {_BROKEN}")
    return name.decode("ascii")


def _shown(data: bytes, limit: int = 40) -> str:
    """The first bytes as they may stand in a log line."""
    return repr(data) if len(data) <= limit else f"{data[:limit]!r}… ({len(data)} bytes)"
