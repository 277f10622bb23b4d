"""What the channels of the stream are and bring: found out from the last messages of the ring, when somebody asks.

Strategy: look at them newest first, in turns (see `reading`). Of each channel's last value a copy is kept, if it is small, and
decoded afterwards; where the ring has gone on and let go of the rest, that is where the look ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import uncompressed_bytes
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import Channel, DataHeader
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.relay.presence import Rules, void
from sf_bsread_writer.relay.reading import Reader
from sf_bsread_writer.ring.ring import Ring

LOOKED_AT_MESSAGES = 100
MOST_ELEMENTS = 64
"""A value of more is not shown: it would be a list of numbers that nobody reads."""

MOST_TEXT_BYTES = 1000

Value: TypeAlias = bool | int | float | str | list[object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenChannel:
    """One channel in the messages looked at: in ``due_messages`` of them it is due, in ``present_messages`` it has a value.

    ``last_pulse_id`` is None if it has none in them; ``last_value`` too, and if it is large or damaged.
    """

    channel: Channel
    due_messages: int
    present_messages: int
    last_pulse_id: int | None
    last_value: Value | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All channels of the last ``messages``, in the order of the newest data header; ``undecodable`` messages are not in there.

    ``span_s`` is from the arrival of the first of them until now.
    """

    channels: tuple[SeenChannel, ...]
    messages: int
    undecodable: int
    first_pulse_id: int | None
    last_pulse_id: int | None
    span_s: float


class Look:
    """Looks at the ring's last messages at each call."""

    def __init__(self, ring: Ring, reader: Reader) -> None:
        self._ring = ring
        self._reader = reader

    async def __call__(self, now_ns: int) -> Seen:
        """Of the ring as it is now."""
        newest = self._ring.next
        oldest = max(self._ring.oldest, newest - LOOKED_AT_MESSAGES)
        span_s = self._ring.age_s(oldest, now_ns)
        tallies = _Tallies()
        await self._reader.read(oldest, newest, tallies.take, newest_first=True)
        channels: dict[str, SeenChannel] = {}
        for channel in await self._reader.in_turns(tallies.channels()):
            channels[channel.channel.name] = _together(channels.get(channel.channel.name), channel)
        ids = tallies.pulse_ids
        return Seen(
            channels=tuple(channels.values()),
            messages=len(ids),
            undecodable=tallies.undecodable,
            first_pulse_id=min(ids, default=None),
            last_pulse_id=max(ids, default=None),
            span_s=span_s,
        )


class _Tallies:
    """What messages have, which come newest run first: a tally for each data header, the newest first."""

    def __init__(self) -> None:
        self.pulse_ids: list[int] = []
        self.undecodable = 0
        self._tallies: dict[DataHeader, _Tally] = {}

    def take(self, first: int, run: Run) -> bool:
        """The messages of a run. Always True."""
        indices, last_rows = np.unique(run.layout_index[::-1], return_index=True)
        for index in indices[np.argsort(last_rows)].tolist():  # the newest first, of which most values are taken
            layout, rows = run.layouts[index], np.flatnonzero(run.layout_index == index)
            try:
                _ = layout.present
            except MessageError:
                self.undecodable += len(rows)
                continue
            self.pulse_ids += run.pulse_ids[rows].tolist()
            header = layout.channels
            if header not in self._tallies:
                self._tallies[header] = _Tally(header)
            self._tallies[header].take(first, run, layout, rows)
        return True

    def channels(self) -> Iterator[SeenChannel]:
        """All of them, under each of their data headers."""
        for tally in self._tallies.values():
            yield from tally.channels()


