"""Bytes of one connection go straight into segments and are cut into whole messages there, without a copy.

Only the beginning of a message that does not fit into the rest of its segment is moved, to the start of the next one.
"""

from dataclasses import dataclass

from sf_bsread_writer.message.layout import CommandFrame, Dropped, Limits, Run, Scanner
from sf_bsread_writer.ring.segment import Segment, SegmentPool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arrived:
    """Whole messages that lie in ``segment``; who keeps them longer than the call that brought them pins it."""

    segment: Segment
    run: Run


Event = Arrived | CommandFrame | Dropped


class Inlet:
    """Where the bytes of one connection go; holds one pin on the segment that is being filled."""

    def __init__(self, pool: SegmentPool, limits: Limits | None = None) -> None:
        self._pool = pool
        self._scanner = Scanner(limits if limits is not None else Limits())
        self._segment: Segment | None = None
        self._start = 0  # of the message that is not complete yet
        self._stop = 0  # end of what was received
        self._need = 0  # a scan below this end would find nothing new

    def buffer(self) -> memoryview | None:
        """Free memory to receive into; None if the pool has none now: stop reading and ask again when it has."""
        raise NotImplementedError

    def received(self, count: int) -> list[Event]:
        """What the ``count`` bytes just put into `buffer` complete, in order. Raises PeerError if framing is lost."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Event]:
        """Takes bytes that came by another way (the rest of the handshake's). Raises PeerError; MemoryError if none is free."""
        raise NotImplementedError

    def reset(self) -> int:
        """The connection is lost: forgets the beginning of a message; returns how many bytes that were."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives the segment back; what was handed out stays valid as long as it is pinned."""
        raise NotImplementedError
