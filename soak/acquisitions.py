"""What is asked of writers, and what is done to them meanwhile: each kind is one function, from the start to what became of it.

A kind gets a `Setting` and returns what it asked for and got. Whatever it raises is a fault that was not survived.
"""

import contextlib
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.acquire.service import OUTCOME_EXIT_CODES
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import Writer
from sf_bsread_writer.testing.programs import PACKAGE, Program, started
from soak.beamline import PATIENCE_S, ROOT, Beamline
from soak.checker import Checker
from soak.ledger import Asked, Ending, Got
from soak.recovery import recover

STALL_TIMEOUT_S = 12
"""Longer than a source is away or a buffer takes to come back, and short, since a counter that starts over ends so."""

_LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every kind needs. ``seconds`` is about how long it may take; ``ends`` is set when the soak is to end soon."""

    beamline: Beamline
    checker: Checker
    path: Path
    random: random.Random
    seconds: float
    ends: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """``wrong`` are sentences about what must not be: values, exit codes, logs."""

    asked: Asked
    got: Got
    wrong: Sequence[str]
    values: int = 0
    output: str = ""


Kind = Callable[[Setting], Result]


def past_range(setting: Setting) -> Result:
    """Pulses that the buffer holds."""
    oldest, newest = _held(setting)
    first = setting.random.randint(max(oldest, newest - 1000), newest)
    last = setting.random.randint(first, newest)
    return _range(setting, first, last)


def range_into_the_future(setting: Setting) -> Result:
    """Pulses of which some are yet to come."""
    oldest, newest = _held(setting)
    first = setting.random.randint(max(oldest, newest - 500), newest + 50)
    return _range(setting, first, max(first, newest) + round(100 * _some(setting)))


def evicted_range(setting: Setting) -> Result:
    """Pulses of which the buffer has let some go."""
    oldest, newest = _held(setting)
    first = oldest - setting.random.randint(1, 300)
    return _range(setting, first, setting.random.randint(oldest, min(newest, oldest + 600)))


def from_now_until_now(setting: Setting) -> Result:
    """All that arrives between two moments."""
    with _writing(setting) as writer:
        start = _timed(lambda: writer.put("/start_now"))
        _wait(setting, _some(setting))
        stop = _timed(lambda: writer.put("/stop_now"))
        return _finished(setting, writer, Asked(first=start, last=stop))


def from_a_pulse_until_now(setting: Setting) -> Result:
    """From a pulse in the past until a moment."""
    oldest, newest = _held(setting)
    first = setting.random.randint(max(oldest, newest - 500), newest)
    with _writing(setting) as writer:
        writer.put(f"/start_pulse_id/{first}")
        _wait(setting, _some(setting))
        stop = _timed(lambda: writer.put("/stop_now"))
        return _finished(setting, writer, Asked(first=first, last=stop))


def dry_run(setting: Setting) -> Result:
    """To /dev/null: there is a report only, which a writer that stays can be asked for."""
    oldest, newest = _held(setting)
    first = setting.random.randint(max(oldest, newest - 500), newest)
    asked = Asked(first=first, last=newest + round(50 * _some(setting)))
    body = {"output_file": "/dev/null"}
    with _writing(setting) as writer:
        writer.put(f"/start_pulse_id/{asked.first}", body)
        writer.put(f"/stop_pulse_id/{asked.last}", body)
        deadline_s = time.monotonic() + 2 * PATIENCE_S
        while writer.status == "writing" and time.monotonic() < deadline_s:
            time.sleep(_LOOK_S)
        report = msgspec.convert(writer.get("/report"), Report)
        ended_ns = time.time_ns()
        writer.get("/stop")
        code = writer.program.wait_for_exit(timeout_s=PATIENCE_S)
        got = Got(ending="by itself", ended_ns=ended_ns, exit_code=code, report=report, ids=None)
        return _judged(Result(asked=asked, got=got, wrong=_complaints(writer.program), output=writer.program.output))


def stopped_for_a_while(setting: Setting) -> Result:
    """The writer stands still (SIGSTOP) in the middle, for longer than its sockets take messages."""
    _, newest = _held(setting)
    asked = Asked(first=newest - 50, last=newest + round(100 * _some(setting)))
    with _writing(setting) as writer:
        _put_range(writer, asked)
        _wait(setting, setting.random.uniform(0, 0.3 * setting.seconds))
        writer.program.process.send_signal(signal.SIGSTOP)
        _wait(setting, setting.random.uniform(1, max(2.0, setting.seconds)))
        writer.program.process.send_signal(signal.SIGCONT)
        return _finished(setting, writer, asked)


def stopped_until_overtaken(setting: Setting) -> Result:
    """The writer stands still until the buffer has let go of what it wants."""
    _, newest = _held(setting)
    asked = Asked(first=newest, last=newest + setting.beamline.size.buffer_length + 600)
    with _writing(setting) as writer:
        _put_range(writer, asked)
        writer.program.process.send_signal(signal.SIGSTOP)
        _wait(setting, (setting.beamline.size.buffer_length + 300) / 100)
        writer.program.process.send_signal(signal.SIGCONT)
        return _finished(setting, writer, asked)


def killed(setting: Setting) -> Result:
    """SIGKILL at a moment that nobody chose, then ``sf_bsread recover``."""
    progress: list[tuple[int, int]] = []
    with _writing(setting) as writer:
        asked = _more_than_will_be_written(setting)
        _put_range(writer, asked)
        until_s = time.monotonic() + _some(setting)
        while time.monotonic() < until_s and not setting.ends.is_set():
            last = writer.get("/statistics")["statistics"]["last_pulse_id"]
            progress.append((time.time_ns(), last))
            time.sleep(_LOOK_S / 2)
        ended_ns = time.time_ns()
        writer.program.process.kill()
        code = writer.program.wait_for_exit(timeout_s=PATIENCE_S)
    got = Got(ending="killed", ended_ns=ended_ns, exit_code=code, report=None, ids=np.empty(0, np.int64), progress=progress)
    return _recovered(setting, Result(asked=asked, got=got, wrong=_complaints(writer.program), output=writer.program.output))


def told_to_end(setting: Setting) -> Result:
    """Before its stop: by a signal, /stop or /kill."""
    how = setting.random.choice(("SIGTERM", "SIGINT", "/stop", "/kill"))
    with _writing(setting) as writer:
        asked = _more_than_will_be_written(setting)
        _put_range(writer, asked)
        _wait(setting, _some(setting))
        ended_ns = time.time_ns()
        if how.startswith("/"):
            writer.get(how)
        else:
            writer.program.process.send_signal(getattr(signal, how))
        result = _finished(setting, writer, asked, ending="ended", ended_ns=ended_ns)
    if how != "/kill" or setting.path.exists():
        return result
    # It does not wait for a file that takes long.
    return _recovered(setting, replace(result, got=replace(result.got, ending="killed"), wrong=()))


def disk_full(setting: Setting) -> Result:
    """``path`` lies on a file system that has no room for all that is asked for."""
    _, newest = _held(setting)
    asked = Asked(first=newest - 20, last=newest + 3000)
    with _writing(setting) as writer:
        writer.put(f"/stop_pulse_id/{asked.last}")
        with contextlib.suppress(AssertionError):  # it may be full before there is anything to answer
            writer.put(f"/start_pulse_id/{asked.first}")
        result = _finished(setting, writer, asked, ending="disk full")
    if result.got.ending == "disk full" and result.got.exit_code != ExitCode.OUTPUT:  # it ended before the disk was full
        return replace(result, got=replace(result.got, ending="by itself"))
    return result


KINDS: Mapping[str, tuple[Kind, int]] = {
    "past range": (past_range, 4),
    "range into the future": (range_into_the_future, 4),
    "range that is partly gone": (evicted_range, 2),
    "from now until now": (from_now_until_now, 4),
    "from a pulse until now": (from_a_pulse_until_now, 2),
    "dry run": (dry_run, 2),
    "stopped for a while": (stopped_for_a_while, 2),
    "stopped until overtaken": (stopped_until_overtaken, 1),
    "killed": (killed, 4),
    "told to end": (told_to_end, 2),
    "disk full": (disk_full, 2),
}
"""By name, with how often each is chosen."""


def _with(result: Result, wrong: str) -> Result:
    return replace(result, wrong=(*result.wrong, wrong))


def _recovered(setting: Setting, result: Result) -> Result:
    failure = recover(setting.path)
    return _read(setting, result if failure is None else _with(result, failure))


def _range(setting: Setting, first: int, last: int) -> Result:
    asked = Asked(first=first, last=last)
    with _writing(setting) as writer:
        _put_range(writer, asked)
        return _finished(setting, writer, asked)


def _more_than_will_be_written(setting: Setting) -> Asked:
    """A range whose end is far behind the end of this acquisition."""
    oldest, newest = _held(setting)
    first = setting.random.randint(max(oldest, newest - 500), newest)
    return Asked(first=first, last=newest + round(100 * (setting.seconds + PATIENCE_S)))


def _put_range(writer: Writer, asked: Asked) -> None:
    writer.put(f"/start_pulse_id/{asked.first}")
    writer.put(f"/stop_pulse_id/{asked.last}")


@contextlib.contextmanager
def _writing(setting: Setting) -> Iterator[Writer]:
    """A writer that is connected."""
    command = [sys.executable, str(PACKAGE / "writer.py"), setting.beamline.address, str(setting.path), "-1", "0"]
    command += ["--stall_timeout", str(STALL_TIMEOUT_S)]
    with started(command, name="writer", environment={"PYTHONPATH": str(ROOT)}, own_group=True) as program:
        url = program.wait_for_line(r"REST on (http://\S+)", timeout_s=PATIENCE_S)[1]
        program.wait_for_line("Connected to the buffer", timeout_s=PATIENCE_S)
        try:
            yield Writer(program, url, setting.path)
        finally:
            with contextlib.suppress(ProcessLookupError):
                program.process.send_signal(signal.SIGCONT)  # one that stands still cannot be ended


def _finished(
    setting: Setting, writer: Writer, asked: Asked, *, ending: Ending = "by itself", ended_ns: int | None = None
) -> Result:
    """Waits for the end; a soak that ends waits for nobody."""
    last_s = (asked.last - asked.first) / 100 if isinstance(asked.last, int) and isinstance(asked.first, int) else 0.0
    deadline_s = time.monotonic() + last_s + STALL_TIMEOUT_S + PATIENCE_S
    while writer.program.process.poll() is None and time.monotonic() < deadline_s:
        if setting.ends.is_set() and ending != "ended":
            ending, ended_ns = "ended", time.time_ns()
            writer.program.process.send_signal(signal.SIGTERM)
        time.sleep(_LOOK_S)
    code = writer.program.wait_for_exit(timeout_s=1.0)
    result = Result(
        asked=asked,
        got=Got(
            ending=ending,
            ended_ns=time.time_ns() if ended_ns is None else ended_ns,
            exit_code=code,
            report=None,
            ids=np.empty(0, np.int64),
        ),
        wrong=_complaints(writer.program),
        output=writer.program.output,
    )
    return _judged(_read(setting, result))


def _judged(result: Result) -> Result:
    """The exit code has to be that of the report."""
    report, code = result.got.report, result.got.exit_code
    if report is None:
        return _with(result, f"there is no report; exit code {code}")
    return result if OUTCOME_EXIT_CODES[report.outcome] == code else _with(result, f"exit code {code}, outcome {report.outcome}")


def _read(setting: Setting, result: Result) -> Result:
    """Adds what the file holds, if there is one."""
    if not setting.path.exists():
        return result
    checked = setting.checker.check(setting.path, setting.beamline.sent())
    got = replace(result.got, report=checked.report, ids=checked.ids, arrivals_ns=checked.arrivals_ns)
    return replace(result, got=got, wrong=[*result.wrong, *checked.wrong], values=checked.values)


def _complaints(program: Program) -> list[str]:
    """What a program says only if it has a fault of its own."""
    return ["the writer's log has a traceback"] if "Traceback" in program.output else []


def _held(setting: Setting) -> tuple[int, int]:
    """Oldest and newest pulse of the buffer, which may be away for a moment."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return setting.beamline.held()
        except (OSError, AssertionError, TimeoutError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_LOOK_S)


def _timed(request: Callable[[], None]) -> tuple[int, int]:
    """The times before and after it."""
    before_ns = time.time_ns()
    request()
    return before_ns, time.time_ns()


def _some(setting: Setting) -> float:
    """A time."""
    return setting.random.uniform(0.2, 1.0) * setting.seconds


def _wait(setting: Setting, seconds: float) -> None:
    setting.ends.wait(seconds)
