"""``sf_bsread check``: what it prints and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.cli import main
from sf_bsread_writer.cli.check import parse_range, ranges_text
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.inspect import Gaps
from sf_bsread_writer.model import PulseRange
from sf_bsread_writer.testing.messages import message_of, run_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Pulses 100..109, without 104."""
    file = PulseFile(tmp_path / "run.h5")
    pulses = [pulse for pulse in range(100, 110) if pulse != 104]
    run = run_of([message_of(pulse, {"SARES11:[bold]X": 1.5, "WAVE": np.arange(20)}) for pulse in pulses])
    file.write(run, np.arange(9), np.zeros(9, np.int64))
    file.finish(9)
    file.seal(None, {}, '{"outcome": "incomplete"}')
    return tmp_path / "run.h5"


def check(*arguments: str | Path) -> int:
    return main(["check", *map(str, arguments)])


def test_a_file_with_what_was_asked_for_is_complete(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "105:109") == ExitCode.INCOMPLETE  # what was not asked for is in it too
    assert check(path) == ExitCode.COMPLETE
    assert capsys.readouterr().out.splitlines()[-1] == "in good order"


def test_missing_pulses_end_with_incomplete_and_are_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "100:112") == ExitCode.INCOMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "NOT as asked for"
    assert "asked for: 100..112; missing: 4 104, 110..112" in lines
    assert "its own report says: incomplete" in lines


def test_every_channel_has_a_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["SARES11:[bold]X", "float64", "scalar", "9", "9", "0", "ascending"]
    assert lines[2].split() == ["WAVE", "int64", "20", "9", "9", "0", "ascending"]


def test_json_has_everything(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "100:109", "--json") == ExitCode.INCOMPLETE
    findings = json.loads(capsys.readouterr().out)
    assert findings["rows"]["missing"] == {"pulses": 1, "ranges": [{"first": 104, "last": 104}]}
    assert [channel["shape"] for channel in findings["channels"]] == [[], [20]]
    assert findings["is_as_asked"] is False


def test_an_unreadable_file_is_an_output_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none.h5") == ExitCode.OUTPUT
    assert f"cannot read {tmp_path / 'none.h5'}: No such file" in capsys.readouterr().err


def test_ranges_are_inclusive() -> None:
    assert parse_range("100:599") == PulseRange(100, 599)
    assert parse_range("7:7") == PulseRange(7, 7)


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:", "9:5", "1:2:3"])
def test_a_bad_range_is_a_usage_error_that_shows_a_good_one(path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="looks like 100:599"):
        parse_range(text)
    assert check(path, "--range", text) == ExitCode.USAGE


def test_only_the_first_ranges_are_shown() -> None:
    ranges = tuple(PulseRange(pulse, pulse) for pulse in range(0, 16, 2))
    assert ranges_text(Gaps(pulses=8, ranges=ranges)) == "0, 2, 4, 6, 8, … (3 ranges more)"
    assert ranges_text(Gaps(pulses=0, ranges=())) == ""
