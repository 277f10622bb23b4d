"""One message as Python and NumPy values, each made when it is asked for. Pure.

A camera's picture takes milliseconds to decompress, and who wants a scalar beside it should not pay for that.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np

from sf_bsread_writer.message.compression import is_missing_payload
from sf_bsread_writer.message.decode import decode_timestamp, decode_value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression

T = TypeVar("T")


class Message:
    """What a source sent for one pulse. Owns its bytes.

    ``pulse_id``; ``global_timestamp_ns`` counts from 1970 (UTC), 0 if the source gave none. The mappings raise `MessageError` if
    the header or the value asked for cannot be understood; the other values are not touched by that.
    """

    __slots__ = ("_body", "_layout", "global_timestamp_ns", "pulse_id")

    def __init__(self, run: Run, index: int) -> None:
        """A copy of one message of a run."""
        self.pulse_id = int(run.pulse_ids[index])
        self.global_timestamp_ns = int(run.global_timestamps_ns[index])
        self._layout: Layout = run.layouts[run.layout_index[index]]
        self._body = memoryview(bytes(run.view[run.bodies[index] : run.ends[index]]))

    @property
    def channels(self) -> Mapping[str, Channel]:
        """What its header says of each channel, whether it has a value or not; of several of one name, the first counts."""
        header = self._layout.channels
        return MappingProxyType({name: header.channels[index] for name, index in header.places.items()})

    @property
    def values(self) -> Mapping[str, Any]:
        """Values by channel, decompressed; a channel without one is absent.

        NumPy scalars; arrays in NumPy order, slowest dimension first, so that an image 1280 wide and 1024 high has the shape
        (1024, 1280); texts as `str`. Decoded at each look, into memory of their own.
        """
        return _ByChannel(self, self._value)

    @property
    def timestamps_ns(self) -> Mapping[str, int]:
        """The channels' own times in ns since 1970, the global one for those that have none; as absent as the values."""
        return _ByChannel(self, self._timestamp_ns)

    def __repr__(self) -> str:
        return f"Message(pulse_id={self.pulse_id}, global_timestamp_ns={self.global_timestamp_ns})"

    def _place(self, name: object) -> int | None:
        """Index of a channel that has a value."""
        layout = self._layout
        index = layout.channels.places.get(name) if isinstance(name, str) else None
        if index is None or not layout.present[index]:
            return None
        channel = layout.channels.channels[index]
        if channel.compression is Compression.NONE or (channel.is_string and layout.timestamp_lengths[index]):
            return index
        return None if is_missing_payload(channel.compression, self._payload(index)) else index

    def _payload(self, index: int) -> memoryview:
        start = int(self._layout.value_starts[index])
        return self._body[start : start + int(self._layout.value_lengths[index])]

    def _value(self, index: int) -> Any:
        channel, payload = self._layout.channels.channels[index], self._payload(index)
        if channel.is_string and is_missing_payload(channel.compression, payload):
            return ""
        value = decode_value(channel, payload)
        return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value

    def _timestamp_ns(self, index: int) -> int:
        start = int(self._layout.timestamp_starts[index])
        frame = self._body[start : start + int(self._layout.timestamp_lengths[index])]
        return decode_timestamp(self._layout.channels.channels[index], frame, self.global_timestamp_ns)


class _ByChannel(Mapping[str, T]):
    """Something of each channel that has a value, in the order of the header."""

    def __init__(self, message: Message, get: Callable[[int], T]) -> None:
        self._message = message
        self._get = get

    def __getitem__(self, name: str) -> T:
        place = self._message._place(name)
        if place is None:
            raise KeyError(name)
        return self._get(place)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._message.channels if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return self._message._place(name) is not None

    def __repr__(self) -> str:
        return repr(dict(self))
