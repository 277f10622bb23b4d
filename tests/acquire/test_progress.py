"""The line that says how far an acquisition is: what it says, and that it is on terminals only and disturbs nothing."""

import asyncio
import io
import logging
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sf_bsread_writer.acquire import progress
from sf_bsread_writer.acquire.progress import Pace, clock, shown_on
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.report import Statistics
from sf_bsread_writer.acquire.selection import Selection
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import Writer, ZmqSource, buffer_of
from sf_bsread_writer.testing.programs import DEADLINE_S, started
from sf_bsread_writer.testing.terminal import on_terminal, screen


def statistics(**values: Any) -> Statistics:
    """Those of a writer that has just begun, but for these values."""
    nothing = Recording(Selection(), stream="tcp://here:1", started_ns=0)
    fields = nothing.statistics(connected=True, output_file="run.h5", file_bytes=0)
    return Statistics(**{name: getattr(fields, name) for name in fields.__struct_fields__} | values)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - there is no event for a line of the log
            await asyncio.sleep(0.001)


def test_a_range_has_its_share_its_rate_and_the_time_that_is_left() -> None:
    pace = Pace()
    asked = {"start_pulse_id": 100, "stop_pulse_id": 1099}
    first = pace.line(statistics(**asked), 10.0)
    assert (first.done, first.text) == (0.0, "0 pulses, 0/s, 0 missing")
    pace.line(statistics(rows=100, last_pulse_id=199, **asked), 11.0)
    line = pace.line(statistics(rows=290, last_pulse_id=399, missing_pulses=10, **asked), 14.0)
    assert (line.done, line.text) == (0.3, "290 pulses, 63/s, 10 missing, 0:10 left")  # 200 ids in the last 3 s, 700 to go
    line = pace.line(statistics(rows=990, last_pulse_id=1099, missing_pulses=10, **asked), 15.0)
    assert (line.done, line.text.rpartition(", ")[2]) == (1.0, "0:00 left")


def test_a_stream_that_has_stopped_has_no_time_left_to_tell() -> None:
    pace = Pace()
    for second in range(10):
        line = pace.line(
            statistics(start_pulse_id=1, stop_pulse_id=100, rows=50, last_pulse_id=50, connected=False), float(second)
        )
    assert (line.done, line.text) == (0.5, "50 pulses, 0/s, 0 missing, not connected, –:–– left")


def test_without_a_stop_there_is_no_share() -> None:
    pace = Pace()
    assert pace.line(statistics(start_pulse_id=1, rows=50, last_pulse_id=50), 0.0).done is None
    line = pace.line(statistics(start_pulse_id=1, rows=80, last_pulse_id=80), 1.0)
    assert (line.done, line.text) == (None, "80 pulses, 30/s, 0 missing")


def test_from_now_to_a_stop_the_share_is_that_of_what_came_first() -> None:
    pace = Pace()
    assert pace.line(statistics(stop_pulse_id=1099), 0.0).done is None
    assert pace.line(statistics(stop_pulse_id=1099, rows=1, last_pulse_id=100), 1.0).done == 0.001
    assert pace.line(statistics(stop_pulse_id=1099, rows=500, last_pulse_id=599), 2.0).done == 0.5


def test_another_acquisition_begins_anew() -> None:
    pace = Pace()
    pace.line(statistics(stop_pulse_id=1099, rows=500, last_pulse_id=599), 1.0)
    line = pace.line(statistics(stop_pulse_id=2099, rows=1, last_pulse_id=1100), 2.0)
    assert (line.done, line.text) == (0.001, "1 pulses, 0/s, 0 missing, –:–– left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (7200, "2:00:00"), (1e30, "99:59:59")]
)
def test_times_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_what_is_foreseen_stands_beside_what_there_is() -> None:
    line = Pace().line(statistics(rows=80, last_pulse_id=80, expected_rows=1000), 0.0)
    assert line.text == "80 of 1000 pulses, 0/s, 0 missing"


def test_without_a_terminal_the_log_has_the_same_figures_while_it_is_writing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.03)
    stream = io.StringIO()
    now: Statistics | None = None
    looks = 0

    def look() -> Statistics | None:
        nonlocal looks
        looks += 1
        return now

    async def two_intervals() -> None:
        behind = looks + 2 * progress.LOOKS
        await until(lambda: looks >= behind)

    async def lines(count: int) -> list[str]:
        await until(lambda: len(caplog.messages) >= count)
        return caplog.messages

    async def show() -> None:
        nonlocal now
        async with shown_on(stream)(look):
            await two_intervals()
            assert caplog.messages == []
            now = statistics(stop_pulse_id=1099, missing_pulses=2)
            assert (await lines(1))[0] == "Writing: 0 pulses, 0/s, 2 missing"
            now = statistics(stop_pulse_id=1099, rows=500, expected_rows=998, last_pulse_id=599, connected=False)
            await lines(3)  # the second may have a rate yet
            now = None
            told = len(caplog.messages)
            await two_intervals()
            assert len(caplog.messages) == told
            now = statistics(rows=7, last_pulse_id=7)
            assert (await lines(told + 1))[told] == "Writing: 7 pulses, 0/s, 0 missing, last pulse 7"
        now = statistics(rows=8, last_pulse_id=8)

    with caplog.at_level(logging.INFO, progress.__name__):
        asyncio.run(show())
    assert stream.getvalue() == ""
    assert re.fullmatch(
        r"Writing: 500 of 998 pulses, \d+/s, 0 missing, not connected, (–:––|\d+:\d\d) left, last pulse 599", caplog.messages[2]
    )


