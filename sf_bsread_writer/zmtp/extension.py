"""What our own buffer and writer say to each other inside ZMTP. Pure.

READY may carry properties of applications, named ``X-…``; libzmq passes over them, and over commands that it does not know.
So one address serves everybody: a peer that knows nothing of this gets the plain stream.

In READY, client to buffer; any libzmq client can send them with the socket option ``ZMQ_METADATA``, as "X-Start:pulse 100":

===============  ========================================================================================
``X-Name``       the client's name in logs and statistics
``X-Start``      where to begin, see `StartPoint`; default ``oldest`` for PULL, ``live`` for SUB
``X-Arrivals``   ``1``: announce the arrival times of the messages that follow, and losses
===============  ========================================================================================

In READY, buffer to client, in decimal: ``X-Bsread-Buffer`` = 1, ``X-Messages``, and unless the buffer is empty
``X-Oldest-Pulse-Id`` and ``X-Newest-Pulse-Id``.

Commands, client to buffer: `StartRequest` (moves this client's cursor; answered in order by `Started`), `MarkRequest`
(answered in order by `Marked`, once everything that had arrived when it was received has been sent) and `ClientsRequest`
(answered by `ClientList`). Buffer to client: these answers, `Lost` (the client was overtaken by the ring) and `RunAnnouncement`
(before each run of messages, to a client that asked for it). All are JSON, but the last is binary: int64, little-endian, first
the sequence number, then the arrival times.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple, Self, cast, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import PeerError, UsageError
from sf_bsread_writer.zmtp.frames import encode_command
from sf_bsread_writer.zmtp.handshake import Ready, SocketType, serving_role

StartKind = Literal["oldest", "live", "hold", "now", "pulse", "arrival"]

_INT64_MAX = 2**63 - 1
_Number = Annotated[int, msgspec.Meta(ge=0, le=_INT64_MAX)]
"""Of messages, instants and pulses: what int64 can hold, since it is put into arrays."""

MOST_LISTED = 64
"""Clients in one answer: more than a person reads, and less than 64 KiB whatever their names are."""

_WITH_VALUE = ("pulse", "arrival")
_MAX_NAME_CHARACTERS = 100
_VERSIONS = "buffer and writer differ in version: update both"
_GRAMMAR = 'expected "oldest", "live", "hold", "now", "pulse N" or "arrival T" (nanoseconds since 1970)'


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a client's stream begins.

    ``oldest``: at the oldest kept message. ``live``: at the next to arrive. ``hold``: nothing until a `StartRequest`.
    ``now``: as live, with a promise: all messages that arrive at or after the answer's ``now_ns``. ``pulse``: at the kept
    message with pulse id ``value``, or the next higher one. ``arrival``: at the first that arrived at ``value`` or later, in ns
    since 1970. ``value`` is None for all but the last two.
    """

    kind: StartKind
    value: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(StartKind) or (self.value is not None) != (self.kind in _WITH_VALUE):
            raise UsageError(f"start point {self}: {_GRAMMAR}")
        if self.value is not None and not 0 <= self.value <= _INT64_MAX:
            raise UsageError(f"start point {self}: {self.value} is not between 0 and {_INT64_MAX}")

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind} {self.value}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads what `str` writes; raises `UsageError` with the text and the grammar."""
        kind, space, value = text.partition(" ")
        if kind not in get_args(StartKind) or (space and not (value.isascii() and value.isdigit() and len(value) <= 19)):
            raise UsageError(f"start point {text[:60]!r}: {_GRAMMAR}")
        return cls(cast(StartKind, kind), int(value) if space else None)

    @classmethod
    def after(cls, pulse_id: int) -> Self:
        """Behind this pulse; behind the largest that there can be nothing follows, so it is at that one itself."""
        return cls("pulse", min(max(0, pulse_id + 1), _INT64_MAX))


class StartRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Client to buffer: continue at ``at``, the text of a `StartPoint`.

    ``generation`` tells the answers of several requests apart.
    """

    generation: _Number
    at: str

    @property
    def start(self) -> StartPoint:
        """The parsed ``at``; checked when the command was decoded."""
        return StartPoint.parse(self.at)


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Buffer to client: from here on come messages of this generation, from ``first_sequence`` on, and none of the earlier.

    ``now_ns`` is the buffer's clock when it received the request; pulse ids are None while the buffer holds no message.
    ``from_oldest``: the first of these messages is the oldest that is held, so that what was asked for may have been evicted.
    ``first_pulse_id`` and ``first_arrival_ns`` are its own, None if it has not come yet, or of a buffer that does not tell.
    """

    generation: _Number
    now_ns: _Number
    oldest_pulse_id: _Number | None
    newest_pulse_id: _Number | None
    messages: _Number
    first_sequence: _Number
    from_oldest: bool = False
    first_pulse_id: _Number | None = None
    first_arrival_ns: _Number | None = None


class MarkRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Client to buffer: tell me when all that has arrived by now is sent."""

    token: _Number


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """Buffer to client: all that had arrived before ``now_ns``, the receipt of this token's request, has been sent."""

    token: _Number
    now_ns: _Number


class ClientsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Client to buffer: who is connected?"""


class ListedClient(msgspec.Struct, frozen=True, kw_only=True):
    """One client of a buffer; ``lag_s`` is how long ago its next message arrived, ``lost_messages`` it was overtaken by."""

    name: str
    address: str
    sent_messages: _Number
    lag_messages: _Number
    lag_s: float
    lost_messages: _Number


class ClientList(msgspec.Struct, frozen=True, kw_only=True):
    """Buffer to client: how many are ``connected``, and at most `MOST_LISTED` of them, the longest connected first.

    Of more than that these are the ones furthest behind. ``now_ns`` is when it was so, by the buffer's clock.
    """

    now_ns: _Number
    connected: _Number
    clients: tuple[ListedClient, ...]


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """Buffer to client: you were overtaken; ``messages`` messages, the first numbered ``first_sequence``, will never come."""

    messages: _Number
    first_sequence: _Number


class RunAnnouncement(NamedTuple):
    """Buffer to client: ``len(arrivals_ns)`` messages follow at once, numbered from ``first_sequence``.

    ``arrivals_ns`` is when each arrived at the buffer, in ns since 1970.
    """

    first_sequence: int
    arrivals_ns: NDArray[np.int64]


JsonCommand = StartRequest | Started | MarkRequest | Marked | ClientsRequest | ClientList | Lost

_NAMES: dict[type[JsonCommand], str] = {
    StartRequest: "BSR-START",
    Started: "BSR-STARTED",
    MarkRequest: "BSR-MARK",
    Marked: "BSR-MARKED",
    ClientsRequest: "BSR-CLIENTS",
    ClientList: "BSR-CLIENT-LIST",
    Lost: "BSR-LOST",
}
_DECODERS: dict[str, msgspec.json.Decoder[JsonCommand]] = {name: msgspec.json.Decoder(type_) for type_, name in _NAMES.items()}
_RUN = "BSR-RUN"


def encode_extension(command: JsonCommand) -> bytes:
    """The whole command frame of a request or an answer."""
    return encode_command(_NAMES[type(command)], msgspec.json.encode(command))


def encode_run(first_sequence: int, arrivals_ns: NDArray[np.int64]) -> bytes:
    """The whole command frame of a `RunAnnouncement`."""
    return encode_command(
        _RUN, first_sequence.to_bytes(8, "little", signed=True) + arrivals_ns.astype("<i8", copy=False).tobytes()
    )


def decode_run(data: bytes) -> RunAnnouncement:
    """Reads the data of a ``BSR-RUN`` command; the array refers to ``data``.

    Raises `PeerError` unless it is a whole number of int64, at least one.
    """
    if len(data) < 8 or len(data) % 8:
        raise PeerError(f"sent {_RUN} of {len(data)} bytes, which is not a positive multiple of 8; {_VERSIONS}")
    numbers = np.frombuffer(data, "<i8")
    return RunAnnouncement(int(numbers[0]), numbers[1:].astype(np.int64, copy=False))


def decode_extension(name: str, data: bytes) -> JsonCommand | RunAnnouncement | None:
    """The command with this name and data (from `frames.parse_command`), None if it is none of ours.

    Raises `PeerError` if it is damaged.
    """
    if name == _RUN:
        return decode_run(data)
    decoder = _DECODERS.get(name)
    if decoder is None:
        return None
    try:
        command = decoder.decode(data)
        if isinstance(command, StartRequest):
            StartPoint.parse(command.at)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: the start point, or text that is not UTF-8
        raise PeerError(f"sent an unusable {name} command, {data[:80]!r}: {error}; {_VERSIONS}") from None
    return command


def client_properties(*, name: str, start: StartPoint | None = None, arrivals: bool = False) -> dict[str, bytes]:
    """What a client puts into its READY; ``start`` None leaves the choice to the buffer."""
    properties = {"X-Name": name.encode()}
    if start is not None:
        properties["X-Start"] = str(start).encode()
    if arrivals:
        properties["X-Arrivals"] = b"1"
    return properties


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientWishes:
    """What a client asked for in its READY; ``name`` is empty if it gave none."""

    name: str
    start: StartPoint
    arrivals: bool

    @classmethod
    def from_ready(cls, ready: Ready) -> Self:
        """Reads a client's properties, with the defaults for its socket type; raises `PeerError` with the value that is wrong."""
        properties = ready.properties
        default = b"live" if serving_role(ready) is SocketType.PUB else b"oldest"
        name = _decode_name(properties.get("X-Name", b""))
        arrivals = properties.get("X-Arrivals", b"0")
        if arrivals not in {b"0", b"1"}:
            raise PeerError(f"property X-Arrivals = {arrivals[:40]!r}; expected 0 or 1")
        return cls(name=name, start=_decode_start(properties.get("X-Start", default)), arrivals=arrivals == b"1")


