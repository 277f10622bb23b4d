"""What the source of a soak sends, as functions of pulse id and header alone. Pure.

There are two headers, as before and after a reconfiguration: in the second the first waveform has an element more, and there is
one more channel. Pulse ids of one soak never repeat, even when the source's counter "starts over": it goes on far below all ids
so far. So a pulse id alone says when it was sent and with which header.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.simulator.channels import SimulatedChannel, camera, changed, parse_channel, scalars
from sf_bsread_writer.simulator.stream import Epoch, Plan

HEADERS = (0, 1)
FIRST_PULSE_ID = 20_000_000_000
START_OVER_STEP = 10_000_000
"""How far below the first id of the time before a counter starts over: more pulses than any soak sends."""

PULSE_NS = 10_000_000
_EPOCH_NS = 1_500_000_000 * NS_PER_S

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a message carries. ``memory`` is the buffer's limit, far above what its length needs."""

    scalars: int
    camera: str
    memory_mib: int
    buffer_length: int


SIZES = {
    "full": Size(scalars=300, camera="320x240", memory_mib=768, buffer_length=2500),
    "small": Size(scalars=20, camera="32x24", memory_mib=32, buffer_length=500),
}


def channels(size: Size, header: int) -> tuple[SimulatedChannel, ...]:
    """Those of a header."""
    first = (
        parse_channel("SOAK:WAVE:float32:512"),
        parse_channel(f"SOAK:PACKED:int32:{max(16, size.scalars * 3)}:pattern=noise:compression=bitshuffle_lz4"),
        parse_channel("SOAK:BIG-ENDIAN:int16:32:byte_order=big"),
        parse_channel("SOAK:STATE:string"),
        parse_channel("SOAK:SLOW:float64:modulo=10:pattern=noise"),
        parse_channel("SOAK:LOSSY:int64:missing=0.1"),
        camera(size.camera),
        *scalars(str(size.scalars)),
    )
    return changed(first) if header else first


def plan(size: Size, header: int) -> Plan:
    """Which channels have a value in which pulse; pulse numbers are the pulse ids themselves."""
    return Plan(epochs=(Epoch(start=0, channels=channels(size, header)),), first_pulse_id=0)


def present(stream: Plan, ids: Sequence[int] | Ids) -> NDArray[np.bool_]:
    """Which channels have a value in these pulses, shape (pulses, channels)."""
    wanted = np.asarray(ids, np.int64)
    found = np.empty((len(wanted), len(stream.epochs[0].channels)), np.bool_)
    # In pieces: ids may lie far apart where a source has started over.
    starts = [0, *(np.flatnonzero(np.abs(np.diff(wanted)) > 1000) + 1).tolist(), len(wanted)]
    for start, stop in pairwise(starts):
        if stop > start:
            (burst,) = stream.messages(int(wanted[start:stop].min()), int(wanted[start:stop].max()) + 1)
            found[start:stop] = burst.present[wanted[start:stop] - burst.pulse_ids[0]]
    return found


def global_ns(ids: Any) -> Any:
    """The global timestamps of these pulses. The clock is years off: with a buffer, nothing may depend on it."""
    return _EPOCH_NS + np.asarray(ids, np.int64) * PULSE_NS % (1000 * NS_PER_S * 3600)
