"""Whole messages on their way to sockets. Pure."""

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Whole messages as they go to the socket. Message i is ``pieces[ends[i - 1]:ends[i]]``; nobody may change the memory."""

    pieces: list[bytes | memoryview]
    ends: list[int]

    def __len__(self) -> int:
        return len(self.ends)

    def head(self, count: int) -> "Batch":
        """The first ``count`` messages."""
        return Batch(pieces=self.pieces[: self.ends[count - 1]] if count else [], ends=self.ends[:count])

    def tail(self, first: int) -> "Batch":
        """The messages from number ``first`` on."""
        cut = self.ends[first - 1] if first else 0
        return Batch(pieces=self.pieces[cut:], ends=[end - cut for end in self.ends[first:]])

    def messages_before(self, piece: int) -> int:
        """How many messages lie wholly before this piece."""
        return bisect_right(self.ends, piece)
