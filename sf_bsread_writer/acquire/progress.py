"""How far an acquisition is: in a line that stays below the log, for who has started the writer at a terminal, else in the log.

At a terminal, lines of the log go through the same console while it is shown, so that they stand above it, whole and unchanged.
It is drawn a few times a second from the event loop itself; a terminal that takes nothing (Ctrl-S) is left alone: the stream must
not wait for it. Elsewhere what draws is not even loaded, and the log gets the same numbers now and then.
"""

import asyncio
import io
import logging
import select
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from sf_bsread_writer.acquire.report import Statistics

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

logger = logging.getLogger(__name__)

INTERVAL_S = 0.25
RATE_OVER_S = 3.0
"""Rates are those of the last seconds: long enough to read them, short enough to see a stream that has stopped."""
LOG_INTERVAL_S = 30.0
"""Between lines of the log, which are read later: often enough to see when it went slowly, and a hundred lines in an hour."""
LOOKS = 30
"""At the counts between two lines of the log: as many measure its rate."""

Look = Callable[[], Statistics | None]
"""A snapshot of the acquisition that runs, None if there is none."""
Shown = Callable[[Look], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """``done`` is the share of the pulse range that is passed, 0…1, None while an end of it is not known."""

    done: float | None
    text: str


class Pace:
    """Makes the line of one snapshot after the other; rates are those of the last ``over_s``."""

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        self._over_s = over_s
        self._seen: deque[tuple[float, int, int]] = deque()
        self._first: int | None = None

    def line(self, statistics: Statistics, now_s: float) -> Line:
        """The line for now, by a monotonic clock."""
        rows, last = statistics.rows, statistics.last_pulse_id
        if self._seen and rows < self._seen[-1][1]:  # another acquisition
            self._seen.clear()
            self._first = None
        if rows and self._first is None:
            self._first = last
        self._seen.append((now_s, rows, last))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - self._over_s:
            self._seen.popleft()
        begun_s, rows_before, last_before = self._seen[0]
        passed_s = now_s - begun_s
        rate_hz = (rows - rows_before) / passed_s if passed_s > 0 else 0.0
        ids_per_s = (last - last_before) / passed_s if rows_before and passed_s > 0 else 0.0
        of_all = "" if statistics.expected_rows is None else f" of {statistics.expected_rows}"
        parts = [f"{rows}{of_all} pulses", f"{rate_hz:.0f}/s", f"{statistics.missing_pulses} missing"]
        parts += [] if statistics.connected else ["not connected"]
        stop = statistics.stop_pulse_id
        if stop is not None and rows:
            parts += [f"{clock(max(0, stop - last) / ids_per_s)} left" if ids_per_s > 0 else "–:–– left"]
        return Line(done=self._done(statistics), text=", ".join(parts))

    def _done(self, statistics: Statistics) -> float | None:
        start = self._first if statistics.start_pulse_id is None else max(0, statistics.start_pulse_id)
        stop = statistics.stop_pulse_id
        if start is None or stop is None or stop < start:
            return None
        passed = statistics.last_pulse_id - start + 1 if statistics.rows else 0
        return min(1.0, max(0.0, passed / (stop - start + 1)))


def clock(seconds: float) -> str:
    """``1:05`` or ``2:00:00``."""
    minutes, rest = divmod(round(min(seconds, 359_999)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shown_on(stream: TextIO | None = None) -> Shown:
    """What shows the line on this stream (standard error) for as long as a block runs; in the log, if that is no terminal.

    To be called before the process becomes another user, who may be unable to read what is loaded here.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        return _logged
    from rich.console import Console  # noqa: PLC0415 - at terminals only: it takes a tenth of the time to start

    console = Console(file=stream)
    if console.is_dumb_terminal:
        return _logged
    _rehearse()
    return lambda look: _shown(console, stream, look)


@asynccontextmanager
async def _logged(look: Look) -> AsyncIterator[None]:
    async with _running(_log_for_ever(look)):
        yield


async def _log_for_ever(look: Look) -> None:
    pace, told_s = Pace(LOG_INTERVAL_S), 0.0
    was_writing = False
    while True:
        now, now_s = look(), time.monotonic()
        if now is not None:
            if not was_writing:
                pace, told_s = Pace(LOG_INTERVAL_S), now_s
            line = pace.line(now, now_s)
            if now_s - told_s >= LOG_INTERVAL_S:
                told_s = now_s
                logger.info("Writing: %s%s", line.text, f", last pulse {now.last_pulse_id}" if now.rows else "")
        was_writing = now is not None
        await asyncio.sleep(LOG_INTERVAL_S / LOOKS)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Beside a block, until that is left."""
    task = asyncio.create_task(work, name="progress")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _shown(console: "Console", stream: TextIO, look: Look) -> AsyncIterator[None]:
    handlers = [each for each in logging.getLogger().handlers if getattr(each, "stream", None) is stream]
    logged = _Above(console)
    for handler in handlers:
        handler.setStream(logged)  # type: ignore[attr-defined]  # a StreamHandler, as it has a stream
    try:
        async with _running(_draw_for_ever(console, stream, look)):
            yield
    finally:
        for handler in handlers:
            handler.setStream(stream)  # type: ignore[attr-defined]


class _Above(io.TextIOBase):
    """Where the log is written to meanwhile: above the line, as it is, however long."""

    def __init__(self, console: "Console") -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.out(text, end="", highlight=False)
        return len(text)


async def _draw_for_ever(console: "Console", stream: TextIO, look: Look) -> None:
    pace = Pace()
    writable = select.poll()
    writable.register(stream, select.POLLOUT)
    while not writable.poll(0):  # noqa: ASYNC110 - nothing in this process can tell when it is
        await asyncio.sleep(INTERVAL_S)
    with _bar(console) as bar:
        task = bar.add_task("writing", total=None, text="", visible=False)
        console.show_cursor()  # hidden by whom draws; who is killed could not bring it back
        while True:
            now = look()
            line = None if now is None else pace.line(now, time.monotonic())
            if writable.poll(0):
                if line is None:
                    bar.update(task, visible=False)
                else:
                    total = None if line.done is None else 1.0
                    bar.update(task, total=total, completed=line.done or 0.0, text=line.text, visible=True)
                bar.refresh()
            await asyncio.sleep(INTERVAL_S)


def _bar(console: "Console") -> "Progress":
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    columns = BarColumn(), TextColumn("{task.fields[text]}", markup=False)
    return Progress(*columns, console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)


def _rehearse() -> None:
    """Draws everything once to nowhere: what that loads is loaded while this is still who started the program."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with _bar(console) as bar:
        for total in (None, 1.0):
            task = bar.add_task("writing", total=total, text="1 pulses, –:–– left")
            _Above(console).write("[INFO] a line …\n")
            bar.update(task, completed=0.5, refresh=True)
