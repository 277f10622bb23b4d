"""The writer from a full ring to the closed file: what one message and one value cost, beside ``bs h5`` and a write() loop.

Every acquisition here is a process of its own, from the request by REST to its end. CPU is that of the process without its start
(imports, REST, connecting), closing of the file included.
"""

import importlib
import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from bench.harness import Measured, Rounds, Sheet, figure, take_turns
from bench.limits import FRAME_BYTES, memory_folders, write_loop_s
from bench.parties import CAMERA, SCALARS_300, Sent, acquire, buffered, ended_children_cpu_s, first_frames, scratch, warm_space
from sf_bsread_writer.message.compression import compress, decompress
from sf_bsread_writer.message.types import Compression

_ALONE_MESSAGES = (10, 110)
"""bs h5 is timed twice; the difference leaves out its start."""

_FILTERS: Mapping[Compression, Mapping[str, object]] = {
    Compression.NONE: {},
    Compression.LZ4: hdf5plugin.LZ4(),
    Compression.BITSHUFFLE_LZ4: hdf5plugin.Bitshuffle(cname="lz4"),
}


def run(sheet: Sheet) -> None:
    """All of it."""
    scalars(sheet)
    camera(sheet)
    compressed(sheet)
    compression(sheet)
    sizes(sheet)
    layouts(sheet)


def scalars(sheet: Sheet) -> None:
    """300 float64 scalars, with their timestamps and pulse ids, against psi-bsread on the same ring."""
    count = sheet.size(40_000, 300)
    with scratch(needs_bytes=count * 6_000) as folder, buffered(*SCALARS_300, limit="2G") as filled:
        sent = filled.send(count)
        address = filled.buffer.address
        ours: dict[str, Callable[[], Measured]] = {"this writer": partial(_acquired, address, folder, sent)}
        rounds = take_turns(ours, rounds=sheet.size(5, 1))
        peer = _bs_h5(address, folder, sheet)
    mine = rounds.median("this writer", "messages/s")
    rows = [
        ["this writer", figure(mine), figure(rounds.median("this writer", "CPU µs/message")), figure(mine * 300 / 1e6)],
        *(
            [["bs h5", figure(peer["messages/s"]), figure(peer["CPU µs/message"]), figure(peer["messages/s"] * 3e-4)]]
            if peer
            else []
        ),
    ]
    title = f"Writer: {count:,} messages of 300 float64 scalars, from the ring to the closed file"
    sheet.table(title, ["", "messages/s", "CPU µs/message", "M values/s"], rows, rounds)
    if not peer:
        sheet.note("psi-bsread is not installed or did not run here: nothing to compare with.")
    sheet.promise("writer, 300 scalars", "≥", 10_000, mine, "messages/s")
    sheet.promise("writer, 300 scalars, rate against bs h5", "≥", 500, mine / peer["messages/s"] if peer else None, "×")
    sheet.promise("writer, 300 scalars, CPU", "≤", 60, rounds.median("this writer", "CPU µs/message"), "µs/message")


def _acquired(address: str, folder: Path, sent: Sent) -> Measured:
    one = acquire(address, folder / "run.h5", sent.first, sent.last)
    rows = one["rows"]
    return one | {"messages/s": rows / one["wall_s"], "CPU µs/message": one["cpu_s"] / rows * 1e6}


def _bs_h5(address: str, folder: Path, sheet: Sheet) -> Measured | None:
    taken = [_bs_h5_run(address, folder, count) for count in (_ALONE_MESSAGES if not sheet.quick else (5, 15))]
    if None in taken:
        return None
    (few, first), (many, second) = [each for each in taken if each is not None]
    count = (_ALONE_MESSAGES[1] - _ALONE_MESSAGES[0]) if not sheet.quick else 10
    return {"messages/s": count / (many - few), "CPU µs/message": (second - first) / count * 1e6}


def _bs_h5_run(address: str, folder: Path, count: int) -> tuple[float, float] | None:
    """Wall and CPU seconds."""
    path = folder / "bs.h5"
    command = [sys.executable, "-m", "bsread.cli.bs", "h5", "-s", address, "-m", "pull", "-n", str(count), str(path)]
    before_s, began_s = ended_children_cpu_s(), time.monotonic()
    done = subprocess.run(command, capture_output=True, check=False, timeout=170)
    wall_s, used_s = time.monotonic() - began_s, ended_children_cpu_s() - before_s
    path.unlink(missing_ok=True)
    return (wall_s, used_s) if done.returncode == 0 else None


