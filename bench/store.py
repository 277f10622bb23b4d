"""A ring in a store beside one that goes with its process: what a message costs, and how long a restart on a full one takes."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench.harness import Measured, Sheet, figure, take_turns
from bench.parties import CAMERA, SCALARS_300, Filled, buffered, cpu_s, scratch
from sf_bsread_writer.testing.chain import buffer_of

_SHARED_MEMORY = Path("/dev/shm")
_KINDS = ("in /dev/shm", "on disk")
_STREAMS = (("300 scalars", SCALARS_300, 15_000, 52_000), ("camera 1280×1024", CAMERA, 300, 900))


def run(sheet: Sheet) -> None:
    """Both."""
    cost(sheet)
    restart(sheet)


@contextmanager
def _folders(needs_bytes: int) -> Iterator[dict[str, Path]]:
    """A folder of each kind."""
    with ExitStack() as stack:
        places = zip(_KINDS, (_SHARED_MEMORY, Path(tempfile.gettempdir())), strict=True)
        yield {kind: stack.enter_context(scratch(needs_bytes=needs_bytes, parent=place)) for kind, place in places}


def cost(sheet: Sheet) -> None:
    """CPU of receiving one message, three buffers in turn, each on a stream of its own; nobody reads."""
    rows = []
    for what, channels, full, _ in _STREAMS:
        count = sheet.size(full, full // 5)  # CPU seconds are counted in hundredths
        with _folders(1 << 30) as folders, ExitStack() as stack:
            options = {"no store": (), **{kind: ("--store", folder) for kind, folder in folders.items()}}
            buffers = {
                kind: stack.enter_context(buffered(*channels, limit="768M", options=each)) for kind, each in options.items()
            }
            cases = {kind: partial(_kept, filled, count) for kind, filled in buffers.items()}
            # As many rounds before as fill the ring once: after that its memory is recycled.
            rounds = take_turns(cases, rounds=sheet.size(7, 1), warm_up=sheet.size(2, 0))
        for kind in cases:
            used, ratio = rounds.median(kind, "CPU µs"), rounds.ratio(kind, "no store", "CPU µs")
            rows.append([f"{what}, {kind}", figure(used), figure(ratio), figure(rounds.median(kind, "messages/s"))])
        sheet.rounds[f"store: {what}"] = {kind: [dict(each) for each in all_] for kind, all_ in rounds.measured.items()}
        ratio = rounds.ratio(_KINDS[0], "no store", "CPU µs")
        sheet.promise(f"store in /dev/shm, {what}, CPU per message against none", "≤", 1.5, ratio, "×")
    sheet.table("Receiving into a store", ["", "CPU µs/message", "of no store", "messages/s"], rows)


def _kept(filled: Filled, count: int) -> Measured:
    before_s, began_s = cpu_s(filled.pid), time.monotonic()
    filled.send(count)
    return {"CPU µs": (cpu_s(filled.pid) - before_s) / count * 1e6, "messages/s": count / (time.monotonic() - began_s)}


def restart(sheet: Sheet) -> None:
    """From the start of the process to its port, on what a buffer that was killed has left: a full ring of 2 GiB."""
    rows = []
    for what, channels, _, full in _STREAMS:
        with _folders(3 << 30) as folders:
            for kind, folder in folders.items():
                options = ("--store", folder)
                with buffered(*channels, options=options) as filled:
                    filled.send(sheet.size(full, 20))
                    filled.buffer.program.end(signal.SIGKILL)
                arguments = ("-b", 10_000_000, "--memory_limit", "2G", *options)
                cases = {
                    "": partial(_started, filled.source.address, *arguments),
                    "none": partial(_started, filled.source.address),
                }
                rounds = take_turns(cases, rounds=sheet.size(3, 1))
                seconds, without = rounds.median("", "s"), rounds.median("none", "s")
                rows.append([f"{what}, {kind}", figure(rounds.median("", "messages")), figure(seconds), figure(without)])
    columns = ["ring of 2 GiB", "messages found", "s to the port", "s without store"]
    sheet.table("Starting again after a kill", columns, rows)


def _started(source: str, *arguments: object) -> Measured:
    began_s = time.monotonic()
    with buffer_of(source, *arguments) as buffer:
        wall_s = time.monotonic() - began_s
        line = buffer.program.wait_for_line(r"begins empty|goes on with (\d+)")
        return {"s": wall_s, "messages": float(line[1] or 0)}
