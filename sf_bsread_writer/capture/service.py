"""Captures of one buffer: each a writer that the buffer starts on its own ring, as its own user, for one file.

Everything is decided in the buffer's event loop; what would hold that up, from a look at a disk to a request that a writer
answers, is done in a few threads, of which each capture has one at a time. What a capture is to write is held in the ring from
the moment of the request until its writer has read it, since a writer takes a moment to start.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.capture.window import Window, of_last, of_pulses
from sf_bsread_writer.client.writer import Writer
from sf_bsread_writer.errors import BsreadWriterError, DeadlineError, PeerError, StateError, UsageError
from sf_bsread_writer.relay.replay import ClientStatistics
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.buffer.capturing import Asked, BusyError, Capture, CaptureState, Held
from sf_bsread_writer.ring.ring import Hold

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_AT_ONCE = 8
"""Each is a process that takes some 100 MB and a core while it catches up."""
MOST_REMEMBERED = 100
LOOK_S = 0.25
CANCELLED_S = 10.0
"""How long the answer to "end it" waits for the file to be closed."""


class Job:
    """One capture: what can be told of it, and what its end waits for."""

    def __init__(self, capture: Capture, path: Path, hold: Hold) -> None:
        self.path = path
        self.hold = hold
        self.told = asyncio.Event()
        self.over = asyncio.Event()
        self._capture = capture
        self._begun_s = time.monotonic()
        self._ended_s: float | None = None

    @property
    def capture(self) -> Capture:
        """As it stands."""
        ended_s = time.monotonic() if self._ended_s is None else self._ended_s
        return msgspec.structs.replace(self._capture, seconds=round(ended_s - self._begun_s, 3))

    def set(self, **values: Any) -> None:
        """Changes what can be told."""
        self._capture = msgspec.structs.replace(self._capture, **values)

    def end(self, state: CaptureState, **values: Any) -> None:
        """It is over."""
        self.set(state=state, **values)
        self._ended_s = time.monotonic()


class CaptureService:
    """Implements `rest.buffer.capturing.Captures`: `prepare` before anything else, and `close` at the end.

    ``root`` is the folder that all files lie below.
    """

    def __init__(self, relay: Relay, root: Path) -> None:
        self._relay = relay
        self._destination = Destination(str(root / "capture.h5"), root=root, what="file", option="--capture_root")
        self._root = root.absolute()
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="capture")
        self._paths: set[Path] = set()
        self._count = 0
        self._beginning = 0
        self._is_ending = False

    @property
    def root(self) -> str:
        return str(self._root)

    def prepare(self) -> None:
        """Creates the folder if it is missing, and tries whether files can be made there; raises `OutputError` if not."""
        self._destination.prepare()

    async def begin(self, asked: Asked, *, file: str | None, strict: bool) -> Capture:
        self._check_room()
        created = datetime.now(UTC)
        window, held, hold = self._look(asked)
        self._beginning += 1
        try:
            if window.shortfall is not None and strict:
                raise StateError(window.shortfall)
            path = await self._place(file or f"capture_{created:%Y%m%dT%H%M%SZ}_{window.first}-{window.last}.h5")
        except BaseException:
            hold.release()
            raise
        finally:
            self._beginning -= 1
        self._count += 1
        capture_id = f"{created:%Y%m%dT%H%M%S}-{self._count}"
        job = Job(
            Capture(
                id=capture_id,
                url=f"/captures/{capture_id}",
                state="starting",
                file=str(path),
                asked=asked,
                start_pulse_id=window.first,
                stop_pulse_id=window.last,
                held=held,
                complete=window.shortfall is None,
                shortfall=window.shortfall,
                created=created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            ),
            path,
            hold,
        )
        self._remember(job)
        self._start(job)
        return job.capture

    def latest(self) -> list[Capture]:
        return [job.capture for job in reversed(self._jobs.values())]

    def find(self, capture_id: str) -> Capture | None:
        job = self._jobs.get(capture_id)
        return None if job is None else job.capture

    async def cancel(self, capture_id: str) -> Capture | None:
        job = self._jobs.get(capture_id)
        if job is None:
            return None
        job.told.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(job.over.wait(), CANCELLED_S)
        return job.capture

    def stop(self) -> None:
        """Tells all writers to close their files; may be called again."""
        self._is_ending = True
        for job in self._jobs.values():
            job.told.set()

    async def close(self) -> None:
        """Ends them all, and waits until none is left: no longer than a writer may take to end before it is killed."""
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._threads.shutdown()

    # At the moment of the request

    def _check_room(self) -> None:
        self._check_time()
        running = len(self._tasks) + self._beginning
        if running >= MOST_AT_ONCE:
            raise BusyError(f"{running} captures run already, and no more can at a time; wait for one, or end one")
        clients, most = len(self._relay.statistics().clients), self._relay.config.max_clients
        if clients >= most:
            raise BusyError(
                f"{clients} clients are connected already, as many as --max_clients allows: a capture's writer is one more; end "
                "one, or start the buffer with a higher --max_clients"
            )

    def _check_time(self) -> None:
        if self._is_ending:
            raise StateError("this buffer is about to end")

    async def _place(self, file: str) -> Path:
        if not await self._do(self._root.is_dir):  # a writer would make it anew, where it was mounted perhaps
            raise StateError(f"the folder {self._root} of --capture_root is gone; mount it, or make it again")
        path = await self._do(lambda: self._destination.resolve(file))
        self._check_time()
        if path is None:
            raise UsageError(f"file {file!r} is no file to keep; give a name below {self._root}")
        if path in self._paths:
            raise StateError(f"{path} is being written by another capture; give another file, or wait for that one")
        return path

    def _look(self, asked: Asked) -> tuple[Window, Held, Hold]:
        """What can be had, which is held from now on."""
        ring, now_ns = self._relay.taken_in()
        if asked.last_s is not None:
            window = of_last(ring.log, ring.oldest, last_s=asked.last_s, now_ns=now_ns)
        else:
            assert asked.start_pulse_id is not None
            assert asked.stop_pulse_id is not None
            window = of_pulses(ring.log, ring.oldest, first=asked.start_pulse_id, last=asked.stop_pulse_id)
        held = msgspec.convert(ring.statistics(), Held, from_attributes=True)
        return window, held, ring.hold(window.sequence)

    def _remember(self, job: Job) -> None:
        self._jobs[job.capture.id] = job
        over = [capture_id for capture_id, each in self._jobs.items() if each.over.is_set()]
        for capture_id in over[: max(0, len(self._jobs) - MOST_REMEMBERED)]:
            del self._jobs[capture_id]

    # While it runs

    def _start(self, job: Job) -> None:
        capture = job.capture
        logger.info(
            "Capture %s: pulses %d..%d to %s%s",
            capture.id,
            capture.start_pulse_id,
            capture.stop_pulse_id,
            capture.file,
            "" if capture.shortfall is None else f"; {capture.shortfall}",
        )
        self._paths.add(job.path)
        task = asyncio.create_task(self._run(job), name=f"capture {capture.id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job) -> None:
        try:
            report = await self._write(job)
            self._end(job, report)
        except BsreadWriterError as error:
            job.end("failed", reason=" / ".join(str(error).splitlines()))  # it may have a writer's log in it
        except Exception as error:
            logger.exception("Capture %s: an error of this program", job.capture.id)
            job.end("failed", reason=f"{type(error).__name__}: {error}")
        finally:
            job.hold.release()
            self._paths.discard(job.path)
            job.over.set()
        capture = job.capture
        level = logging.WARNING if capture.state == "failed" else logging.INFO
        logger.log(
            level, "Capture %s %s, %d pulses in %s: %s", capture.id, capture.state, capture.rows, capture.file, capture.reason
        )

    async def _write(self, job: Job) -> Report | None:
        """The writer's report once its file is closed; None if it was told to end before it began."""
        stream, token_file = str(self._relay.local_address), self._relay.config.token_file
        options = ["--output_root", str(self._root)]  # it looks itself where its file is then
        writer = await self._do(lambda: Writer.launch(stream, job.path, options=options, token_file=token_file, stays=False))
        capture = job.capture
        try:
            if job.told.is_set():
                return None
            await self._do(lambda: self._destination.check(job.path))  # links of before its start the writer takes as given
            await self._do(lambda: writer.stop(capture.stop_pulse_id))  # first: nothing beyond it is read, to be taken back
            await self._do(lambda: writer.start(capture.start_pulse_id))
            job.set(state="writing", writer_url=writer.url)
            await self._follow(job, writer)
        finally:
            await self._do(writer.close)
        return await self._do(writer.wait)

    async def _follow(self, job: Job, writer: Writer) -> None:
        """Until the writer has ended, with its file, or is to end."""
        while not job.told.is_set():
            try:
                now = await self._do(lambda: writer.statistics)
                job.set(rows=now.rows, missing_pulses=now.missing_pulses)
            except PeerError:
                return
            except DeadlineError as error:
                logger.warning("Capture %s: %s", job.capture.id, error)
            self._let_go(job, writer)
            with suppress(TimeoutError):
                await asyncio.wait_for(job.told.wait(), LOOK_S)

    def _let_go(self, job: Job, writer: Writer) -> None:
        """What the writer has been sent need not be held any more. It is one of our clients, and its name has its REST port."""
        name = f"sf_bsread_writer:{urlsplit(writer.url).port}"
        position = read_until(self._relay.statistics().clients, name)
        if position is not None:
            job.hold.advance(position)

    def _end(self, job: Job, report: Report | None) -> None:
        if report is None:
            job.end("cancelled", reason="it was told to end before it began; there is no file")
            return
        state: CaptureState = "failed" if report.outcome == "failed" else "finished"
        if report.outcome == "interrupted":
            state = "cancelled"
        job.end(
            state,
            file=report.output_file,
            rows=report.rows,
            missing_pulses=report.missing_pulses,
            outcome=report.outcome,
            reason=report.reason,
        )
        if report.moved_aside is not None:
            for earlier in self._jobs.values():
                if earlier is not job and earlier.capture.file == report.output_file:
                    earlier.set(file=report.moved_aside)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def read_until(clients: Sequence[ClientStatistics], name: str) -> int | None:
    """Sequence number of the message that this client reads next; None before its first: it waits at the newest until then."""
    return min((client.sequence for client in clients if client.name == name and client.sent_messages), default=None)
