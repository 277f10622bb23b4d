"""Memory and file descriptors of the buffer: sampled while it runs, judged at the end.

A ring in files shows as shared memory; what a leak would add to is the process's own ("anonymous") memory.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_GROWTH_BYTES = 8 << 20
"""Of its own memory, between the first and the last third of a buffer's life, by the smallest sample of each."""

MOST_DESCRIPTORS_LEFT = 2
"""More than a buffer without clients had at first: somebody whom we do not know of may just be connecting."""

WARM_UP_S = 20.0
SHORTEST_LIFE_S = 90.0
"""A buffer that lived less long says nothing about growth: its first clients make it grow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at a process: its id, when (any clock), total and own memory, file descriptors."""

    process_id: int
    at_s: float
    total_bytes: int
    own_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Of all lives of a buffer: the largest total, and the largest growth of own memory (None: no life was long enough).

    Descriptors are those at most, and those without clients.
    """

    lives: int
    largest_bytes: int
    limit_bytes: int
    growth_bytes: int | None
    most_descriptors: int
    descriptors_at_first: int
    descriptors_at_last: int

    @property
    def problems(self) -> list[str]:
        """Sentences about limits that were passed."""
        found = []
        if self.largest_bytes > self.limit_bytes:
            found.append(f"the buffer took {self.largest_bytes >> 20} MiB; the limit is {self.limit_bytes >> 20}")
        if self.growth_bytes is not None and self.growth_bytes > MOST_GROWTH_BYTES:
            found.append(f"the buffer's own memory grew by {self.growth_bytes / (1 << 20):.1f} MiB")
        if self.descriptors_at_last > self.descriptors_at_first + MOST_DESCRIPTORS_LEFT:
            found.append(
                f"the buffer has {self.descriptors_at_last} descriptors without a client; at first it had "
                f"{self.descriptors_at_first}"
            )
        return found


def look(process_id: int, at_s: float, ring: Path) -> Sample | None:
    """None if there is no such process any more. Descriptors of files in ``ring`` do not count: their number goes up and down."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
        descriptors = sum(not _target(each).startswith(f"{ring}/") for each in Path(f"/proc/{process_id}/fd").iterdir())
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines())
    if "VmRSS" not in fields:  # it has ended, and nobody has waited for it yet
        return None
    total, own = (int(fields[name].split()[0]) << 10 for name in ("VmRSS", "RssAnon"))
    return Sample(process_id=process_id, at_s=at_s, total_bytes=total, own_bytes=own, descriptors=descriptors)


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def judge(samples: Sequence[Sample], *, quiet_first: Sample, quiet_last: Sample, limit_bytes: int) -> Findings:
    """``quiet_first`` and ``quiet_last`` were taken while no client was connected, at the beginning and at the end."""
    lives: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        lives[sample.process_id].append(sample)
    growths = [growth for life in lives.values() if (growth := _growth(life)) is not None]
    return Findings(
        lives=len(lives),
        largest_bytes=max((sample.total_bytes for sample in samples), default=0),
        limit_bytes=limit_bytes,
        growth_bytes=max(growths, default=None),
        most_descriptors=max((sample.descriptors for sample in samples), default=0),
        descriptors_at_first=quiet_first.descriptors,
        descriptors_at_last=quiet_last.descriptors,
    )


def _growth(life: Sequence[Sample]) -> int | None:
    begin_s, end_s = life[0].at_s + WARM_UP_S, life[-1].at_s
    if end_s - life[0].at_s < SHORTEST_LIFE_S:
        return None
    third_s = (end_s - begin_s) / 3
    first = [sample.own_bytes for sample in life if begin_s <= sample.at_s < begin_s + third_s]
    last = [sample.own_bytes for sample in life if sample.at_s >= end_s - third_s]
    return min(last) - min(first) if first and last else None
