"""The main job from end to end with the real programs, told step by step."""

import argparse
import json
import math
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.cli import check
from sf_bsread_writer.cli.children import Child, Children
from sf_bsread_writer.cli.holdings import HoldingsWatch
from sf_bsread_writer.client.writer import Writer
from sf_bsread_writer.errors import ExitCode, OutputError, PeerError, UsageError
from sf_bsread_writer.model import PulseRange

RATE_HZ = 100
HOST = "127.0.0.1"
PATIENCE_S = 20.0
SPARE_S = 10
"""What the ring holds beyond the range that is asked for: the writer has to start in that time, on a slow machine too."""

PARAMETERS = {
    "general/created": "by sf_bsread demo",
    "general/user": "a newcomer",
    "general/process": "sf_bsread demo",
    "general/instrument": "simulated",
}


class _Buffer(NamedTuple):
    child: Child
    address: str
    page: str
    """Where its dashboard is."""


def demonstrate(*, seconds: float, folder: Path, stays: bool = False) -> int:
    """Shows the whole road; returns the writer's exit code, or if that is 0, what a check of the file comes to.

    With ``stays``, source and buffer go on until Ctrl-C, and can be looked at.
    """
    if not 0.1 <= seconds <= 600:
        raise UsageError(f"--seconds {seconds:g} is not usable; give 0.1 to 600, e.g. 3")
    try:
        return _demonstrate(pulses=round(seconds * RATE_HZ), file=_room_for(folder / "demo.BSREAD.h5"), stays=stays)
    except KeyboardInterrupt:
        _say(("\n" if sys.stdout.isatty() else "") + "ended; all that was started is stopped")
        return ExitCode.INTERRUPTED


def _demonstrate(*, pulses: int, file: Path, stays: bool) -> int:
    with Children(file.parent) as children:
        source = _start_source(children)
        buffer = _start_buffer(children, source, length=pulses + SPARE_S * RATE_HZ, captures=file.parent)
        past = _wait_for_pulses(buffer, pulses)
        child, writer = _start_writer(children, buffer.address, file)
        _ask_for(writer, past)
        code = child.wait_for_exit(timeout_s=PATIENCE_S + 2 * pulses / RATE_HZ)
        _say(f"   The writer has ended by itself, with exit code {code}. That is how its users know that the file is done.")
        _say(f"   {_in_words(writer.wait())}")
        _say(f"6. Looks into the file: sf_bsread check {file}")
        found = check.run(argparse.Namespace(files=[file], wanted=None, json=False, html=None))
        _say("   SIM-SLOW:VACUUM comes 10 times a second by design, hence its gaps. The camera's frames are stored as they came.")
        if stays:
            _say(f"7. Source and buffer go on. The buffer's dashboard: {buffer.page}")
            _say("   Ctrl-C here ends them.")
            with suppress(KeyboardInterrupt):
                buffer.child.wait("Ctrl-C", lambda: None, timeout_s=math.inf, poll_s=0.25)
        else:
            _say("7. Ends buffer and source, which would otherwise go on for ever; with --stay they do, and have a dashboard.")
    _say(f"   The file is {file}, the programs' logs are beside it. docs/tutorials/first-file.md goes on from here.")
    _say(f"   It has {file.stat().st_size / 1e6:.0f} MB and may be deleted.")
    return code or found


def _start_source(children: Children) -> str:
    """The source's address."""
    _say("1. A source, as a beamline has many: sf_bsread simulate --preset demo --rate 100")
    source = children.start("source", "sf_bsread_writer.cli", "simulate", "--preset", "demo", "--rate", RATE_HZ, "--interval", 0)
    line = source.wait("its address was told", source.first_line, timeout_s=PATIENCE_S)
    _say(f"   {line}")
    return line.partition(" ")[0]


def _start_buffer(children: Children, source: str, *, length: int, captures: Path) -> _Buffer:
    port, rest_port = _free_port(), _free_port()
    options = f"{source} -o {port} -b {length} --rest_port {rest_port}"
    _say(f"2. The buffer, always connected, holds the last {length} pulses: sf_bsread_buffer {options}")
    child = children.start(
        "buffer", "sf_bsread_writer.buffer", *options.split(), "--bind", HOST, "--capture_root", captures.absolute()
    )
    return _Buffer(child, f"tcp://{HOST}:{port}", f"http://{HOST}:{rest_port}")


def _wait_for_pulses(buffer: _Buffer, pulses: int) -> PulseRange:
    """The last so many pulses that the buffer holds, once it does."""
    with HoldingsWatch(buffer.address, name="sf_bsread demo") as watch:

        def enough() -> PulseRange | None:
            held = watch.ask()
            if held is None or held.newest_pulse_id is None or held.messages < pulses:
                return None
            return PulseRange(held.newest_pulse_id - pulses + 1, held.newest_pulse_id)

        _say(f"3. Nobody has asked for anything yet. Waits until {pulses} pulses have gone by …")
        past = buffer.child.wait(
            f"{pulses} pulses were in the ring", enough, timeout_s=PATIENCE_S + 2 * pulses / RATE_HZ, poll_s=0.25
        )
    _say(f"   They have: {past}. All of them are in the past now.")
    return past


def _start_writer(children: Children, buffer: str, file: Path) -> tuple[Child, Writer]:
    """The writer, once it can be asked, and how to ask it."""
    port = _free_port()
    _say(f"4. Only now a writer, started for one acquisition: sf_bsread_writer {buffer} {file} -1 {port} --overwrite")
    if file.exists():
        _say("   The file of an earlier demonstration stays until the new one is closed and takes its place.")
    begun_s = time.monotonic()
    child = children.start("writer", "sf_bsread_writer.writer", buffer, file, -1, port, "--overwrite")
    writer = Writer(f"http://{HOST}:{port}")
    status = child.wait("the writer answered", lambda: _try_status(writer), timeout_s=PATIENCE_S)
    _say(f"   GET /status after {time.monotonic() - begun_s:.1f} s: {status}")
    return child, writer


def _ask_for(writer: Writer, past: PulseRange) -> None:
    _say("5. Tells it by REST what to write:")
    _say(f"   POST /parameters {json.dumps(PARAMETERS)}")
    writer.set_parameters(PARAMETERS)
    _say(f"   PUT /start_pulse_id/{past.first}")
    writer.start(past.first)
    _say(f"   PUT /stop_pulse_id/{past.last}")
    writer.stop(past.last)


def _try_status(writer: Writer) -> str | None:
    try:
        return writer.status
    except PeerError:
        return None


def _in_words(report: Report) -> str:
    missing = ", ".join(f"{gap.first}..{gap.last}" for gap in report.missing) or "none"
    return (
        f"Its report, which is in the file too: {report.outcome}, {report.reason}. Asked for {report.start_pulse_id}.."
        f"{report.stop_pulse_id}; {report.rows} pulses of {len(report.channels)} channels written; missing: {missing}; "
        f"no longer in the buffer when asked for: {report.evicted_before_start}; "
        f"{report.file_bytes / 1e6:.1f} MB in {report.seconds:.1f} s."
    )


def _room_for(file: Path) -> Path:
    """The file's path, with its folder made."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; choose another folder with --output") from error
    return file


def _free_port() -> int:
    """A port that was free a moment ago: both programs are told theirs on the command line, as in production."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _say(text: str) -> None:
    print(text, flush=True)
