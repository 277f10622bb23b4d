"""Messages with one header, made ready once and then only patched, so that 300 scalars leave thousands of times a second. Pure.

Messages in which the same channels are present have the same frames with the same lengths. A `_Template` holds the bytes of such
a message behind its data header; a batch is a block of copies of it, in which NumPy writes all values and timestamps of all
messages at once. What repeats (images, waveforms, text, compressed values: see `values.period`) is a frame that exists once and
is referred to by every message that needs it. Nothing is encoded while the stream runs but the main header.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import encode_data_header, encode_main_header, encode_value, header_hash
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.simulator.channels import Pattern, SimulatedChannel
from sf_bsread_writer.simulator.values import period, salt, scalar_formula, value_at
from sf_bsread_writer.zmtp.frames import MORE, encode_frame, encode_frame_header

MAIN_HEADER_START = b'{"htype":"bsr_m-1.1","pulse_id":'
"""How the first frame of every simulated message begins; what subscriptions are compared with."""

_TIMESTAMP_BYTES = 16
_MAX_TEMPLATES = 64
"""Channels that are due now and then give a few layouts in turn; values missing at random give one for each message."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Whole messages as they go to the socket. Message i is ``pieces[ends[i - 1]:ends[i]]``; nobody may change the memory."""

    pieces: list[bytes | memoryview]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.ends)

    def head(self, count: int) -> "Batch":
        """The first ``count`` messages."""
        return Batch(pieces=self.pieces[: self.ends[count - 1]] if count else [], ends=self.ends[:count])

    def tail(self, first: int) -> "Batch":
        """The messages from number ``first`` on."""
        cut = self.ends[first - 1] if first else 0
        return Batch(pieces=self.pieces[cut:], ends=[end - cut for end in self.ends[first:]])

    def messages_before(self, piece: int) -> int:
        """How many messages lie wholly before this piece."""
        return bisect_right(self.ends, piece)


@dataclass(slots=True)
class _Places:
    """Where values of one kind stand in a template, and the salts of their channels."""

    positions: list[int] = field(default_factory=list)
    salts: list[int] = field(default_factory=list)
    at: NDArray[np.int64] = field(init=False)
    own: NDArray[np.int64] = field(init=False)

    def add(self, position: int, own: int) -> None:
        self.positions.append(position)
        self.salts.append(own)

    def finish(self) -> None:
        self.at, self.own = np.array(self.positions, np.int64), np.array(self.salts, np.int64)


