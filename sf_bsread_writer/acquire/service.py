"""The writer's life: stream, state machine, one HDF5 thread, timers, and the end of it all.

Everything here runs in one asyncio loop, except what touches the file: that is one job after the other in a single
thread, since HDF5 wants one. A run of messages is pinned in its segment until its job is done; when all segments are
pinned, the stream is not read any further, and the buffer, which holds the pulses anyway, keeps them meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from sf_bsread_writer.acquire.filing import Filing
from sf_bsread_writer.acquire.receive import (
    PulseStream,
    StreamEvent,
)
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.report import Cause, Outcome, Report, Statistics, StreamState, describe
from sf_bsread_writer.acquire.requests import Asked, Edge, StartMeans, is_stop_again, what_start_means
from sf_bsread_writer.acquire.running import Running
from sf_bsread_writer.acquire.selection import Selection
from sf_bsread_writer.acquire.state import Effect, Event, Machine, State
from sf_bsread_writer.errors import ExitCode, OutputError, StateError, UsageError
from sf_bsread_writer.hdf5.file import FileOptions

logger = logging.getLogger(__name__)

TICK_S = 0.25
STOP_NOW_TIMEOUT_S = 0.25
"""How long the answer to "stop now" waits for the buffer to say when that is; who is far behind hears it late."""
FINISH_TIMEOUT_S = 5.0
"""How long /stop waits for what has arrived at the buffer; the clients that use it kill after ten seconds."""
KILL_TIMEOUT_S = 1.0
KILL_DISK_TIMEOUT_S = 5.0
"""How long /kill waits for a disk that does not answer; one that does may finish what it is at."""
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


class WriterService:
    """Implements `rest.acquisition.Acquisition` on a stream and files.

    ``destination`` gives the path for an ``output_file`` asked for by REST (None: the command line's), itself None for
    a dry run; it raises UsageError for a path that is not allowed. ``stall_timeout_s``: silence of the stream after
    which an acquisition that has a stop is closed as it is. ``disk_timeout_s``: silence of the disk after which a file that is
    to be closed is given up.
    """

    def __init__(
        self,
        *,
        stream: PulseStream,
        stream_name: str,
        destination: Callable[[str | None], Path | None],
        file_options: FileOptions,
        stall_timeout_s: float,
        disk_timeout_s: float,
    ) -> None:
        self.ended = asyncio.Event()
        self.exit_code = ExitCode.COMPLETE
        self._stream = stream
        self._stream_name = stream_name
        self._destination = destination
        self._file_options = file_options
        self._stall_timeout_s = stall_timeout_s
        self._disk_timeout_s = disk_timeout_s
        self._machine = Machine()
        self._hdf5 = ThreadPoolExecutor(1, thread_name_prefix="hdf5")
        self._requests = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._parameters: dict[str, Any] = {}
        self._acquisition: Running | None = None
        self._preset_stop: Edge | None = None
        self._preset_stop_ns = 0
        self._preset_file: str | None = None
        self._persistent = False

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
            stayed, self._persistent = self._persistent, stays
            try:
                await self._do_start(means, start, output_file)
            except (UsageError, StateError):
                self._persistent = stayed  # a request that is refused changes nothing
                raise

    async def stop(self, pulse_id: int | None, *, output_file: str | None = None) -> None:
        stop: Edge = "now" if pulse_id is None else pulse_id
        async with self._requests:
            acquisition, state = self._acquisition, self._machine.state
            since_closed_s = time.monotonic() - acquisition.closed_s if acquisition is not None else 0.0
            if is_stop_again(stop, self._asked(output_file), state, since_closed_s=since_closed_s):
                self._machine.on(Event.STOP_AGAIN)
                return
            if state is State.WRITING and acquisition is not None:
                acquisition.check_stop(stop)
                if output_file is not None:
                    acquisition.filing.rename(self._destination(output_file))
            self._machine.on(Event.STOP)
            logger.info("Asked to stop %s", stop if stop == "now" else f"at pulse {stop}")
            self._persistent |= output_file is not None
            if state is State.WAITING or acquisition is None:
                self._preset_stop, self._preset_stop_ns = stop, time.time_ns()
                self._preset_file = output_file or self._preset_file
                return
            self._happened(acquisition.set_stop(stop))
        if stop == "now" and acquisition.recording.selection.stop is None:
            # What a client sends after the answer must be too late for this acquisition, at the buffer as well.
            await _wait_quietly(acquisition.caught_up, STOP_NOW_TIMEOUT_S)

    async def finish(self) -> None:
        acquisition = self._acquisition
        if self._machine.state is State.WRITING and acquisition is not None:
            acquisition.ends_when_caught_up = self._stream.mark()
            if acquisition.ends_when_caught_up:
                await _wait_quietly(acquisition.closed, FINISH_TIMEOUT_S)
                acquisition.is_cut_short = not acquisition.closed.is_set()
        self._persistent = False
        if self._machine.state in (State.WAITING, State.WRITING):
            self._happened(Event.END)
        await self._until_closed()

    async def kill(self) -> None:
        self._disk_timeout_s = min(self._disk_timeout_s, KILL_DISK_TIMEOUT_S)
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
        return acquisition.report_so_far("closing the file" if self._machine.state is State.CLOSING else "still writing")

    def statistics(self) -> Statistics:
        if self._acquisition is not None:
            return self._acquisition.statistics()
        nothing = Recording(Selection(), stream=self._stream_name, started_ns=0)
        return nothing.statistics(connected=self._stream.connected, output_file="", file_bytes=0)

    def stream(self) -> StreamState:
        held = self._stream.held
        self._stream.look()
        return StreamState(
            address=self._stream_name,
            connected=self._stream.connected,
            is_buffer=held is not None,
            messages=None if held is None else held.messages,
            oldest_pulse_id=None if held is None else held.oldest_pulse_id,
            newest_pulse_id=None if held is None else held.newest_pulse_id,
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

    async def join(self) -> bool:
        """Waits for the HDF5 thread, which may still be at work after /kill; nothing is served any more.

        False if the disk does not answer: the thread cannot be ended then, nor can the interpreter, which would wait for it.
        """
        joined = asyncio.create_task(self._join())
        while not joined.done():
            await asyncio.wait([joined], timeout=TICK_S)
            if self._is_disk_silent():
                joined.cancel()
                self._give_up()
                return False
        await joined
        return True

    async def _join(self) -> None:
        if self._closing is not None:
            await asyncio.wait([self._closing])
        await asyncio.to_thread(self._hdf5.shutdown)

    def _is_disk_silent(self) -> bool:
        return self._acquisition is not None and self._acquisition.filing.stuck_s(time.monotonic()) >= self._disk_timeout_s

    def interrupt(self, *, drop_queue: bool = False) -> None:
        """Ends it as a signal does: what has been received is written (unless the queue is dropped), the file closed."""
        self._persistent = False
        if self._acquisition is not None:
            self._acquisition.filing.drop_queue |= drop_queue
        self._happened(Event.INTERRUPTED)

    # Starting and stopping

    async def _do_start(self, means: StartMeans, start: Edge, output_file: str | None) -> None:
        if means is StartMeans.AGAIN:
            self._machine.on(Event.START_AGAIN)
        elif means is StartMeans.REPLACE:
            await self._replace(start, output_file)
        else:
            if means is StartMeans.BEGIN_WHEN_CLOSED:
                await self._wait_until_closed()
            await self._start(start, self._destination(output_file or self._preset_file))

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
        self._acquisition = self._new_acquisition(start, final)
        self._preset_stop = self._preset_file = None
        await self._carry_out(self._machine.on(Event.START))

    async def _replace(self, start: Edge, output_file: str | None) -> None:
        """Ends the acquisition as it is, file and report included, and begins another: a corrected start must lose nothing."""
        replaced = self._acquisition
        assert replaced is not None
        replaced.check_start(start)
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

    def _new_acquisition(self, start: Edge, final: Path | None) -> Running:
        return Running(
            self._stream,
            Filing(self._hdf5, final, options=self._file_options, on_failure=self._on_write_failed),
            stream_name=self._stream_name,
            start=start,
            stop=self._preset_stop,
            stop_asked_ns=self._preset_stop_ns,
            stall_timeout_s=self._stall_timeout_s,
        )

    # Effects

    def _happened(self, event: Event | None) -> None:
        """For events that need no answer: what they lead to is carried out without being waited for. None is none."""
        if event is None:
            return
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
                    await acquisition.open()
                case Effect.WATCH_STOP:
                    if self._machine.state is State.WRITING:  # it may have ended while it was opened
                        self._happened(acquisition.watch_stop())
                case _:
                    raise AssertionError(f"{effect} does not belong to a start")

    # What the stream brings, and the time that passes

    def _on_stream(self, event: StreamEvent) -> None:
        if self._machine.state is State.WRITING and self._acquisition is not None:
            self._happened(self._acquisition.take(event))

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            acquisition = self._acquisition
            if self._machine.state is State.WRITING and acquisition is not None:
                self._happened(acquisition.tick(time.monotonic(), self._parameters))
            elif self._machine.state is State.CLOSING and self._is_disk_silent():
                self._give_up()

    # The end of an acquisition

    def _on_write_failed(self) -> None:
        if self._machine.state is State.WRITING:
            self._happened(Event.WRITE_FAILED)

    async def _close(self, acquisition: Running, cause: Cause) -> None:
        parameters, is_replaced = self._parameters, cause == "other start"
        report = await acquisition.close(cause, parameters)
        self._tell(report)
        if self._parameters is parameters and not is_replaced:
            self._parameters = {}  # they were for this file; the next one gets its own
        if not is_replaced and self.exit_code is ExitCode.COMPLETE:  # of several acquisitions, the first that is not complete
            self.exit_code = ExitCode.INTERNAL if acquisition.filing.is_our_fault else OUTCOME_EXIT_CODES[report.outcome]
        self._happened(self._what_closing_means(report, is_replaced=is_replaced))
        acquisition.closed.set()

    def _give_up(self) -> None:
        acquisition = self._acquisition
        assert acquisition is not None
        if not acquisition.closed.is_set():
            self._tell(acquisition.give_up(f"the disk has not answered for {self._disk_timeout_s:g} s"))
            acquisition.closed.set()
        self.exit_code = ExitCode.OUTPUT
        self.ended.set()

    def _tell(self, report: Report) -> None:
        verdict, *details = describe(report)
        logger.log(LOG_LEVELS.get(report.outcome, logging.WARNING), "%s", verdict)
        for line in details:
            logger.info("%s", line)

    def _what_closing_means(self, report: Report, *, is_replaced: bool) -> Event:
        if report.outcome == "failed":
            return Event.WRITE_FAILED
        if is_replaced:
            return Event.CLOSED_FOR_NEXT
        if self._persistent:
            logger.info("Waiting for the next start")
            return Event.CLOSED_FOR_NEXT
        return Event.CLOSED

    def _on_closing_done(self, closing: asyncio.Task[None]) -> None:
        if not closing.cancelled() and closing.exception() is not None:
            logger.error("The acquisition could not be brought to its end", exc_info=closing.exception())
            self._fail()

    def _fail(self) -> None:
        self.exit_code = ExitCode.INTERNAL
        self.ended.set()

    async def _until_closed(self) -> None:
        """Raises OutputError if the file is given up."""
        if self._closing is None:
            return
        ended = asyncio.create_task(self.ended.wait())
        await asyncio.wait([self._closing, ended], return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        report = self.report()
        if self._closing.done():
            await self._closing
        elif report is not None and report.outcome == "failed":
            raise OutputError(report.reason)


async def _wait_quietly(event: asyncio.Event, timeout_s: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
