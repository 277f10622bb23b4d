"""The writer's life: stream, state machine, one HDF5 thread, timers, and the end of it all.

Everything here runs in one asyncio loop, except what touches the file: that is one job after the other in a single
thread, since HDF5 wants one. A run of messages is pinned in its segment until its job is done; when all segments are
pinned, the stream is not read any further, and the buffer, which holds the pulses anyway, keeps them meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sf_bsread_writer.acquire.filing import Filing
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
from sf_bsread_writer.acquire.report import Cause, Outcome, Report, Statistics, describe
from sf_bsread_writer.acquire.requests import Asked, Edge, StartMeans, is_stop_again, what_start_means
from sf_bsread_writer.acquire.selection import Bound, PulseBound, Selection, TimeBound
from sf_bsread_writer.acquire.state import Effect, Event, Machine, State
from sf_bsread_writer.errors import ExitCode, StateError
from sf_bsread_writer.hdf5.file import FileOptions
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.zmtp.extension import StartPoint

logger = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 1.0
TICK_S = 0.25
PLAIN_STOP_GRACE_S = 1.0
"""How long after "stop now" a plain source, which cannot say that nothing older is under way, is listened to."""
STOP_NOW_TIMEOUT_S = 0.25
"""How long the answer to "stop now" waits for the buffer to say when that is; who is far behind hears it late."""
FINISH_TIMEOUT_S = 5.0
"""How long /stop waits for what has arrived at the buffer; the clients that use it kill after ten seconds."""
KILL_TIMEOUT_S = 1.0
CLOSE_TIMEOUT_S = 10.0
"""How long a start waits for the file before it to be closed; then its client is told to try again."""

OUTCOME_EXIT_CODES: Mapping[Outcome, ExitCode] = {
    "complete": ExitCode.COMPLETE,
    "incomplete": ExitCode.INCOMPLETE,
    "stalled": ExitCode.STALLED,
    "interrupted": ExitCode.INTERRUPTED,
    "failed": ExitCode.OUTPUT,
}
LOG_LEVELS: Mapping[Outcome, int] = {"complete": logging.INFO, "failed": logging.ERROR}
"""Of the report's lines in the log; warnings otherwise."""

STOPPED_BY: Mapping[Event, Cause] = {
    Event.REACHED: "stop reached",
    Event.STALLED: "stream silent",
    Event.END: "asked to end",
    Event.REPLACED: "other start",
    Event.INTERRUPTED: "interrupted",
    Event.WRITE_FAILED: "write error",
}


@dataclass(slots=True, kw_only=True, eq=False)
class _Acquisition:
    """What belongs to one acquisition and nothing else."""

    recording: Recording
    filing: Filing
    start: Edge
    stop: Edge | None
    stop_asked_s: float
    stop_asked_ns: int
    cut_short: bool = False
    report: Report | None = None
    closed_s: float = 0.0
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)