class _Tally:
    """What the messages with one data header have."""

    def __init__(self, header: DataHeader) -> None:
        channels = header.channels
        self._channels = channels
        self._rules = Rules(channels)
        self._compressed = np.flatnonzero([channel.compression is not Compression.NONE for channel in channels])
        self._most_bytes = np.array([_most_bytes(channel) for channel in channels], np.int64)
        self._due = np.zeros(len(channels), np.int64)
        self._present = np.zeros(len(channels), np.int64)
        self._newest = np.full(len(channels), -1, np.int64)  # sequence number of the last message with a value
        self._last: dict[int, tuple[int, bytes | None]] = {}

    def take(self, first: int, run: Run, layout: Layout, rows: NDArray[np.intp]) -> None:
        """Messages with one layout, of a run whose first message has this sequence number."""
        present = np.where(layout.present, len(rows), 0)
        due = np.where(layout.present, len(rows), self._rules.count(run.pulse_ids[rows])[self._rules.of_channel])
        newest = np.where(layout.present, rows[-1], -1)
        compressed = self._compressed[layout.present[self._compressed]]
        if len(compressed):
            is_there = ~void(run, layout, rows, compressed)
            present[compressed] = is_there.sum(axis=0)
            due[compressed] = (is_there | self._rules.each(run.pulse_ids[rows], compressed)).sum(axis=0)
            newest[compressed] = np.where(is_there, rows[:, None], -1).max(axis=0)
        self._present += present
        self._due += due
        new = np.flatnonzero((newest >= 0) & (newest + first > self._newest))
        self._newest[new] = newest[new] + first
        self._copy(run, layout, new, newest[new])

    def _copy(self, run: Run, layout: Layout, numbers: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
        """Takes the values of these channels in these messages, all that are small at once."""
        lengths = layout.value_lengths[numbers]
        is_small = lengths <= self._most_bytes[numbers]
        starts = run.bodies[rows] + layout.value_starts[numbers]
        stops = np.cumsum(np.where(is_small, lengths, 0))
        begins = stops - np.where(is_small, lengths, 0)
        shift = np.repeat((starts - begins)[is_small], lengths[is_small])
        copied = run.data[shift + np.arange(len(shift))].tobytes()
        columns = (numbers.tolist(), run.pulse_ids[rows].tolist(), is_small.tolist(), begins.tolist(), stops.tolist())
        for number, pulse_id, small, begin, stop in zip(*columns, strict=True):
            self._last[number] = pulse_id, copied[begin:stop] if small else None

    def channels(self) -> Iterator[SeenChannel]:
        """All of them."""
        for i, channel in enumerate(self._channels):
            pulse_id, payload = self._last.get(i, (None, None))
            yield SeenChannel(
                channel=channel,
                due_messages=int(self._due[i]),
                present_messages=int(self._present[i]),
                last_pulse_id=pulse_id,
                last_value=None if payload is None or not _is_shown(channel, payload) else _decoded(channel, payload),
            )


def _most_bytes(channel: Channel) -> int:
    """How long a value may be on the wire to be small; -1: none is."""
    size = channel.value_bytes
    if size is None:
        return MOST_TEXT_BYTES
    return 2 * size + MOST_TEXT_BYTES if size <= MOST_ELEMENTS * channel.item_bytes else -1


def _is_shown(channel: Channel, payload: bytes) -> bool:
    """A small payload may hold a long text."""
    if not channel.is_string:
        return True
    try:
        return uncompressed_bytes(channel.compression, payload, big_endian=channel.big_endian) <= MOST_TEXT_BYTES
    except MessageError:
        return False


def _decoded(channel: Channel, payload: bytes) -> Value | None:
    try:
        value = decode_value(channel, payload)
    except MessageError:
        return None
    shown: Value = value if isinstance(value, str) else value.tolist()
    return shown


def _together(newer: SeenChannel | None, older: SeenChannel) -> SeenChannel:
    """One channel under two data headers: described as by the newer."""
    if newer is None:
        return older
    last = newer if newer.last_pulse_id is not None or newer.channel != older.channel else older
    return SeenChannel(
        channel=newer.channel,
        due_messages=newer.due_messages + older.due_messages,
        present_messages=newer.present_messages + older.present_messages,
        last_pulse_id=last.last_pulse_id,
        last_value=last.last_value,
    )
