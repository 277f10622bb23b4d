"""Which pulses a capture asks a writer for, and what of the wish the ring cannot give. Pure.

A writer takes pulse ids, so a time is turned into them, by arrival at the buffer. A source's counter may have started over in
that time: a range from its lowest to its highest id would then be no range at all, and only what came since can be had. A single
message that comes late is no such start.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import StateError
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.ring.log import Log, restarts


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Pulses ``first`` to ``last``, both inclusive, the first of which is message ``sequence`` or comes later.

    ``shortfall`` says what was asked for and what can be had, None if that is the same.
    """

    first: int
    last: int
    sequence: int
    shortfall: str | None


def of_last(log: Log, oldest: int, *, last_s: float, now_ns: int) -> Window:
    """What arrived in the last ``last_s`` before ``now_ns``, of the messages from number ``oldest`` on.

    Raises `StateError` if that is nothing.
    """
    asked = f"asked for the last {last_s:g} s"
    _check_something_is_there(log, oldest, asked)
    since_ns = max(0, now_ns - round(last_s * NS_PER_S))
    wanted = log.find_arrival(since_ns, oldest=oldest)
    if wanted == log.next:
        age = _age(log, log.next - 1, now_ns)
        raise StateError(
            f"{asked}; nothing has arrived since: the newest message, pulse {log.pulse_id(log.next - 1)}, is {age} old"
        )
    ids = log.rows(wanted, log.next).pulse_ids
    begin = _newest_time(ids)
    first, last, sequence = int(ids[begin]), int(ids[begin:].max()), wanted + begin
    age = _age(log, sequence, now_ns)
    shortfall = None
    if begin:
        shortfall = (
            f"{asked}; the source's pulse ids started over {age} ago: what came since can be had (pulses {first}..{last}), "
            f"not the {begin} messages before"
        )
    elif not (wanted > log.oldest and log.rows(wanted - 1, wanted).arrivals_ns[0] < since_ns):
        shortfall = f"{asked}; the ring holds {age} (pulses {first}..{last})"
    return Window(first=first, last=last, sequence=sequence, shortfall=shortfall)


def of_pulses(log: Log, oldest: int, *, first: int, last: int) -> Window:
    """Pulses ``first`` to ``last``, of the messages from number ``oldest`` on, and of those that are still to come.

    Raises `StateError` if the ring is empty, or if none of them can be had any more.
    """
    asked = f"asked for pulses {first}..{last}"
    _check_something_is_there(log, oldest, asked)
    sequence = log.find_pulse(first, oldest=oldest)
    if sequence == log.next:
        return Window(first=first, last=last, sequence=sequence, shortfall=None)
    ids = log.rows(sequence, log.next).pulse_ids
    lowest, highest = int(ids[0]), int(ids.max())
    if last < lowest:
        raise StateError(f"{asked}; the ring holds pulses {lowest}..{highest}: none of them can be had any more")
    # The message before tells whether there ever was one in between, if it is still known and of the same time.
    is_first = sequence == log.oldest or not log.pulse_id(sequence - 1) < first
    is_short = is_first and lowest - first >= _step(ids)
    shortfall = f"{asked}; the ring holds pulses {lowest}..{highest}" if is_short else None
    return Window(first=first, last=last, sequence=sequence, shortfall=shortfall)


def _check_something_is_there(log: Log, oldest: int, asked: str) -> None:
    if oldest == log.next:
        raise StateError(f"{asked}; the ring is empty: has the source sent anything yet?")


def _age(log: Log, sequence: int, now_ns: int) -> str:
    arrived_ns = int(log.rows(sequence, sequence + 1).arrivals_ns[0])
    return f"{max(0, now_ns - arrived_ns) / NS_PER_S:.2f} s"


def _newest_time(ids: NDArray[np.int64]) -> int:
    """Index of the message with which the counter began the last time, 0 if it did not among these."""
    begins = restarts(ids)
    return int(begins[begins + 1 < len(ids)].max(initial=0))  # the last message may be only late: the next one tells


def _step(ids: NDArray[np.int64]) -> int:
    """Between the pulse ids of two messages, at least; 1 if there is only one."""
    steps = np.diff(ids)
    return int(steps.min(initial=np.iinfo(np.int64).max, where=steps > 0)) if (steps > 0).any() else 1