@pytest.mark.system
@pytest.mark.peer
def test_a_writer_without_a_terminal_logs_how_far_it_is_until_its_file_is_closed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sf_bsread_writer import writer\nfrom sf_bsread_writer.acquire import progress\n"
        "progress.LOG_INTERVAL_S = 0.05\nsys.exit(writer.main(sys.argv[1:]))"
    )
    path = tmp_path / "run.h5"
    with ZmqSource() as source, buffer_of(source.address) as buffer:
        source.send_range(1, 60)
        buffer.wait_until_it_holds(newest=60)
        command = [sys.executable, "-c", code, buffer.address, str(path), "-1", "0"]
        with started(command, name="writer") as program:
            writer = Writer(program, program.wait_for_line(r"REST on (http://\S+)")[1], path)
            writer.put("/start_pulse_id/1")
            writer.put("/stop_pulse_id/80")
            program.wait_for_line(r"\[INFO\] Writing: 60 of 80 pulses, \d+/s, 0 missing, .* left, last pulse 60$")
            source.send_range(61, 80)
            writer.ended()
    told = [index for index, line in enumerate(program.lines) if "Writing: " in line]
    ended = next(index for index, line in enumerate(program.lines) if "Acquisition complete" in line)
    assert max(told) < ended


def in_a_process(code: str, **streams: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **streams)


def test_a_writer_without_a_terminal_does_not_load_what_draws() -> None:
    code = (
        "import sys, sf_bsread_writer.writer\n"
        "from sf_bsread_writer.acquire.progress import shown_on\n"
        "shown_on(); print('rich' in sys.modules)"
    )
    with in_a_process(code, stderr=subprocess.DEVNULL) as process:
        assert process.communicate(timeout=30)[0] == "False\n"


def test_nothing_more_is_loaded_once_it_is_shown_since_the_user_may_be_another_by_then(tmp_path: Path) -> None:
    code = """
import asyncio, logging, os, sys
from sf_bsread_writer import logs, writer
from sf_bsread_writer.acquire.progress import shown_on
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.selection import PulseBound, Selection
logs.configure("INFO")
shown = shown_on()
before = set(sys.modules)
recording = Recording(Selection(PulseBound(1), PulseBound(9)), stream="", started_ns=0)
async def show():
    async with shown(lambda: recording.statistics(connected=True, output_file="run.h5", file_bytes=0)):
        await asyncio.sleep(0)
        logging.info("wide \\u4e2d\\U0001f600 and [bold]not markup[/]" + "x" * 200)
        while not os.path.exists(sys.argv[1]):
            await asyncio.sleep(0.01)
asyncio.run(show())
print(sorted(set(sys.modules) - before))
"""
    seen = tmp_path / "seen"
    out, into = os.pipe()
    with on_terminal([sys.executable, "-c", code, str(seen)], stdout=into, columns=300) as terminal:
        os.close(into)
        terminal.wait_for("0 pulses, 0/s, 0 missing")
        terminal.wait_for("[INFO] wide 中😀 and [bold]not markup[/]" + "x" * 200)
        seen.touch()
        assert terminal.ended() == 0
    with os.fdopen(out) as said:
        assert said.read() == "[]\n", terminal.shown


async def turns_on(stream: Any) -> int:
    """How often the loop turns while the line is shown."""
    turns = 0
    async with shown_on(stream)(statistics):
        deadline = asyncio.get_running_loop().time() + 1.0
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
            turns += 1
    return turns


def test_a_terminal_that_takes_nothing_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        os.set_blocking(theirs, False)
        room = select.poll()
        room.register(theirs, select.POLLOUT)
        while room.poll(50):
            with suppress(BlockingIOError):
                os.write(theirs, b"x" * 1000)
        assert asyncio.run(turns_on(stream)) > 10
    os.close(ours)


@pytest.mark.system
@pytest.mark.peer
def test_at_a_terminal_the_log_stays_whole_above_the_line(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with ZmqSource() as source, buffer_of(source.address) as buffer:
        source.send_range(1, 60)
        buffer.wait_until_it_holds(newest=60)
        command = [sys.executable, "-m", "sf_bsread_writer.writer", buffer.address, str(path), "-1", "0"]
        with on_terminal(command, columns=100) as terminal:
            terminal.wait_for("Connected to the")
            found = re.search(r"REST on (http://[\d.:]+)", terminal.shown)
            assert found is not None
            writer = Writer(None, found[1], path)  # type: ignore[arg-type]  # what it prints is on the terminal
            assert "pulses," not in terminal.shown
            writer.put("/start_pulse_id/1")
            writer.put("/stop_pulse_id/80")
            terminal.wait_for("60 of 80 pulses, ")
            source.send_range(61, 80)
            assert terminal.ended() == ExitCode.COMPLETE
            shown = terminal.shown
    lines = screen(shown)
    assert "[INFO] Acquisition complete: every pulse asked for is in the file" in lines
    assert "[INFO] Asked for: 1..80; written: 80 pulses of 1 channels, pulses 1..80" in lines
    assert lines[-1] == ""  # the line itself is gone
    assert [line for line in lines if line and not line.startswith("[INFO] ")] == []
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is there