def camera(sheet: Sheet) -> None:
    """Uncompressed frames, against write() of as many bytes into the same folder; both end with fsync."""
    count = sheet.size(700, 20)
    size = count * FRAME_BYTES
    rows = []
    with buffered(*CAMERA, limit="2G") as filled:
        sent = filled.send(count)
        places: list[Path | None] = [None, *memory_folders()]
        for place in places:
            with scratch(needs_bytes=size, parent=place) as folder:
                cases: dict[str, Callable[[], Measured]] = {
                    "this writer": partial(_written, filled.buffer.address, folder, sent, FRAME_BYTES),
                    "write() loop": partial(_looped, folder, size),
                }
                rounds = take_turns(cases, rounds=sheet.size(3, 1))
            where = "disk" if place is None else str(place)
            ratio = rounds.ratio("this writer", "write() loop", "GB/s")
            for what, case, quantity, cpu in (
                ("this writer", "this writer", "GB/s", "CPU µs/frame"),
                ("this writer, each further frame", "this writer", "further GB/s", "CPU µs/further frame"),
                ("write() loop", "write() loop", "GB/s", None),
            ):
                rows.append(
                    [
                        f"{what}, {where}",
                        figure(rounds.median(case, quantity)),
                        figure(rounds.ratio(case, "write() loop", quantity, "GB/s")),
                        figure(rounds.median(case, cpu)) if cpu else "",
                        f"{100 * rounds.spread(case, quantity):.0f} %",
                    ]
                )
            sheet.rounds[f"camera, {where}"] = {case: [dict(each) for each in found] for case, found in rounds.measured.items()}
            sheet.promise(f"writer, camera, rate against a write() loop, {where}", "≥", 0.9, ratio, "×")
    columns = ["", "GB/s", "of the loop", "CPU µs/frame", "spread"]
    sheet.table(f"Writer: {count} frames of 1280×1024 uint16, request to end of process, fsync included", columns, rows)


