"""Retention by messages and by memory, and any mixture of appending, reading, jumping and eviction against a model."""

import logging

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.ring.cursor import Cursor
from sf_bsread_writer.ring.ring import Hold, Ring
from sf_bsread_writer.ring.segment import Segment

SEGMENT_BYTES = 256


def content(sequence: int, length: int) -> bytes:
    """Bytes that no other message has, with a beginning and an end that show a torn one."""
    return (f"<{sequence}:".encode() + b"." * length)[: length - 1] + b">"


def run_in(segment: Segment, spans: list[tuple[int, int]], pulse_ids: list[int]) -> Run:
    starts, ends = (np.array(column, np.int64) for column in zip(*spans, strict=True))
    return Run(
        data=segment.data,
        view=segment.view,
        starts=starts,
        bodies=starts,
        ends=ends,
        pulse_ids=np.array(pulse_ids, np.int64),
        global_timestamps_ns=np.zeros(len(spans), np.int64),
        layout_index=np.zeros(len(spans), np.intp),
        layouts=(),
    )


class Source:
    """Fills segments as an inlet does: the present one until it is full, then another from the pool."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.segment: Segment | None = None
        self.used = 0
        self.messages: list[bytes] = []
        self.pulse_ids: list[int] = []
        self.arrivals_ns: list[int] = []
        self.clock_ns = 0

    def put(self, lengths: list[int], pulse_ids: list[int], *, gap: int = 0) -> None:
        """One run for each piece of the messages that fits into one segment."""
        self.clock_ns += 10
        spans: list[tuple[int, int]] = []
        ids: list[int] = []
        for length, pulse_id in zip(lengths, pulse_ids, strict=True):
            if self.segment is None or self.used + length > self.segment.size:
                self._append(spans, ids)
                spans, ids = [], []
                new = self.ring.pool.take(length)
                assert new is not None
                if self.segment is not None:
                    self.segment.unpin()
                self.segment, self.used = new, 0
            message = content(len(self.messages), length)
            self.segment.view[self.used : self.used + length] = message
            spans.append((self.used, self.used + length))
            ids.append(pulse_id)
            self.messages.append(message)
            self.pulse_ids.append(pulse_id)
            self.arrivals_ns.append(self.clock_ns)
            self.used = min(self.used + length + gap, self.segment.size)
        self._append(spans, ids)

    def _append(self, spans: list[tuple[int, int]], pulse_ids: list[int]) -> None:
        if spans:
            assert self.segment is not None
            self.ring.append(self.segment, run_in(self.segment, spans, pulse_ids), self.clock_ns)

    def close(self) -> None:
        if self.segment is not None:
            self.segment.unpin()


def kept(ring: Ring) -> list[bytes]:
    """Every message that a replay would bring now."""
    rows = ring.log.rows(ring.oldest, ring.next)
    return [
        bytes(ring.view(serial)[start:end])
        for serial, start, end in zip(rows.serials.tolist(), rows.starts.tolist(), rows.ends.tolist(), strict=True)
    ]


def test_a_replay_starts_with_the_last_messages_that_were_asked_for() -> None:
    ring = Ring(5, 100 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    for count in (3, 4, 50, 1):
        source.put([40] * count, list(range(count)))
        assert kept(ring) == source.messages[-5:]
    statistics = ring.statistics()
    assert (statistics.messages, statistics.received_messages) == (5, 58)
    assert (statistics.oldest_pulse_id, statistics.newest_pulse_id) == (46, 0)
    assert statistics.evicted_by_memory == 0


def test_a_burst_larger_than_the_ring_overtakes_nobody_who_was_nearly_there() -> None:
    ring = Ring(2, 100 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    source.put([SEGMENT_BYTES // 4] * 4, [1, 2, 3, 4])
    cursor = Cursor(2)
    source.put([SEGMENT_BYTES // 4] * 4, [5, 6, 7, 8])
    assert ring.oldest == 6
    assert cursor.skip_evicted(ring.log) == 0


def test_memory_stays_at_a_few_segments_however_many_messages_pass() -> None:
    ring = Ring(5, 100 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    for _ in range(100):
        source.put([40] * 10, list(range(10)))
    assert ring.statistics().memory.allocated_bytes <= 5 * SEGMENT_BYTES
    assert len(ring.log) <= 30


def test_the_memory_limit_evicts_whole_segments_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    ring = Ring(1000, 4 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    with caplog.at_level(logging.WARNING):
        for _ in range(40):
            source.put([50], [7])
    assert kept(ring) == source.messages[-len(kept(ring)) :]
    assert 15 <= len(kept(ring)) <= 20
    assert ring.statistics().evicted_by_memory == 40 - len(kept(ring))
    assert [record.message for record in caplog.records if "--memory_limit" in record.message] == [
        record.message for record in caplog.records
    ]
    assert len(caplog.records) == 1
    assert "20 messages, before the 1000 of --buffer_length" in caplog.records[0].message


def test_an_empty_ring_has_no_pulse_ids() -> None:
    statistics = Ring(5, 4 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES).statistics()
    assert (statistics.messages, statistics.oldest_pulse_id, statistics.newest_pulse_id) == (0, None, None)
    assert statistics.memory.allocated_bytes == 0


def test_a_closed_ring_has_given_all_its_memory_back() -> None:
    ring = Ring(50, 8 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    source.put([40] * 20, list(range(20)))
    ring.close()
    source.close()
    assert ring.statistics().memory.used_bytes == 0
    assert (ring.oldest, ring.next) == (20, 20)


def test_the_segment_being_filled_is_not_reclaimed() -> None:
    ring = Ring(50, SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    source.put([40], [1])
    assert ring.pool.take() is None
    assert kept(ring) == source.messages


def test_what_is_held_stays_beyond_the_number_of_messages_until_it_is_read_or_let_go() -> None:
    ring = Ring(5, 100 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    source.put([40] * 20, list(range(20)))
    hold = ring.hold(0)  # 0 to 14 can be replayed no more
    for _ in range(10):
        source.put([40] * 10, list(range(10)))
    assert kept(ring) == source.messages[15:]
    assert ring.statistics().evicted_by_memory == 0
    hold.advance(60)
    hold.advance(50)
    assert kept(ring) == source.messages[60:]
    other = ring.hold(80)
    hold.release()
    hold.release()
    hold.advance(0)
    assert kept(ring) == source.messages[80:]
    other.release()
    assert kept(ring) == source.messages[-5:]
    assert len(ring.log) <= 20  # whole segments of what was held are free again


def test_memory_goes_before_a_hold_and_what_only_that_kept_is_not_counted_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    ring = Ring(5, 8 * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES)
    source = Source(ring)
    source.put([50] * 5, list(range(5)))
    hold = ring.hold(ring.oldest)
    for _ in range(30):
        source.put([50] * 5, list(range(5)))
    assert 5 < len(kept(ring)) <= 40
    assert kept(ring) == source.messages[-len(kept(ring)) :]
    assert ring.statistics().memory.allocated_bytes <= 8 * SEGMENT_BYTES
    assert (ring.statistics().evicted_by_memory, caplog.messages) == (0, [])
    hold.release()
    assert kept(ring) == source.messages[-5:]


class Reader:
    """A client without a socket: keeps what it was sent; has copied out what was under way when a segment went."""

    def __init__(self, ring: Ring, sequence: int) -> None:
        self.ring = ring
        self.cursor = Cursor(sequence)
        self.serial = 0
        self.views: list[memoryview] = []  # what is left of the slice: in the ring, or in a copy once the segment is gone
        self.rest = b""  # of a message, after a cut
        self.got = b""
        self.due: list[int] = []  # sequence numbers of all messages that must have come when everything is sent

    def read(self, max_bytes: int, slice_bytes: int) -> None:
        if self.rest:
            self.got += self.rest[:max_bytes]
            self.rest = self.rest[max_bytes:]
            return
        if self.cursor.idle and not self._take(slice_bytes):
            return
        now = self.remaining()[:max_bytes]
        self.got += now
        self.cursor.sent(len(now))
        self._drop(len(now))

    def released(self, serial: int) -> None:
        if serial == self.serial and not self.cursor.idle:
            self.views = [memoryview(self.remaining())]

    def jump(self, sequence: int) -> None:
        self.rest = self.rest or self.remaining()[: self.cursor.cut()]
        self.views = []
        begun = (self.got + self.rest).count(b">")
        del self.due[begun:]
        self.cursor.move(sequence)

    def remaining(self) -> bytes:
        return b"".join(bytes(view) for view in self.views)

    def _take(self, slice_bytes: int) -> bool:
        before = self.cursor.next
        lost = self.cursor.skip_evicted(self.ring.log)
        assert lost == max(0, self.ring.log.oldest - before)
        part = self.cursor.take(self.ring.log, slice_bytes)
        if part is None:
            assert before + lost == self.ring.next
            return False
        assert part.first == before + lost
        self.due += range(part.first, part.stop)
        self.serial = part.serial
        self.views = [self.ring.view(part.serial)[start:stop] for start, stop in part.spans]
        return True

    def _drop(self, count: int) -> None:
        while count:
            used = min(count, len(self.views[0]))
            self.views[0] = self.views[0][used:]
            count -= used
            if not self.views[0]:
                del self.views[0]


def sequences_in(stream: bytes) -> list[int]:
    """The numbers of the messages of which at least the number is in the stream."""
    return [int(part.partition(b":")[0]) for part in stream.split(b"<")[1:] if b":" in part]


class RingMachine(RuleBasedStateMachine):
    """Each reader must get whole messages only, in order, and account for every one between its jumps."""

    @initialize(max_messages=st.integers(1, 40), segments=st.integers(4, 12))
    def begin(self, max_messages: int, segments: int) -> None:
        self.ring = Ring(max_messages, segments * SEGMENT_BYTES, segment_bytes=SEGMENT_BYTES, released=self.released)
        self.source = Source(self.ring)
        self.readers: list[Reader] = []
        self.holds: list[tuple[Hold, int]] = []

    def released(self, serial: int) -> None:
        for reader in self.readers:
            reader.released(serial)

    @rule(
        lengths=st.lists(st.integers(12, 2 * SEGMENT_BYTES), min_size=1, max_size=8),
        pulse=st.integers(0, 20),
        gap=st.integers(0, 9),
    )
    def append(self, lengths: list[int], pulse: int, gap: int) -> None:
        self.source.put(lengths, [pulse + i for i in range(len(lengths))], gap=gap)

    @rule(at=st.sampled_from(["oldest", "live"]))
    def connect(self, at: str) -> None:
        if len(self.readers) < 4:
            self.readers.append(Reader(self.ring, self.ring.oldest if at == "oldest" else self.ring.next))

    @rule(which=st.integers(0, 3), max_bytes=st.integers(1, 700), slice_bytes=st.sampled_from([1, 100, 10_000]))
    def read(self, which: int, max_bytes: int, slice_bytes: int) -> None:
        if which < len(self.readers):
            self.readers[which].read(max_bytes, slice_bytes)

    @rule(which=st.integers(0, 3), pulse=st.integers(0, 30))
    def jump_to_pulse(self, which: int, pulse: int) -> None:
        target = self.ring.log.find_pulse(pulse, oldest=self.ring.oldest)
        assert self.ring.oldest <= target <= self.ring.next
        assert target == self.ring.next or self.source.pulse_ids[target] >= pulse
        if which < len(self.readers):
            self.readers[which].jump(target)

    @rule(which=st.integers(0, 3), back_ns=st.integers(0, 60))
    def jump_to_arrival(self, which: int, back_ns: int) -> None:
        wanted = self.source.clock_ns - back_ns
        target = self.ring.log.find_arrival(wanted, oldest=self.ring.oldest)
        assert target == next(
            (i for i in range(self.ring.oldest, self.ring.next) if self.source.arrivals_ns[i] >= wanted), self.ring.next
        )
        if which < len(self.readers):
            self.readers[which].jump(target)

    @rule(back=st.integers(0, 60))
    def hold(self, back: int) -> None:
        wanted, oldest = self.ring.next - back, self.ring.oldest
        self.holds.append((self.ring.hold(wanted), max(wanted, oldest)))

    @rule(which=st.integers(0, 3), further=st.integers(-5, 30))
    def read_past(self, which: int, further: int) -> None:
        if which < len(self.holds):
            hold, sequence = self.holds[which]
            hold.advance(sequence + further)
            self.holds[which] = (hold, max(sequence, sequence + further))

    @rule(which=st.integers(0, 3))
    def let_go(self, which: int) -> None:
        if which < len(self.holds):
            self.holds.pop(which)[0].release()

    @invariant()
    def the_ring_holds_the_newest_messages(self) -> None:
        newest = self.source.messages
        assert self.ring.next == len(newest)
        held = [sequence for _, sequence in self.holds]
        assert self.ring.oldest == max(self.ring.log.oldest, min([self.ring.next - self.ring.max_messages, *held]))
        assert kept(self.ring) == newest[self.ring.oldest :]
        memory = self.ring.statistics().memory
        assert memory.allocated_bytes <= memory.limit_bytes
        lost_by_memory = self.ring.oldest > max(0, self.ring.next - self.ring.max_messages)
        assert not lost_by_memory or self.ring.statistics().evicted_by_memory > 0

    @invariant()
    def what_a_reader_got_is_the_beginning_of_what_it_is_due(self) -> None:
        for reader in self.readers:
            due = b"".join(self.source.messages[sequence] for sequence in reader.due)
            assert due == reader.got + (reader.rest or reader.remaining())

    def teardown(self) -> None:
        if not hasattr(self, "ring"):
            return
        for reader in self.readers:  # whoever reads on gets to the end
            while reader.rest or not reader.cursor.idle or reader.cursor.next < self.ring.next:
                reader.read(1000, 1000)
            assert sequences_in(reader.got) == reader.due
        self.ring.close()
        self.source.close()
        assert self.ring.statistics().memory.used_bytes == 0


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
