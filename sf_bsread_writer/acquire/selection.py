"""Which messages of a stream belong to an acquisition. Pure.

An acquisition lies between two bounds, both inclusive, each either a pulse id or an instant of the stream's clock: the
arrival at the buffer, or, without a buffer, the time that the receiver settled on. Rows have strictly increasing pulse
ids: a repeated or late message is dropped and counted, never written twice and never put in front.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import UsageError


@dataclass(frozen=True, slots=True)
class PulseBound:
    """A pulse id, inclusive."""

    pulse_id: int

    def __str__(self) -> str:
        return f"pulse {self.pulse_id}"


@dataclass(frozen=True, slots=True)
class TimeBound:
    """An instant of the stream's clock in ns since 1970, inclusive."""

    time_ns: int

    def __str__(self) -> str:
        at = datetime.fromtimestamp(self.time_ns / 1e9, UTC)
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC"


Bound: TypeAlias = PulseBound | TimeBound


@dataclass(frozen=True, slots=True)
class Selection:
    """The bounds of an acquisition; None is open."""

    start: Bound | None = None
    stop: Bound | None = None

    def __post_init__(self) -> None:
        start, stop = self.start, self.stop
        if isinstance(start, PulseBound) and isinstance(stop, PulseBound) and stop.pulse_id < start.pulse_id:
            raise UsageError(
                f"stop_pulse_id {stop.pulse_id} is before start_pulse_id {start.pulse_id}; give a stop at or behind it"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """What of a run is written.

    ``rows``: indices into the run, ascending, shape (rows,). ``stop_reached``: nothing behind this run can belong to
    the acquisition. ``unusable``: indices of messages inside the bounds that cannot be assigned to channels.
    """

    rows: NDArray[np.intp]
    duplicates: int
    out_of_order: int
    unusable: NDArray[np.intp]
    stop_reached: bool


def choose(
    selection: Selection,
    *,
    pulse_ids: NDArray[np.int64],
    times_ns: NDArray[np.int64],
    usable: NDArray[np.bool_],
    last_pulse_id: int,
) -> Choice:
    """Applies the bounds to a run of messages in the order of their arrival; all arrays have the shape (messages,).

    ``last_pulse_id`` is the last one written, or less than any pulse id.
    """
    end, stop_reached = _first_behind(selection.stop, pulse_ids, times_ns)
    pulse_ids = pulse_ids[:end]
    inside = _inside(selection, pulse_ids, times_ns[:end])
    candidates = np.flatnonzero(inside & usable[:end])
    ids = pulse_ids[candidates]
    highest_before = np.maximum.accumulate(np.concatenate(([last_pulse_id], ids)))[:-1]
    return Choice(
        rows=candidates[ids > highest_before],
        duplicates=int(np.count_nonzero(ids == highest_before)),
        out_of_order=int(np.count_nonzero(ids < highest_before)),
        unusable=np.flatnonzero(inside & ~usable[:end]),
        stop_reached=stop_reached,
    )


def _first_behind(stop: Bound | None, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64]) -> tuple[int, bool]:
    """How many messages come before the acquisition is over, and whether it is over."""
    match stop:
        case PulseBound(last):
            over = pulse_ids >= last  # the last pulse itself ends it: no later message may ever come
        case TimeBound(last_ns):
            over = times_ns > last_ns
        case None:
            return pulse_ids.size, False
    if not over.any():
        return pulse_ids.size, False
    first = int(over.argmax())
    includes_itself = isinstance(stop, PulseBound) and pulse_ids[first] == stop.pulse_id
    return first + includes_itself, True


def _inside(selection: Selection, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    inside = np.ones(pulse_ids.size, np.bool_)
    match selection.start:
        case PulseBound(first):
            inside &= pulse_ids >= first
        case TimeBound(first_ns):
            inside &= times_ns >= first_ns
    return inside
