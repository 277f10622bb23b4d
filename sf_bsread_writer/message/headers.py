"""Main and data headers of a message: JSON in, frozen values out. Pure.

Senders leave out what is a default and write null where they have nothing, so every field but a channel's name may be absent.
Sources: the bsread specification 1.1, and what the Java, C++, Rust and Python senders really send (``docs/reference/wire.md``).
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import decompress_header
from sf_bsread_writer.message.types import Compression, ValueType, numpy_shape, parse_compression, parse_type
from sf_bsread_writer.model import NS_PER_S

__all__ = [
    "DATA_HTYPE",
    "MAIN_HTYPE",
    "MAX_CHANNELS",
    "Channel",
    "Compression",
    "DataHeader",
    "InBandCommand",
    "MainHeader",
    "UnknownHtypeError",
    "classify_single_frame",
    "parse_data_header",
    "parse_main_header",
]

MAIN_HTYPE = "bsr_m-1.1"
DATA_HTYPE = "bsr_d-1.1"
MAX_CHANNELS = 65536
"""What a message of the most frames that the scanner allows can carry."""

MAX_MAIN_HEADER_BYTES = 64 << 10
"""Real ones have 200 bytes."""

_MAX_OPENINGS = 8 * MAX_CHANNELS
"""Objects and lists in a data header, the braces in names included. A channel has two, and may have some that nobody asks for."""

_MAX_SHAPE_BYTES = 4096
"""Room for 31 dimensions, however they are written."""

INT64_MAX = (1 << 63) - 1
_UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises: for JSON of another form, for text that is not UTF-8, and for ten thousand opening brackets."""


class UnknownHtypeError(MessageError):
    """JSON of another kind than the one that belongs here."""