Kind = tuple[Pattern, np.dtype[np.generic]]
"""What values that are made together have in common; the dtype has the channel's byte order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """A message behind its data header: fixed bytes, places to patch, and where prepared frames of which channel are put in."""

    row: NDArray[np.uint8]
    cuts: tuple[tuple[int, int], ...]
    values: dict[Kind, _Places]
    timestamps: dict[str, _Places]


class PreparedHeader:
    """Everything that messages with these channels share. Makes batches; holds memory for the frames that repeat."""

    def __init__(self, channels: Sequence[SimulatedChannel], *, dh_compression: Compression = Compression.NONE) -> None:
        self.channels = tuple(channels)
        on_wire = [channel.channel for channel in channels]
        self._header_frame = encode_frame(encode_data_header(on_wire, dh_compression), more=True)
        self._encode_main_header = partial(encode_main_header, hash=header_hash(on_wire), dh_compression=dh_compression)
        self._salts = [salt(channel.channel.name) for channel in channels]
        self._prepared = [_prepare(channel) for channel in channels]
        self._templates: OrderedDict[bytes, _Template] = OrderedDict()
        everything = self.batch(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones((1, len(channels)), np.bool_))
        self.message_bytes = sum(map(len, everything.pieces))
        """Size on the wire of a message in which no channel is missing, give or take the digits of pulse id and time."""

    def batch(self, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64], present: NDArray[np.bool_]) -> Batch:
        """One message for each pulse id; ``times_ns`` are the global timestamps, and ``present`` is ``(messages, channels)``."""
        pieces: list[bytes | memoryview] = []
        ends: list[int] = []
        changes = np.flatnonzero((present[1:] != present[:-1]).any(axis=1)) + 1
        for first, stop in pairwise([0, *changes.tolist(), len(pulse_ids)]):
            self._render(self._template(present[first]), pulse_ids[first:stop], times_ns[first:stop], pieces, ends)
        return Batch(pieces=pieces, ends=ends)

    def _template(self, present: NDArray[np.bool_]) -> _Template:
        key = present.tobytes()
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = self._build(present.tolist())
            if len(self._templates) > _MAX_TEMPLATES:
                self._templates.popitem(last=False)
        return template

    def _build(self, present: list[bool]) -> _Template:
        row, cuts = bytearray(), []
        values: dict[Kind, _Places] = {}
        timestamps: dict[str, _Places] = {}
        last = len(self.channels) - 1
        for index, (simulated, own, is_present) in enumerate(zip(self.channels, self._salts, present, strict=True)):
            channel = simulated.channel
            if not is_present:
                row += bytes((MORE, 0, MORE if index < last else 0, 0))
                continue
            if self._prepared[index]:
                cuts.append((len(row), index))
            else:
                row += encode_frame_header(channel.item_bytes, more=True)
                values.setdefault((simulated.pattern, channel.dtype), _Places()).add(len(row), own)
                row += bytes(channel.item_bytes)
            row += encode_frame_header(_TIMESTAMP_BYTES, more=index < last)
            timestamps.setdefault(">i8" if channel.big_endian else "<i8", _Places()).add(len(row), own)
            row += bytes(_TIMESTAMP_BYTES)
        for places in (*values.values(), *timestamps.values()):
            places.finish()
        return _Template(row=np.frombuffer(bytes(row), np.uint8), cuts=tuple(cuts), values=values, timestamps=timestamps)

    def _render(
        self,
        template: _Template,
        pulse_ids: NDArray[np.int64],
        times_ns: NDArray[np.int64],
        pieces: list[bytes | memoryview],
        ends: list[int],
    ) -> None:
        """Appends the messages of these pulses, which all have this template."""
        block = _patched(template, pulse_ids, times_ns)
        view, size = memoryview(block.data).cast("B"), len(template.row)
        for i, (pulse_id, time_ns) in enumerate(zip(pulse_ids.tolist(), times_ns.tolist(), strict=True)):
            main_header = self._encode_main_header(pulse_id=pulse_id, global_timestamp_ns=time_ns)
            pieces.append(encode_frame(main_header, more=True))
            pieces.append(self._header_frame)
            start, done = i * size, 0
            for cut, index in template.cuts:
                if cut > done:
                    pieces.append(view[start + done : start + cut])
                frames = self._prepared[index]
                pieces.append(frames[pulse_id % len(frames)])
                done = cut
            pieces.append(view[start + done : start + size])
            ends.append(len(pieces))


def _patched(template: _Template, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One row for each message, shape ``(k, row bytes)``, values and timestamps written in."""
    block = np.empty((len(pulse_ids), len(template.row)), np.uint8)
    block[:] = template.row
    rows = (np.arange(len(pulse_ids), dtype=np.int64) * block.shape[1])[:, None]
    for (pattern, dtype), places in template.values.items():
        values = scalar_formula(pattern, dtype.newbyteorder("<"), places.own, pulse_ids)
        _anywhere(block, dtype)[rows + places.at] = values
    for order, places in template.timestamps.items():
        seconds, ns = np.divmod(times_ns[:, None] + places.own, NS_PER_S)
        words, at = _anywhere(block, np.dtype(order)), rows + places.at
        words[at] = seconds
        words[at + 8] = ns
    return block


def _anywhere(block: NDArray[np.uint8], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """The block as items of ``dtype`` that begin at each of its bytes: index i is the item at byte i, aligned or not."""
    return np.ndarray((block.size - dtype.itemsize + 1,), dtype, buffer=block, strides=(1,))


def _prepare(simulated: SimulatedChannel) -> list[bytes]:
    """The value frames of one whole period; empty for channels that are patched in."""
    repeats_after = period(simulated)
    if repeats_after is None:
        return []
    phases = range(repeats_after)
    return [encode_frame(encode_value(simulated.channel, value_at(simulated, phase)), more=True) for phase in phases]
