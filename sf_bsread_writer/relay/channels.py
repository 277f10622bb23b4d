"""What the channels of the stream are and bring: found out from the last messages of the ring, when somebody asks.

Strategy: look at one message after the other, newest first, and let the relay have its turn as soon as a millisecond has gone.
Nothing is pinned meanwhile, so the relay never waits for memory because of this: of each channel's last value only a copy is
kept, if it is small, and where the ring has gone on and let go of the rest, that is where the look ends.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import is_missing_payload, uncompressed_bytes
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import Channel, DataHeader
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.scanner import Limits, Scanner
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.ring.ring import Ring

LOOKED_AT_MESSAGES = 100
MOST_ELEMENTS = 64
"""A value of more is not shown: it would be a list of numbers that nobody reads."""

MOST_TEXT_BYTES = 1000
TURN_S = 0.001

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
    """Looks at the ring's last messages at each call; what it learns of their layouts is kept from call to call."""

    def __init__(self, ring: Ring, limits: Limits) -> None:
        self._ring = ring
        self._scanner = Scanner(limits)
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, now_ns: int) -> Seen:
        """Of the ring as it is now."""
        async with self._one_at_a_time:
            newest = self._ring.next
            oldest = max(self._ring.oldest, newest - LOOKED_AT_MESSAGES)
            span_s = self._ring.age_s(oldest, now_ns)
            tallies: dict[DataHeader, _Tally] = {}
            pulse_ids: list[int] = []
            undecodable = 0
            turn = _Turn()
            for sequence in reversed(range(oldest, newest)):
                if sequence < self._ring.log.oldest:
                    break
                try:
                    pulse_ids.append(self._look(sequence, tallies))
                except MessageError:
                    undecodable += 1
                await turn.end_if_long()
            channels: dict[str, SeenChannel] = {}
            for tally in tallies.values():
                for channel in tally.channels():
                    channels[channel.channel.name] = _together(channels.get(channel.channel.name), channel)
                    await turn.end_if_long()
        return Seen(
            channels=tuple(channels.values()),
            messages=len(pulse_ids),
            undecodable=undecodable,
            first_pulse_id=min(pulse_ids, default=None),
            last_pulse_id=max(pulse_ids, default=None),
            span_s=span_s,
        )

    def _look(self, sequence: int, tallies: "dict[DataHeader, _Tally]") -> int:
        """Takes one message into the tally of its data header; returns its pulse id. Raises MessageError."""
        rows = self._ring.log.rows(sequence, sequence + 1)
        view = self._ring.view(int(rows.serials[0]))
        self._scanner.reset()
        (run,) = self._scanner.scan(np.frombuffer(view, np.uint8), view, int(rows.starts[0]), int(rows.ends[0])).events
        assert isinstance(run, Run)  # it has been one before
        header = run.layouts[0].channels
        if header not in tallies:
            tallies[header] = _Tally(header)
        tallies[header].take(run)
        return int(run.pulse_ids[0])


class _Turn:
    """The time since others had theirs."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()

    async def end_if_long(self) -> None:
        if time.perf_counter() - self._began_s > TURN_S:
            await asyncio.sleep(0)
            self._began_s = time.perf_counter()


class _Tally:
    """What the messages with one data header have; takes them newest first."""

    def __init__(self, header: DataHeader) -> None:
        channels = header.channels
        self._channels = channels
        self._modulos = np.array([channel.modulo for channel in channels], np.int64)
        self._offsets = np.array([channel.offset % channel.modulo for channel in channels], np.int64)
        self._compressed = [i for i, channel in enumerate(channels) if channel.compression is not Compression.NONE]
        self._due = np.zeros(len(channels), np.int64)
        self._present = np.zeros(len(channels), np.int64)
        self._last: dict[int, tuple[int, bytes | None]] = {}

    def take(self, run: Run) -> None:
        layout, body, pulse_id = run.layouts[0], int(run.bodies[0]), int(run.pulse_ids[0])
        starts = (body + layout.value_starts).tolist()
        lengths = layout.value_lengths.tolist()
        present = layout.present.copy()
        for i in self._compressed:
            payload = run.view[starts[i] : starts[i] + lengths[i]]
            present[i] &= not is_missing_payload(self._channels[i].compression, payload)
        self._due += np.equal((pulse_id - self._offsets) % self._modulos, 0) | present
        new: NDArray[np.bool_] = present & (self._present == 0)
        self._present += present
        for i in np.flatnonzero(new).tolist():
            payload = run.view[starts[i] : starts[i] + lengths[i]]
            self._last[i] = pulse_id, bytes(payload) if _is_small(self._channels[i], payload) else None

    def channels(self) -> Iterator[SeenChannel]:
        for i, channel in enumerate(self._channels):
            pulse_id, payload = self._last.get(i, (None, None))
            yield SeenChannel(
                channel=channel,
                due_messages=int(self._due[i]),
                present_messages=int(self._present[i]),
                last_pulse_id=pulse_id,
                last_value=None if payload is None else _decoded(channel, payload),
            )


def _is_small(channel: Channel, payload: memoryview) -> bool:
    size = channel.value_bytes
    if size is not None:
        return size <= MOST_ELEMENTS * channel.item_bytes and len(payload) <= 2 * size + MOST_TEXT_BYTES
    try:
        return len(payload) <= MOST_TEXT_BYTES >= uncompressed_bytes(channel.compression, payload, big_endian=channel.big_endian)
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
