"""The Python examples of README and how-to guides run: on a file of the writer's own, or on a stream."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.chain import buffer_of, holdings
from sf_bsread_writer.testing.messages import message_of, run_of
from sf_bsread_writer.testing.programs import running, wait_until

ROOT = Path(__file__).parents[2]
READ = "docs/how-to/read-the-file.md"

CHANNELS = (
    Channel(name="SCALAR", type=ValueType.FLOAT64, shape=()),
    Channel(name="WAVEFORM", type=ValueType.INT32, shape=(4,)),
    Channel(name="CAM:FPICTURE", type=ValueType.UINT16, shape=(3, 5)),
)


@pytest.fixture
def folder_with_file(tmp_path: Path) -> Path:
    """A folder with ``run.h5``: ten pulses from 100 on; SCALAR is missing in pulse 103, WAVEFORM in pulse 105."""
    write(tmp_path / "run.h5", range(100, 110))
    return tmp_path


def write(path: Path, pulse_ids: Iterable[int]) -> None:
    run = run_of(
        [
            message_of(
                pulse_id,
                {
                    "SCALAR": None if pulse_id == 103 else float(pulse_id),
                    "WAVEFORM": None if pulse_id == 105 else np.full(4, pulse_id, np.int32),
                    "CAM:FPICTURE": np.full((3, 5), pulse_id % 7, np.uint16),
                },
                channels=CHANNELS,
            )
            for pulse_id in pulse_ids
        ]
    )
    file = PulseFile(path)
    file.write(run, np.arange(len(run)), run.global_timestamps_ns)
    file.finish(len(run))
    assert {"outcome", "rows", "missing"} <= set(Report.__struct_fields__)
    file.seal(path, {}, json.dumps({"outcome": "complete", "rows": len(run), "missing": []}))


def examples_in(page: str, heading: str | None = None) -> list[str]:
    """All Python examples of a page, or those behind a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    part = text.partition(f"\n## {heading}\n")[2] if heading else text
    return re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)


def results_of(heading: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, page: str = READ) -> dict[str, Any]:
    """Runs an example in the folder of the file; its variables."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(examples_in(page, heading)[0], page, "exec"), names)
    return names


def test_h5py_example(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = results_of("h5py", folder_with_file, monkeypatch)
    assert names["pulse_ids"][names["present"]].tolist() == [100, 101, 102, 104, 105, 106, 107, 108, 109]
    assert names["values"][names["present"]].tolist() == names["pulse_ids"][names["present"]].tolist()


def test_image_example(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert results_of("One image at a time", folder_with_file, monkeypatch)["brightest"] == 4  # 104 % 7 is 6


def test_example_of_two_channels(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = results_of("By pulse id", folder_with_file, monkeypatch)
    expected = [100, 101, 102, 104, 106, 107, 108, 109]
    assert names["pulse_ids"].tolist() == names["scalar"].tolist() == names["waveform"][:, 0].tolist() == expected


def test_pandas_example(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    series = results_of("pandas", folder_with_file, monkeypatch)["series"]
    assert series.index.tolist() == series.tolist() == [100, 101, 102, 104, 105, 106, 107, 108, 109]


def test_xarray_example(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = results_of("xarray", folder_with_file, monkeypatch)["array"]
    assert array.sel(pulse_id=104).values.tolist() == [104] * 4
    assert array.shape == (9, 4)


def test_report_example(folder_with_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = results_of("What is missing", folder_with_file, monkeypatch)["report"]
    assert (report["outcome"], report["rows"], report["missing"]) == ("complete", 10, [])


def test_example_of_two_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "run_000041.BSREAD.h5", range(100, 110))
    write(tmp_path / "run_000041.CAM1.h5", range(92, 120, 4))
    names = results_of("Files", tmp_path, monkeypatch, page="docs/how-to/several-streams.md")
    assert names["pulse_ids"].tolist() == names["intensity"].tolist() == [100, 104, 108]
    assert names["pictures"][:, 0, 0].tolist() == [100 % 7, 104 % 7, 108 % 7]


@pytest.mark.system
def test_examples_with_a_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (
        running(
            "cli/__main__", "simulate", "--first_pulse_id", 6900, "--scalars", 2, "--rate", 1000, "--wait_for_client"
        ) as source,
        buffer_of(source.wait_for_line(r"^(tcp://\S+) ")[1], "-b", 60_000) as buffer,
    ):
        wait_until(lambda: (holdings(buffer.address).newest_pulse_id or 0) > 7499, "the pulses have been sent")
        names: dict[str, Any] = {}
        for page in ("README.md", "docs/how-to/several-writers.md"):
            example = examples_in(page)[0].replace("/data/", f"{tmp_path}/")
            exec(compile(re.sub(r"tcp://\S+:8082", buffer.address, example), page, "exec"), names)
    newest = names["newest"]
    assert [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()] == [newest - 2, newest - 1, newest]
    assert (names["report"].outcome, names["report"].rows) == ("complete", 500)
    assert len(names["frames"]) == 2 + 2 * 2
