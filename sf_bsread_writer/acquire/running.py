"""One acquisition, from its start to its report: takes what the stream brings and the time that passes, says what happened.

What happened leaves as an `Event` (or None): whether that changes anything is for the state machine to say.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sf_bsread_writer.acquire.filing import Filing
from sf_bsread_writer.acquire.outliers import IMPLAUSIBLE, Outliers
from sf_bsread_writer.acquire.receive import (
    BadMessage,
    CaughtUp,
    Connected,
    Disconnected,
    Overtaken,
    Pulses,
    PulseStream,
    StreamEvent,
)
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.report import Cause, Notes, Report, Statistics
from sf_bsread_writer.acquire.requests import Edge
from sf_bsread_writer.acquire.selection import Bound, PulseBound, Selection, TimeBound
from sf_bsread_writer.acquire.state import Event
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.zmtp.extension import StartPoint

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.7
"""So that, with the time that a flush takes and that between two looks at the clock, nothing is older than a second before it is
in the file."""

HOLD_S = 1.0
"""How long a message behind a jump of the pulse ids waits for the next one to confirm it; a slow source holds it no longer."""
STUCK_S = 10.0
"""After so long without any answer from the disk it is told that the acquisition waits for it."""
PLAIN_STOP_GRACE_S = 1.0
"""How long after "stop now" a plain source, which cannot say that nothing older is under way, is listened to."""


class Running:
    """An acquisition that runs, or has run: then ``closed`` is set and ``report`` is there.

    ``stop_asked_ns``: when its stop was asked for, if there is one. ``stall_timeout_s``: silence of the stream after which it
    ends as it is, if it has a stop. Raises UsageError if the stop is before the start.
    """

    def __init__(
        self,
        stream: PulseStream,
        filing: Filing,
        *,
        stream_name: str,
        start: Edge,
        stop: Edge | None,
        stop_asked_ns: int,
        stall_timeout_s: float,
    ) -> None:
        selection = Selection(_bound(start), _bound(stop, now_ns=stop_asked_ns))
        self.recording = Recording(selection, stream=stream_name, started_ns=time.time_ns())
        self.filing = filing
        self.start = start
        self.stop = stop
        self.stop_asked_ns = stop_asked_ns
        self.report: Report | None = None
        self.closed_s = 0.0
        self.caught_up = asyncio.Event()
        self.closed = asyncio.Event()
        self.ends_when_caught_up = False
        self.is_cut_short = False
        self._stream = stream
        self._stream_name = stream_name
        self._stall_timeout_s = stall_timeout_s
        self._stop_asked_s = self._last_progress_s = self._last_told_s = time.monotonic()
        self._last_flush_s = 0.0
        self._lacking_told: Edge | None = None
        self._complaints = Complaints(logger)
        self._outliers = Outliers(None if start == "now" else start)
        self._held: Pulses | None = None  # a message behind a jump; its segment is pinned
        self._held_since_s = 0.0

    def check_stop(self, stop: Edge) -> None:
        """Raises UsageError if that is before the start."""
        Selection(self.recording.selection.start, _bound(stop))

    def check_start(self, start: Edge) -> None:
        """Raises UsageError if the stop would be before that."""
        if self.stop != "now":
            Selection(_bound(start), self.recording.selection.stop)

    def set_stop(self, stop: Edge) -> Event | None:
        """Takes a stop, another one or the first; it may have been reached already."""
        # Against a buffer, "now" becomes a time when the mark comes back: until then all that comes in order belongs to it.
        now_ns = None if self._stream.has_past and self._stream.connected else time.time_ns()
        self.recording.selection = Selection(self.recording.selection.start, _bound(stop, now_ns=now_ns))
        self.stop, self._stop_asked_s, self.stop_asked_ns = stop, time.monotonic(), time.time_ns()
        return self.watch_stop()

    def watch_stop(self) -> Event | None:
        """Looks whether the stop has been reached, or asks the stream to tell."""
        match self.stop:
            case int(pulse_id) if self.recording.highest_pulse_id >= pulse_id:
                return Event.REACHED
            case "now":
                self._stream.mark()
        return None

    async def open(self) -> None:
        """Opens the stream first, since "now" is now; what comes waits in the HDF5 thread's queue behind the file."""
        recording = self.recording
        self._last_progress_s = time.monotonic()
        self.filing.create()
        opened = await self._stream.open(_start_point(self.start))
        recording.oldest_held = opened.oldest_pulse_id
        self._outliers.expect(opened.newest_pulse_id)
        if self.start == "now":
            recording.selection = Selection(TimeBound(opened.now_ns), recording.selection.stop)
        if not await self.filing.created():
            logger.warning("Creating %s takes long; the start is accepted, and what comes waits for it", self.filing.name)
        logger.info("Writing to %s, from %s on", self.filing.name, recording.selection.start)
        if recording.evicted_before_start:
            logger.warning(
                "Asked for pulses from %s, but the oldest that the buffer holds is %s", self.start, recording.oldest_held
            )

    def take(self, event: StreamEvent) -> Event | None:
        """Takes what the stream brings."""
        match event:
            case Pulses():
                return self._take_pulses(event)
            case CaughtUp(now_ns=now_ns):
                released = self._release()
                return self._take_caught_up(now_ns) or released
            case Overtaken(messages=messages):
                self.recording.lost_in_buffer += messages
                logger.warning("The buffer had to drop %d messages that this writer was too slow for", messages)
            case BadMessage(kind=kind):
                self.recording.dropped[kind] += 1
            case Disconnected():
                self.recording.reconnects += 1
            case Connected() if self.stop == "now":
                return self._ask_again()
        return None

    def tick(self, now_s: float, parameters: Mapping[str, Any]) -> Event | None:
        """Takes the time, of a monotonic clock: brings rows to the disk, and ends what nothing comes for any more."""
        if now_s - self._last_flush_s >= FLUSH_INTERVAL_S:
            self._last_flush_s = now_s
            self.filing.flush(lambda: Notes(report=self.report_so_far("still writing"), parameters=parameters))
        self._watch_disk(now_s)
        if self._stream.paused:  # what is not read may well be there: a slow disk is no silent stream
            self._last_progress_s = now_s
        if self._held is not None and now_s - self._held_since_s >= HOLD_S and (event := self._release()) is not None:
            return event
        silent_s = now_s - self._last_progress_s
        idle_s = min(silent_s, now_s - self._stop_asked_s)
        sends_no_marks = self._stream.connected and not self._stream.has_past
        if self.stop is not None and idle_s >= self._stall_timeout_s:
            return Event.STALLED
        if self.stop == "now" and sends_no_marks and idle_s >= PLAIN_STOP_GRACE_S:
            return Event.REACHED
        if self.stop is None and min(silent_s, now_s - self._last_told_s) >= self._stall_timeout_s:
            self._last_told_s = now_s
            logger.warning(
                "Nothing for this acquisition from %s for %.0f s; it goes on waiting, as it has no stop",
                self._stream_name,
                silent_s,
            )
        return None

    async def close(self, cause: Cause, parameters: Mapping[str, Any]) -> Report:
        """Writes what was handed over, cuts off what is too much, and gives the file its name."""
        self._release()
        recording, filing = self.recording, self.filing
        recording.keep_rows(await filing.rows_written())
        rows = recording.trim()
        channels = await filing.finish(rows)
        outcome, reason = recording.judge("cut short" if self.is_cut_short else cause, error=filing.error)
        if cause == "stream silent" and not self._stream.connected:
            reason = f"not connected to {self._stream_name}: {reason}"
        report = recording.report(
            outcome=outcome,
            reason=reason,
            output_file=filing.name,
            file_bytes=filing.file_bytes,
            dead_bytes=filing.dead_bytes,
            channels=channels,
            on_disk=filing.on_disk,
            now_ns=time.time_ns(),
        )
        if cause == "other start" and not rows:
            filing.abandon()
        else:
            report = await filing.seal(parameters, report)
            if not filing.is_sealed and filing.partial is not None:
                return self.give_up(str(filing.error))
        self.report, self.closed_s = report, time.monotonic()
        return report

    def give_up(self, why: str) -> Report:
        """Ends it though its file could not be closed: what was flushed last is what there is."""
        filing, recording = self.filing, self.recording
        recording.keep_rows(filing.on_disk.rows)
        if filing.partial is None:
            reason = f"{why}; there is no file"
        else:
            until = f" until pulse {recording.coverage.last}" if recording.coverage.rows else ""
            reason = f"{why}; the file is not finished: what it got{until} is left in {filing.partial}, for `sf_bsread recover`"
        self.report = recording.report(
            outcome="failed",
            reason=reason,
            output_file=str(filing.partial or filing.name),
            file_bytes=filing.on_disk.size_bytes,
            on_disk=filing.on_disk,
            now_ns=time.time_ns(),
        )
        self.closed_s = time.monotonic()
        return self.report

    def report_so_far(self, reason: str) -> Report:
        """The report as things stand; the last one once it is closed."""
        if self.report is not None:
            return self.report
        return self.recording.report(
            outcome="running",
            reason=reason,
            output_file=self.filing.name,
            file_bytes=self.filing.file_bytes,
            on_disk=self.filing.on_disk,
            now_ns=time.time_ns(),
        )

    def statistics(self) -> Statistics:
        """A snapshot."""
        oldest_ns = self.filing.oldest_waiting_ns
        return self.recording.statistics(
            connected=self._stream.connected,
            output_file=self.filing.name,
            file_bytes=self.filing.file_bytes,
            on_disk=self.filing.on_disk,
            waiting_messages=self.filing.waiting_messages,
            lag_s=0.0 if oldest_ns is None else max(0.0, (time.time_ns() - oldest_ns) / 1e9),
        )

    def _watch_disk(self, now_s: float) -> None:
        stuck_s = self.filing.stuck_s(now_s)
        if stuck_s >= STUCK_S:
            self._complaints.add("stuck", f"The disk of {self.filing.name} has not answered for {stuck_s:.0f} s", now_s=now_s)
        forecast = self.recording.forecast(self.filing.on_disk)
        if forecast.lacking_bytes and self.stop != self._lacking_told:
            self._lacking_told = self.stop
            logger.warning(
                "By the messages so far, %s will have %.1f MB at pulse %s, %.1f MB more than there is room for on its disk: "
                "free some space, or stop it earlier",
                self.filing.name,
                (forecast.expected_bytes or 0) / 1e6,
                self.stop,
                forecast.lacking_bytes / 1e6,
            )

    def _take_pulses(self, pulses: Pulses) -> Event | None:
        """Takes a run but for the pulse ids that are not believed, or not yet."""
        ids = pulses.run.pulse_ids
        verdict = self._outliers.judge(ids)
        event = None
        if verdict.before:
            event = self._take_held()
        elif verdict.before is not None:
            self._leave_out_held(int(ids[0]))
        first = 0
        for index in verdict.left_out:
            event = self._take_part(pulses, first, index) or event
            self._leave_out(int(ids[index]), int(ids[index + 1]))
            first = index + 1
        event = self._take_part(pulses, first, len(ids) - verdict.holds_last) or event
        if verdict.holds_last:
            pulses.segment.pin()
            self._held, self._held_since_s = pulses.part(len(ids) - 1, len(ids)), time.monotonic()
        return event

    def _release(self) -> Event | None:
        """Takes the message that is held back, if there is one, without waiting for the next."""
        self._outliers.release()
        return self._take_held()

    def _take_held(self) -> Event | None:
        held, self._held = self._held, None
        if held is None:
            return None
        event = self._take_believed(held)
        held.segment.unpin()
        return event

    def _leave_out_held(self, next_pulse_id: int) -> None:
        held, self._held = self._held, None
        assert held is not None
        self._leave_out(int(held.run.pulse_ids[0]), next_pulse_id)
        held.segment.unpin()

    def _leave_out(self, pulse_id: int, next_pulse_id: int) -> None:
        self.recording.leave_out(IMPLAUSIBLE)
        text = (
            f"Dropped pulse {pulse_id} from {self._stream_name} ({IMPLAUSIBLE}): the next one is {next_pulse_id}, "
            "as if it was not there"
        )
        self._complaints.add(IMPLAUSIBLE, text, now_s=time.monotonic())

    def _take_part(self, pulses: Pulses, first: int, stop: int) -> Event | None:
        """Takes messages first..stop (stop exclusive) of a run."""
        if first == stop:
            return None
        return self._take_believed(pulses if stop - first == len(pulses.run) else pulses.part(first, stop))

    def _take_believed(self, pulses: Pulses) -> Event | None:
        recording = self.recording
        if not (recording.received or self._stream.has_past):
            self._tell_what_is_gone(int(pulses.run.pulse_ids[0]))
        highest = recording.highest_pulse_id
        choice = recording.take(pulses.run, pulses.times_ns)
        if choice.rows.size or recording.highest_pulse_id > highest:
            self._last_progress_s = time.monotonic()
        if choice.out_of_order:
            text = f"Left out pulses from {self._stream_name} that come late: pulse {recording.coverage.last} is written already"
            self._complaints.add("late", text, now_s=time.monotonic(), times=choice.out_of_order)
        if choice.unusable.size:
            self._complain_about(pulses.run, choice.unusable.tolist())
        if logger.isEnabledFor(logging.DEBUG):
            written = set(choice.rows.tolist())
            for index, pulse_id in enumerate(pulses.run.pulse_ids.tolist()):
                logger.debug("Pulse %d %s", pulse_id, "to the file" if index in written else "left out")
        if choice.rows.size:
            self.filing.write(pulses, choice.rows)
        return Event.REACHED if choice.stop_reached else None

    def _take_caught_up(self, now_ns: int) -> Event | None:
        selection = self.recording.selection
        if self.ends_when_caught_up:
            return Event.END
        if self.stop != "now":  # the answer to a stop that counts no more
            return None
        if selection.stop is None:
            self.recording.selection = Selection(selection.start, TimeBound(now_ns))
        self.caught_up.set()
        return Event.REACHED

    def _ask_again(self) -> Event | None:
        """The mark was lost with the connection; what came to the buffer meanwhile must not slip in before the new one."""
        selection = self.recording.selection
        if selection.stop is None:
            self.recording.selection = Selection(selection.start, TimeBound(self.stop_asked_ns))
        return self.watch_stop()

    def _tell_what_is_gone(self, first: int) -> None:
        if self.start != "now" and self.start < first:
            logger.warning(
                "Asked for pulses from %s, but %s is at %s already and has no past; a buffer would have",
                self.start,
                self._stream_name,
                first,
            )

    def _complain_about(self, run: Run, unusable: Sequence[int]) -> None:
        for index in unusable:
            why = self.recording.why_unusable(run, index)
            assert why is not None
            text = f"Dropped pulse {run.pulse_ids[index]} from {self._stream_name} ({why.kind}): {why.text}"
            self._complaints.add(why.kind, text, now_s=time.monotonic())


def _bound(value: Edge | None, *, now_ns: int | None = None) -> Bound | None:
    if value == "now":
        return None if now_ns is None else TimeBound(now_ns)
    return None if value is None else PulseBound(value)


def _start_point(start: Edge) -> StartPoint:
    return StartPoint("now") if start == "now" else StartPoint("pulse", max(start, 0))
