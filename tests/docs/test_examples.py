"""The Python examples of the how-to guides run, on a file of the writer's own."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.messages import message_of, run_of

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "read-the-file.md"

CHANNELS = (
    Channel(name="SCALAR", type=ValueType.FLOAT64, shape=()),
    Channel(name="WAVEFORM", type=ValueType.INT32, shape=(4,)),
    Channel(name="CAM:FPICTURE", type=ValueType.UINT16, shape=(3, 5)),
)


@pytest.fixture
def folder_with_file(tmp_path: Path) -> Path:
    """A folder with ``run.h5``: ten pulses from 100 on; SCALAR is missing in pulse 103, WAVEFORM in pulse 105."""
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
            for pulse_id in range(100, 110)
        ]
    )
    path = tmp_path / "run.h5"
    file = PulseFile(path)
    file.write(run, np.arange(len(run)), run.global_timestamps_ns)
    file.finish(len(run))
    assert {"outcome", "rows", "missing"} <= set(Report.__struct_fields__)
    file.seal(path, {}, json.dumps({"outcome": "complete", "rows": len(run), "missing": []}))
    return tmp_path


def results_of(heading: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs the first example below a heading in the folder of the file; its variables."""
    section = GUIDE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    needs = re.findall(r"^import (\w+)", example, re.MULTILINE)
    absent = [name for name in needs if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"{', '.join(absent)} not installed")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(compile(example, str(GUIDE), "exec"), names)
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
