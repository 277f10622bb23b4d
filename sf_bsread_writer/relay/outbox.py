"""Bytes on their way into one socket, without a copy where possible. Pure but for the `send` that it is given.

Two kinds of bytes wait here: **words**, our own commands, and **parts** of a slice, which lie in the ring. Words always go before
the slice that follows them, and never into it: a command must not stand inside a message.
"""

from collections import deque
from collections.abc import Callable, Sequence

Views = Sequence[memoryview]

_MOST_VIEWS = 512
"""In one system call; the kernel's limit is 1024."""


class CopyBudget:
    """What all clients together may hold of copies; each gives back what it took once that is sent, or dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, count: int) -> bool:
        """Takes so many bytes, or none and returns False if that would be too many."""
        if self.used_bytes + count > self.limit_bytes:
            return False
        self.used_bytes += count
        return True

    def give_back(self, count: int) -> None:
        """So many of what was taken."""
        self.used_bytes -= count


class Outbox:
    """Words and the parts of at most one slice, in the order in which they go out."""

    def __init__(self) -> None:
        self._views: deque[memoryview] = deque()
        self._words_bytes = 0  # of the views' first bytes

    def __bool__(self) -> bool:
        return bool(self._views)

    def put(self, words: bytes, parts: Views = ()) -> None:
        """Fills the empty outbox."""
        if self._views:
            raise RuntimeError("the outbox still holds bytes that must go first")
        if words:
            self._views.append(memoryview(words))
            self._words_bytes = len(words)
        self._views.extend(parts)

    def send(self, send: Callable[[Views], int]) -> tuple[int, int]:
        """Offers the views to ``send``, which tells how many bytes it took; returns how many of words and how many of parts."""
        count = send([*self._views] if len(self._views) <= _MOST_VIEWS else [self._views[i] for i in range(_MOST_VIEWS)])
        words = min(count, self._words_bytes)
        self._words_bytes -= words
        self._drop(count)
        return words, count - words

    def keep(self, parts_bytes: int) -> None:
        """Gives up the slice but for its next ``parts_bytes``, which count as words from now on."""
        whole = self._words_bytes + parts_bytes
        kept: deque[memoryview] = deque()
        left = whole
        for view in self._views:
            if left:
                kept.append(view[:left])
                left -= len(kept[-1])
        self._views = kept
        self._words_bytes = whole

    @property
    def waiting_bytes(self) -> int:
        """How much has not gone out yet."""
        return sum(map(len, self._views))

    def own(self) -> None:
        """Copies what is left, because the memory it lies in is about to go."""
        self._views = deque([memoryview(b"".join(self._views))])

    def clear(self) -> None:
        """Lets go of everything."""
        self._views.clear()
        self._words_bytes = 0

    def _drop(self, count: int) -> None:
        views = self._views
        while count:
            first = views[0]
            if count < len(first):
                views[0] = first[count:]
                return
            count -= len(first)
            views.popleft()
