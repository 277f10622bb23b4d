"""Which pulse ids have been written and which are missing, in memory that does not grow with a steady stream. Pure.

What is missing is found while ids are added, and kept as a count and as the first ranges, so that asking costs the same after a
day as after a second. Each id belongs to the rules of its own message's header. A gap inside one header's time is judged by that
header, a gap between two headers by the one that expects fewer pulses in it (`at_a_change` says why).

Written ids are kept as stretches, to be able to take some back: either each due pulse from the first to the last, or equal
spacing. An undisturbed acquisition of any length is one stretch, at 100 Hz, at 25 Hz and with channels of several rates, and so
is one whose header tells something else than its ids. Every gap, and every header with other rules, adds one.
"""

from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.due import NEVER, Due, at_a_change
from sf_bsread_writer.model import PulseRange

MOST_RANGES = 1001
"""Ranges of missing pulses that are kept, one more than a report lists; behind them they are only counted."""

MOST_CHANGES = 100
"""Changes of rules that are kept for the report, and different rules that are kept at all; what follows is judged by none."""

_EACH_DUE = -1
_UNKNOWN = 0
_ROWS_AT_ONCE = 1 << 20

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Change:
    """From this written pulse id on, messages had a header with these rules."""

    first: int
    due: Due


class Coverage:
    """Written pulse ids, strictly increasing, and what is missing between and around them."""

    def __init__(self) -> None:
        # One entry for each stretch. Spacing: the distance of its ids, or one of the two marks above.
        self._firsts, self._lasts, self._spacings, self._numbers = array("q"), array("q"), array("q"), array("q")
        self._dues: list[Due] = []
        self._rows = 0
        self._missing = 0  # between the first and the last id
        self._ranges: list[PulseRange] = []
        self._changes: list[Change] = []

    @property
    def rows(self) -> int:
        """How many ids have been written."""
        return self._rows

    @property
    def first(self) -> int | None:
        return self._firsts[0] if self._rows else None

    @property
    def last(self) -> int | None:
        return self._lasts[-1] if self._rows else None

    @property
    def changes(self) -> tuple[Change, ...]:
        """Where rules began to hold, the first with the first id written; behind `MOST_CHANGES` comes one without rules."""
        return tuple(self._changes)

    def add(self, ids: Ids, due: Due) -> None:
        """Takes ids that were written, strictly increasing and above all earlier ones, shape (rows,).

        Their messages' headers had these rules.
        """
        if ids.size == 0:
            return
        number = self._number(due)
        if not self._firsts or number != self._numbers[-1]:
            self._begin_rules(int(ids[0]), number)
            ids = ids[1:]
        if ids.size:
            self._rows += ids.size
            self._extend(ids, self._dues[number])

    def _number(self, due: Due) -> int:
        if self._numbers and self._dues[self._numbers[-1]] == due:
            return self._numbers[-1]
        if due not in self._dues:
            if len(self._dues) >= MOST_CHANGES:
                due = NEVER
            if due not in self._dues:
                self._dues.append(due)
        return self._dues.index(due)

    def _begin_rules(self, pulse_id: int, number: int) -> None:
        due = self._dues[number]
        if self._firsts:
            before, earlier = self._lasts[-1], self._dues[self._numbers[-1]]
            holding = at_a_change(earlier, due, before + 1, pulse_id - 1)
            self._note(holding.count(before + 1, pulse_id - 1), holding.within(before + 1, pulse_id - 1))
        if len(self._changes) <= MOST_CHANGES:
            self._changes.append(Change(pulse_id, due if len(self._changes) < MOST_CHANGES else NEVER))
        self._rows += 1
        self._begin_stretch(pulse_id, number)

    def _note(self, missed: int, gap: PulseRange | None) -> None:
        self._missing += missed
        if gap is not None and len(self._ranges) < MOST_RANGES:
            self._ranges.append(gap)

    def _extend(self, ids: Ids, due: Due) -> None:
        """Takes ids of the same rules as the last stretch."""
        before = np.concatenate(([self._lasts[-1]], ids[:-1]))
        missed, is_due = due.between(before, ids), due.contains(np.concatenate((before[:1], ids)))
        self._missing += int(missed.sum())
        for hole in np.flatnonzero(missed)[: MOST_RANGES - len(self._ranges)].tolist():
            self._note(0, due.within(int(before[hole]) + 1, int(ids[hole]) - 1))
        distances, follows = ids - before, (missed == 0) & is_due[1:] & is_due[:-1]
        spacing = self._spacings[-1]
        if (follows if spacing == _EACH_DUE else distances == spacing).all():
            self._lasts[-1] = int(ids[-1])
            return
        for pulse_id, distance, is_next in zip(ids.tolist(), distances.tolist(), follows.tolist(), strict=True):
            self._add_one(pulse_id, distance, is_next=is_next)

    def _add_one(self, pulse_id: int, distance: int, *, is_next: bool) -> None:
        spacing = self._spacings[-1]
        if spacing == _UNKNOWN:  # a single id takes the second one at any distance
            self._spacings[-1] = _EACH_DUE if is_next else distance
        elif not (is_next if spacing == _EACH_DUE else distance == spacing):
            self._begin_stretch(pulse_id, self._numbers[-1])
            return
        self._lasts[-1] = pulse_id

    def _begin_stretch(self, pulse_id: int, number: int) -> None:
        for column, value in zip(self._columns, (pulse_id, pulse_id, _UNKNOWN, number), strict=True):
            column.append(value)

    @property
    def _columns(self) -> tuple["array[int]", ...]:
        return self._firsts, self._lasts, self._spacings, self._numbers

    def keep_until(self, pulse_id: int) -> None:
        """Forgets all ids behind this one."""
        while self._firsts and self._firsts[-1] > pulse_id:
            self._drop_stretch()
        if self._firsts and self._lasts[-1] > pulse_id:
            first, spacing = self._firsts[-1], self._spacings[-1]
            self._cut_stretch(self._due.count(first, pulse_id) if spacing == _EACH_DUE else 1 + (pulse_id - first) // spacing)
        self._forget_behind()

    def keep_rows(self, rows: int) -> None:
        """Forgets all ids but the first ``rows``."""
        while self._rows > rows:
            surplus, length = self._rows - rows, self._length()
            if surplus >= length:
                self._drop_stretch()
            else:
                self._cut_stretch(length - surplus)
        self._forget_behind()

    @property
    def _due(self) -> Due:
        """The rules of the last stretch."""
        return self._dues[self._numbers[-1]]

    def _drop_stretch(self) -> None:
        self._cut_stretch(1)
        after, later = self._firsts[-1], self._due
        for column in self._columns:
            column.pop()
        self._rows -= 1
        if self._firsts:
            before = self._lasts[-1]
            self._missing -= at_a_change(self._due, later, before + 1, after - 1).count(before + 1, after - 1)

    def _cut_stretch(self, length: int) -> None:
        """Keeps the first ids of the last stretch, at least one."""
        first, last, spacing = self._firsts[-1], self._lasts[-1], self._spacings[-1]
        self._rows -= self._length() - length
        kept = self._due.further(first, length - 1) if spacing == _EACH_DUE else first + (length - 1) * spacing
        if spacing != _EACH_DUE:
            self._missing -= _missed_by_spacing(kept, last, spacing, self._due)
        self._lasts[-1] = kept
        if length == 1:
            self._spacings[-1] = _UNKNOWN

    def _length(self) -> int:
        first, last, spacing = self._firsts[-1], self._lasts[-1], self._spacings[-1]
        if spacing == _EACH_DUE:
            return self._due.count(first, last)
        return 1 + ((last - first) // spacing if spacing else 0)

    def _forget_behind(self) -> None:
        """Of what is kept beside the ids: ranges and changes behind the last one."""
        last = self._lasts[-1] if self._firsts else -1
        while self._ranges and self._ranges[-1].last > last:
            self._ranges.pop()
        while self._changes and self._changes[-1].first > last:
            self._changes.pop()

    def count_missing(self, *, first: int | None, last: int | None, otherwise: Due) -> int:
        """How many due ids of first..last are not there.

        ``first`` is at most the first id written and ``last`` at least the last one; None stands for these. Before the first and
        behind the last id the rules of the nearest one hold, and ``otherwise`` if there is none.
        """
        if not self._firsts:
            return 0 if first is None or last is None else otherwise.count(first, last)
        before = 0 if first is None else self._dues[self._numbers[0]].count(first, self._firsts[0] - 1)
        behind = 0 if last is None else self._due.count(self._lasts[-1] + 1, last)
        return before + self._missing + behind

    def missing(self, *, first: int | None, last: int | None, otherwise: Due, limit: int) -> tuple[PulseRange, ...]:
        """At most ``limit`` ranges (and `MOST_RANGES`, and two) of what `count_missing` counts, ascending.

        From a range's first to its last id every due one is missing.
        """
        if not self._firsts:
            gaps = [None if first is None or last is None else otherwise.within(first, last)]
        else:
            before = None if first is None else self._dues[self._numbers[0]].within(first, self._firsts[0] - 1)
            behind = None if last is None else self._due.within(self._lasts[-1] + 1, last)
            gaps = [before, *self._ranges, behind]
        return tuple([gap for gap in gaps if gap is not None][:limit])


def _missed_by_spacing(first: int, last: int, spacing: int, due: Due) -> int:
    """How many ids are due in first..last, but for first, first + spacing, … last, and first."""
    written = 0
    for start in range(first + spacing, last + 1, spacing * _ROWS_AT_ONCE) if spacing else ():
        ids = np.arange(start, min(last + 1, start + spacing * _ROWS_AT_ONCE), spacing, dtype=np.int64)
        written += int(np.count_nonzero(due.contains(ids)))
    return due.count(first + 1, last) - written