def holdings_properties(*, oldest_pulse_id: int | None, newest_pulse_id: int | None, messages: int) -> dict[str, bytes]:
    """What the buffer puts into its READY; pulse ids are None while it holds no message."""
    numbers: Mapping[str, int | None] = {
        "X-Messages": messages,
        "X-Oldest-Pulse-Id": oldest_pulse_id,
        "X-Newest-Pulse-Id": newest_pulse_id,
    }
    return {"X-Bsread-Buffer": b"1"} | {name: str(number).encode() for name, number in numbers.items() if number is not None}


def is_buffer(ready: Ready) -> bool:
    """Whether this source is a buffer of ours, which serves PULL and SUB alike, and understands our commands."""
    return "X-Bsread-Buffer" in ready.properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What a buffer held when the connection was made; pulse ids are None if it was empty."""

    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    messages: int

    def __str__(self) -> str:
        """For a log, behind "which holds"."""
        if self.oldest_pulse_id is None:
            return f"{self.messages or 'no'} messages"
        return f"{self.messages} messages, pulses {self.oldest_pulse_id}..{self.newest_pulse_id}"

    @classmethod
    def from_ready(cls, ready: Ready) -> Self | None:
        """Reads a source's properties; None: the source is no buffer of ours. Raises `PeerError` with the value that is wrong."""
        if not is_buffer(ready):
            return None
        return cls(
            oldest_pulse_id=_decode_number(ready, "X-Oldest-Pulse-Id"),
            newest_pulse_id=_decode_number(ready, "X-Newest-Pulse-Id"),
            messages=_decode_number(ready, "X-Messages") or 0,
        )


def _decode_name(value: bytes) -> str:
    text = value.decode("utf-8", "replace")[:_MAX_NAME_CHARACTERS]
    return "".join(character if character.isprintable() else "?" for character in text)


def _decode_start(value: bytes) -> StartPoint:
    try:
        start = StartPoint.parse(value.decode("ascii", "backslashreplace"))
    except UsageError as error:
        raise PeerError(f"property X-Start: {error}") from None
    if start.kind == "now":
        raise PeerError('property X-Start = "now", which only the command BSR-START may ask for; use "live"')
    return start


def _decode_number(ready: Ready, name: str) -> int | None:
    value = ready.properties.get(name)
    if value is None:
        return None
    if not (value.isdigit() and len(value) <= 19 and int(value) <= _INT64_MAX):
        raise PeerError(f"sent the property {name} = {value[:40]!r}; expected a decimal number")
    return int(value)