class MainHeader(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What stands in the first frame. ``global_timestamp_ns`` counts from 1970, 0 if the sender gave none; ``hash`` is opaque.

    A msgspec struct, because one is made for every message and this is five times faster than a frozen dataclass.
    """

    pulse_id: int
    global_timestamp_ns: int
    hash: str
    dh_compression: Compression


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel as the data header describes it. ``shape`` is in NumPy order, slowest first; ``()`` is a scalar.

    The shape of a string channel is always ``()``: what senders write there is stale or wrong, so it is not read.
    A dimension may be 0; such a channel never has a value. ``modulo`` is at least 1: what a sender calls 0 or less is no period.
    """

    name: str
    type: ValueType
    shape: tuple[int, ...] = ()
    big_endian: bool = False
    compression: Compression = Compression.NONE
    modulo: int = 1
    offset: int = 0

    @property
    def is_string(self) -> bool:
        """True for text, whose frames have no fixed size."""
        return self.type is ValueType.STRING

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Dtype of one element as the frame holds it, byte order included; raises `MessageError` for strings."""
        dtype = self.type.numpy
        return dtype.newbyteorder(">") if self.big_endian else dtype

    @property
    def item_bytes(self) -> int:
        """Bytes of one element; 1 for strings."""
        return 1 if self.is_string else self.type.numpy.itemsize

    @property
    def value_bytes(self) -> int | None:
        """Bytes of one decompressed value; None for strings, which have any length."""
        return None if self.is_string else prod(self.shape) * self.item_bytes


@dataclass(frozen=True, eq=False, kw_only=True)
class DataHeader:
    """The channels of a message in frame order, and the JSON they were read from (decompressed). Equal only to itself."""

    channels: tuple[Channel, ...]
    raw: bytes

    @cached_property
    def is_string(self) -> NDArray[np.bool_]:
        """Which channels carry text, shape (channels,); the same array at each call."""
        return np.array([channel.is_string for channel in self.channels], np.bool_)

    @cached_property
    def places(self) -> dict[str, int]:
        """Index of each channel by name, of the first of several that have the same; the same object at each call."""
        found: dict[str, int] = {}
        for index, channel in enumerate(self.channels):
            found.setdefault(channel.name, index)
        return found

    @cached_property
    def is_empty(self) -> NDArray[np.bool_]:
        """Which channels have a shape without elements, shape (channels,); the same array at each call."""
        return np.array([channel.value_bytes == 0 for channel in self.channels], np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class InBandCommand:
    """What a source tells its readers in a message of one frame. ``address`` is where to reconnect to, empty for a stop."""

    kind: Literal["stop", "reconnect"]
    address: str


_NO_SHAPE = msgspec.Raw(b"null")


class _WireTime(msgspec.Struct, gc=False):
    sec: int | None = None
    ns: int | None = None
    epoch: int | None = None


class _WireMain(msgspec.Struct, gc=False):
    htype: str = ""
    pulse_id: int | None = 0
    global_timestamp: _WireTime | None = None
    hash: Any = ""
    dh_compression: str | None = "none"
    address: str | None = ""


class _WireChannel(msgspec.Struct, gc=False):
    name: str
    type: str | None = None
    shape: msgspec.Raw = _NO_SHAPE  # decoded once its size is known
    encoding: str | None = None
    modulo: int | None = None
    offset: int | None = None
    compression: str | None = None


class _WireData(msgspec.Struct, gc=False):
    htype: str = DATA_HTYPE
    channels: list[_WireChannel] | None = None


_decode_main = msgspec.json.Decoder(_WireMain).decode
_decode_data = msgspec.json.Decoder(_WireData).decode
_decode_any = msgspec.json.Decoder().decode
_BIG_ENDIAN = {"little": False, "<": False, "big": True, ">": True}


def parse_main_header(frame: bytes | memoryview) -> MainHeader:
    """The main header in ``frame``; a pulse id or timestamp that is left out is 0, and old senders write ``epoch`` for ``sec``.

    Raises `MessageError` for anything else than a main header and for numbers that do not fit into int64,
    `UnknownHtypeError` (one of them) for JSON of another kind.
    """
    if len(frame) > MAX_MAIN_HEADER_BYTES:
        raise MessageError(f"main header of {len(frame)} bytes, more than {MAX_MAIN_HEADER_BYTES}: {_beginning(frame)}")
    try:
        wire = _decode_main(frame)
    except _UNREADABLE as error:
        raise MessageError(f"main header cannot be read ({error}): {_beginning(frame)}") from None
    if wire.htype != MAIN_HTYPE and not wire.htype.startswith("bsr_m-1."):
        raise UnknownHtypeError(f"first frame has htype {wire.htype!r:.100}, expected {MAIN_HTYPE!r}: {_beginning(frame)}")
    pulse_id = wire.pulse_id or 0
    if not 0 <= pulse_id <= INT64_MAX:
        raise MessageError(f"pulse id {pulse_id!r:.40} is out of range")
    return MainHeader(
        pulse_id=pulse_id,
        global_timestamp_ns=_nanoseconds(wire.global_timestamp),
        hash=wire.hash if type(wire.hash) is str else str(wire.hash),
        dh_compression=parse_compression(wire.dh_compression),
    )


def classify_single_frame(frame: bytes | memoryview) -> InBandCommand | None:
    """The in-band command in the only frame of a message; None if it is not one that this package knows."""
    if len(frame) > MAX_MAIN_HEADER_BYTES:
        return None
    try:
        wire = _decode_main(frame)
    except _UNREADABLE:
        return None
    if wire.htype.startswith("bsr_stop-"):
        return InBandCommand(kind="stop", address="")
    if wire.htype.startswith("bsr_reconnect-"):
        return InBandCommand(kind="reconnect", address=wire.address or "")
    return None


def parse_data_header(frame: bytes | memoryview, dh_compression: Compression) -> DataHeader:
    """The data header in ``frame``, decompressed as the main header says.

    Raises `MessageError` for anything else than a data header: a channel without a name, a type, shape, encoding or compression
    that bsread does not have. Names are taken as they are: empty ones and duplicates too.
    """
    raw = decompress_header(dh_compression, frame)
    if raw.count(b"{") + raw.count(b"[") > _MAX_OPENINGS:
        raise MessageError(f"data header has more than {_MAX_OPENINGS} objects and lists: {_beginning(raw)}")
    try:
        wire = _decode_data(raw)
    except _UNREADABLE as error:
        raise MessageError(f"data header cannot be read ({error}): {_beginning(raw)}") from None
    if not wire.htype.startswith("bsr_d-1."):
        raise UnknownHtypeError(f"second frame has htype {wire.htype!r:.100}, expected {DATA_HTYPE!r}: {_beginning(raw)}")
    channels = wire.channels or []
    if len(channels) > MAX_CHANNELS:
        raise MessageError(f"data header has {len(channels)} channels, more than {MAX_CHANNELS}")
    return DataHeader(channels=tuple([_channel(channel) for channel in channels]), raw=raw)


def _channel(wire: _WireChannel) -> Channel:
    try:
        kind = ValueType.FLOAT64 if wire.type is None else parse_type(wire.type)
        return Channel(
            name=wire.name,
            type=kind,
            # The Python sender makes an empty list a channel of shape [0]; its values never hold anything, but the others' do.
            shape=() if kind is ValueType.STRING else numpy_shape(_decoded(wire.shape), may_be_empty=True),
            big_endian=_is_big_endian(wire.encoding),
            compression=parse_compression(wire.compression),
            modulo=min(max(1, wire.modulo or 1), INT64_MAX),
            offset=wire.offset or 0,
        )
    except MessageError as error:
        raise MessageError(f"channel {wire.name!r:.200}: {error}") from None


def _decoded(shape: msgspec.Raw) -> object:
    """What stands in a data header as a shape."""
    text = memoryview(shape)
    if len(text) > _MAX_SHAPE_BYTES:
        raise MessageError(f"shape is {len(text)} characters long: {_beginning(text)}")
    try:
        return _decode_any(text)
    except _UNREADABLE as error:
        raise MessageError(f"shape cannot be read ({error}): {_beginning(text)}") from None


def _is_big_endian(encoding: str | None) -> bool:
    if encoding is None:
        return False
    big_endian = _BIG_ENDIAN.get(encoding.lower())
    if big_endian is None:
        raise MessageError(f"unknown encoding {encoding!r:.100}; bsread has little, big, < and >")
    return big_endian


def _nanoseconds(time: _WireTime | None) -> int:
    if time is None:
        return 0
    sec = time.sec if time.sec is not None else time.epoch
    nanoseconds = (sec or 0) * NS_PER_S + (time.ns or 0)
    if not 0 <= nanoseconds <= INT64_MAX:
        raise MessageError(f"global timestamp {sec!r:.40} s {time.ns!r:.40} ns is out of range")
    return nanoseconds


def _beginning(frame: bytes | memoryview) -> str:
    """The first bytes of a frame, for a person to see what it was."""
    return f"{bytes(frame[:60])!r}{'…' if len(frame) > 60 else ''}"
