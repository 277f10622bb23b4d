"""Values that several stages share. Pure: no I/O, no clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, order=True)
class PulseRange:
    """Pulse ids from first to last, both inclusive; ``step`` 1."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError(f"pulse range ends before it starts: {self.first}..{self.last}")

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}..{self.last}"

    @classmethod
    def of_ids(cls, ids: Iterable[int]) -> tuple[Self, ...]:
        """The shortest list of ranges that holds exactly these ids (any order, repeats allowed)."""
        unique = np.unique(np.fromiter(ids, np.int64))
        if unique.size == 0:
            return ()
        breaks = np.flatnonzero(np.diff(unique) != 1)
        firsts = unique[np.concatenate(([0], breaks + 1))].tolist()
        lasts = unique[np.concatenate((breaks, [unique.size - 1]))].tolist()
        return tuple(cls(first, last) for first, last in zip(firsts, lasts, strict=True))
