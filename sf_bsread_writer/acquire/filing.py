"""One acquisition's file, worked on in the one thread that may touch HDF5.

The loop hands over jobs and goes on; they are done in the order in which they came. After the first error the jobs
that are left do nothing, so that the file can be closed with what it holds.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.forecast import NO_FILE, OnDisk
from sf_bsread_writer.acquire.receive import Pulses
from sf_bsread_writer.acquire.report import ChannelReport, Notes, Report
from sf_bsread_writer.errors import OutputError, StateError
from sf_bsread_writer.hdf5.file import ChannelSummary, FileOptions, PulseFile

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

CREATE_TIMEOUT_S = 10.0
"""How long a start waits for its file to be created; a disk that needs longer may still do so."""


class Filing:
    """A file from its creation to its final name.

    ``final`` is where it goes in the end, None for a dry run. ``on_failure`` is called in the loop when the file
    cannot be written any more; ``error`` then says why, and ``is_our_fault`` whether it is an error of this program. With
    ``drop_queue`` set, runs not yet written are left out.
    ``file_bytes`` is what has been written so far, and the file's size at the end; ``on_disk`` how things stood when it was
    flushed last, and ``partial`` what it is called until ``is_sealed``, None if there is none.
    """

    def __init__(
        self, thread: ThreadPoolExecutor, final: Path | None, *, options: FileOptions, on_failure: Callable[[], None]
    ) -> None:
        self.final = final
        self.error: OutputError | None = None
        self.is_our_fault = False
        self.drop_queue = False
        self.file_bytes = 0
        self.dead_bytes = 0
        self.on_disk = NO_FILE
        self.partial: Path | None = None
        self.is_sealed = False
        self._thread = thread
        self._handed = self._done = 0
        self._step_s = 0.0
        self._waiting: deque[tuple[int, int]] = deque()
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._on_failure = on_failure
        self._file: PulseFile | None = None
        self._creating: asyncio.Future[None] | None = None
        self._flushing: Future[None] | None = None
        self._has_told = False  # that the file has vanished

    @property
    def name(self) -> str:
        """The final name, for people."""
        return str(self.final or os.devnull)

    @property
    def waiting_messages(self) -> int:
        """Handed over, and not written yet."""
        return sum(count for count, _ in self._waiting.copy())

    @property
    def oldest_waiting_ns(self) -> int | None:
        """When the first of them arrived, None if there are none."""
        waiting = self._waiting.copy()
        return waiting[0][1] if waiting else None

    def stuck_s(self, now_s: float) -> float:
        """For how long no job has come to its end though there is one; ``now_s`` is a monotonic clock."""
        return now_s - self._step_s if self._handed != self._done else 0.0

    def rename(self, final: Path | None) -> None:
        """Gives it another final name; raises StateError between a file and a dry run, which has nothing to be named."""
        if (final is None) != (self.final is None):
            raise StateError(
                f"the acquisition to {self.name} has begun; it cannot go to {final or os.devnull} now: "
                "a dry run has written nothing, and what is written is not thrown away"
            )
        self.final = final

    def create(self) -> None:
        """Begins with the file; what is written from now on waits for it."""
        self._creating = asyncio.wrap_future(self._submit(self._guarded, self._create))

    async def created(self) -> bool:
        """Waits for the file, but not for ever: then it is False. Raises the OutputError if it cannot be created."""
        if self._creating is not None:
            await asyncio.wait([self._creating], timeout=CREATE_TIMEOUT_S)
        if self.error is not None:
            raise self.error
        return self._creating is not None and self._creating.done()

    def write(self, pulses: Pulses, rows: NDArray[np.intp]) -> None:
        """Hands over the ``rows`` (indices into the run); the segment stays pinned until they are written or compressed."""
        pulses.segment.pin()
        self._waiting.append((len(rows), int(pulses.arrivals_ns[rows[0]])))
        self._submit(self._write, pulses, rows)

    def flush(self, notes: Callable[[], Notes]) -> None:
        """Brings partial columns to the disk, with ``notes`` of what has been handed over until now.

        Left out while the last flush is still under way.
        """
        if self._flushing is None or self._flushing.done():
            self._flushing = self._submit(self._guarded, self._flush, notes())

    async def rows_written(self) -> int:
        """How many rows the file has once all that was handed over is done."""
        return await self._do(lambda: 0 if self._file is None else self._file.rows)

    async def finish(self, rows: int) -> tuple[ChannelReport, ...]:
        """Cuts the file to its first ``rows`` rows; returns what it holds."""
        return await self._do(self._finish, rows)

    async def seal(self, parameters: Mapping[str, Any], report: Report) -> Report:
        """Puts parameters and report into the file, closes it and gives it its name; returns the report as it then is."""
        return await self._do(self._seal, parameters, report)

    def abandon(self) -> None:
        """Drops the file and what is queued for it. An error in that concerns nobody: another file has taken its place."""
        self.drop_queue = True
        self._on_failure = lambda: None
        self._submit(self._guarded, self._abandon)

    def _submit(self, job: Callable[..., Result], *args: object) -> Future[Result]:
        if self._handed == self._done:
            self._step_s = time.monotonic()
        self._handed += 1
        return self._thread.submit(self._step, job, *args)

    async def _do(self, job: Callable[..., Result], *args: object) -> Result:
        return await asyncio.wrap_future(self._submit(job, *args))

    # In the HDF5 thread

    def _step(self, job: Callable[..., Result], *args: object) -> Result:
        try:
            return job(*args)
        finally:
            self._step_s = time.monotonic()
            self._done += 1

    def _guarded(self, job: Callable[..., Any], *args: object) -> Any:
        """The job's result, or None and the error kept."""
        try:
            return job(*args)
        except OutputError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("Writing failed in a way that it never should")
            self.is_our_fault = True
            self._fail(OutputError(f"internal error while writing {self.name}: {error!r}; the log has the traceback"))
        return None

    def _fail(self, error: OutputError) -> None:
        self.drop_queue = True
        if self.error is None:
            self.error = error
            self._loop.call_soon_threadsafe(self._on_failure)

    def _create(self) -> None:
        self._file = PulseFile(self.final, options=self._options)
        self._look()

    def _write(self, pulses: Pulses, rows: NDArray[np.intp]) -> None:
        try:
            if self._file is not None and not self.drop_queue:
                self._guarded(self._file.write, pulses.run, rows, pulses.arrivals_ns[rows], pulses.segment)
                self.file_bytes = self._file.written_bytes
        finally:
            self._waiting.popleft()
            pulses.segment.unpin()

    def _flush(self, notes: Notes) -> None:
        if self._file is not None and not self.drop_queue:
            self._file.flush(msgspec.json.encode(msgspec.structs.replace(notes, damaged=self._file.damaged)))
            self._look()
            self._tell_if_vanished()

    def _look(self, rows: int | None = None) -> None:
        file = self._file
        if file is not None and file.partial_path is not None:
            rows = file.rows if rows is None else rows
            self.on_disk = OnDisk(rows=rows, size_bytes=file.size_bytes, free_bytes=file.free_bytes)
            self.partial = file.partial_path

    def _tell_if_vanished(self) -> None:
        if self._file is not None and self._file.has_vanished and not self._has_told:
            self._has_told = True
            logger.warning("Somebody has moved or removed %s while it is written: it is put back at the end", self.name)

    def _finish(self, rows: int) -> tuple[ChannelReport, ...]:
        summary = None if self._file is None else self._guarded(self._file.finish, rows)
        if summary is None:
            return ()
        self.file_bytes, self.dead_bytes = summary.bytes, summary.dead_bytes
        self._look(summary.rows)
        return tuple(_channel_report(channel, summary.rows) for channel in summary.channels)

    def _seal(self, parameters: Mapping[str, Any], report: Report) -> Report:
        if self._file is None or self._file.is_lost:
            return report
        self._tell_if_vanished()
        moved_aside = self._guarded(self._file.aside_for, self.final)  # now, so that the report in the file has it, too
        report = msgspec.structs.replace(report, moved_aside=None if moved_aside is None else str(moved_aside))
        text = msgspec.json.encode(report).decode()
        for what, shorter in (("parameters", {}), ("counts of channels", {"channels": ()})):
            if self._guarded(self._file.has_room_for, parameters, text) is False:
                reason = f"{report.reason}; the {what} are left out, for which there is no room"
                parameters, report = {}, msgspec.structs.replace(report, outcome="failed", reason=reason, **shorter)
                text = msgspec.json.encode(report).decode()
        self.is_sealed = self._guarded(self._seal_file, parameters, text) is True
        return report

    def _seal_file(self, parameters: Mapping[str, Any], report: str) -> bool:
        assert self._file is not None
        self._file.seal(self.final, parameters, report)
        return True

    def _abandon(self) -> None:
        if self._file is not None:
            self._file.abandon()


def _channel_report(channel: ChannelSummary, rows: int) -> ChannelReport:
    return ChannelReport(
        name=channel.name,
        present=channel.rows_present,
        missing=rows - channel.rows_present,
        datasets=channel.datasets,
        damaged=channel.damaged,
    )
