"""The buffer between source and readers: what it takes away from a direct link, what a message costs, what many readers get."""

import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.harness import Measured, Sheet, figure, take_turns
from bench.parties import (
    CAMERA,
    SCALARS_300,
    Child,
    Filled,
    Source,
    buffered,
    child,
    compiled,
    cpu_s,
    first_frames,
    free_port,
    scratch,
    source_of,
)
from sf_bsread_writer.testing.chain import Buffer, buffer_of, holdings

_ENOUGH_ROUNDS = 1000
"""Sinks are ended, they need not end."""

_LINKS = ("direct", "through the buffer", "through a proxy in C")


def run(sheet: Sheet) -> None:
    """All of it."""
    with scratch(needs_bytes=1 << 20) as folder:
        sink, source, proxy = (compiled(name, folder) for name in ("sink", "source", "proxy"))
        if sink is None or source is None:
            sheet.note("No C compiler or no libzmq3-dev here: the C programs are left out, and the link is one of pyzmq.")
        pair = pair_of(source, sink)
        link(sheet, pair, proxy, folder, ("300 scalars", SCALARS_300, sheet.size(10_000, 200)))
        link(sheet, pair, proxy, folder, ("camera 1280×1024", CAMERA, sheet.size(600, 20)))
        cost(sheet, sink)
    clients(sheet)
    replay(sheet)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A libzmq source and a libzmq sink: commands to which their arguments are added."""

    kind: str
    source: tuple[object, ...]
    sink: tuple[object, ...]


def pair_of(source: Path | None, sink: Path | None) -> Pair:
    """The C programs, or those of pyzmq where one of them could not be compiled."""
    if source is not None and sink is not None:
        return Pair(kind="C libzmq", source=(source,), sink=(sink,))
    python = (sys.executable, "-m")
    return Pair(kind="pyzmq", source=(*python, "bench.pyzmq_source"), sink=(*python, "bench.sinks", "zmq"))


def link(sheet: Sheet, pair: Pair, proxy: Path | None, folder: Path, stream: tuple[str, tuple[str, ...], int]) -> None:
    """libzmq source → libzmq sink, and the same two with the buffer, or a proxy that keeps nothing, between them."""
    what, channels, count = stream
    frames = first_frames(*channels)
    prepared = folder / "message"
    prepared.write_bytes(b"".join(struct.pack("<I", len(frame)) + frame for frame in frames))
    size = sum(map(len, frames))
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3 if proxy else 2)]
        sources = [stack.enter_context(child(*pair.source, port, prepared, count)) for port in ports]
        for each in sources:
            each.answer("ready")
        addresses = [f"tcp://127.0.0.1:{port}" for port in ports]
        buffer = stack.enter_context(buffer_of(addresses[1], "-b", 10_000_000, "--memory_limit", "2G"))
        ends = [addresses[0], buffer.address]
        pids: list[int | None] = [None, buffer.program.process.pid]
        if proxy is not None:
            port = free_port()
            between = stack.enter_context(child(proxy, port, ports[2]))
            between.answer("ready")
            ends.append(f"tcp://127.0.0.1:{port}")
            pids.append(between.pid)
        sinks = [stack.enter_context(child(*pair.sink, end, count, _ENOUGH_ROUNDS)) for end in ends]
        for each in sinks:
            each.answer("ready")
        cases: dict[str, Callable[[], Measured]] = {
            case: partial(_through, source, sink, count, pid)
            for case, source, sink, pid in zip(_LINKS, sources, sinks, pids, strict=False)
        }
        rounds = take_turns(cases, rounds=sheet.size(5, 1), warm_up=sheet.size(5 if len(frames) > 4 else 2, 1))
    rows = [
        [
            case,
            figure(rounds.median(case, "messages/s")),
            figure(rounds.median(case, "messages/s") * size / 1e6),
            figure(rounds.ratio(case, "direct", "messages/s")),
            figure(rounds.median(case, "sink µs")),
            figure(rounds.median(case, "between µs")) if case != "direct" else "",
        ]
        for case in cases
    ]
    columns = ["", "messages/s", "MB/s", "of direct", "CPU µs/message of the sink", "of what is between"]
    sheet.table(f"Link: {pair.kind} source to {pair.kind} sink, {what}", columns, rows, rounds)
    ratio = rounds.ratio("through the buffer", "direct", "messages/s")
    sheet.promise(f"relay, {what}, rate against the direct link", "≥", 0.9, ratio, "×")
    if proxy is not None:
        least = rounds.ratio("through the buffer", "through a proxy in C", "messages/s")
        sheet.promise(f"relay, {what}, rate against a proxy in C that keeps nothing", "≥", 0.75, least, "×")


def _through(source: Child, sink: Child, count: int, pid: int | None) -> Measured:
    before_s = cpu_s(pid) if pid else 0.0
    source.tell("go")
    wall_s, sink_cpu_s, *_ = map(float, sink.answer("round"))
    source.answer("sent")
    used_s = cpu_s(pid) - before_s if pid else 0.0
    return {"messages/s": (count - 1) / wall_s, "sink µs": sink_cpu_s / count * 1e6, "between µs": used_s / count * 1e6}


def cost(sheet: Sheet, sink: Path | None) -> None:
    """CPU of one message in four receivers, each on a stream of its own with prepared bytes."""
    for what, channels, count in (
        ("300 scalars", SCALARS_300, sheet.size(15_000, 300)),
        ("camera 1280×1024", CAMERA, sheet.size(300, 20)),
    ):
        with ExitStack() as stack:
            receivers: dict[str, Callable[[], Measured]] = {}
            filled = stack.enter_context(buffered(*channels, limit="768M"))
            receivers["buffer, nobody reads"] = partial(_kept, filled, count)
            read = stack.enter_context(buffered(*channels, limit="768M"))
            reader = stack.enter_context(_reader(read.buffer, count))
            receivers["buffer, one client reads"] = partial(_kept, read, count, reader)
            if sink is not None:
                receivers["C libzmq PULL loop"] = partial(_pulled, *stack.enter_context(_loop((sink,), channels, count)), count)
            few = max(1, count // 10)  # it takes ten times as long
            loop = (sys.executable, "-m", "bench.sinks", "zmq")
            receivers["pyzmq PULL loop"] = partial(_pulled, *stack.enter_context(_loop(loop, channels, few)), few)
            # As many rounds before as fill the ring once: after that its memory is recycled.
            warm_up = sheet.size(2, 1)
            rounds = take_turns(receivers, rounds=sheet.size(5, 1), warm_up=warm_up)
        peer = "C libzmq PULL loop" if sink is not None else "pyzmq PULL loop"
        rows = [
            [
                case,
                figure(rounds.median(case, "CPU µs/message")),
                figure(rounds.ratio(case, peer, "CPU µs/message")),
                f"{100 * rounds.spread(case, 'CPU µs/message'):.0f} %",
            ]
            for case in receivers
        ]
        title = f"CPU of receiving {what}"
        sheet.table(title, ["", "µs/message", "of the libzmq loop", "spread"], rows, rounds)
        if what == "300 scalars":
            ratio = rounds.ratio("buffer, nobody reads", peer, "CPU µs/message") if sink is not None else None
            sheet.promise("relay, 300 scalars, CPU per message against a C libzmq PULL loop", "≤", 0.7, ratio, "×")


@contextmanager
def _reader(buffer: Buffer, count: int) -> Iterator[Child]:
    with child(sys.executable, "-m", "bench.sinks", "raw", buffer.address, count, _ENOUGH_ROUNDS, "live") as reader:
        reader.answer("ready")
        yield reader


@contextmanager
def _loop(command: tuple[object, ...], channels: tuple[str, ...], count: int) -> Iterator[tuple[Source, Child]]:
    with source_of(*channels) as source, child(*command, source.address, count, _ENOUGH_ROUNDS) as sink:
        source.accept()
        sink.answer("ready")
        yield source, sink


def _kept(filled: Filled, count: int, reader: Child | None = None) -> Measured:
    before_s = cpu_s(filled.pid)
    filled.send(count)
    if reader is not None:
        reader.answer("round")
    return {"CPU µs/message": (cpu_s(filled.pid) - before_s) / count * 1e6}


def _pulled(source: Source, sink: Child, count: int) -> Measured:
    source.burst(count)
    _, used_s, *_ = map(float, sink.answer("round"))
    return {"CPU µs/message": used_s / count * 1e6}


def clients(sheet: Sheet) -> None:
    """1, 2, 4 and 8 clients that read the live stream, sent as fast as the buffer takes it."""
    rows = []
    for what, channels, count in (
        ("300 scalars", SCALARS_300, sheet.size(6_000, 200)),
        ("camera 1280×1024", CAMERA, sheet.size(200, 20)),
    ):
        for number in (1, 2, 4, 8):
            with ExitStack() as stack:
                filled = stack.enter_context(buffered(*channels, limit="1G"))
                filled.send(sheet.size(count * 4, 10))
                readers = [stack.enter_context(_reader(filled.buffer, count)) for _ in range(number)]
                rounds = take_turns({"": partial(_fan, filled, readers, count)}, rounds=sheet.size(3, 1))
            sheet.rounds[f"clients: {what}, {number}"] = {"": [dict(each) for each in rounds.measured[""]]}
            rows.append(
                [
                    f"{what}, {number}",
                    figure(rounds.median("", "messages/s")),
                    figure(rounds.median("", "GB/s")),
                    figure(rounds.median("", "CPU µs/message")),
                    figure(rounds.median("", "lost")),
                ]
            )
    columns = ["live, clients", "messages/s each", "GB/s of all", "CPU µs/message of the buffer", "pulses lost"]
    sheet.table("Clients of one buffer", columns, rows)


def _fan(filled: Filled, readers: list[Child], count: int) -> Measured:
    before_s, began_s = cpu_s(filled.pid), time.monotonic()
    filled.source.burst(count)
    ends = [list(map(float, reader.answer("round"))) for reader in readers]
    wall_s = time.monotonic() - began_s
    return {
        "messages/s": count / wall_s,
        "GB/s": sum(end[2] for end in ends) / wall_s / 1e9,
        "CPU µs/message": (cpu_s(filled.pid) - before_s) / count * 1e6,
        "lost": max(end[3] for end in ends),
    }


def replay(sheet: Sheet) -> None:
    """A full ring to a new client while the source goes on at 100 Hz; a second client follows the live stream all the time."""
    rows = []
    for what, channels, total in (
        ("camera 1280×1024", CAMERA, sheet.size(1000, 30)),
        ("300 scalars", SCALARS_300, sheet.size(60_000, 300)),
    ):
        with buffered(*channels, limit="2G") as filled:
            filled.send(total)
            # The ring is full, its segments recycled; from here on the source never rests.
            live_count = sheet.size(600, 20)
            with _reader(filled.buffer, live_count) as follower:
                filled.source.begin(live_count, 100.0)
                rounds = take_turns({"": partial(_replayed, filled)}, rounds=sheet.size(5, 1), warm_up=sheet.size(1, 0))
                filled.source.finish()
                lost = float(follower.answer("round")[3])
            rows.append(
                [
                    what,
                    figure(rounds.median("", "GB")),
                    figure(rounds.median("", "GB/s")),
                    figure(rounds.median("", "lost")),
                    figure(lost),
                ]
            )
            sheet.rounds[f"replay: {what}"] = {"": [dict(each) for each in rounds.measured[""]]}
            if what.startswith("camera"):
                sheet.promise("replay of a full ring beside the live stream", "≥", 1.5, rounds.median("", "GB/s"), "GB/s")
    columns = [
        "ring of 2 GiB, live stream at 100 Hz",
        "GB replayed",
        "GB/s",
        "pulses lost in the replay",
        "lost by a live client",
    ]
    sheet.table("Replay to a new client", columns, rows)


def _replayed(filled: Filled) -> Measured:
    # The oldest messages go while the client connects, a segment's at a time: it is asked for one segment's less than there are.
    held = holdings(filled.buffer.address).messages
    count = max(1, held - held // 100 - 16)
    with child(sys.executable, "-m", "bench.sinks", "raw", filled.buffer.address, count, 1, "oldest") as sink:
        sink.answer("ready")
        wall_s, _, size, lost = map(float, sink.answer("round"))
    return {"GB": size / 1e9, "GB/s": size / wall_s / 1e9, "lost": lost}
