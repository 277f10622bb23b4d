"""When each pulse of a simulated source is due. Pure: the clock's readings are passed in.

Pulse n is due at start plus n periods, whatever happened to the pulses before it: a late wake-up is made up for by the next one
and the rate does not drift, as it would if every pulse slept for a period.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.model import NS_PER_S

PATIENCE_NS = NS_PER_S
"""Further behind than this, the lost time is given up: a machine that was suspended does not send hours of pulses at once."""


class Pacer:
    """Deadlines of a source of ``rate_hz`` pulses a second whose pulse 0 is due at ``start_ns``."""

    def __init__(self, *, rate_hz: float, start_ns: int) -> None:
        self._period_ns = NS_PER_S / rate_hz
        self._start_ns = start_ns
        self.given_up_ns = 0
        """How much time has been given up altogether."""

    def due(self, now_ns: int) -> int:
        """How many pulses are due by now, counted from the beginning."""
        return max(0, int((now_ns - self._start_ns) // self._period_ns) + 1)

    def deadline_ns(self, pulses: NDArray[np.int64]) -> NDArray[np.int64]:
        """When these pulses are due, shape as given."""
        offsets: NDArray[Any] = pulses * self._period_ns
        return self._start_ns + offsets.astype(np.int64)

    def wait_ns(self, pulse: int, now_ns: int) -> int:
        """How long to wait for this pulse, 0 if it is due; gives up the lost time if it was due more than `PATIENCE_NS` ago."""
        late_ns = now_ns - self._start_ns - int(pulse * self._period_ns)
        if late_ns > PATIENCE_NS:
            self._start_ns += late_ns
            self.given_up_ns += late_ns
        return max(0, -late_ns)
