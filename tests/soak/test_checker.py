"""The file that these pulses must give has nothing wrong; with any one value changed it has."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.message.encode import encode_message
from sf_bsread_writer.simulator.values import salt, value_at
from sf_bsread_writer.testing.acquisition import sample_report
from sf_bsread_writer.testing.messages import run_of
from soak.checker import Checked, Checker
from soak.ledger import RECORD, Sent
from soak.stream import SIZES, channels, global_ns, plan, present

SIZE = SIZES["small"]
IDS = np.array([*range(1000, 1015), *range(1020, 1040), *range(1050, 1055)])
HEADERS = np.repeat([0, 1, 0], [15, 20, 5])
ARRIVALS_NS = 2_000_000 + np.arange(len(IDS))


def message(pulse_id: int, header: int) -> list[bytes]:
    """By way of the plain encoder."""
    simulated, time_ns = channels(SIZE, header), int(global_ns(pulse_id))
    (has,) = present(plan(SIZE, header), [pulse_id])
    return encode_message(
        pulse_id=pulse_id,
        global_timestamp_ns=time_ns,
        channels=[each.channel for each in simulated],
        values=[
            (value_at(each, pulse_id), time_ns + salt(each.channel.name)) if there else (None, None)
            for each, there in zip(simulated, has, strict=True)
        ],
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checker") / "run.h5"
    file = PulseFile(path)
    messages = [message(pulse_id, header) for pulse_id, header in zip(IDS.tolist(), HEADERS.tolist(), strict=True)]
    file.write(run_of(messages), np.arange(len(IDS)), ARRIVALS_NS)
    file.finish(len(IDS))
    file.seal(None, {}, msgspec.json.encode(sample_report()).decode())
    return path


def check(path: Path, headers: "np.ndarray[tuple[int], np.dtype[np.int64]]" = HEADERS) -> Checked:
    records = [(pulse_id, 1, 2, 1, header) for pulse_id, header in zip(IDS.tolist(), headers.tolist(), strict=True)]
    return Checker(SIZE).check(path, Sent(np.array(records, RECORD)))


def test_what_the_source_sends_is_found_to_be_right(written: Path) -> None:
    found = check(written)
    assert found.wrong == []
    assert found.ids.tolist() == IDS.tolist()
    assert found.arrivals_ns.tolist() == ARRIVALS_NS.tolist()
    assert found.report == sample_report()
    values = 0
    for header in (0, 1):
        sizes = np.array([np.prod(each.channel.shape, dtype=int) for each in channels(SIZE, header)])
        values += int((present(plan(SIZE, header), IDS[header == HEADERS]) @ sizes).sum())
    assert found.values == values


def first_of(path: str, change: Callable[[object], object] = lambda value: value + 1) -> Callable[[h5py.File], None]:  # type: ignore[operator]
    def damage(file: h5py.File) -> None:
        dataset = file[path]
        index = (7, *(0 for _ in dataset.shape[1:]))
        dataset[index] = change(dataset[index])

    return damage


def without(path: str) -> Callable[[h5py.File], None]:
    def damage(file: h5py.File) -> None:
        del file[path]

    return damage


def with_another_channel(file: h5py.File) -> None:
    file["data/NEW"] = file["data/SOAK:SLOW"]


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (first_of("data/SIM:SCALAR-007/data"), "SIM:SCALAR-007/data: 1 rows differ, the first is row 7, pulse 1007"),
        (first_of("data/SOAK:WAVE/data(1)"), "SOAK:WAVE/data(1): 1 rows differ, the first is row 7"),
        (first_of("data/SOAK:WAVE/data(2)"), "SOAK:WAVE/data(2): 1 rows differ, the first is row 7"),  # where it has none
        (first_of("data/SIM:CAMERA/data"), "SIM:CAMERA/data: 1 rows"),
        (first_of("data/SOAK:PACKED/data"), "SOAK:PACKED/data: 1 rows"),
        (first_of("data/SOAK:BIG-ENDIAN/data"), "SOAK:BIG-ENDIAN/data: 1 rows"),
        (first_of("data/SOAK:STATE/data", lambda _: "another"), "SOAK:STATE/data: 1 rows"),
        (first_of("data/SOAK:LOSSY/timestamp"), "SOAK:LOSSY/timestamp: 1 rows"),
        (first_of("data/SOAK:LOSSY/is_data_present", lambda there: 1 - there), "SOAK:LOSSY/is_data_present: 1 rows"),  # type: ignore[operator]
        (first_of("data/SOAK:SLOW/pulse_id"), "SOAK:SLOW/pulse_id: 1 rows"),
        (first_of("stream/global_timestamp"), "stream/global_timestamp: 1 rows"),
        (first_of("stream/arrival_timestamp"), ""),
        (first_of("stream/arrival_timestamp", lambda _: 10**9), "stream/arrival_timestamp decreases"),
        (without("data/SIM:ADDED"), "channels that must not be there, or are missing: ['SIM:ADDED']"),
        (with_another_channel, "channels that must not be there, or are missing: ['NEW']"),
        (without("data/SOAK:WAVE/data(1)"), "SOAK:WAVE has the datasets"),
    ],
)
def test_any_one_damage_is_found(written: Path, tmp_path: Path, damage: Callable[[h5py.File], None], where: str) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(written, path)
    with h5py.File(path, "r+") as file:
        damage(file)
    assert any(where in text for text in check(path).wrong) if where else check(path).wrong == []


def test_a_row_of_the_other_header_is_found(written: Path) -> None:
    headers = HEADERS.copy()
    headers[14] = 1
    assert any(
        "SIM:ADDED/is_data_present: 1 rows differ, the first is row 14, pulse 1014" in text
        for text in check(written, headers).wrong
    )
