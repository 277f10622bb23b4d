"""The index of the ring: one row for each message, in order of arrival. Pure.

A row is where the message lies (segment, first byte, end) and how it is found (pulse id, arrival time). Rows are numbered by
**sequence number**, which counts from 0 for the first message ever and has nothing to do with pulse ids. Rows stand in NumPy
columns without a wrap, so that any stretch of them is a view: they are appended at the end, evicted at the beginning, and moved
to the front when the end is reached, which costs each row a constant on average.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PULSE_ID, _SERIAL, _START, _END, _ARRIVAL = range(5)
_SMALLEST_CAPACITY = 1024


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Some successive rows, as views into the log that hold until its next change; all int64, shape (rows,).

    Message i is bytes ``starts[i]`` to ``ends[i]`` (exclusive) of the segment with serial ``serials[i]``; serials and arrival
    times (ns since 1970) never decrease, pulse ids may.
    """

    pulse_ids: NDArray[np.int64]
    serials: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    arrivals_ns: NDArray[np.int64]


class Log:
    """Rows ``oldest`` to ``next`` (exclusive). Sequence numbers outside of that raise IndexError."""

    def __init__(self, first: int = 0) -> None:
        self._table = np.empty((5, _SMALLEST_CAPACITY), np.int64)
        self._head = 0  # column of the oldest row in the table
        self._tail = 0  # end of the newest
        self._oldest = first
        self._time_begin: int | None = None  # see `_time_begin_at`
        self._bytes = 0

    def __len__(self) -> int:
        return self._tail - self._head

    @property
    def oldest(self) -> int:
        """Sequence number of the oldest row; equals ``next`` if there is none."""
        return self._oldest

    @property
    def next(self) -> int:
        """Sequence number that the next message will get: the number of messages that ever arrived in this ring."""
        return self._oldest + len(self)

    @property
    def message_bytes(self) -> int:
        """Sum of the lengths of all messages in the log."""
        return self._bytes

    def append(
        self,
        pulse_ids: NDArray[np.int64],
        serial: int,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        arrival_ns: int,
    ) -> None:
        """Adds the messages of one run, which all arrived at the same time; neither serial nor time may go back."""
        count = len(pulse_ids)
        self._make_room(count)
        rows = self._table[:, self._tail : self._tail + count]
        rows[_PULSE_ID] = pulse_ids
        rows[_SERIAL] = serial
        rows[_START] = starts
        rows[_END] = ends
        rows[_ARRIVAL] = arrival_ns
        self._tail += count
        self._bytes += int((ends - starts).sum())

    def evict_to(self, sequence: int) -> None:
        """Forgets all rows before ``sequence``; nothing happens if they are gone already."""
        count = sequence - self._oldest
        if count <= 0:
            return
        if count > len(self):
            raise IndexError(f"cannot evict to message {sequence}: the newest is {self.next - 1}")
        gone = self._table[:, self._head : self._head + count]
        self._bytes -= int((gone[_END] - gone[_START]).sum())
        self._time_begin = self._time_begin_at(count)
        self._head += count
        self._oldest = sequence

    def rows(self, first: int, stop: int) -> Rows:
        """The rows from ``first`` to ``stop`` (exclusive)."""
        if not self.oldest <= first <= stop <= self.next:
            raise IndexError(f"messages {first}..{stop} are not all in the log, which has {self.oldest}..{self.next}")
        shift = self._head - self._oldest
        part = self._table[:, first + shift : stop + shift]
        return Rows(
            pulse_ids=part[_PULSE_ID],
            serials=part[_SERIAL],
            starts=part[_START],
            ends=part[_END],
            arrivals_ns=part[_ARRIVAL],
        )

    def pulse_id(self, sequence: int) -> int:
        """Pulse id of one message."""
        return int(self.rows(sequence, sequence + 1).pulse_ids[0])

    def find_pulse(self, pulse_id: int, *, oldest: int | None = None) -> int:
        """Sequence number of the message to begin with for pulse ``pulse_id``, looking back to ``oldest``; ``next``: none yet.

        It is the message with the smallest pulse id that is high enough, which with increasing ids is the oldest such message.
        Where a source's counter has started over, the id may be there several times: the newest time counts, and of messages
        with one id in a row the first. If the newest message has a lower id, the wanted one may still come: then a message
        before that is taken only if it has just this id, or follows directly on a lower one, or is the oldest that is left of a
        time that began with this id or a lower one. A single late message, lower than its predecessor while its successor is
        not, is no place to begin.
        """
        first = self.oldest if oldest is None else oldest
        ids = self.rows(first, self.next).pulse_ids
        places = np.flatnonzero(~late(ids) & (ids >= pulse_id))
        if not places.size:
            return self.next
        lowest = ids[places].min()
        # Of each group of equal ids in a row only its first, of these the last.
        begins = places[(ids[places] == lowest) & ((places == 0) | (ids[places - 1] != lowest))]
        place = int(begins[-1])
        was_reached = lowest == pulse_id or (ids[place - 1] < pulse_id if place else self._was_evicted(pulse_id, first))
        return first + place if was_reached or ids[-1] >= pulse_id else self.next

    def _was_evicted(self, pulse_id: int, first: int) -> bool:
        """Whether the time to which message ``first`` belongs had this pulse id, or went past it, before that message."""
        begin = self._time_begin_at(first - self._oldest)
        return begin is not None and begin <= pulse_id

    def _time_begin_at(self, count: int) -> int | None:
        """The pulse id with which a counter began, the last time up to the message ``count`` behind the oldest.

        None if nothing is known of what was before.
        """
        if not count:
            return self._time_begin
        ids = self._table[_PULSE_ID, self._head : min(self._head + count + 2, self._tail)]
        begins = restarts(ids)
        begins = begins[begins <= count]
        if len(begins):
            return int(ids[begins[-1]])
        return int(ids[0]) if self._time_begin is None else self._time_begin

    def find_arrival(self, arrival_ns: int, *, oldest: int | None = None) -> int:
        """Sequence number of the first message that arrived at ``arrival_ns`` or later; ``next`` if there is none."""
        first = self.oldest if oldest is None else oldest
        return first + int(np.searchsorted(self.rows(first, self.next).arrivals_ns, arrival_ns, side="left"))

    def _make_room(self, count: int) -> None:
        if self._tail + count <= self._table.shape[1]:
            return
        kept = self._table[:, self._head : self._tail]
        capacity = self._table.shape[1]
        while len(self) + count > capacity // 2:  # at least half is free after the move, or moves would come too often
            capacity *= 2
        table = np.empty((5, capacity), np.int64)
        table[:, : len(self)] = kept
        self._tail -= self._head
        self._head = 0
        self._table = table


def late(pulse_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which messages are single ones that came too late: their neighbours increase, or are the same, without them."""
    late = np.zeros(len(pulse_ids), np.bool_)
    if len(pulse_ids) > 2:
        before, these, behind = pulse_ids[:-2], pulse_ids[1:-1], pulse_ids[2:]
        late[1:-1] = (these < before) & (before <= behind)
    return late


def restarts(pulse_ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the messages with which the counter started over: lower than the one before, and none that is only `late`.

    The last message may still turn out to be that: the next one tells.
    """
    falls = np.flatnonzero(pulse_ids[1:] < pulse_ids[:-1]) + 1
    return falls[~late(pulse_ids)[falls]]
