"""A writer from Python: one that runs, or one that this process starts.

A writer whose file is given with the start stays after it, and tells the report itself. Another ends with its file, so fast that
nobody can rely on asking it: its report is then read from the file, which has to be another than the one that was there before.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import msgspec

from sf_bsread_writer.acquire.report import Report, Statistics
from sf_bsread_writer.client.program import Program
from sf_bsread_writer.client.rest import REQUEST_TIMEOUT_S, Rest
from sf_bsread_writer.errors import DeadlineError, OutputError, PeerError, RequestError, StateError, UsageError
from sf_bsread_writer.rest.token import read_token

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.25
"""Between two questions whether an acquisition has ended."""


class _StatusAnswer(msgspec.Struct):
    status: Literal["waiting", "writing"]


class _StatisticsAnswer(msgspec.Struct):
    statistics: Statistics


class Writer:
    """The writer at ``url``, for example ``http://127.0.0.1:8083``; it goes on when this object is closed. See also `launch`.

    ``token_file`` is the file with its secret, as in its own ``--token_file``; needed for what changes something.

    Every method raises `RequestError` if the writer refuses, with its reason; `PeerError` if no writer answers there, and
    `DeadlineError` if its answer takes longer than 15 s. Pulse ids are inclusive at both ends and usually lie in the past.
    """

    def __init__(self, url: str, *, token_file: Path | str | None = None) -> None:
        self._rest = Rest(url, token=None if token_file is None else read_token(Path(token_file)))
        self._program: Program | None = None
        self._first_file: Path | None = None
        self._own_file: str | None = None
        self._expected: _ExpectedFile | None = None

    @classmethod
    def launch(
        cls,
        stream: str,
        output_file: Path | str,
        *,
        options: Sequence[str] = (),
        user_id: int = -1,
        token_file: Path | str | None = None,
        stays: bool = True,
        timeout_s: float = 20.0,
    ) -> Self:
        """Starts a writer on this stream (``tcp://host:port`` of a buffer or a source) and waits until it can be asked.

        It stays for any number of acquisitions, whose file is ``output_file`` unless they name another; it ends with `close`, at
        the end of a ``with`` block, or with this process, unless that is killed. With ``stays`` false it ends with its first
        file, whatever becomes of this process. ``options`` are those of its command line, for example ``["--overwrite"]``; it
        has to log at INFO at least. ``user_id`` is whom to write as, -1 the current user.

        Raises `SetupError` if the process ends at once, `DeadlineError` if it cannot be asked after ``timeout_s``.
        """
        own_file = os.path.abspath(output_file)
        token = [] if token_file is None else ["--token_file", str(token_file)]
        program = Program([*options, *token, "--", stream, own_file, str(user_id), "0"])
        try:
            writer = cls(program.url(timeout_s=timeout_s), token_file=token_file)
        except BaseException:
            program.end()
            raise
        writer._program, writer._first_file = program, Path(own_file)
        writer._own_file = own_file if stays else None
        return writer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the writer if this object has launched it; an acquisition that runs is interrupted, and its file closed."""
        if self._program is not None:
            self._program.end()

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self._rest.url

    @property
    def log(self) -> str:
        """All that a launched writer has said, also when it has ended; empty for another."""
        return "" if self._program is None else self._program.log

    @property
    def status(self) -> Literal["waiting", "writing"]:
        """``writing`` from a start until the file is closed."""
        return msgspec.json.decode(self._rest.ask("GET", "/status"), type=_StatusAnswer).status

    @property
    def statistics(self) -> Statistics:
        """A snapshot of its counts."""
        return msgspec.json.decode(self._rest.ask("GET", "/statistics"), type=_StatisticsAnswer).statistics

    @property
    def report(self) -> Report | None:
        """Of the acquisition that runs, as it stands, else of the last one; None before the first."""
        return self._report(REQUEST_TIMEOUT_S)

    def set_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Gives what goes below ``/general`` of this or the next file: created, user, process and instrument at least."""
        self._rest.ask("POST", "/parameters", dict(parameters))

    def start(self, pulse_id: int, *, output_file: Path | str | None = None) -> None:
        """Writes from this pulse on, to ``output_file`` if given; relative: in the folder of the writer's own file."""
        self._start(f"/start_pulse_id/{pulse_id}", output_file)

    def start_now(self, *, output_file: Path | str | None = None) -> None:
        """Writes what arrives at the buffer from now on."""
        self._start("/start_now", output_file)

    def stop(self, pulse_id: int) -> None:
        """Lets the acquisition end with this pulse."""
        self._rest.ask("PUT", f"/stop_pulse_id/{pulse_id}")

    def stop_now(self) -> None:
        """Lets the acquisition end with what has arrived at the buffer until now."""
        self._rest.ask("PUT", "/stop_now")

    def finish(self, timeout_s: float = 60.0) -> Report | None:
        """Writes what has arrived at the buffer until now, closes the file, and ends the writer.

        Gives the report of that acquisition, or of the last one; None if there was none. Pulses up to a stop that has not come
        yet count as missing. Raises what `wait` raises.
        """
        deadline_s = time.monotonic() + timeout_s
        last = self._report(min(REQUEST_TIMEOUT_S, timeout_s))
        self._rest.ask("GET", "/stop", timeout_s=timeout_s)
        left_s = deadline_s - time.monotonic()
        if self._program is not None:
            self._program.exit_code(timeout_s=left_s)
        return self.wait(left_s) if last is not None and last.outcome == "running" else last

    def kill(self) -> None:
        """Ends the writer at once, with its file closed if that takes less than a second; `wait` has the report of it then.

        What is not closed is left for `sf_bsread recover`.
        """
        self._rest.ask("GET", "/kill")
        if self._program is not None:
            self._program.exit_code()

    def acquire(
        self,
        start: int,
        stop: int,
        *,
        output_file: Path | str | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout_s: float = 60.0,
    ) -> Report:
        """Writes pulses ``start`` to ``stop`` to one file, and gives the report once it is closed.

        What is missing is no error: look at the report's ``outcome`` and ``missing``. Raises what `wait` raises; after a
        `DeadlineError` the acquisition goes on.
        """
        if stop < start:
            raise UsageError(f"cannot write pulses {start}..{stop}: the stop lies before the start")
        if parameters is not None:
            self.set_parameters(parameters)
        self.start(start, output_file=output_file)
        self.stop(stop)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 60.0) -> Report:
        """The report of the acquisition that runs, or of the last one, once its file is closed.

        Raises `DeadlineError` if that takes longer, `StateError` if nothing was started, and `OutputError` if the writer has
        ended and left no file of this acquisition that can be read here.
        """
        deadline_s = time.monotonic() + timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            left_s = deadline_s - time.monotonic()
            try:
                report = self._report(min(REQUEST_TIMEOUT_S, max(left_s, _LONGEST_PAUSE_S)))
            except PeerError as error:
                return self._left_behind(error)
            if report is None:
                raise StateError(f"{self.url} has nothing to report: no acquisition was started")
            if report.outcome != "running":
                return report
            if left_s <= 0:
                raise DeadlineError(
                    f"the acquisition was not over within {timeout_s:g} s: {report.reason}, {report.rows} pulses until "
                    f"{report.last_pulse_id}; has it a stop, and does the stream flow?"
                )
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _start(self, path: str, output_file: Path | str | None) -> None:
        file = self._own_file if output_file is None else str(output_file)
        known = self._first_file if output_file is None else None
        self._expected = None if known is None else _ExpectedFile(known)
        self._rest.ask("PUT", path, None if file is None else {"output_file": file})
        try:
            self._report(REQUEST_TIMEOUT_S)
        except PeerError:  # a stop that was given before may have ended it already; `wait` will tell
            return

    def _report(self, timeout_s: float) -> Report | None:
        try:
            report = msgspec.json.decode(self._rest.ask("GET", "/report", timeout_s=timeout_s), type=Report)
        except RequestError as error:
            if error.code == 404:
                return None
            raise
        if self._expected is None and report.outcome == "running":
            self._expected = _ExpectedFile(Path(report.output_file))
        return report

    def _left_behind(self, error: PeerError) -> Report:
        """The report of a writer that has ended."""
        if self._program is not None:
            code = self._program.exit_code()
            error = PeerError(f"the writer ended with code {code}; it said: {self.log.strip()}")
        if self._expected is None:
            raise OutputError(f"what became of the acquisition is not known here: {error}") from None
        report = self._expected.report()
        if report is None:
            raise OutputError(f"there is no new file {self._expected.path}: {error}") from None
        return report


class _ExpectedFile:
    """A file that a writer will put in the place of one that may be there now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._earlier = _identity(path)

    def report(self) -> Report | None:
        """The report in it; None if it is not there. Raises `OutputError` if it cannot be read."""
        if _identity(self.path) in (None, self._earlier):
            return None
        try:
            with h5py.File(self.path) as file:
                return msgspec.json.decode(file["report"][()], type=Report)
        except (OSError, KeyError, msgspec.DecodeError) as error:
            raise OutputError(f"{self.path} has no readable report: {error}") from error


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells a new file from an earlier one of the same name; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
