"""Bytes of one connection go straight into segments and are cut into whole messages there.

Strategy: no message is received across the end of a segment if its length can be guessed, and steady streams can: when the next
message would not fit any more, receiving stops exactly where the present one ends, and the next begins in a new segment without a
copy. Where the guess was wrong, the beginning of the message is moved.
"""

from dataclasses import dataclass

from sf_bsread_writer.message.layout import CommandFrame, Dropped, Run
from sf_bsread_writer.message.scanner import Limits, Scanner
from sf_bsread_writer.ring.segment import Segment, SegmentPool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrived:
    """Whole messages that lie in ``segment``; who keeps them longer than the call that brought them pins it."""

    segment: Segment
    run: Run


Event = Arrived | CommandFrame | Dropped


_SMALL_PIECE_BYTES = 4096
"""Copying this much into the next segment costs less than one more system call."""


class Inlet:
    """Where the bytes of one connection go; holds one pin on the segment that is being filled."""

    def __init__(self, pool: SegmentPool, limits: Limits | None = None) -> None:
        self._pool = pool
        self._limits = limits or Limits()
        self._scanner = Scanner(self._limits)
        self._segment: Segment | None = None
        self._start = 0  # of the message that is not complete yet
        self._stop = 0  # end of what was received
        self._need = 0  # a scan below this end would find nothing new
        self._last_bytes = 1  # length of the last message: the best guess for the next

    def buffer(self) -> memoryview | None:
        """Free memory to receive into; None if the pool has none now: stop reading and ask again when it has."""
        expected = max(self._scanner.partial_bytes, self._last_bytes if self._stop == self._start else 0)
        end = self._start + expected
        segment = self._segment
        if segment is None or self._stop >= segment.size or end > segment.size:
            segment = self._next_segment(expected)
            if segment is None:
                return None
            end = self._start + expected
        limit = end + (segment.size - end) // self._last_bytes * self._last_bytes
        return segment.view[self._stop : limit if limit >= self._stop + _SMALL_PIECE_BYTES else segment.size]

    def received(self, count: int) -> list[Event]:
        """What the ``count`` bytes just put into `buffer` complete, in order. Raises PeerError if framing is lost."""
        self._stop += count
        segment = self._segment
        if segment is None or self._stop < self._need:
            return []
        scan = self._scanner.scan(segment.data, segment.view, self._start, self._stop)
        self._start, self._stop, self._need = scan.consumed, scan.stop, scan.need
        return [self._arrived(segment, event) if isinstance(event, Run) else event for event in scan.events]

    def feed(self, data: bytes) -> list[Event]:
        """Takes bytes that came by another way (the rest of the handshake's). Raises PeerError; MemoryError if none is free."""
        events: list[Event] = []
        rest = memoryview(data)
        while rest:
            free = self.buffer()
            if free is None:
                raise MemoryError(f"no segment is free for the {len(rest)} bytes that came with the handshake")
            count = min(len(free), len(rest))
            free[:count] = rest[:count]
            rest = rest[count:]
            events += self.received(count)
        return events

    def reset(self) -> int:
        """The connection is lost: forgets the beginning of a message; returns how many bytes that were."""
        lost = self._stop - self._start
        self._stop = self._start
        self._need = 0
        self._scanner.reset()
        return lost

    def close(self) -> None:
        """Gives the segment back; what was handed out stays valid as long as it is pinned."""
        self.reset()
        if self._segment is not None:
            self._segment.unpin()
        self._segment = None
        self._start = self._stop = 0

    def _arrived(self, segment: Segment, run: Run) -> Arrived:
        self._last_bytes = int(run.ends[-1] - run.starts[-1])
        return Arrived(segment=segment, run=run)

    def _next_segment(self, expected: int) -> Segment | None:
        """Takes a segment that holds ``expected`` bytes, and moves the beginning of a message there."""
        partial = self._stop - self._start
        old = self._segment
        if old is not None and partial == 0:  # before asking for another: it may be the only one, or come straight back
            old.unpin()
            old = self._segment = None
            self._start = self._stop = self._need = 0
        new = self._take(partial, expected)
        if new is None:
            return None
        if old is not None:
            new.data[:partial] = old.data[self._start : self._stop]
            self._need -= self._start
            old.unpin()
        self._segment, self._start, self._stop = new, 0, partial
        return new

    def _take(self, partial: int, expected: int) -> Segment | None:
        at_least = max(expected, partial + 1)
        if self._start == 0 and partial:
            # It fills a segment alone and its end is not known: double, or a message of many frames is moved at each of them.
            doubled = max(at_least, min(2 * partial, self._limits.max_message_bytes))
            segment = self._pool.take(doubled)
            if segment is not None:
                return segment
        return self._pool.take(at_least, multiple_of_bytes=max(1, expected))
