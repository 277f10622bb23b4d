"""The last messages of a stream: the segments they lie in and the index over them.

Retention is by messages or by memory, whichever bites first. By messages: who starts a replay gets at most the last
``max_messages``. The bytes of older ones stay readable a little longer, until the segment after theirs is as old, so that a
client that is only a moment late, or a burst larger than the ring, costs nothing. By memory: the oldest segment is recycled with
everything in it when the pool has no other. A `Hold` suspends the first of the two, never the second.

A ring with a store begins with what the store has kept of the one before it: same messages, sequence numbers and arrival times.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.ring.found import Kept
from sf_bsread_writer.ring.log import Log
from sf_bsread_writer.ring.segment import DEFAULT_SEGMENT_BYTES, PoolStatistics, Segment, SegmentPool
from sf_bsread_writer.ring.store import Store

logger = logging.getLogger(__name__)

RATED_MESSAGES = 101
"""A second of 100 Hz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RingStatistics:
    """What the ring holds. Pulse ids are None if it is empty.

    ``messages`` can be replayed; ``message_bytes`` also has those before them that are still in memory. ``received_messages``
    does not count those that were in the store.
    ``evicted_by_memory``: messages that ``max_messages`` would have kept and the memory limit did not. There are more than
    ``max_messages`` for as long as a `Hold` keeps them.
    """

    messages: int
    message_bytes: int
    received_messages: int
    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    evicted_by_memory: int
    memory: PoolStatistics


class Hold:
    """Keeps messages from one sequence number on although they are older than ``max_messages``, as long as memory allows.

    For whoever needs a moment to come and read them; meanwhile everybody can. Made by `Ring.hold`.
    """

    def __init__(self, ring: "Ring") -> None:
        self._ring = ring

    def advance(self, sequence: int) -> None:
        """Lets those before this one go; what went does not come back."""
        self._ring._advance_hold(self, sequence)

    def release(self) -> None:
        """Lets all of them go; may be called again."""
        self._ring._release_hold(self)


@dataclass(slots=True)
class _Held:
    segment: Segment
    stop: int  # sequence number behind its last message


