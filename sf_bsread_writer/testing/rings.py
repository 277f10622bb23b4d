"""Rings in memory, with the messages that a test wants."""

from collections.abc import Sequence

from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.zmtp.frames import encode_message

MIB = 1 << 20


def ring_of(messages: Sequence[Sequence[bytes]], *, length: int = 1000, memory: int = 4 * MIB) -> Ring:
    """A ring that these messages have come into, one each second from 1 s on."""
    ring = Ring(length, memory, segment_bytes=MIB // 4)
    feed(ring, messages)
    return ring


def feed(ring: Ring, messages: Sequence[Sequence[bytes]]) -> None:
    """More messages come into it."""
    inlet = Inlet(ring.pool)
    for frames in messages:
        for event in inlet.feed(encode_message(frames)):
            assert isinstance(event, Arrived)
            ring.append(event.segment, event.run, (ring.next + 1) * NS_PER_S)
    inlet.close()
