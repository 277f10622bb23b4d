"""For which pulses a stream owes a message, by ``modulo`` and ``offset`` of its channels. Pure.

A channel is due when ``(pulse_id - offset) % modulo == 0``; no message is sent for pulses in which no channel is due. What the
channels of one header ask for together repeats with the least common multiple of their modulos, so it is kept as that period and
the due phases in it, and anything about any number of pulses is a division and a search away.

Two limits bound what a header can cost: `MOST_RULES` different pairs of modulo and offset, `MOST_PHASES` due pulses in a period.
Rules beyond them, slowest first, are left out. Their pulses count as not due: a lost message may go unnoticed, but no pulse is
called missing that is not. Real streams stay far below: 100, 50, 25, 10, 5 and 1 Hz make 100 phases at most.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import gcd, lcm

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.headers import INT64_MAX, Channel
from sf_bsread_writer.model import PulseRange

MOST_RULES = 100
MOST_PHASES = 4096

Ids = NDArray[np.int64]
Rule = tuple[int, int]
"""Modulo (at least 1) and phase: pulses ``phase + n × modulo`` are due."""


@dataclass(frozen=True, slots=True)
class Due:
    """Pulses in which any of these rules is due; without rules, none. Phases may be any offset; equal rules make equal objects.

    ``rules`` are those that are kept: ascending, each phase below its modulo, without what another one says already.
    """

    rules: tuple[Rule, ...]
    period: int = field(init=False, compare=False, repr=False)
    _phases: Ids = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rules = _affordable(sorted({(modulo, offset % modulo) for modulo, offset in self.rules}))
        period, phases = _shortest(*_pattern(rules))
        set_field = object.__setattr__  # the dataclass is frozen
        set_field(self, "rules", ((period, int(phases[0])),) if len(phases) == 1 else rules)
        set_field(self, "period", period)
        set_field(self, "_phases", phases)

    @property
    def step(self) -> int:
        """The distance of due pulses if that is always the same, else 1."""
        return self.period if len(self._phases) == 1 else 1

    def count(self, first: int, last: int) -> int:
        """How many due pulses lie in first..last, both inclusive; 0 if last is below first."""
        return self._rank(last) - self._rank(first - 1) if last >= first else 0

    def within(self, first: int, last: int) -> PulseRange | None:
        """From the first to the last due pulse in first..last, both inclusive; None if there is none."""
        if not self.count(first, last):
            return None
        return PulseRange(self._at(self._rank(first - 1) + 1), self._at(self._rank(last)))

    def contains(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of these pulses are due, shape as ``ids``."""
        due: NDArray[np.bool_] = self._ranks(ids) != self._ranks(ids - 1)
        return due

    def between(self, before: Ids, after: Ids) -> Ids:
        """How many pulses are due strictly between each two; 0 where ``after`` is not above. All of shape (pairs,)."""
        counts: Ids = np.maximum(self._ranks(after - 1) - self._ranks(before), 0)
        return counts

    def further(self, first: int, steps: int) -> int:
        """The due pulse that comes so many due pulses behind ``first``, which is due itself."""
        return self._at(self._rank(first) + steps)

    def _rank(self, pulse_id: int) -> int:
        """Due pulses up to this one, inclusive, counted from 1 at the first that is not negative."""
        turn, phase = divmod(pulse_id, self.period)
        return turn * len(self._phases) + int(self._phases.searchsorted(phase, "right"))

    def _ranks(self, ids: Ids) -> Ids:
        turns, phases = np.divmod(ids, self.period)
        ranks: Ids = turns * len(self._phases) + self._phases.searchsorted(phases, "right")
        return ranks

    def _at(self, rank: int) -> int:
        turn, place = divmod(rank - 1, len(self._phases))
        return turn * self.period + int(self._phases[place])


def _affordable(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """What of ascending rules can be kept within the limits, each that says something new."""
    kept: dict[Rule, None] = {}
    modulos: dict[int, None] = {}
    period = 1
    for modulo, phase in rules:
        if any(modulo % other == 0 and (other, phase % other) in kept for other in modulos):
            continue
        together = lcm(period, modulo)
        if together > INT64_MAX or sum(together // other for other, _ in kept) + together // modulo > MOST_PHASES:
            continue
        kept[modulo, phase], modulos[modulo] = None, None
        period = together
        if len(kept) == MOST_RULES:
            break
    return tuple(kept)


def _pattern(rules: tuple[Rule, ...]) -> tuple[int, Ids]:
    """A period after which everything repeats, and the due phases in it, ascending."""
    period = lcm(*(modulo for modulo, _ in rules))
    parts = [phase + modulo * np.arange(period // modulo, dtype=np.int64) for modulo, phase in rules]
    return period, np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)


def _shortest(period: int, phases: Ids) -> tuple[int, Ids]:
    """The same pulses with the shortest period: modulo 10 with the offsets 0 and 5 is modulo 5."""
    common = gcd(period, len(phases))
    for turns in range(len(phases), 1, -1):
        if common % turns == 0:
            part, each = period // turns, len(phases) // turns
            if (phases[each:] - phases[:-each] == part).all():
                return part, phases[:each]
    return period, phases


def rule_of(channel: Channel) -> Rule:
    """When one channel is due."""
    return channel.modulo, channel.offset % channel.modulo


def is_due(ids: Ids, modulo: int | Ids, phase: int | Ids) -> NDArray[np.bool_]:
    """Which of these pulses are due by one rule, or by several: the three are broadcast together."""
    due: NDArray[np.bool_] = np.equal((ids - phase) % modulo, 0)
    return due


EVERY = Due(((1, 0),))
NEVER = Due(())


def due_pulses(channels: Iterable[Channel]) -> Due:
    """For which pulses a source of these channels sends a message. Without channels nothing can be said: every pulse."""
    rules = set(map(rule_of, channels))
    return EVERY if not rules or any(modulo == 1 for modulo, _ in rules) else Due(tuple(rules))


def at_a_change(earlier: Due, later: Due, first: int, last: int) -> Due:
    """Which of the two holds in first..last, between the last message of one header and the first of the next.

    Nobody can tell at which of these pulses the source changed. The rules that expect fewer hold, so that neither a source that
    becomes faster nor one that becomes slower misses pulses for it; the later ones if both expect as many.
    """
    return earlier if earlier.count(first, last) < later.count(first, last) else later