def _written(address: str, folder: Path, sent: Sent, frame_bytes: int) -> Measured:
    """A whole acquisition, and what each frame costs beyond those of a shorter one: without beginning and end."""
    part = Sent(sent.first, sent.first + sent.count // 5 - 1, sent.at_ns)
    short, one = (
        acquire(
            address,
            folder / "run.h5",
            each.first,
            each.last,
            when_ready=partial(warm_space, folder / "warm", each.count * frame_bytes),
        )
        for each in (part, sent)
    )
    further = one["rows"] - short["rows"]
    return one | {
        "GB/s": one["rows"] * FRAME_BYTES / one["wall_s"] / 1e9,
        "further GB/s": further * FRAME_BYTES / (one["wall_s"] - short["wall_s"]) / 1e9,
        "CPU µs/frame": one["cpu_s"] / one["rows"] * 1e6,
        "CPU µs/further frame": (one["cpu_s"] - short["cpu_s"]) / further * 1e6,
    }


def _looped(folder: Path, size: int) -> Measured:
    warm_space(folder / "warm", size)
    seconds = write_loop_s(folder, size)
    return {"GB/s": size / seconds["synced_s"] / 1e9, "write only GB/s": size / seconds["write_s"] / 1e9}


def compressed(sheet: Sheet) -> None:
    """bitshuffle_lz4 and lz4 frames, passed through; against decompressing and compressing each once, in one thread."""
    rows = []
    for compression in (Compression.BITSHUFFLE_LZ4, Compression.LZ4):
        channels = ("--camera", f"1280x1024:compression={compression.value}")
        payload = first_frames(*channels)[2]
        count = sheet.size(min(1_000, int(1.5e9 / len(payload))), 20)
        recode = _recoder(compression, payload)
        with scratch(needs_bytes=count * FRAME_BYTES) as folder, buffered(*channels, limit="2G") as filled:
            sent = filled.send(count)
            cases: dict[str, Callable[[], Measured]] = {
                "this writer": partial(_written, filled.buffer.address, folder, sent, len(payload)),
                "decompress and compress": recode,
            }
            rounds = take_turns(cases, rounds=sheet.size(3, 1))
        peer, each = "decompress and compress", "CPU µs/further frame"
        ratio = rounds.ratio("this writer", peer, each, "CPU µs/frame")
        rows += [
            [
                f"{compression.value}, {what}",
                figure(len(payload) / 1e6),
                figure(rounds.median(case, quantity)),
                figure(rounds.ratio(case, peer, quantity, "CPU µs/frame")),
            ]
            for what, case, quantity in (
                ("this writer", "this writer", "CPU µs/frame"),
                ("this writer, each further frame", "this writer", each),
                (peer, peer, "CPU µs/frame"),
            )
        ]
        sheet.rounds[f"compressed, {compression.value}"] = {
            case: [dict(each) for each in found] for case, found in rounds.measured.items()
        }
        if compression is Compression.BITSHUFFLE_LZ4:
            sheet.promise("writer, bitshuffle_lz4 camera, CPU against decompress-and-recompress", "≤", 0.25, ratio, "×")
    sheet.table("Writer: compressed camera frames", ["", "MB/frame", "CPU µs/frame", "of recompressing"], rows)


def _recoder(compression: Compression, payload: bytes) -> Callable[[], Measured]:
    """Decompresses and compresses with the fastest there is: the bitshuffle package where it is installed."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when bitshuffle is loaded
    bitshuffle = importlib.import_module("bitshuffle") if importlib.util.find_spec("bitshuffle") else None

    def by_bitshuffle() -> None:
        assert bitshuffle is not None
        data: NDArray[np.uint8] = np.frombuffer(payload, np.uint8)[12:]
        block = int.from_bytes(payload[8:12], "big") // 2
        frame = bitshuffle.decompress_lz4(data, (1024, 1280), np.dtype(np.uint16), block)
        bitshuffle.compress_lz4(frame, block)

    def by_ourselves() -> None:
        raw = decompress(compression, payload, expected_bytes=FRAME_BYTES, item_bytes=2, big_endian=False)
        compress(compression, raw, item_bytes=2, big_endian=False)

    work = by_bitshuffle if bitshuffle is not None and compression is Compression.BITSHUFFLE_LZ4 else by_ourselves

    def measured() -> Measured:
        began_s = time.process_time()
        for _ in range(20):
            work()
        return {"CPU µs/frame": (time.process_time() - began_s) / 20 * 1e6}

    return measured


def compression(sheet: Sheet) -> None:
    """Frames that come uncompressed, compressed on their way into a file on the disk, beside not compressing them."""
    count = sheet.size(300, 20)
    frame = np.frombuffer(first_frames(*CAMERA)[2], np.uint16).reshape(1024, 1280)
    with buffered(*CAMERA, limit="2G") as filled, scratch(needs_bytes=count * FRAME_BYTES) as folder:
        sent = filled.send(count)
        cases: dict[str, Callable[[], Measured]] = {
            each.value: partial(_compressing, filled.buffer.address, folder, sent, each, frame) for each in Compression
        }
        rounds = take_turns(cases, rounds=sheet.size(3, 1), warm_up=sheet.size(1, 0))
    columns = ["frames/s", "CPU µs/frame", "MB/frame in the file", "µs/frame to read"]
    rows = [[case, *(figure(rounds.median(case, column)) for column in columns)] for case in cases]
    title = f"Writer: {count} uncompressed camera frames with --compression, {len(os.sched_getaffinity(0))} cores, disk"
    sheet.table(title, ["", *columns], rows, rounds)
    sheet.note("The noise of a simulated frame repeats every 10,007 pixels, which lz4 finds: no camera is so kind to it.")


def _compressing(address: str, folder: Path, sent: Sent, compression: Compression, frame: NDArray[np.uint16]) -> Measured:
    one = acquire(
        address,
        folder / "run.h5",
        sent.first,
        sent.last,
        "--compression",
        compression.value,
        when_ready=partial(warm_space, folder / "warm", sent.count * FRAME_BYTES),
    )
    return one | {
        "frames/s": one["rows"] / one["wall_s"],
        "CPU µs/frame": one["cpu_s"] / one["rows"] * 1e6,
        "MB/frame in the file": one["file_bytes"] / one["rows"] / 1e6,
        "µs/frame to read": _read_back_s(folder / "read.h5", compression, frame) * 1e6,
    }


def _read_back_s(path: Path, compression: Compression, frame: NDArray[np.uint16]) -> float:
    """Seconds in which HDF5 reads one such frame from the page cache, the filter included."""
    count = 20
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "frames", (count, *frame.shape), frame.dtype, chunks=(1, *frame.shape), **_FILTERS[compression]
        )
        for row in range(count):
            dataset[row] = frame
    into = np.empty_like(frame)
    with h5py.File(path) as file:
        began_s = time.monotonic()
        for row in range(count):
            file["frames"].read_direct(into, np.s_[row])
        wall_s = time.monotonic() - began_s
    path.unlink()
    return wall_s / count


def sizes(sheet: Sheet) -> None:
    """10 to 5,000 channels. What a file's creation costs is told apart from what each further value costs."""
    rows, further = [], []
    for channels, count in ((10, 100_000), (100, 40_000), (1_000, 6_000), (5_000, 1_200)):
        number = sheet.size(count, 40)
        rounds = _long_and_short(sheet, ("--scalars", str(channels)), number)
        long_s, short_s = rounds.median("long", "cpu_s"), rounds.median("short", "cpu_s")
        values = channels * (rounds.median("long", "rows") - rounds.median("short", "rows"))
        each_ns = (long_s - short_s) / values * 1e9
        further.append(each_ns)
        once_s = short_s - each_ns * 1e-9 * channels * rounds.median("short", "rows")
        rows.append(
            [
                f"{channels:,}",
                f"{number:,}",
                figure(rounds.median("long", "rows") / rounds.median("long", "wall_s")),
                figure(long_s / channels / rounds.median("long", "rows") * 1e9),
                figure(each_ns),
                figure(each_ns * channels / 1e3),
                figure(1e3 * once_s),
            ]
        )
        sheet.rounds[f"{channels} channels"] = {case: [dict(each) for each in found] for case, found in rounds.measured.items()}
    columns = ["channels", "messages", "messages/s", "CPU ns/value, all", "each further value", "µs/further message", "once, ms"]
    sheet.table("Writer: numbers of channels, float64 scalars", columns, rows)
    sheet.promise(
        "writer, 10 … 5,000 channels, CPU per further value, largest / smallest", "≤", 2, max(further) / min(further), "×"
    )
    sheet.promise(
        "writer, 100 … 5,000 channels, CPU per further value, largest / smallest",
        "≤",
        2,
        max(further[1:]) / min(further[1:]),
        "×",
    )


def _long_and_short(sheet: Sheet, channels: tuple[str, ...], count: int) -> Rounds:
    """Acquisitions of all and of a fifth of the messages of one ring."""
    with scratch(needs_bytes=1 << 30) as folder, buffered(*channels, limit="2G") as filled:
        sent = filled.send(count)
        part = Sent(sent.first, sent.first + count // 5 - 1, sent.at_ns)
        cases: dict[str, Callable[[], Measured]] = {
            "long": partial(_acquired, filled.buffer.address, folder, sent),
            "short": partial(_acquired, filled.buffer.address, folder, part),
        }
        return take_turns(cases, rounds=sheet.size(3, 1), warm_up=sheet.size(1, 0))


def layouts(sheet: Sheet) -> None:
    """What changes from message to message, and a stream of everything, beside the same channels without change."""
    waves = [option for n in range(20) for option in ("--channel", f"SIM:WAVE-{n:02d}:int16:2048")]
    slow = ("--scalars", "270", *(option for n in range(30) for option in ("--channel", f"SIM:SLOW-{n:02d}:float64:modulo=10")))
    streams: dict[str, tuple[tuple[str, ...], int]] = {
        "300 scalars, always there": (SCALARS_300, 15_000),
        "270 at 100 Hz, 30 at 10 Hz": (slow, 15_000),
        "300, each missing at random in 1 %": ((*SCALARS_300, "--missing", "0.01"), 8_000),
        "300, each missing at random in 20 %": ((*SCALARS_300, "--missing", "0.2"), 8_000),
        "200 scalars, 20 × 2048 int16, camera": (("--scalars", "200", *waves, *CAMERA), 300),
    }
    rows = []
    for what, (channels, count) in streams.items():
        rounds = _long_and_short(sheet, channels, sheet.size(count, 40))
        extra = rounds.median("long", "rows") - rounds.median("short", "rows")
        each_us = (rounds.median("long", "cpu_s") - rounds.median("short", "cpu_s")) / extra * 1e6
        rows.append(
            [
                what,
                figure(rounds.median("long", "messages/s")),
                figure(rounds.median("long", "CPU µs/message")),
                figure(each_us),
                figure(rounds.median("long", "file_bytes") / rounds.median("long", "wall_s") / 1e6),
            ]
        )
        sheet.rounds[f"layouts: {what}"] = {case: [dict(each) for each in found] for case, found in rounds.measured.items()}
    columns = ["stream", "messages/s", "CPU µs/message, all", "each further message", "MB/s in the file"]
    sheet.table("Writer: layouts that change, and a mix", columns, rows)
