"""Where one client stands in the ring: which message is next, and how far the present ones have been sent. Pure.

A cursor takes a **slice**: a few successive messages of one segment, as byte ranges to be sent as they are. Until all its bytes
are sent the cursor can say where the message in progress ends, so that a client can be moved elsewhere without a torn message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.ring.log import Log, Rows

Select = Callable[[int, Rows], NDArray[np.bool_]]
"""Which messages of some rows a client wants; all of them lie in the segment whose serial is the first argument."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice:
    """Messages ``first`` to ``stop`` (exclusive) as far as the client wants them, in one segment.

    ``spans`` are byte ranges (start, end), merged where messages follow each other directly; ``messages`` of them are wanted
    (0: none, and ``spans`` is empty), with ``arrivals_ns`` (ns since 1970, shape (messages,)).
    """

    first: int
    stop: int
    serial: int
    spans: Sequence[tuple[int, int]]
    arrivals_ns: NDArray[np.int64]

    @property
    def messages(self) -> int:
        """How many messages will be sent."""
        return len(self.arrivals_ns)


class Cursor:
    """A place in a log; knows nothing of sockets and segments.

    The order of calls: `skip_evicted`, `take`, then `sent` until `idle`, and again. `cut` or `move` at any time.
    """

    def __init__(self, sequence: int) -> None:
        self._next = sequence
        self._ends: NDArray[np.int64] = np.empty(0, np.int64)  # of the slice's messages, counted in bytes sent
        self._sent = 0
        self._total = 0
        self._messages = 0  # of earlier slices

    @property
    def next(self) -> int:
        """Sequence number of the next message to take."""
        return self._next

    @property
    def idle(self) -> bool:
        """True if all of the last slice has been sent."""
        return self._sent == self._total

    @property
    def messages(self) -> int:
        """How many messages have been begun to be sent."""
        return self._messages + self._begun()

    def move(self, sequence: int) -> None:
        """Goes on at ``sequence``, forward or back; only between slices (see `cut`)."""
        if not self.idle:
            raise RuntimeError(f"a cursor cannot move to message {sequence} inside a message: cut first")
        self._next = sequence

    def skip_evicted(self, log: Log) -> int:
        """Goes on at the oldest message if the next one is not there any more; returns how many were lost by that."""
        lost = log.oldest - self._next
        if lost <= 0:
            return 0
        self._next = log.oldest
        return lost

    def take(self, log: Log, max_bytes: int, *, stop: int | None = None, select: Select | None = None) -> Slice | None:
        """The next messages, as many as one segment has and ``max_bytes`` allows, but at least one; None if there is none.

        Never goes past sequence number ``stop``. Raises IndexError if the next message was evicted.
        """
        if not self.idle:
            raise RuntimeError(f"a cursor takes message {self._next} before the last slice was sent")
        last = log.next if stop is None else min(stop, log.next)
        if self._next >= last:
            return None
        rows = log.rows(self._next, last)
        serial = int(rows.serials[0])
        count = _fitting(rows, max_bytes)
        rows = log.rows(self._next, self._next + count)
        starts, ends, arrivals_ns = rows.starts, rows.ends, rows.arrivals_ns.copy()
        if select is not None:
            wanted = select(serial, rows)
            starts, ends, arrivals_ns = starts[wanted], ends[wanted], arrivals_ns[wanted]
        first = self._next
        self._messages += len(self._ends)
        self._next += count
        self._ends = np.cumsum(ends - starts)
        self._sent = 0
        self._total = int(self._ends[-1]) if len(self._ends) else 0
        return Slice(first=first, stop=self._next, serial=serial, spans=_merged(starts, ends), arrivals_ns=arrivals_ns)

    def sent(self, count: int) -> None:
        """So many bytes of the slice's have gone out."""
        if self._sent + count > self._total:
            raise ValueError(f"{count} bytes sent, but only {self._total - self._sent} of the slice were left")
        self._sent += count

    def cut(self) -> int:
        """Gives up the slice, but for the message that has begun: returns how many bytes of that are still to be sent.

        Those bytes are the next ones of the slice; the cursor does not count them any more and is idle.
        """
        begun = self._begun()
        rest = int(self._ends[begun - 1]) - self._sent if begun else 0
        self._messages += begun
        self._ends = self._ends[:0]
        self._sent = self._total = 0
        return rest

    def _begun(self) -> int:
        """How many of the slice's messages have been sent, at least in part."""
        return int(np.searchsorted(self._ends, self._sent, side="left")) + 1 if self._sent else 0


def _fitting(rows: Rows, max_bytes: int) -> int:
    """How many of the rows lie in the first one's segment and within ``max_bytes`` from its start; at least 1."""
    # Serials and places within a segment increase, so two binary searches do, however far behind the client is.
    in_segment = int(np.searchsorted(rows.serials, rows.serials[0], side="right"))
    in_limit = int(np.searchsorted(rows.ends[:in_segment], rows.starts[0] + max_bytes, side="right"))
    return max(1, in_limit)


def _merged(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Byte ranges without the seams between messages that follow each other directly."""
    if len(starts) == 0:
        return []
    seams = np.flatnonzero(starts[1:] != ends[:-1])
    firsts = [int(starts[0]), *starts[seams + 1].tolist()]
    lasts = [*ends[seams].tolist(), int(ends[-1])]
    return list(zip(firsts, lasts, strict=True))
