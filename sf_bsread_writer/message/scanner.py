"""Cuts a stream of bytes into runs of whole messages. Pure.

Strategy: speculate that the next messages look like the last ones, verify all of them with one NumPy gather, and walk frame by
frame only where that fails.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.layout import CommandFrame, Dropped, Run

MIB = 1 << 20

Event = Run | CommandFrame | Dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may make us hold. Frames: 2 headers and 2 frames for each of 65536 channels."""

    max_frame_bytes: int = 256 * MIB
    max_frames: int = 2 + 2 * 65536
    max_message_bytes: int = 1024 * MIB
    max_layouts: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What one call of `Scanner.scan` found.

    ``events`` in order of arrival. Everything before ``consumed`` is done with; what lies in consumed..stop is the beginning of a
    message. ``stop`` is smaller than the one given when a command inside an unfinished message was cut out. Another call makes
    progress only when at least ``need`` is the stop: until then the owner need not call.
    """

    events: list[Event]
    consumed: int
    stop: int
    need: int


class Scanner:
    """Cuts one connection's bytes into events. Remembers layouts from call to call, never bytes.

    The owner calls `scan` with the bytes from the last ``consumed`` on (at the same place or moved as a whole to another one).
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()

    @property
    def partial_bytes(self) -> int:
        """Best guess of the whole length of the message that has begun to arrive; 0 if none has."""
        raise NotImplementedError

    def scan(self, data: NDArray[np.uint8], view: memoryview, start: int, stop: int) -> Scan:
        """Cuts ``data[start:stop]`` into events; ``view`` is the same memory.

        Raises `PeerError` when framing is lost (reserved flag bits, a length over a limit); the connection is then of no more use.
        """
        raise NotImplementedError

    def reset(self) -> None:
        """Forgets an unfinished message (the connection was lost) and keeps the layouts."""
        raise NotImplementedError
