"""A stream in memory: implements `acquire.receive.PulseStream`, every step in the hands of the test."""

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from sf_bsread_writer.acquire.receive import Opened, Pulses, StreamEvent
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.messages import run_of
from sf_bsread_writer.zmtp.extension import Holdings, StartPoint


class StreamInMemory:
    """Notes what it is asked for and delivers what the test gives it, at once."""

    def __init__(self, *, has_past: bool = True, oldest_pulse_id: int | None = None, newest_pulse_id: int | None = None) -> None:
        self.has_past = has_past
        self.connected = True
        self.held = Holdings(oldest_pulse_id=1, newest_pulse_id=9, messages=9) if has_past else None
        self.looks = 0
        self.paused = False
        self.opened: list[StartPoint] = []
        self.now_ns = 1_000
        self.marks = 0
        self.closed = 0
        self.oldest_pulse_id = oldest_pulse_id
        self.newest_pulse_id = newest_pulse_id
        self._pool = SegmentPool(1 << 20, 4096)
        self._deliver: Callable[[StreamEvent], None] = lambda event: None

    async def run(self, deliver: Callable[[StreamEvent], None]) -> None:
        """Delivers by `give`; ends when cancelled."""
        self._deliver = deliver
        await asyncio.Event().wait()

    async def open(self, start: StartPoint) -> Opened:
        """Notes the start."""
        self.opened.append(start)
        return Opened(now_ns=self.now_ns, oldest_pulse_id=self.oldest_pulse_id, newest_pulse_id=self.newest_pulse_id)

    def close(self) -> None:
        """Counts."""
        self.closed += 1

    def mark(self) -> bool:
        """Counts; like the real one it has an answer only against a buffer."""
        self.marks += self.has_past and self.connected
        return self.has_past and self.connected

    def look(self) -> None:
        """Counts."""
        self.looks += 1

    def resume(self) -> None:
        """Nothing ever stops here."""

    @property
    def pins(self) -> int:
        """Segments that somebody has not given back."""
        return self._pool.statistics().used_segments

    def give(self, event: StreamEvent) -> None:
        """Delivers one event."""
        self._deliver(event)

    def give_messages(self, messages: Sequence[Sequence[bytes]], *, time_ns: int | None = None) -> None:
        """Delivers messages (each a sequence of frames) as one run that arrived at that time, by default now."""
        run: Run = run_of(messages)
        times_ns = np.full(len(run), self.now_ns if time_ns is None else time_ns, np.int64)
        segment = self._pool.take()
        assert segment is not None
        self.give(Pulses(segment=segment, run=run, times_ns=times_ns, arrivals_ns=times_ns))
        segment.unpin()
