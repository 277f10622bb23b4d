"""Kept messages, read back as runs for whoever looks at them, while they are relayed all the time.

Strategy: messages that lie one behind the other go to the scanner many at a time, so that it takes them as it takes a steady
stream. After a millisecond the relay has its turn, whoever else reads has the next one, and the ring may have let go of anything
meanwhile: nothing is pinned, so the relay never waits for memory because of this. Where messages have gone, reading goes on at
those that are left.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeAlias, TypeVar

import numpy as np

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.layout import HeaderFrame, Run
from sf_bsread_writer.message.scanner import Limits, Scanner
from sf_bsread_writer.relay.presence import facts_of
from sf_bsread_writer.ring.log import Rows
from sf_bsread_writer.ring.ring import Ring

TURN_S = 0.001
_MOST_AT_ONCE = 64
_COPIED_AT_ONCE = 1 << 18

_Item = TypeVar("_Item")
Take: TypeAlias = Callable[[int, Run], bool]
"""Takes a run whose first message has this sequence number; False: no more is wanted. Keeps nothing of the run's memory."""


class Reader:
    """Reads one ring, for any number of tasks at a time; what it learns of layouts is kept from one to the next."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        self._scanner = Scanner(Limits())  # not the source's: what is kept was taken, perhaps by an earlier process
        self._turns = asyncio.Lock()  # or each of many readers would have a millisecond before the relay has its next

    async def read(self, first: int, stop: int, take: Take, *, newest_first: bool = False) -> None:
        """Gives ``take`` the messages of these sequence numbers (stop exclusive), in runs of as many as a turn allows.

        ``newest_first`` gives the newest run first; within a run, messages stand in order of arrival all the same.
        """
        count, goes_on, was_decoded = 1, True, False
        while goes_on and max(first, self._ring.log.oldest) < stop:
            new: list[HeaderFrame] = []
            async with self._turns:
                began_s = now_s = time.perf_counter()
                while goes_on and not new and now_s - began_s < TURN_S and max(first, self._ring.log.oldest) < stop:
                    first = max(first, self._ring.log.oldest)
                    begin, end = self._neighbours(first, stop, count, newest_first=newest_first)
                    runs = self._runs(begin, end)
                    new = [] if was_decoded else _undecoded(run for _, run in runs)
                    if not new:
                        goes_on = all(take(sequence, run) for sequence, run in (runs[::-1] if newest_first else runs))
                        first, stop = (first, begin) if newest_first else (end, stop)
                        was_decoded = False
                        before_s, now_s = now_s, time.perf_counter()
                        count = _next_count(count, now_s - before_s)
                if goes_on and not new:
                    await asyncio.sleep(0)
            if new:
                await asyncio.to_thread(_decode, new)
                was_decoded = True  # what the scanner forgets meanwhile is decoded in a turn

    async def prepare(self) -> None:
        """Decodes the newest data header, so that no time passes with that once it is decided which messages to read."""
        await self.read(max(self._ring.oldest, self._ring.next - 1), self._ring.next, lambda first, run: False)

    async def copy(self, sequence: int, start: int, stop: int) -> bytearray | None:
        """The bytes start..stop (stop exclusive) of the segment in which this message lies; None if it is gone meanwhile."""
        log = self._ring.log
        if sequence < log.oldest:
            return None
        serial = int(log.rows(sequence, sequence + 1).serials[0])
        copied, place = bytearray(), start
        while place < stop:
            async with self._turns:
                began_s = now_s = time.perf_counter()
                while place < stop and now_s - began_s < TURN_S:
                    if sequence < log.oldest:
                        return None
                    end = min(place + _COPIED_AT_ONCE, stop)
                    copied += self._ring.view(serial)[place:end]
                    place, now_s = end, time.perf_counter()
                if place < stop:
                    await asyncio.sleep(0)
        return copied

    async def in_turns(self, items: Iterable[_Item]) -> list[_Item]:
        """All of these, of which each takes a little time to be made."""
        made: list[_Item] = []
        rest, goes_on = iter(items), True
        while goes_on:
            async with self._turns:
                began_s, goes_on = time.perf_counter(), False
                for item in rest:
                    made.append(item)
                    if goes_on := time.perf_counter() - began_s > TURN_S:
                        break
                if goes_on:
                    await asyncio.sleep(0)
        return made

    def _neighbours(self, first: int, stop: int, count: int, *, newest_first: bool) -> tuple[int, int]:
        """Some of the messages that lie one behind the other in one segment, at the beginning or the end of those asked for."""
        if newest_first:
            begin = max(first, stop - count)
            seams = _seams(self._ring.log.rows(begin, stop))
            return (begin + seams[-1] if seams else begin), stop
        end = min(stop, first + count)
        seams = _seams(self._ring.log.rows(first, end))
        return first, (first + seams[0] if seams else end)

    def _runs(self, begin: int, end: int) -> list[tuple[int, Run]]:
        """These messages, which are neighbours; with the sequence number of each run's first. Mostly one run."""
        rows = self._ring.log.rows(begin, end)
        view = self._ring.view(int(rows.serials[0]))
        self._scanner.reset()
        events = self._scanner.scan(np.frombuffer(view, np.uint8), view, int(rows.starts[0]), int(rows.ends[-1])).events
        runs = [event for event in events if isinstance(event, Run)]  # which all of them are: they have been before
        return [(begin + int(np.searchsorted(rows.starts, run.starts[0])), run) for run in runs]


def _undecoded(runs: Iterable[Run]) -> list[HeaderFrame]:
    return [layout.header for run in runs for layout in run.layouts if not layout.header.was_decoded]


def _decode(headers: Iterable[HeaderFrame]) -> None:
    """In a thread, since it takes some 15 ms for thousands of channels; what is found is kept with the header."""
    for header in headers:
        with suppress(MessageError):
            decoded = header.decoded
            _ = decoded.is_string, decoded.is_empty, decoded.places, facts_of(decoded)


def _seams(rows: Rows) -> list[int]:
    """Which of these messages do not begin where the one before them ends."""
    seams = (rows.starts[1:] != rows.ends[:-1]) | (rows.serials[1:] != rows.serials[:-1])
    found: list[int] = (np.flatnonzero(seams) + 1).tolist()
    return found


def _next_count(count: int, took_s: float) -> int:
    """How many messages to take at once when so many have taken so long."""
    if took_s > TURN_S / 2:
        return max(1, count // 2)
    return min(2 * count, _MOST_AT_ONCE) if took_s < TURN_S / 4 else count
