"""How fast the files read back, beside the same values in the chunks that ``bs h5`` makes: one row each, no filter.

Only the datasets that are read are written a second time: a chunk for each of 300 × 100,000 values would take an hour to make.
Files lie in the page cache; each reading opens the file anew. Short readings are done at many places of the file.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from bench.harness import Measured, Rounds, Sheet, figure, take_turns
from bench.parties import SCALARS_300, scratch, source_of
from sf_bsread_writer.testing.chain import writer_of

_SMALL_CAMERA = ("--camera", "128x128")
_CHANNEL = "SIM:SCALAR-007"
_CAMERA = "SIM:CAMERA"
_ACROSS = 1_000
"""Pulses of the file with a chunk for each value of 300 channels."""

_PLACES = 25
"""At which something short is read."""

Read = Callable[[], int]
"""Returns how often it has read."""


def run(sheet: Sheet) -> None:
    """One scalar of many pulses, one pulse of many scalars, one image of many."""
    pulses, images, across = sheet.size(100_000, 500), sheet.size(10_000, 50), sheet.size(_ACROSS, 50)
    with scratch(needs_bytes=pulses * 6_000 + images * 80_000) as folder:
        long, short, pictures = folder / "long.h5", folder / "short.h5", folder / "images.h5"
        _acquire_live(long, SCALARS_300, pulses)
        _acquire_live(short, SCALARS_300, across)
        _acquire_live(pictures, _SMALL_CAMERA, images)
        long_peer = _in_chunks_of_one(long, [_CHANNEL])
        short_peer = _in_chunks_of_one(short, _names(short))
        pictures_peer = _in_chunks_of_one(pictures, [_CAMERA])
        cases: dict[str, tuple[Read, Read | None]] = {
            f"one scalar channel, {pulses:,} pulses": (partial(_all, long, _CHANNEL), partial(_all, long_peer, _CHANNEL)),
            f"its timestamps, {pulses:,} pulses": (partial(_all, long, _CHANNEL, "timestamp"), None),
            f"one pulse of 300 channels, of {across:,}": (
                partial(_at_places, _row, short, across),
                partial(_at_places, _row, short_peer, across),
            ),
            f"one pulse of 300 channels, of {pulses:,}": (partial(_at_places, _row, long, pulses), None),
            f"one image of {images:,}": (
                partial(_at_places, _image, pictures, images),
                partial(_at_places, _image, pictures_peer, images),
            ),
            f"all {images:,} images": (partial(_all, pictures, _CAMERA), partial(_all, pictures_peer, _CAMERA)),
        }
        timed: dict[str, Callable[[], Measured]] = {}
        for what, (ours, theirs) in cases.items():
            timed[what] = partial(_timed, ours)
            if theirs is not None:
                timed[_peer(what)] = partial(_timed, theirs)
        _tell(sheet, take_turns(timed, rounds=sheet.size(7, 1)), [*cases])
        value_bytes = [path.stat().st_size / count for path, count in ((long, pulses * 300), (short_peer, across * 300))]
        sheet.note(
            f"Sizes: {value_bytes[0]:.1f} bytes for a float64 of {pulses:,} pulses with its timestamp; in chunks of one row "
            f"{value_bytes[1]:.1f} bytes without it. Images were 128×128 uint16."
        )


def _peer(what: str) -> str:
    return f"{what}, chunks of one row"


def _tell(sheet: Sheet, rounds: Rounds, cases: Sequence[str]) -> None:
    rows = []
    for what in cases:
        ours = figure(1e3 * rounds.median(what, "s"))
        if _peer(what) not in rounds.measured:
            rows.append([what, ours, "", ""])
            continue
        ratio = rounds.ratio(_peer(what), what, "s")
        rows.append([what, ours, figure(1e3 * rounds.median(_peer(what), "s")), figure(ratio)])
    sheet.table("Reading back", ["", "this writer's file, ms", "bs h5's chunks, ms", "times as fast"], rows, rounds)


def _acquire_live(path: Path, channels: tuple[str, ...], count: int) -> None:
    """Straight from the source, which waits for the writer: no ring need hold it all."""
    with source_of(*channels) as source:
        source.process.tell("accept")
        with writer_of(source.address, path) as writer:
            source.process.answer("accepted")
            first = source.burst(1).last + 1
            writer.put(f"/start_pulse_id/{first}")
            writer.put(f"/stop_pulse_id/{first + count - 1}")
            source.burst(count)
            code = writer.program.wait_for_exit(timeout_s=120)
    if code:
        raise RuntimeError(f"the writer ended with {code}:\n{writer.program.output}")


def _names(path: Path) -> list[str]:
    with h5py.File(path) as file:
        return list(file["data"])


def _in_chunks_of_one(path: Path, names: Sequence[str]) -> Path:
    """The values of these channels in another file, as ``bs h5`` of psi-bsread 2.0.1 lays them out, under this file's names."""
    target = path.with_name(f"chunks-of-one-{path.name}")
    with h5py.File(path) as file, h5py.File(target, "w") as other:
        for name in names:
            values = file["data"][name]["data"][:]
            dataset = other.create_dataset(f"data/{name}/data", values.shape, values.dtype, chunks=(1, *values.shape[1:]))
            for row in range(len(values)):  # one write for each row, as they came, so that the chunks lie as they would
                dataset.id.write_direct_chunk((row, *(0 for _ in values.shape[1:])), values[row].tobytes())
    return target


def _all(path: Path, name: str, what: str = "data") -> int:
    with h5py.File(path) as file:
        file["data"][name][what][:]
    return 1


def _at_places(read: Callable[[Path, int], object], path: Path, rows: int) -> int:
    places = np.linspace(0, rows - 1, _PLACES, dtype=int).tolist()
    for row in places:
        read(path, row)
    return len(places)


def _row(path: Path, row: int) -> object:
    with h5py.File(path) as file:
        return np.array([group["data"][row] for group in file["data"].values()])


def _image(path: Path, row: int) -> object:
    with h5py.File(path) as file:
        return file["data"][_CAMERA]["data"][row]


def _timed(read: Read) -> Measured:
    began_s = time.monotonic()
    times = read()
    return {"s": (time.monotonic() - began_s) / times}
