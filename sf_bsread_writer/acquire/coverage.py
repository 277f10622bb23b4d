"""Which pulse ids have been written and which are missing, in memory that does not grow with a steady stream. Pure.

Written ids are kept as stretches of equal spacing: an undisturbed acquisition of any length is one stretch, at 100 Hz
(spacing 1) as at 25 Hz (spacing 4). Every gap adds one.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import gcd

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.model import PulseRange


@dataclass(frozen=True, slots=True)
class Due:
    """The pulse ids for which a stream owes a message: ``phase + n × step``."""

    step: int = 1
    phase: int = 0

    def and_also(self, other: "Due") -> "Due":
        """The coarsest rule that expects all that either of them expects."""
        step = gcd(self.step, other.step, abs(self.phase - other.phase))
        return Due(step, self.phase % step)

    def count(self, first: int, last: int) -> int:
        """How many due pulse ids lie in first..last, both inclusive."""
        if last < first:
            return 0
        return (last - self.phase) // self.step - (first - 1 - self.phase) // self.step

    def within(self, first: int, last: int) -> PulseRange | None:
        """From the first to the last due id in first..last, both inclusive."""
        low = first + (self.phase - first) % self.step
        high = last - (last - self.phase) % self.step
        return PulseRange(low, high) if low <= high else None


class Coverage:
    """Written pulse ids, strictly increasing, and what is missing between and around them."""

    def __init__(self) -> None:
        self._firsts, self._lasts, self._spacings = array("q"), array("q"), array("q")
        self._rows = 0

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

    def add(self, ids: NDArray[np.int64]) -> None:
        """Takes ids that were written, strictly increasing and above all earlier ones, shape (rows,)."""
        if ids.size == 0:
            return
        self._rows += ids.size
        if self._firsts and (np.diff(ids, prepend=self._lasts[-1]) == self._spacings[-1]).all():
            self._lasts[-1] = int(ids[-1])
            return
        for pulse_id in ids.tolist():
            self._add_one(pulse_id)

    def _add_one(self, pulse_id: int) -> None:
        if self._firsts:
            distance, spacing = pulse_id - self._lasts[-1], self._spacings[-1]
            if spacing in (0, distance):  # a single id takes the second one at any distance
                self._lasts[-1], self._spacings[-1] = pulse_id, distance
                return
        self._firsts.append(pulse_id)
        self._lasts.append(pulse_id)
        self._spacings.append(0)

    def keep_until(self, pulse_id: int) -> None:
        """Forgets all ids behind this one."""
        while self._firsts and self._firsts[-1] > pulse_id:
            self._drop_stretch()
        if self._firsts and self._lasts[-1] > pulse_id:
            self._cut_stretch(1 + (pulse_id - self._firsts[-1]) // self._spacings[-1])

    def keep_rows(self, rows: int) -> None:
        """Forgets all ids but the first ``rows``."""
        while self._rows > rows:
            surplus, length = self._rows - rows, self._length(len(self._firsts) - 1)
            if surplus >= length:
                self._drop_stretch()
            else:
                self._cut_stretch(length - surplus)

    def _drop_stretch(self) -> None:
        self._rows -= self._length(len(self._firsts) - 1)
        for column in (self._firsts, self._lasts, self._spacings):
            column.pop()

    def _cut_stretch(self, length: int) -> None:
        """Keeps the first ids of the last stretch, at least one."""
        self._rows -= self._length(len(self._firsts) - 1) - length
        self._lasts[-1] = self._firsts[-1] + (length - 1) * self._spacings[-1]
        if length == 1:
            self._spacings[-1] = 0

    def _length(self, stretch: int) -> int:
        spacing = self._spacings[stretch]
        return 1 + ((self._lasts[stretch] - self._firsts[stretch]) // spacing if spacing else 0)

    def count_missing(self, due: Due, *, first: int | None, last: int | None) -> int:
        """How many due ids of first..last (None: from the first, to the last one written) are not there."""
        first, last = self._ends(first, last)
        if first is None or last is None:
            return 0
        return due.count(first, last) - sum(_count_due(*stretch, due) for stretch in self._stretches())

    def missing(self, due: Due, *, first: int | None, last: int | None, limit: int) -> tuple[PulseRange, ...]:
        """At most ``limit`` ranges of due ids that are not there, ascending."""
        first, last = self._ends(first, last)
        if first is None or last is None:
            return ()
        gaps = (due.within(low, high) for low, high in self._gaps(first, last, due))
        return tuple(islice((gap for gap in gaps if gap is not None), limit))

    def _ends(self, first: int | None, last: int | None) -> tuple[int | None, int | None]:
        return (self.first if first is None else first), (self.last if last is None else last)

    def _stretches(self) -> Iterator[tuple[int, int, int]]:
        return zip(self._firsts, self._lasts, self._spacings, strict=True)

    def _gaps(self, first: int, last: int, due: Due) -> Iterator[tuple[int, int]]:
        """The holes between written ids, both ends inclusive, some of them empty (high < low)."""
        before = first - 1
        for low, high, spacing in self._stretches():
            yield before + 1, low - 1
            if spacing > due.step or (low - due.phase) % due.step:
                for written in range(low, high, spacing or 1):
                    yield written + 1, written + spacing - 1
            before = high
        yield before + 1, last


def _count_due(first: int, last: int, spacing: int, due: Due) -> int:
    """How many ids of first, first + spacing, … last are due."""
    if spacing % due.step:
        return int(np.count_nonzero((np.arange(first, last + 1, spacing) - due.phase) % due.step == 0))
    if (first - due.phase) % due.step:
        return 0
    return 1 + ((last - first) // spacing if spacing else 0)
