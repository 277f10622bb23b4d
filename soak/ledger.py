"""Asked for, written, explained, unexplained. Pure.

What was sent is known from the source's own record, what was done to the programs from whoever did it. An explanation is taken
only if both bear it out: a pulse is not "evicted" because a report says so, but because so many messages were sent behind it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.model import PulseRange

RECORD = np.dtype([("pulse_id", "<i8"), ("begun_ns", "<i8"), ("sent_ns", "<i8"), ("connection", "<i4"), ("header", "<i4")])
"""A message of the source's: ``sent_ns`` 0 is one that has perhaps not gone out whole. Times are ns since 1970."""

NEVER_SENT = "the source was away"
CUT_OFF = "cut off by the source"
ON_ITS_WAY = "on its way when the buffer was killed"
EVICTED = "no longer in the buffer"
LATE = "behind a counter that started over"
KILLED = "the writer was killed within a second"
SILENT = "behind a silence that no writer waits for"
ENDED = "the writer was ended before it came"
DISK_FULL = "the disk was full"
CAUSES = (NEVER_SENT, CUT_OFF, ON_ITS_WAY, EVICTED, LATE, KILLED, SILENT, ENDED, DISK_FULL)

Ids = NDArray[np.int64]
Ending = Literal["by itself", "killed", "ended", "disk full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What explanations go by: messages that the buffer holds; what a killed writer may lose; the silence that ends a writer."""

    buffer_length: int
    killed_ns: int
    stall_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferEnd:
    """A buffer that was killed, or told to end. ``found``: the newest pulse that the next one found in the store (None: none).

    ``again_ns`` is when the next one was started: what was sent before went to the one that ended.
    """

    again_ns: int
    found: int | None


class Sent:
    """What the source has sent: records in the order of sending, no pulse id twice."""

    def __init__(self, records: NDArray[np.void], buffer_ends: Sequence[BufferEnd] = ()) -> None:
        self.records = records
        self._order = np.argsort(records["pulse_id"], kind="stable")
        self._sorted = records["pulse_id"][self._order]
        self._whole = records["sent_ns"] > 0
        self._lost = np.zeros(len(records), np.bool_)
        for end in buffer_ends:
            stop = int(np.searchsorted(records["begun_ns"], end.again_ns))
            start = 0 if end.found is None else int(self.places(np.array([end.found]))[0]) + 1
            self._lost[start:stop] = True

    def places(self, ids: Ids) -> NDArray[np.intp]:
        """Where these pulses stand in the order of sending; -1 for those that were never sent."""
        if not len(self._sorted):
            return np.full(len(ids), -1)
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        return np.where(self._sorted[at] == ids, self._order[at], -1)

    def time_of(self, pulse_id: int) -> int:
        """The place at which the time of a pulse, sent or not, begins; a counter that starts over begins another."""
        ids = self.records["pulse_id"]
        begins = np.concatenate(([0], np.flatnonzero(np.diff(ids) < 0) + 1))
        lower = [begin for begin in begins.tolist() if begin < len(ids) and ids[begin] <= pulse_id]
        return min(lower, default=int(begins[-1]))

    def highest(self, first: int, last: int, begun_ns: int) -> int:
        """The highest pulse id of first..last (both inclusive) that was begun by then; below ``first`` if there is none."""
        ids = self.records["pulse_id"][self.records["begun_ns"] <= begun_ns]
        return int(ids[(ids >= first) & (ids <= last)].max(initial=first - 1))

    def between(self, begun_ns: int, sent_ns: int) -> Ids:
        """Pulses that were begun at the one time or later, and gone out whole at the other, in the order of sending."""
        inside = self._whole & (self.records["begun_ns"] >= begun_ns) & (self.records["sent_ns"] <= sent_ns)
        found: Ids = self.records["pulse_id"][inside]
        return found

    def cause(self, place: int) -> str | None:
        """Why a message cannot have been had from the buffer; None if it can."""
        if place < 0:
            return NEVER_SENT
        if not self._whole[place]:
            return CUT_OFF
        return ON_ITS_WAY if self._lost[place] else None

    def kept_behind(self, place: int, until_ns: int) -> int:
        """How many messages came to the buffer behind this one until then."""
        behind = self._whole[place + 1 :] & ~self._lost[place + 1 :] & (self.records["begun_ns"][place + 1 :] < until_ns)
        return int(np.count_nonzero(behind))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked of a writer. Each bound is a pulse id, or the times before and after the request for "now"."""

    first: int | tuple[int, int]
    last: int | tuple[int, int]

    @property
    def pulses(self) -> PulseRange | None:
        """If both bounds are pulses."""
        if isinstance(self.first, int) and isinstance(self.last, int):
            return PulseRange(self.first, self.last)
        return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Got:
    """What became of it.

    ``ids`` and ``arrivals_ns`` are those of the file, None of a dry run, which has a report only. ``ended_ns`` is when it was
    killed or told to end; for one that ended by itself, when that was seen. ``report`` is None if there is no file and no report.
    ``progress``: times at which a writer that was then killed had said which pulse was its last.
    """

    ending: Ending
    ended_ns: int
    exit_code: int
    report: Report | None
    ids: Ids | None
    arrivals_ns: Ids | None = None
    progress: Sequence[tuple[int, int]] = ()


@dataclass(slots=True)
class Account:
    """Pulses of one acquisition, or the sum of several. ``unexplained`` and ``contradictions`` must be empty.

    ``killed_age_ns``: how long before its end a killed writer had the oldest message that is lost with it, at least.
    """

    asked: int = 0
    written: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[int] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    killed_age_ns: int = 0

    def add(self, other: "Account") -> None:
        """Sums up."""
        self.asked += other.asked
        self.written += other.written
        self.explained += other.explained
        self.unexplained += other.unexplained
        self.contradictions += other.contradictions
        self.killed_age_ns = max(self.killed_age_ns, other.killed_age_ns)


def account(asked: Asked, got: Got, sent: Sent, limits: Limits) -> Account:
    """Compares what was asked for with what is there."""
    result = Account()
    ids = _written_ids(asked, got, sent)
    wanted = _wanted(asked, got, sent)
    missing = np.setdiff1d(wanted, ids)
    result.asked, result.written = len(wanted), len(wanted) - len(missing)
    _explain(result, missing, ids, got, sent, limits=limits)
    result.contradictions += _contradictions(asked, got, sent, ids)
    return result


def _written_ids(asked: Asked, got: Got, sent: Sent) -> Ids:
    """Those of the file; of a dry run what its report says, by what was sent."""
    if got.ids is not None:
        return got.ids
    report = got.report
    if report is None or report.first_pulse_id is None or report.last_pulse_id is None:
        return np.empty(0, np.int64)
    ids = np.arange(report.first_pulse_id, report.last_pulse_id + 1)
    for gap in report.missing:
        ids = ids[(ids < gap.first) | (ids > gap.last)]
    return ids


def _wanted(asked: Asked, got: Got, sent: Sent) -> Ids:
    """Pulses that have to be there, or to be explained; for a writer that was ended, those that had come by then."""
    if asked.pulses is not None:
        first, last = asked.pulses.first, asked.pulses.last
        return np.arange(first, 1 + (last if got.ending == "by itself" else sent.highest(first, last, got.ended_ns)))
    # "Now" falls between the request and its answer: what was sent in that time may be there or not.
    begun_ns = asked.first[1] if isinstance(asked.first, tuple) else 0
    sent_ns = asked.last[0] if isinstance(asked.last, tuple) else got.ended_ns
    found = sent.between(begun_ns, sent_ns)
    if isinstance(asked.first, int):
        found = found[found >= asked.first]
        found = found[sent.places(found) >= sent.time_of(asked.first)]
    if isinstance(asked.last, int):
        found = found[found <= asked.last]
    return found


def _explain(result: Account, missing: Ids, ids: Ids, got: Got, sent: Sent, *, limits: Limits) -> None:
    places = sent.places(missing)
    written_places = sent.places(ids)
    last_place = int(written_places.max()) if len(ids) else -1
    evictions = 0 if got.report is None else got.report.evicted_before_start + got.report.lost_in_buffer
    late = 0 if got.report is None else got.report.out_of_order
    # One that stalled had time to read all that the buffer held: what went only meanwhile is no excuse.
    read_ns = got.ended_ns - (limits.stall_ns if _is_stalled(got) else 0)
    for pulse_id, place in zip(missing.tolist(), places.tolist(), strict=True):
        cause = sent.cause(place)
        if cause is None and place > last_place:
            cause = _ending_cause(result, got, sent, place, limits=limits)
        if cause is None and 0 <= last_place < place and _is_silent(got, sent, last_place, place, limits):
            cause = SILENT
        if cause is None and late and len(ids) and bool((ids[written_places < place] > pulse_id).any()):
            cause = LATE
            late -= 1
        told = evictions > 0 or (got.report is not None and got.report.reconnects > 0)
        if cause is None and told and sent.kept_behind(place, read_ns) >= limits.buffer_length:
            cause = EVICTED
            evictions -= 1
        if cause is None:
            result.unexplained.append(pulse_id)
        else:
            result.explained[cause] += 1


def _is_stalled(got: Got) -> bool:
    return got.report is not None and got.report.outcome == "stalled"


def _is_silent(got: Got, sent: Sent, last_place: int, place: int, limits: Limits) -> bool:
    """Whether a writer that says that it waited in vain may have ended before this message was sent."""
    times_ns = sent.records["begun_ns"]
    return _is_stalled(got) and int(times_ns[place] - times_ns[last_place]) >= limits.stall_ns


def _ending_cause(result: Account, got: Got, sent: Sent, place: int, *, limits: Limits) -> str | None:
    """Why a message behind all that were written is not there."""
    if got.ending == "by itself":
        return None
    if got.ending != "killed":
        return ENDED if got.ending == "ended" else DISK_FULL
    had_ns = [time_ns for time_ns, last in got.progress if sent.places(np.array([last]))[0] >= place]
    age_ns = got.ended_ns - min(had_ns, default=got.ended_ns)
    result.killed_age_ns = max(result.killed_age_ns, age_ns)
    return KILLED if age_ns <= limits.killed_ns else None


def _contradictions(asked: Asked, got: Got, sent: Sent, ids: Ids) -> list[str]:
    """What is in the file, or in the report, and cannot be so."""
    found = []
    places = sent.places(ids)
    if len(ids) and (np.diff(ids) <= 0).any():
        found.append("rows are not in the order of their pulse ids")
    if got.ids is not None and (places < 0).any():
        found.append(f"pulses that were never sent: {_few(ids[places < 0])}")
    if len(ids) and (places >= 0).all() and got.ids is not None:
        found += _untimely(asked, got, sent.records[places], ids)
    if asked.pulses is not None and len(ids) and not (asked.pulses.first <= ids[0] and ids[-1] <= asked.pulses.last):
        found.append(f"pulses outside of {asked.pulses}: {ids[0]}..{ids[-1]}")
    if got.report is not None:
        found += _misreported(asked, got.report, ids, is_whole=got.ending != "killed")
    return found


def _untimely(asked: Asked, got: Got, records: NDArray[np.void], ids: Ids) -> list[str]:
    """Messages that arrived before they were sent, or that were asked for at another time."""
    found = []
    if got.arrivals_ns is not None and (got.arrivals_ns < records["begun_ns"]).any():
        found.append(f"pulses that arrived before they were sent: {_few(ids[got.arrivals_ns < records['begun_ns']])}")
    if isinstance(asked.first, tuple):
        early = (records["sent_ns"] > 0) & (records["sent_ns"] < asked.first[0])
        if early.any():
            found.append(f"pulses from before the start: {_few(ids[early])}")
    stop_ns = None if got.report is None else got.report.stop_timestamp_ns
    if isinstance(asked.last, tuple) and stop_ns is not None and (records["begun_ns"] > stop_ns).any():
        found.append(f"pulses from behind the stop: {_few(ids[records['begun_ns'] > stop_ns])}")
    return found


def _misreported(asked: Asked, report: Report, ids: Ids, *, is_whole: bool) -> list[str]:
    found = []
    ends = (int(ids[0]), int(ids[-1])) if len(ids) else (None, None)
    if (report.first_pulse_id, report.last_pulse_id) != ends or report.rows != len(ids):
        told = f"{report.rows} rows, {report.first_pulse_id}..{report.last_pulse_id}"
        found.append(f"the report says {told}; there are {len(ids)}, {ends[0]}..{ends[1]}")
    if asked.pulses is not None and is_whole:
        missing = np.setdiff1d(np.arange(asked.pulses.first, asked.pulses.last + 1), ids)
        told_ranges = [PulseRange(gap.first, gap.last) for gap in report.missing]
        if report.missing_pulses != len(missing) or (
            not report.missing_truncated and tuple(told_ranges) != PulseRange.of_ids(missing)
        ):
            found.append(f"the report says that {report.missing_pulses} pulses are missing; it is {len(missing)}")
        if (report.outcome == "complete") != (len(missing) == 0 and len(ids) > 0) and report.outcome in {
            "complete",
            "incomplete",
        }:
            found.append(f"the outcome is {report.outcome}, with {len(missing)} pulses missing")
    return found


def _few(ids: Ids) -> str:
    ranges = PulseRange.of_ids(ids.tolist())
    return ", ".join(map(str, ranges[:5])) + ("…" if len(ranges) > 5 else "")