class Ring:
    """Messages by sequence number. ``released`` is called with the serial of a segment whose bytes are about to go.

    Owns the store, if there is one.
    """

    def __init__(
        self,
        max_messages: int,
        memory_limit_bytes: int,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        released: Callable[[int], None] = lambda serial: None,
        store: Store | None = None,
    ) -> None:
        self.max_messages = max_messages
        self.pool = SegmentPool(memory_limit_bytes, segment_bytes, reclaim=self._reclaim, allocator=store)
        self._released = released
        self._store = store
        self._held: deque[_Held] = deque()
        self._views: dict[int, memoryview] = {}
        self._evicted_by_memory = 0
        self._holds: dict[Hold, int] = {}
        kept = store.load(memory_limit_bytes, segment_bytes) if store else ()
        self.log = Log(kept[0].blocks[0].first if kept else store.next if store else 0)
        for each in kept:
            self._take_over(each)
        self._restored_next = self.next

    @property
    def oldest(self) -> int:
        """Sequence number of the oldest message that a replay can start with."""
        return max(self.log.oldest, min((self._oldest_by_number, *self._holds.values())))

    @property
    def next(self) -> int:
        """Sequence number that the next message will get."""
        return self.log.next

    @property
    def newest_arrival_ns(self) -> int:
        """When the newest message arrived; 0 if there is none."""
        return int(self.log.rows(self.next - 1, self.next).arrivals_ns[0]) if len(self.log) else 0

    def age_s(self, sequence: int, now_ns: int) -> float:
        """How long ago this message arrived, or the oldest that is left if it is gone; 0 if it has not come yet."""
        first = max(sequence, self.log.oldest)
        if first >= self.next:
            return 0.0
        return max(now_ns - int(self.log.rows(first, first + 1).arrivals_ns[0]), 0) / NS_PER_S

    def rate_hz(self, now_ns: int) -> float:
        """Messages per second, by the last `RATED_MESSAGES` and the time from the first of them until now."""
        first = max(self.oldest, self.next - RATED_MESSAGES)
        span_s = self.age_s(first, now_ns)
        return (self.next - first - 1) / span_s if span_s else 0.0

    def append(self, segment: Segment, run: Run, arrival_ns: int) -> None:
        """Keeps the messages of one run, all of which arrived at ``arrival_ns``, and pins their segment."""
        if not self._held or self._held[-1].segment.serial != segment.serial:
            segment.pin()
            self._hold(segment)
        if self._store is not None:
            self._store.append(segment.memory, run, self.next, arrival_ns)
        self.log.append(run.pulse_ids, segment.serial, run.starts, run.ends, arrival_ns)
        self._held[-1].stop = self.next
        self._release_old()

    def hold(self, sequence: int) -> Hold:
        """Keeps the messages that can be replayed now, from ``sequence`` on, until it is released."""
        hold = Hold(self)
        self._holds[hold] = max(sequence, self.oldest)
        return hold

    def view(self, serial: int) -> memoryview:
        """The bytes of one held segment. Raises KeyError if it is not held (any more)."""
        return self._views[serial]

    def close(self) -> None:
        """Lets go of everything, but for what is in the store."""
        if self._store is not None:
            self._store.close()
            self._store = None
        while self._held:
            self._release_oldest()

    def statistics(self) -> RingStatistics:
        """A snapshot."""
        oldest, newest = self.oldest, self.next - 1
        return RingStatistics(
            messages=self.next - oldest,
            message_bytes=self.log.message_bytes,
            received_messages=self.next - self._restored_next,
            oldest_pulse_id=self.log.pulse_id(oldest) if oldest <= newest else None,
            newest_pulse_id=self.log.pulse_id(newest) if oldest <= newest else None,
            evicted_by_memory=self._evicted_by_memory,
            memory=self.pool.statistics(),
        )

    @property
    def _oldest_by_number(self) -> int:
        return self.log.next - self.max_messages

    def _advance_hold(self, hold: Hold, sequence: int) -> None:
        if sequence > self._holds.get(hold, sequence):
            self._holds[hold] = sequence
            self._release_old()

    def _release_hold(self, hold: Hold) -> None:
        if self._holds.pop(hold, None) is not None:
            self._release_old()

    def _take_over(self, kept: Kept) -> None:
        segment = self.pool.adopt(kept.memory)
        self._hold(segment)
        for block in kept.blocks:
            self.log.append(block.pulse_ids, segment.serial, block.starts, block.ends, block.arrival_ns)
        self._held[-1].stop = self.next

    def _hold(self, segment: Segment) -> None:
        self._held.append(_Held(segment, self.next))
        self._views[segment.serial] = segment.view

    def _release_old(self) -> None:
        while len(self._held) > 2 and self._held[1].stop <= self.oldest:
            self._release_oldest()

    def _reclaim(self) -> bool:
        """The pool's last resort: gives up the oldest segment. False if that is the one being filled, which frees nothing."""
        if not self._held or self._held[0].segment.pins > 1:
            return False
        oldest = max(self.log.oldest, self._oldest_by_number)  # what only a hold keeps is no loss
        lost = max(0, self._held[0].stop - oldest)
        if lost and not self._evicted_by_memory:
            logger.warning(
                "The memory limit of %d MiB is reached with %d messages, before the %d of --buffer_length: older ones go; "
                "give a higher --memory_limit to keep more",
                self.pool.limit_bytes >> 20,
                self.next - oldest,
                self.max_messages,
            )
        self._evicted_by_memory += lost
        self._release_oldest()
        return True

    def _release_oldest(self) -> None:
        held = self._held.popleft()
        self._released(held.segment.serial)
        self.log.evict_to(held.stop)
        if self._store is not None:
            self._store.forget(held.segment.memory)
        del self._views[held.segment.serial]
        held.segment.unpin()
