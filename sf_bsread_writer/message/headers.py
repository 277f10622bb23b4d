"""Main and data headers of a message: JSON in, frozen values out. Pure.

Senders leave out what is a default and write null where they have nothing, so every field but a channel's name may be absent.
Sources: the bsread specification 1.1; what the Java, C++, Rust and Python senders really send stands in ``docs/reference/wire.md``.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from sf_bsread_writer.message.types import Compression as Compression
from sf_bsread_writer.message.types import ValueType

INT64_MAX = (1 << 63) - 1
MAIN_HTYPE = "bsr_m-1.1"
DATA_HTYPE = "bsr_d-1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MainHeader:
    """What stands in the first frame. ``global_timestamp_ns`` counts from 1970, 0 if the sender gave none; ``hash`` is opaque."""

    pulse_id: int
    global_timestamp_ns: int
    hash: str
    dh_compression: Compression


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel as the data header describes it. ``shape`` is in NumPy order, slowest first; ``()`` is a scalar.

    The shape of a string channel is always ``()``: what senders write there is stale or wrong, so it is not read.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class InBandCommand:
    """What a source tells its readers in a message of one frame. ``address`` is where to reconnect to, empty for a stop."""

    kind: Literal["stop", "reconnect"]
    address: str


def parse_main_header(frame: bytes | memoryview) -> MainHeader:
    """The main header in ``frame``; raises `MessageError` for anything else than one, and for values that int64 cannot hold."""
    raise NotImplementedError


def classify_single_frame(frame: bytes | memoryview) -> InBandCommand | None:
    """The in-band command in the only frame of a message; None if it is not one that this package knows."""
    raise NotImplementedError


def parse_data_header(frame: bytes | memoryview, dh_compression: Compression) -> DataHeader:
    """The data header in ``frame``, decompressed as the main header says; raises `MessageError`."""
    raise NotImplementedError
