"""What somebody who looks sees of the kept messages: channels, trends, traces, images, and what is missing.

Nothing is decoded before somebody asks, and relaying comes first: messages are read in turns (see `reading`), a value is copied
before it is decoded, and what takes long is done in a thread, in at most `_MOST_AT_ONCE` at a time.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import AbsentError, MessageError, UsageError
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.relay.channels import Look, Seen
from sf_bsread_writer.relay.completeness import Completeness, Presence
from sf_bsread_writer.relay.kinds import Kind, check_kind
from sf_bsread_writer.relay.picture import Picture, Trace, picture_of, trace_of
from sf_bsread_writer.relay.presence import present
from sf_bsread_writer.relay.reading import Reader
from sf_bsread_writer.relay.trend import Gathering, Trend
from sf_bsread_writer.ring.ring import Ring

_MOST_AT_ONCE = 2
_MOST_TRIES = 3

MOST_SHOWN_BYTES = 128 << 20
"""Of one value, decoded: 64 million pixels of 2 bytes. Few compressed bytes may claim to be more."""

_OVERTAKEN = "the ring lets go of messages faster than they can be read; give the buffer a higher --memory_limit"

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(Generic[_Result]):
    """One value: of which channel, of which pulse, and what is to be drawn of it."""

    channel: Channel
    pulse_id: int
    global_timestamp_ns: int
    drawn: _Result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a value lies: in the message with this sequence number, from ``start`` to ``stop`` (exclusive) in its segment."""

    channel: Channel
    pulse_id: int
    global_timestamp_ns: int
    sequence: int
    start: int
    stop: int


