"""One acquisition's account: what was asked for, what came, what was written, what is missing. Pure.

The shell feeds it; the report and the statistics are read from it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.coverage import Change, Coverage
from sf_bsread_writer.acquire.forecast import NO_FILE, Forecast, OnDisk, foresee
from sf_bsread_writer.acquire.report import Cause, ChannelReport, DueFrom, Outcome, Range, Report, Rule, Statistics
from sf_bsread_writer.acquire.selection import Bound, Choice, PulseBound, Selection, TimeBound, choose
from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.due import EVERY, Due, due_pulses
from sf_bsread_writer.message.layout import HeaderFrame, Layout, Run

MISSING_RANGES_IN_REPORT = 1000
NO_PULSE = np.iinfo(np.int64).min
_MOST_KNOWN_HEADERS = 64

BAD_HEADER = "data header unusable"
BAD_FRAMES = "frames do not fit the channels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """Why a message cannot be assigned to channels: ``kind`` to count it by, ``text`` with the value."""

    kind: str
    text: str


class Recording:
    """Accounts for one acquisition, from its start to its report."""

    def __init__(self, selection: Selection, *, stream: str, started_ns: int) -> None:
        self.selection = selection
        self.coverage = Coverage()
        self.received = 0
        self.last_pulse_id = self.highest_pulse_id = -1
        self.last_timestamp_ns: int | None = None
        self.duplicates = 0
        self.out_of_order = 0
        self.trimmed = 0
        self.oldest_held: int | None = None
        self.lost_in_buffer = 0
        self.reconnects = 0
        self.dropped: Counter[str] = Counter()
        self._taken_bytes = self._taken_rows = 0
        self._stream = stream
        self._started_ns = started_ns
        self._due_seen = EVERY  # by the header of the last message that could be used, written or not
        # What decides is the header and how many frames there are. Keyed by that, since layouts are large and can be many.
        self._known: dict[tuple[HeaderFrame, int], Unusable | Due] = {}

    def take(self, run: Run, times_ns: NDArray[np.int64]) -> Choice:
        """Decides which messages of the run are written, and accounts for all of them."""
        dues = [known if isinstance(known, Due) else None for known in map(self._look_at, run.layouts)]
        usable = np.array([due is not None for due in dues], np.bool_)[run.layout_index]
        last_written = self.coverage.last
        choice = choose(
            self.selection,
            pulse_ids=run.pulse_ids,
            times_ns=times_ns,
            usable=usable,
            last_pulse_id=NO_PULSE if last_written is None else last_written,
        )
        self.received += len(run)
        self.last_pulse_id = int(run.pulse_ids[-1])
        self.highest_pulse_id = max(self.highest_pulse_id, int(run.pulse_ids.max()))
        self.last_timestamp_ns = int(run.global_timestamps_ns[-1])
        self.duplicates += choice.duplicates
        self.out_of_order += choice.out_of_order
        for index in choice.unusable.tolist():
            unusable = self.why_unusable(run, index)
            assert unusable is not None
            self.dropped[unusable.kind] += 1
        if usable.any():
            self._due_seen = dues[run.layout_index[usable][-1]] or EVERY
        self._weigh(run, choice.rows)
        self._cover(run.pulse_ids[choice.rows], [dues[index] for index in run.layout_index[choice.rows].tolist()])
        return choice

    def leave_out(self, kind: str) -> None:
        """Accounts for one message that is not looked at any further."""
        self.received += 1
        self.dropped[kind] += 1

    def why_unusable(self, run: Run, index: int) -> Unusable | None:
        """Why a message of the run cannot be assigned to channels; None if it can."""
        known = self._look_at(run.layouts[run.layout_index[index]])
        return known if isinstance(known, Unusable) else None

    def _weigh(self, run: Run, rows: NDArray[np.intp]) -> None:
        """Adds up what goes to the file: data headers do not, and one is as long as the next."""
        if rows.size:
            header_bytes = len(run.layouts[run.layout_index[rows[0]]].data_header)
            self._taken_bytes += int((run.ends[rows] - run.bodies[rows]).sum()) - rows.size * header_bytes
            self._taken_rows += rows.size

    def _cover(self, ids: NDArray[np.int64], rules: Sequence[Due | None]) -> None:
        """Accounts for rows that are written, each with the rules of its own header."""
        start = 0
        for due, rows in groupby(rules):
            assert due is not None
            stop = start + len(list(rows))
            self.coverage.add(ids[start:stop], due)
            start = stop

    def _look_at(self, layout: Layout) -> Unusable | Due:
        """What is wrong with messages of this layout, or for which pulses their header promises one."""
        key = layout.header, layout.n_frames
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MOST_KNOWN_HEADERS:  # a new header with every message: remember, but not without end
                self._known.clear()
            known = self._known[key] = _why_unusable(layout) or due_pulses(layout.channels.channels)
        return known

    def trim(self) -> int:
        """Takes back what was written beyond the stop pulse; returns how many rows are left."""
        stop = self.selection.stop
        before = self.coverage.rows
        if isinstance(stop, PulseBound):
            self.coverage.keep_until(stop.pulse_id)
        self.trimmed += before - self.coverage.rows
        return self.coverage.rows

    def keep_rows(self, rows: int) -> None:
        """Only so many of the rows made it into the file."""
        self.coverage.keep_rows(rows)

    @property
    def evicted_before_start(self) -> int:
        """Pulses asked for that were older than the oldest that the buffer held when it was asked."""
        start, stop = pulse_id_of(self.selection.start), pulse_id_of(self.selection.stop)
        if start is None or self.oldest_held is None:
            return 0
        newest_gone = self.oldest_held - 1 if stop is None else min(self.oldest_held - 1, stop)
        due = self.coverage.changes[0].due if self.coverage.rows else self._due_seen
        return due.count(max(0, start), newest_gone)

    def missing_pulses(self, *, so_far: bool = False) -> int:
        """Due pulses of the range that were not written; an open end counts to the last one written.

        ``so_far``: what may still come is not counted.
        """
        last = None if so_far else pulse_id_of(self.selection.stop)
        return self.coverage.count_missing(first=self._first_asked, last=last, otherwise=self._due_seen)

    @property
    def expected_rows(self) -> int | None:
        """How many there will be when the stop pulse is reached, if no more are missing; None if that cannot be foreseen."""
        stop, last = pulse_id_of(self.selection.stop), self.coverage.last
        return None if stop is None or last is None else self.coverage.rows + self._due_seen.count(last + 1, stop)

    def forecast(self, on_disk: OnDisk) -> Forecast:
        """How large the file will be when its stop is reached, by the size of the messages so far, and whether that fits."""
        return foresee(on_disk, rows=self.expected_rows, row_bytes=self._taken_bytes / max(1, self._taken_rows))

    def judge(self, cause: Cause, *, error: Exception | None) -> tuple[Outcome, str]:
        """How it ended, and why, in words."""
        if error is not None:
            held = f"; the file is closed, with all it got until pulse {self.coverage.last}" if self.coverage.rows else ""
            return "failed", f"{error}{held}"
        missing = self.missing_pulses()
        ended_as_asked = cause == "stop reached" or (self.selection.stop is None and cause == "asked to end")
        if ended_as_asked and self.coverage.rows and not missing and not self._lost_unseen:
            return "complete", "every pulse asked for is in the file"
        shortfall = self._shortfall(missing)
        match cause:
            case "stream silent":
                return "stalled", f"nothing that belongs to it came any more; {shortfall}"
            case "interrupted":
                return "interrupted", f"ended by a signal or kill request; {shortfall}"
            case "other start":
                return "incomplete", f"ended because another start was asked for; {shortfall}"
            case _:
                return "incomplete", shortfall

    @property
    def _lost_unseen(self) -> int:
        """Messages lost in the buffer that no range of pulse ids can show as missing, because an end of it is open."""
        bounds = (self.selection.start, self.selection.stop)
        return 0 if all(isinstance(bound, PulseBound) for bound in bounds) else self.lost_in_buffer

    def _shortfall(self, missing: int) -> str:
        if missing:
            return f"{missing} pulses are missing"
        if not self.coverage.rows:
            return "no pulse arrived"
        if self._lost_unseen:
            return f"{self._lost_unseen} messages were lost in the buffer"
        return "cut short"

    def statistics(
        self,
        *,
        connected: bool,
        output_file: str,
        file_bytes: int,
        on_disk: OnDisk = NO_FILE,
        waiting_messages: int = 0,
        lag_s: float = 0.0,
    ) -> Statistics:
        """A snapshot for REST."""
        start, stop = self.selection.start, self.selection.stop
        forecast = self.forecast(on_disk)
        return Statistics(
            start_pulse_id=pulse_id_of(start),
            stop_pulse_id=pulse_id_of(stop),
            start_timestamp=_seconds(time_ns_of(start)),
            stop_timestamp=_seconds(time_ns_of(stop)),
            last_pulse_id=self.last_pulse_id,
            last_timestamp=_seconds(self.last_timestamp_ns),
            rows=self.coverage.rows,
            received_messages=self.received,
            missing_pulses=self.missing_pulses(so_far=True),
            duplicates=self.duplicates,
            out_of_order=self.out_of_order,
            expected_rows=self.expected_rows,
            file_bytes=file_bytes,
            expected_bytes=forecast.expected_bytes,
            lacking_bytes=forecast.lacking_bytes,
            waiting_messages=waiting_messages,
            lag_s=lag_s,
            connected=connected,
            output_file=output_file,
        )

    @property
    def _first_asked(self) -> int | None:
        """The first pulse asked for that there can be: no pulse id is negative."""
        start = pulse_id_of(self.selection.start)
        return None if start is None else max(0, start)

    def report(
        self,
        *,
        outcome: Outcome,
        reason: str,
        output_file: str,
        file_bytes: int,
        now_ns: int,
        on_disk: OnDisk = NO_FILE,
        dead_bytes: int = 0,
        channels: Sequence[ChannelReport] = (),
    ) -> Report:
        """The report as things stand."""
        start, stop = self.selection.start, self.selection.stop
        forecast = self.forecast(on_disk)
        running = outcome == "running"
        missing = self.coverage.missing(
            first=self._first_asked,
            last=None if running else pulse_id_of(stop),
            otherwise=self._due_seen,
            limit=MISSING_RANGES_IN_REPORT + 1,
        )
        return Report(
            outcome=outcome,
            reason=reason,
            output_file=output_file,
            moved_aside=None,
            start_pulse_id=pulse_id_of(start),
            stop_pulse_id=pulse_id_of(stop),
            start_timestamp_ns=time_ns_of(start),
            stop_timestamp_ns=time_ns_of(stop),
            first_pulse_id=self.coverage.first,
            last_pulse_id=self.coverage.last,
            rows=self.coverage.rows,
            due=tuple(map(_due_from, self.coverage.changes or (Change(0, self._due_seen),))),
            missing_pulses=self.missing_pulses(so_far=running),
            missing=tuple(Range(first=gap.first, last=gap.last) for gap in missing[:MISSING_RANGES_IN_REPORT]),
            missing_truncated=len(missing) > MISSING_RANGES_IN_REPORT,
            evicted_before_start=self.evicted_before_start,
            lost_in_buffer=self.lost_in_buffer,
            duplicates=self.duplicates,
            out_of_order=self.out_of_order,
            trimmed=self.trimmed,
            dropped=dict(self.dropped),
            reconnects=self.reconnects,
            received_messages=self.received,
            file_bytes=file_bytes,
            dead_bytes=dead_bytes,
            expected_bytes=forecast.expected_bytes,
            lacking_bytes=forecast.lacking_bytes,
            seconds=(now_ns - self._started_ns) / 1e9,
            stream=self._stream,
            channels=tuple(channels),
        )


def _why_unusable(layout: Layout) -> Unusable | None:
    kind = BAD_HEADER
    try:
        layout.header.decoded  # noqa: B018 - raises what is wrong with the header alone
        kind = BAD_FRAMES
        layout.channels  # noqa: B018 - and this the rest
    except MessageError as error:
        return Unusable(kind=kind, text=str(error))
    return None


def _due_from(change: Change) -> DueFrom:
    rules = tuple(Rule(modulo=modulo, offset=offset) for modulo, offset in change.due.rules)
    return DueFrom(first_pulse_id=change.first, rules=rules)


def pulse_id_of(bound: Bound | None) -> int | None:
    """The pulse id, if that is what bounds it."""
    return bound.pulse_id if isinstance(bound, PulseBound) else None


def time_ns_of(bound: Bound | None) -> int | None:
    """The instant, if that is what bounds it."""
    return bound.time_ns if isinstance(bound, TimeBound) else None


def _seconds(time_ns: int | None) -> float | None:
    return None if time_ns is None else time_ns / 1e9
