"""Which messages a SUB client wants: those whose first frame begins with one of its prefixes. Pure."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.frames import read_frame_header

_MOST_SUBSCRIPTIONS = 1000
_MOST_PREFIX_BYTES = 64 * 1024
"""Of all prefixes of one client together: they are kept as long as it stays."""


class Subscriptions:
    """Prefixes, counted as libzmq does: who subscribes twice cancels twice. False without any."""

    def __init__(self) -> None:
        self._prefixes: Counter[bytes] = Counter()

    def __bool__(self) -> bool:
        return bool(self._prefixes)

    @property
    def want_all(self) -> bool:
        """Whether the empty prefix is among them, which nearly all clients have."""
        return b"" in self._prefixes

    def change(self, subscribe: bool, prefix: bytes) -> None:
        """Adds or cancels one; raises `PeerError` for too many of them."""
        if subscribe:
            self._prefixes[prefix] += 1
        elif self._prefixes[prefix] > 1:
            self._prefixes[prefix] -= 1
        else:
            self._prefixes.pop(prefix, None)
        if len(self._prefixes) > _MOST_SUBSCRIPTIONS:
            raise PeerError(f"has more than {_MOST_SUBSCRIPTIONS} subscriptions")
        if sum(map(len, self._prefixes)) > _MOST_PREFIX_BYTES:
            raise PeerError(f"has subscriptions of more than {_MOST_PREFIX_BYTES} bytes")

    def want(self, beginning: bytes) -> bool:
        """Whether messages are wanted that begin so."""
        return beginning.startswith(tuple(self._prefixes))

    def wanted(self, view: memoryview, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the messages that begin at ``starts`` in ``view`` are wanted."""
        prefixes = tuple(self._prefixes)
        longest = max(map(len, prefixes), default=0)
        return np.array([_beginning(view, start, longest).startswith(prefixes) for start in starts.tolist()], bool)


def _beginning(view: memoryview, start: int, count: int) -> bytes:
    """At most ``count`` bytes of the frame at ``start``."""
    frame = read_frame_header(view, start, len(view), max_frame_bytes=len(view))
    assert frame is not None, "the ring holds whole messages"
    return bytes(view[frame.body_start : min(frame.body_start + count, frame.body_stop)])