class Looks:
    """Looks at one ring. Raises `AbsentError` for what the ring does not have, `UsageError` for what cannot be shown so."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._reader = Reader(ring)
        self._channels = Look(ring, self._reader)
        self._threads = asyncio.Semaphore(_MOST_AT_ONCE)

    async def in_turns(self, items: Iterable[_Result]) -> list[_Result]:
        """All of these, made in between what is relayed."""
        return await self._reader.in_turns(items)

    async def channels(self, now_ns: int) -> Seen:
        """What the last messages bring."""
        return await self._channels(now_ns)

    async def trend(self, name: str, *, after: int | None, points: int) -> Trend:
        """A scalar in all messages, or in those that came behind that pulse."""
        ring = await self._prepared()
        stop, first = ring.next, ring.oldest if after is None else self._behind(after)
        gathering = Gathering(name)
        await self._reader.read(first, stop, gathering.take)
        if not gathering.is_known:
            await self._reader.read(ring.oldest, first, gathering.describe, newest_first=True)
        if not gathering.is_known:
            self._check_left(stop)
        return await self._in_a_thread(lambda: gathering.trend(points))

    async def trace(self, name: str, *, pulse_id: int | None, points: int) -> Shown[Trace]:
        """The newest value of a waveform, or that of one pulse."""
        return await self._value(name, pulse_id, "waveform", lambda values: trace_of(values, points))

    async def image(self, name: str, *, pulse_id: int | None, pixels: int) -> Shown[Picture]:
        """The newest value of an image, or that of one pulse."""
        return await self._value(name, pulse_id, "image", lambda values: picture_of(values, pixels))

    async def completeness(self, *, messages: int, parts: int, search: str, rows: int) -> Completeness:
        """What is missing in the last so many messages."""
        ring = await self._prepared()
        stop, presence = ring.next, Presence()
        await self._reader.read(max(ring.oldest, stop - messages), stop, presence.take, newest_first=True)
        if presence.is_empty:
            self._check_left(stop)
        return await self._in_a_thread(lambda: presence.completeness(parts=parts, search=search, rows=rows))

    async def _prepared(self) -> Ring:
        """The ring, which has something in it, ready to be read."""
        await self._reader.prepare()
        if self._ring.oldest == self._ring.next:
            raise AbsentError("the ring is empty: nothing has arrived yet; GET /status says whether there is a source")
        return self._ring

    def _check_left(self, stop: int) -> None:
        """Nothing is to be said of messages that were all gone before they could be read."""
        if self._ring.log.oldest >= stop:
            raise AbsentError(_OVERTAKEN)

    def _behind(self, pulse_id: int) -> int:
        """Where the messages begin that arrived behind this pulse; if it is gone, with the next higher one.

        Where all have lower ones, the counter has started over since: all of them are behind it then.
        """
        ring = self._ring
        ids = ring.log.rows(ring.oldest, ring.next).pulse_ids
        same = np.flatnonzero(ids == pulse_id)
        if len(same):
            return ring.oldest + int(same[-1]) + 1
        return ring.oldest if ids.max() < pulse_id else ring.log.find_pulse(pulse_id, oldest=ring.oldest)

    async def _value(
        self, name: str, pulse_id: int | None, kind: Kind, reduce: Callable[[NDArray[Any]], _Result]
    ) -> Shown[_Result]:
        async with self._threads:  # before the copy is taken: those who wait have none
            place, payload = await self._payload(name, pulse_id, kind)

            def work() -> _Result:
                value = decode_value(place.channel, payload)
                assert isinstance(value, np.ndarray)
                return reduce(value)

            try:
                drawn = await asyncio.to_thread(work)
            except MessageError as error:
                raise UsageError(f"the value of pulse {place.pulse_id} is damaged: {error}") from None
        return Shown(channel=place.channel, pulse_id=place.pulse_id, global_timestamp_ns=place.global_timestamp_ns, drawn=drawn)

    async def _payload(self, name: str, pulse_id: int | None, kind: Kind) -> tuple[_Place, bytearray]:
        for _ in range(_MOST_TRIES):
            place = await self._find(name, pulse_id, kind)
            payload = await self._reader.copy(place.sequence, place.start, place.stop)
            if payload is not None:
                return place, payload
        raise AbsentError(_OVERTAKEN)

    async def _find(self, name: str, pulse_id: int | None, kind: Kind) -> _Place:
        """The newest value of this channel, or that of the pulse."""
        ring = await self._prepared()
        first, stop = (ring.oldest, ring.next) if pulse_id is None else self._message_of(pulse_id)
        search = _Search(name, kind)
        await self._reader.read(first, stop, search.take, newest_first=True)
        if search.found is not None:
            return search.found
        self._check_left(stop)
        where = "in any message of the ring" if pulse_id is None else f"in pulse {pulse_id}"
        if search.is_known:
            raise AbsentError(f"channel {name!r:.200} has no value {where}")
        raise AbsentError(f"there is no channel {name!r:.200} {where}; GET /channels lists those there are")

    def _message_of(self, pulse_id: int) -> tuple[int, int]:
        """The newest message with this pulse id, as a range of sequence numbers."""
        ring = self._ring
        ids = ring.log.rows(ring.oldest, ring.next).pulse_ids
        places = np.flatnonzero(ids == pulse_id)
        if not len(places):
            raise AbsentError(f"pulse {pulse_id} is not in the ring, which holds {ids.min()} to {ids.max()}")
        sequence = ring.oldest + int(places[-1])
        return sequence, sequence + 1

    async def _in_a_thread(self, work: Callable[[], _Result]) -> _Result:
        async with self._threads:
            return await asyncio.to_thread(work)


class _Search:
    """Looks for the newest message in which a channel has a value. Keeps no memory of runs, only the place."""

    def __init__(self, name: str, kind: Kind) -> None:
        self._name = name
        self._kind: Kind = kind
        self.is_known = False
        self.found: _Place | None = None

    def take(self, first: int, run: Run) -> bool:
        """Newest run first; False when it is found. Raises `UsageError` if it is of another kind there."""
        best: tuple[int, int] | None = None  # row, and number of the channel there
        for layout, rows in run.by_layout():
            try:
                header = layout.channels
            except MessageError:
                continue
            number = header.places.get(self._name)
            if number is None:
                continue
            self.is_known = True
            there = rows[present(run, layout, rows, number)]
            if len(there) and (best is None or there[-1] > best[0]):
                best = int(there[-1]), number
        if best is None:
            return True
        row, number = best
        layout = run.layouts[run.layout_index[row]]
        channel = layout.channels.channels[number]
        check_kind(channel, self._kind)
        if (channel.value_bytes or 0) > MOST_SHOWN_BYTES:
            raise UsageError(
                f"channel {channel.name!r:.200} has {channel.value_bytes} bytes; at most {MOST_SHOWN_BYTES} are shown"
            )
        start = int(run.bodies[row] + layout.value_starts[number])
        self.found = _Place(
            channel=channel,
            pulse_id=int(run.pulse_ids[row]),
            global_timestamp_ns=int(run.global_timestamps_ns[row]),
            sequence=first + row,
            start=start,
            stop=start + int(layout.value_lengths[number]),
        )
        return False
