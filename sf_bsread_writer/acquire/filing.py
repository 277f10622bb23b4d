"""One acquisition's file, worked on in the one thread that may touch HDF5.

The loop hands over jobs and goes on; they are done in the order in which they came. After the first error the jobs
that are left do nothing, so that the file can be closed with what it holds.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.receive import Pulses
from sf_bsread_writer.acquire.report import ChannelReport, Report
from sf_bsread_writer.errors import OutputError, StateError
from sf_bsread_writer.hdf5.file import ChannelSummary, FileOptions, PulseFile

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Filing:
    """A file from its creation to its final name.

    ``final`` is where it goes in the end, None for a dry run. ``on_failure`` is called in the loop when the file
    cannot be written any more; ``error`` then says why, and ``is_our_fault`` whether it is an error of this program. With
    ``drop_queue`` set, runs not yet written are left out.
    ``file_bytes`` is what has been written so far, and the file's size at the end.
    """

    def __init__(
        self, thread: ThreadPoolExecutor, final: Path | None, *, options: FileOptions, on_failure: Callable[[], None]
    ) -> None:
        self.final = final
        self.error: OutputError | None = None
        self.is_our_fault = False
        self.drop_queue = False
        self.file_bytes = 0
        self._thread = thread
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
        self._creating = self._loop.run_in_executor(self._thread, self._guarded, self._create)

    async def created(self) -> None:
        """Waits for the file; raises the OutputError if it cannot be created."""
        if self._creating is not None:
            await self._creating
        if self.error is not None:
            raise self.error

    def write(self, pulses: Pulses, rows: NDArray[np.intp]) -> None:
        """Hands over the ``rows`` (indices into the run); the segment stays pinned until they are written or compressed."""
        pulses.segment.pin()
        self._thread.submit(self._write, pulses, rows)

    def flush(self) -> None:
        """Brings partial columns to the disk; left out while the last flush is still under way."""
        if self._flushing is None or self._flushing.done():
            self._flushing = self._thread.submit(self._guarded, self._flush)

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
        self._thread.submit(self._guarded, self._abandon)

    # In the HDF5 thread

    async def _do(self, job: Callable[..., Result], *args: object) -> Result:
        return await self._loop.run_in_executor(self._thread, job, *args)

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

    def _write(self, pulses: Pulses, rows: NDArray[np.intp]) -> None:
        try:
            if self._file is not None and not self.drop_queue:
                self._guarded(self._file.write, pulses.run, rows, pulses.arrivals_ns[rows], pulses.segment)
                self.file_bytes = self._file.written_bytes
        finally:
            pulses.segment.unpin()

    def _flush(self) -> None:
        if self._file is not None and not self.drop_queue:
            self._file.flush()
            self._tell_if_vanished()

    def _tell_if_vanished(self) -> None:
        if self._file is not None and self._file.has_vanished and not self._has_told:
            self._has_told = True
            logger.warning("Somebody has moved or removed %s while it is written: it is put back at the end", self.name)

    def _finish(self, rows: int) -> tuple[ChannelReport, ...]:
        summary = None if self._file is None else self._guarded(self._file.finish, rows)
        if summary is None:
            return ()
        self.file_bytes = summary.bytes
        return tuple(_channel_report(channel, summary.rows) for channel in summary.channels)

    def _seal(self, parameters: Mapping[str, Any], report: Report) -> Report:
        if self._file is None:
            return report
        self._tell_if_vanished()
        moved_aside = self._guarded(self._file.aside_for, self.final)  # now, so that the report in the file has it, too
        report = msgspec.structs.replace(report, moved_aside=None if moved_aside is None else str(moved_aside))
        self._guarded(self._file.seal, self.final, parameters, msgspec.json.encode(report).decode())
        if self.error is not None and report.outcome != "failed":
            return msgspec.structs.replace(report, outcome="failed", reason=str(self.error), moved_aside=None)
        return report

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