class WriterService:
    """Implements `rest.acquisition.Acquisition` on a stream and files.

    ``destination`` gives the path for an ``output_file`` asked for by REST (None: the command line's), itself None for
    a dry run; it raises UsageError for a path that is not allowed. ``stall_timeout_s``: silence of the stream after
    which an acquisition that has a stop is closed as it is.
    """

    def __init__(
        self,
        *,
        stream: PulseStream,
        stream_name: str,
        destination: Callable[[str | None], Path | None],
        file_options: FileOptions,
        stall_timeout_s: float,
    ) -> None:
        self.ended = asyncio.Event()
        self.exit_code = ExitCode.COMPLETE
        self._stream = stream
        self._stream_name = stream_name
        self._destination = destination
        self._file_options = file_options
        self._stall_timeout_s = stall_timeout_s
        self._machine = Machine()
        self._hdf5 = ThreadPoolExecutor(1, thread_name_prefix="hdf5")
        self._loop = asyncio.get_running_loop()
        self._requests = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._parameters: dict[str, Any] = {}
        self._acquisition: _Acquisition | None = None
        self._preset_stop: Edge | None = None
        self._preset_stop_ns = 0
        self._preset_file: str | None = None
        self._persistent = False
        self._end_when_caught_up = False
        self._last_progress_s = self._last_told_s = time.monotonic()
        self._last_flush_s = 0.0
        self._complaints = Complaints(logger)

    # What REST clients ask for

    @property
    def status(self) -> Literal["waiting", "writing"]:
        return "writing" if self._machine.state in (State.WRITING, State.CLOSING) else "waiting"

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self._parameters

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = dict(parameters)

    async def start(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        start: Edge = "now" if pulse_id is None else pulse_id
        async with self._requests:  # several detectors may send theirs at once
            asked = self._asked(output_file)
            stays = self._persistent or output_file is not None
            means = what_start_means(start, asked, self._machine.state, stays=stays, has_past=self._stream.has_past)
            self._persistent = stays
            if means is StartMeans.AGAIN:
                self._machine.on(Event.START_AGAIN)
            elif means is StartMeans.REPLACE:
                await self._replace(start, output_file)
            else:
                if means is StartMeans.BEGIN_WHEN_CLOSED:
                    await self._wait_until_closed()
                await self._start(start, self._destination(output_file or self._preset_file))

    async def stop(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        stop: Edge = "now" if pulse_id is None else pulse_id
        async with self._requests:
            acquisition, state = self._acquisition, self._machine.state
            since_closed_s = time.monotonic() - acquisition.closed_s if acquisition is not None else 0.0
            if is_stop_again(stop, self._asked(output_file), state, since_closed_s=since_closed_s):
                self._machine.on(Event.STOP_AGAIN)
                return
            if state is State.WRITING and acquisition is not None:
                _selection_with(acquisition, stop)
                if output_file is not None:
                    acquisition.filing.rename(self._destination(output_file))
            self._machine.on(Event.STOP)
            logger.info("Asked to stop %s", stop if stop == "now" else f"at pulse {stop}")
            self._persistent |= output_file is not None
            if state is State.WAITING or acquisition is None:
                self._preset_stop, self._preset_stop_ns = stop, time.time_ns()
                self._preset_file = output_file or self._preset_file
                return
            self._set_stop(acquisition, stop)
        if stop == "now" and acquisition.recording.selection.stop is None:
            # What a client sends after the answer must be too late for this acquisition, at the buffer as well.
            await _wait_quietly(acquisition.caught_up, STOP_NOW_TIMEOUT_S)

    async def finish(self) -> None:
        acquisition = self._acquisition
        if self._machine.state is State.WRITING and acquisition is not None:
            self._end_when_caught_up = self._stream.mark()
            if self._end_when_caught_up:
                await _wait_quietly(acquisition.closed, FINISH_TIMEOUT_S)
                acquisition.cut_short = not acquisition.closed.is_set()
        self._persistent = False
        if self._machine.state in (State.WAITING, State.WRITING):
            self._happened(Event.END)
        await self._until_closed()

    async def kill(self) -> None:
        self.interrupt(drop_queue=True)
        await _wait_quietly(self.ended, KILL_TIMEOUT_S)
        if not self.ended.is_set():
            logger.error("The file could not be closed within %g s; what was written may be left in its .partial", KILL_TIMEOUT_S)
            self.exit_code = ExitCode.INTERRUPTED
            self.ended.set()

    def report(self) -> Report | None:
        acquisition = self._acquisition
        if acquisition is None:
            return None
        if acquisition.report is not None:
            return acquisition.report
        reason = "closing the file" if self._machine.state is State.CLOSING else "still writing"
        filing = acquisition.filing
        return acquisition.recording.report(
            outcome="running", reason=reason, output_file=filing.name, file_bytes=filing.file_bytes, now_ns=time.time_ns()
        )

    def statistics(self) -> Statistics:
        acquisition = self._acquisition
        if acquisition is None:
            nothing = Recording(Selection(), stream=self._stream_name, started_ns=0)
            return nothing.statistics(connected=self._stream.connected, output_file="", file_bytes=0)
        filing = acquisition.filing
        return acquisition.recording.statistics(
            connected=self._stream.connected, output_file=filing.name, file_bytes=filing.file_bytes
        )

    # The process around it

    async def run(self) -> ExitCode:
        """Serves until the end; returns how it ended. Unless /kill could not wait for it, the file is closed then."""
        tasks = [asyncio.create_task(self._stream.run(self._on_stream)), asyncio.create_task(self._tick_for_ever())]
        ended = asyncio.create_task(self.ended.wait())
        try:
            await asyncio.wait([*tasks, ended], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    logger.error("A part of the writer has failed", exc_info=task.exception())
                    self.interrupt()
                    await self.ended.wait()
                    self._fail()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, ended, return_exceptions=True)
        if self._acquisition is None:
            logger.info("Ended before anything was to be written")
        return self.exit_code

    async def join(self) -> None:
        """Waits for the HDF5 thread, which may still be at work after /kill; nothing is served any more."""
        if self._closing is not None:
            await asyncio.wait([self._closing])
        await asyncio.to_thread(self._hdf5.shutdown)

    def interrupt(self, *, drop_queue: bool = False) -> None:
        """Ends it as a signal does: what has been received is written (unless the queue is dropped), the file closed."""
        self._persistent = False
        if self._acquisition is not None:
            self._acquisition.filing.drop_queue |= drop_queue
        self._happened(Event.INTERRUPTED)

    # Starting and stopping

    def _asked(self, output_file: str | None) -> Asked | None:
        acquisition = self._acquisition
        if acquisition is None:
            return None
        return Asked(
            start=acquisition.start,
            stop=acquisition.stop,
            rows=acquisition.recording.coverage.rows,
            same_file=output_file is None or self._destination(output_file) == acquisition.filing.final,
        )

    async def _start(self, start: Edge, final: Path | None) -> None:
        if start == "now" and self._preset_stop == "now":
            logger.info("The stop asked for before this start counts no more: nothing can stop before it starts")
            self._preset_stop = None
        selection = Selection(_bound(start), _bound(self._preset_stop, now_ns=self._preset_stop_ns))
        self._acquisition = self._new_acquisition(start, self._preset_stop, selection, final)
        self._preset_stop = self._preset_file = None
        await self._carry_out(self._machine.on(Event.START))

    async def _replace(self, start: Edge, output_file: str | None) -> None:
        """Ends the acquisition as it is, file and report included, and begins another: a corrected start must lose nothing."""
        replaced = self._acquisition
        assert replaced is not None
        if replaced.stop != "now":
            Selection(_bound(start), replaced.recording.selection.stop)  # refuses a stop before the start
        final = replaced.filing.final if output_file is None else self._destination(output_file)
        logger.warning("Start changed from %s to %s: what was written so far gets a file of its own", replaced.start, start)
        self._happened(Event.REPLACED)
        await self._wait_until_closed()
        self._preset_stop, self._preset_stop_ns = replaced.stop, replaced.stop_asked_ns
        await self._start(start, final)

    async def _wait_until_closed(self) -> None:
        acquisition = self._acquisition
        assert acquisition is not None
        await _wait_quietly(acquisition.closed, CLOSE_TIMEOUT_S)
        if self._machine.state is not State.WAITING:
            raise StateError(
                f"the acquisition from {acquisition.start} is not closed yet; start again when the status is waiting"
            )

    def _new_acquisition(self, start: Edge, stop: Edge | None, selection: Selection, final: Path | None) -> _Acquisition:
        recording = Recording(selection, stream=self._stream_name, started_ns=time.time_ns())
        filing = Filing(self._hdf5, final, options=self._file_options, on_failure=self._on_write_failed)
        return _Acquisition(
            recording=recording,
            filing=filing,
            start=start,
            stop=stop,
            stop_asked_s=time.monotonic(),
            stop_asked_ns=time.time_ns(),
        )

    def _set_stop(self, acquisition: _Acquisition, stop: Edge) -> None:
        # Against a buffer, "now" becomes a time when the mark comes back: until then all that comes in order belongs to it.
        now_ns = None if self._stream.has_past and self._stream.connected else time.time_ns()
        acquisition.recording.selection = _selection_with(acquisition, stop, now_ns=now_ns)
        acquisition.stop, acquisition.stop_asked_s, acquisition.stop_asked_ns = stop, time.monotonic(), time.time_ns()
        self._watch_stop(acquisition)

    def _watch_stop(self, acquisition: _Acquisition) -> None:
        match acquisition.stop:
            case int(pulse_id):
                if acquisition.recording.highest_pulse_id >= pulse_id:
                    self._happened(Event.REACHED)
            case "now":
                self._stream.mark()

    # Effects

    def _happened(self, event: Event) -> None:
        """For events that need no answer: what they lead to is carried out without being waited for."""
        effects = self._machine.on(event)
        for effect in effects:
            match effect:
                case Effect.CLOSE:
                    assert self._acquisition is not None
                    self._stream.close()
                    self._closing = asyncio.create_task(self._close(self._acquisition, STOPPED_BY[event]))
                    self._closing.add_done_callback(self._on_closing_done)
                case Effect.EXIT:
                    self.ended.set()
                case _:
                    raise AssertionError(f"{effect} does not follow from {event}")

    async def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        acquisition = self._acquisition
        assert acquisition is not None
        for effect in effects:
            match effect:
                case Effect.OPEN:
                    await self._open(acquisition)
                case Effect.WATCH_STOP:
                    if self._machine.state is State.WRITING:  # it may have ended while it was opened
                        self._watch_stop(acquisition)
                case _:
                    raise AssertionError(f"{effect} does not belong to a start")

    async def _open(self, acquisition: _Acquisition) -> None:
        """Opens the stream first, since "now" is now; what comes waits in the HDF5 thread's queue behind the file."""
        recording = acquisition.recording
        self._last_progress_s = time.monotonic()
        acquisition.filing.create()
        opened = await self._stream.open(_start_point(acquisition.start))
        recording.oldest_held = opened.oldest_pulse_id
        if acquisition.start == "now":
            recording.selection = Selection(TimeBound(opened.now_ns), recording.selection.stop)
        await acquisition.filing.created()
        logger.info("Writing to %s, from %s on", acquisition.filing.name, recording.selection.start)
        if recording.evicted_before_start:
            logger.warning(
                "Asked for pulses from %s, but the oldest that the buffer holds is %s", acquisition.start, recording.oldest_held
            )

    # What the stream brings

    def _on_stream(self, event: StreamEvent) -> None:
        acquisition = self._acquisition
        if self._machine.state is not State.WRITING or acquisition is None:
            return
        recording = acquisition.recording
        match event:
            case Pulses():
                self._on_pulses(acquisition, event)
            case CaughtUp(now_ns=now_ns):
                self._on_caught_up(acquisition, now_ns)
            case Overtaken(messages=messages):
                recording.lost_in_buffer += messages
                logger.warning("The buffer had to drop %d messages that this writer was too slow for", messages)
            case BadMessage(kind=kind):
                recording.dropped[kind] += 1
            case Disconnected():
                recording.reconnects += 1
            case Connected() if acquisition.stop == "now":
                self._ask_again(acquisition)

    def _ask_again(self, acquisition: _Acquisition) -> None:
        """The mark was lost with the connection; what came to the buffer meanwhile must not slip in before the new one."""
        selection = acquisition.recording.selection
        if selection.stop is None:
            acquisition.recording.selection = Selection(selection.start, TimeBound(acquisition.stop_asked_ns))
        self._watch_stop(acquisition)

    def _on_pulses(self, acquisition: _Acquisition, pulses: Pulses) -> None:
        recording = acquisition.recording
        if not (recording.received or self._stream.has_past):
            self._tell_what_is_gone(acquisition, int(pulses.run.pulse_ids[0]))
        highest = recording.highest_pulse_id
        choice = recording.take(pulses.run, pulses.times_ns)
        if choice.rows.size or recording.highest_pulse_id > highest:
            self._last_progress_s = time.monotonic()
        if choice.out_of_order:
            text = f"Left out pulses from {self._stream_name} that come late: pulse {recording.coverage.last} is written already"
            self._complaints.add("late", text, now_s=time.monotonic(), times=choice.out_of_order)
        if choice.unusable.size:
            self._complain_about(recording, pulses.run, choice.unusable.tolist())
        if logger.isEnabledFor(logging.DEBUG):
            written = set(choice.rows.tolist())
            for index, pulse_id in enumerate(pulses.run.pulse_ids.tolist()):
                logger.debug("Pulse %d %s", pulse_id, "to the file" if index in written else "left out")
        if choice.rows.size:
            acquisition.filing.write(pulses, choice.rows)
        if choice.stop_reached:
            self._happened(Event.REACHED)

    def _tell_what_is_gone(self, acquisition: _Acquisition, first: int) -> None:
        if acquisition.start != "now" and acquisition.start < first:
            logger.warning(
                "Asked for pulses from %s, but %s is at %s already and has no past; a buffer would have",
                acquisition.start,
                self._stream_name,
                first,
            )

    def _complain_about(self, recording: Recording, run: Run, unusable: Sequence[int]) -> None:
        for index in unusable:
            why = recording.why_unusable(run, index)
            assert why is not None
            text = f"Dropped pulse {run.pulse_ids[index]} from {self._stream_name} ({why.kind}): {why.text}"
            self._complaints.add(why.kind, text, now_s=time.monotonic())

    def _on_caught_up(self, acquisition: _Acquisition, now_ns: int) -> None:
        selection = acquisition.recording.selection
        if self._end_when_caught_up:
            self._happened(Event.END)
        elif acquisition.stop == "now":
            if selection.stop is None:
                acquisition.recording.selection = Selection(selection.start, TimeBound(now_ns))
            acquisition.caught_up.set()
            self._happened(Event.REACHED)

    # Time passing

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            acquisition = self._acquisition
            if self._machine.state is State.WRITING and acquisition is not None:
                self._tick(acquisition, time.monotonic())

    def _tick(self, acquisition: _Acquisition, now_s: float) -> None:
        if now_s - self._last_flush_s >= FLUSH_INTERVAL_S:
            self._last_flush_s = now_s
            acquisition.filing.flush()
        if self._stream.paused:  # what is not read may well be there: a slow disk is no silent stream
            self._last_progress_s = now_s
        silent_s, stopping_s = now_s - self._last_progress_s, now_s - acquisition.stop_asked_s
        idle_s = min(silent_s, stopping_s)
        sends_no_marks = self._stream.connected and not self._stream.has_past
        if acquisition.stop is not None and idle_s >= self._stall_timeout_s:
            self._happened(Event.STALLED)
        elif acquisition.stop == "now" and sends_no_marks and idle_s >= PLAIN_STOP_GRACE_S:
            self._happened(Event.REACHED)
        elif acquisition.stop is None and min(silent_s, now_s - self._last_told_s) >= self._stall_timeout_s:
            self._last_told_s = now_s
            logger.warning(
                "Nothing for this acquisition from %s for %.0f s; it goes on waiting, as it has no stop",
                self._stream_name,
                silent_s,
            )

    # The end of an acquisition

    def _on_write_failed(self) -> None:
        if self._machine.state is State.WRITING:
            self._happened(Event.WRITE_FAILED)

    async def _close(self, acquisition: _Acquisition, cause: Cause) -> None:
        recording, filing = acquisition.recording, acquisition.filing
        recording.keep_rows(await filing.rows_written())
        rows = recording.trim()
        channels = await filing.finish(rows)
        outcome, reason = recording.judge("cut short" if acquisition.cut_short else cause, error=filing.error)
        if cause == "stream silent" and not self._stream.connected:
            reason = f"not connected to {self._stream_name}: {reason}"
        report = recording.report(
            outcome=outcome,
            reason=reason,
            output_file=filing.name,
            file_bytes=filing.file_bytes,
            channels=channels,
            now_ns=time.time_ns(),
        )
        if cause == "other start" and not rows:
            filing.abandon()
            acquisition.report = report
        else:
            parameters = self._parameters
            acquisition.report = await filing.seal(parameters, report)
            if self._parameters is parameters and cause != "other start":
                self._parameters = {}  # they were for this file; the next one gets its own
        self._closed(acquisition, acquisition.report, replaced=cause == "other start")

    def _closed(self, acquisition: _Acquisition, report: Report, *, replaced: bool) -> None:
        level = LOG_LEVELS.get(report.outcome, logging.WARNING)
        verdict, *details = describe(report)
        logger.log(level, "%s", verdict)
        for line in details:
            logger.info("%s", line)
        failed = report.outcome == "failed"
        goes_on = (self._persistent or replaced) and not failed
        self._end_when_caught_up = False
        acquisition.closed_s = time.monotonic()
        for effect in self._machine.on(Event.WRITE_FAILED if failed else Event.CLOSED_FOR_NEXT if goes_on else Event.CLOSED):
            assert effect is Effect.EXIT
            self.ended.set()
        acquisition.closed.set()
        if not replaced and self.exit_code is ExitCode.COMPLETE:  # of several acquisitions, the first that is not complete
            self.exit_code = ExitCode.INTERNAL if acquisition.filing.is_our_fault else OUTCOME_EXIT_CODES[report.outcome]
        if goes_on and not replaced:
            logger.info("Waiting for the next start")

    def _on_closing_done(self, closing: asyncio.Task[None]) -> None:
        if not closing.cancelled() and closing.exception() is not None:
            logger.error("The acquisition could not be brought to its end", exc_info=closing.exception())
            self._fail()

    def _fail(self) -> None:
        self.exit_code = ExitCode.INTERNAL
        self.ended.set()

    async def _until_closed(self) -> None:
        if self._closing is not None:
            await self._closing


def _selection_with(acquisition: _Acquisition, stop: Edge, *, now_ns: int | None = None) -> Selection:
    """The acquisition's bounds with another stop; raises UsageError if that is before the start."""
    return Selection(acquisition.recording.selection.start, _bound(stop, now_ns=now_ns))


def _bound(value: Edge | None, *, now_ns: int | None = None) -> Bound | None:
    if value == "now":
        return None if now_ns is None else TimeBound(now_ns)
    return None if value is None else PulseBound(value)


def _start_point(start: Edge) -> StartPoint:
    return StartPoint("now") if start == "now" else StartPoint("pulse", max(start, 0))


async def _wait_quietly(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
