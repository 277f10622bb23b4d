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
from sf_bsread_writer.relay.presence import facts_of, void
from sf_bsread_writer.relay.reading import Reader
from sf_bsread_writer.ring.ring import Ring

LOOKED_AT_MESSAGES = 100
MOST_ELEMENTS = 64
"""A value of more is not shown: it would be a list of numbers that nobody reads."""

MOST_TEXT_BYTES = 1000
_MOST_PAYLOAD_BYTES = 2 * 8 * MOST_ELEMENTS + MOST_TEXT_BYTES
"""Of a value that is shown, however badly it is compressed."""


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
        await self._reader.prepare()
        newest = self._ring.next
        oldest = max(self._ring.oldest, newest - LOOKED_AT_MESSAGES)
        span_s = self._ring.age_s(oldest, now_ns)
        tallies = _Tallies()
        await self._reader.read(oldest, newest, tallies.take, newest_first=True)
        channels: dict[str, SeenChannel] = {}
        await self._reader.in_turns(tallies.into(channels))
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
        newest_first = sorted(run.by_layout(), key=lambda part: -part[1][-1])  # of the newest most values are taken
        for layout, rows in newest_first:
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

    def into(self, seen: dict[str, SeenChannel]) -> Iterator[None]:
        """Puts all channels there by name, one at each step."""
        for tally in self._tallies.values():
            for channel in tally.channels():
                yield seen.update({channel.channel.name: _together(seen.get(channel.channel.name), channel)})


class _Tally:
    """What the messages with one data header have."""

    def __init__(self, header: DataHeader) -> None:
        channels = header.channels
        self._channels = channels
        self._facts = facts_of(header)
        self._due = np.zeros(len(channels), np.int64)
        self._present = np.zeros(len(channels), np.int64)
        # Of the last message with a value: its sequence number (-1: there is none), its pulse id, in which of the copies its
        # value is (-1: in none, it is too long), and where.
        self._last = np.full((5, len(channels)), -1, np.int64)
        self._copies: list[bytes] = []

    def take(self, first: int, run: Run, layout: Layout, rows: NDArray[np.intp]) -> None:
        """Messages with one layout, of a run whose first message has this sequence number."""
        rules, compressed = self._facts.rules, self._facts.compressed[layout.present[self._facts.compressed]]
        present = np.where(layout.present, len(rows), 0)
        due = np.where(layout.present, len(rows), rules.count(run.pulse_ids[rows])[rules.of_channel])
        newest = np.where(layout.present, rows[-1], -1)
        if len(compressed):
            is_there = ~void(run, layout, rows, compressed)
            present[compressed] = is_there.sum(axis=0)
            due[compressed] = (is_there | rules.each(run.pulse_ids[rows], compressed)).sum(axis=0)
            newest[compressed] = np.where(is_there, rows[:, None], -1).max(axis=0)
        self._present += present
        self._due += due
        new = np.flatnonzero((newest >= 0) & (newest + first > self._last[0]))
        if len(new):
            self._copy(first, run, layout, new, newest[new])

    def _copy(self, first: int, run: Run, layout: Layout, numbers: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
        """Takes the values of these channels in these messages, all that are small at once."""
        lengths = layout.value_lengths[numbers]
        is_small = lengths <= np.where(self._facts.elements[numbers] <= MOST_ELEMENTS, _MOST_PAYLOAD_BYTES, -1)
        starts = run.bodies[rows] + layout.value_starts[numbers]
        stops = np.cumsum(np.where(is_small, lengths, 0))
        begins = stops - np.where(is_small, lengths, 0)
        shift = np.repeat((starts - begins)[is_small], lengths[is_small])
        copies = np.where(is_small, len(self._copies), -1)
        self._copies.append(run.data[shift + np.arange(len(shift))].tobytes())
        self._last[:, numbers] = rows + first, run.pulse_ids[rows], copies, begins, stops

    def channels(self) -> Iterator[SeenChannel]:
        """All of them."""
        for channel, due, present, last in zip(
            self._channels, self._due.tolist(), self._present.tolist(), self._last.T, strict=True
        ):
            sequence, pulse_id, copy, begin, stop = last.tolist()
            yield SeenChannel(
                channel=channel,
                due_messages=due,
                present_messages=present,
                last_pulse_id=None if sequence < 0 else pulse_id,
                last_value=None if copy < 0 else _decoded(channel, self._copies[copy][begin:stop]),
            )


def _decoded(channel: Channel, payload: bytes) -> Value | None:
    """The value, unless it is damaged or a long text."""
    try:
        if channel.is_string and _text_bytes(channel, payload) > MOST_TEXT_BYTES:
            return None
        value = decode_value(channel, payload)
    except MessageError:
        return None
    shown: Value = value if isinstance(value, str) else value.tolist()
    return shown


def _text_bytes(channel: Channel, payload: bytes) -> int:
    """As many as it has or says that it holds, whichever is more."""
    return max(len(payload), uncompressed_bytes(channel.compression, payload, big_endian=channel.big_endian))


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
