"""``sf_bsread check``: what it prints and how it ends."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from sf_bsread_writer.cli import main
from sf_bsread_writer.cli.check import parse_range, ranges_text, table_lines
from sf_bsread_writer.errors import ExitCode, OutputError, UsageError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.inspect import ChannelFindings, Gaps, Rows, inspect_file
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.model import PulseRange
from sf_bsread_writer.testing.messages import message_of, run_of

PULSES = [pulse for pulse in range(100, 110) if pulse != 104]
INCOMPLETE = '{"outcome": "incomplete", "start_pulse_id": 100, "stop_pulse_id": 109}'


def write(path: Path, report: str, pulses: Sequence[int] = PULSES, *, slow: int = 1) -> Path:
    """A file of these pulses and this report; the waveform has a value for every ``slow``-th pulse id."""
    wave = np.arange(20)
    file = PulseFile(path)
    channels = (Channel(name="SARES11:[bold]X", type=ValueType.FLOAT64), Channel(name="WAVE", type=ValueType.INT64, shape=(20,)))
    values = [{"SARES11:[bold]X": 1.5, "WAVE": None if pulse % slow else wave} for pulse in pulses]
    messages = [message_of(pulse, value, channels=channels) for pulse, value in zip(pulses, values, strict=True)]
    if messages:
        file.write(run_of(messages), np.arange(len(messages)), np.zeros(len(messages), np.int64))
    file.finish(len(messages))
    file.seal(None, {}, report)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Pulses 100..109, without 104."""
    return write(tmp_path / "run.h5", INCOMPLETE)


def check(*arguments: str | Path) -> int:
    return main(["check", *map(str, arguments)])


def test_a_file_with_what_was_asked_for_is_complete(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "105:109") == ExitCode.INCOMPLETE  # what was not asked for is in it too
    assert "rows of pulses that were not asked for: 4" in capsys.readouterr().out.splitlines()
    write(path, INCOMPLETE, range(105, 110))
    assert check(path, "--range", "105:109") == ExitCode.COMPLETE
    assert capsys.readouterr().out.splitlines()[-2:] == ["asked for: 105..109; none missing", "as asked for"]


def test_missing_pulses_end_with_incomplete_and_are_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "100:112") == ExitCode.INCOMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "NOT as asked for"
    assert "asked for: 100..112; missing 4: 104, 110..112" in lines
    assert "its own report says: incomplete" in lines


def test_without_a_range_the_report_says_what_was_asked_for(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path) == ExitCode.INCOMPLETE
    assert capsys.readouterr().out.splitlines()[-2:] == ["asked for: 100..109; missing 1: 104", "NOT as asked for"]
    write(path, '{"outcome": "complete", "start_pulse_id": 100, "stop_pulse_id": 103}', range(100, 104))
    assert check(path) == ExitCode.COMPLETE
    assert capsys.readouterr().out.splitlines()[-2:] == ["asked for: 100..103; none missing", "as asked for"]


@pytest.mark.parametrize("outcome", ["incomplete", "stalled", "interrupted", "failed", "running"])
def test_a_report_that_does_not_say_complete_is_believed(
    tmp_path: Path, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "run.h5", f'{{"outcome": "{outcome}", "start_pulse_id": null, "stop_pulse_id": null}}')
    assert check(path) == ExitCode.INCOMPLETE
    assert capsys.readouterr().out.splitlines()[-2:] == [f"its own report says: {outcome}", "NOT as asked for"]


def test_a_file_asked_for_by_now_is_complete_if_its_report_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "run.h5", '{"outcome": "complete", "start_pulse_id": null, "stop_pulse_id": null}')
    assert check(path) == ExitCode.COMPLETE


def test_a_file_without_report_is_not_known_to_be_complete(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(path, "r+") as file:
        del file["report"]
    assert check(path) == ExitCode.INCOMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("has no report: it was never closed")
    assert lines[-1].startswith("NOT known to be complete")
    with h5py.File(write(tmp_path / "whole.h5", "{}", range(100, 110)), "r+") as file:
        del file["report"]
    assert check(tmp_path / "whole.h5") == ExitCode.INCOMPLETE
    assert check(tmp_path / "whole.h5", "--range", "100:109") == ExitCode.COMPLETE  # who names the pulses, knows


def test_a_file_without_pulses_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "run.h5", '{"outcome": "incomplete"}', [])
    assert check(path) == ExitCode.INCOMPLETE
    output = capsys.readouterr().out
    assert f"{path}: 0 rows, 0 channels, no pulses" in output.splitlines()
    assert "None" not in output


def test_every_channel_has_a_line_without_columns_that_say_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "channel          type     shape   rows  present",
        "SARES11:[bold]X  float64  scalar     9        9",
        "WAVE             int64    20         9        9",
    ]


def test_what_is_wrong_gets_a_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(write(tmp_path / "run.h5", INCOMPLETE, [100, 101, 101, 100], slow=4))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("  ")[-3:] == ["missing", "duplicates", "too late"]
    assert lines[1].split()[-5:] == ["4", "4", "0", "2", "1"]
    assert lines[2].split()[-5:] == ["4", "2", "1", "1", "0"]


def test_missing_ranges_stand_below_the_table_and_fit_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = 31_213_694_401
    check(write(tmp_path / "run.h5", INCOMPLETE, range(first, first + 300), slow=10))
    line = capsys.readouterr().out.splitlines()[3]
    assert line == "WAVE misses 270: 31213694401..31213694409, … 30 ranges"


def test_channels_that_miss_the_same_share_a_line() -> None:
    missing = Gaps(pulses=2, ranges=(PulseRange(1, 2),))
    rows = Rows(rows=4, present=2, missing=missing, duplicates=0, out_of_order=0)
    channels = [ChannelFindings(name=f"CHANNEL-{n}", rows=rows, type="int8", shape=(), datasets=()) for n in range(300)]
    assert table_lines(channels)[301:] == ["CHANNEL-0, CHANNEL-1, CHANNEL-2 and 297 more miss 2: 1..2"]
    assert table_lines(channels[:2])[3:] == ["CHANNEL-0, CHANNEL-1 miss 2: 1..2"]


def test_a_name_cannot_move_the_cursor() -> None:
    rows = Rows(rows=0, present=0, missing=Gaps(pulses=0, ranges=()), duplicates=0, out_of_order=0)
    channel = ChannelFindings(name="A\x1b[2J\n", rows=rows, type=None, shape=None, datasets=())
    assert table_lines([channel])[1].startswith("A\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}   no value ever")


def test_json_has_everything(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(path, "--range", "100:109", "--json") == ExitCode.INCOMPLETE
    findings = json.loads(capsys.readouterr().out)
    assert findings["rows"]["missing"] == {"pulses": 1, "ranges": [{"first": 104, "last": 104}]}
    assert [channel["shape"] for channel in findings["channels"]] == [[], [20]]
    assert findings["is_as_asked"] is False


def test_an_unreadable_file_is_an_output_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path / "none.h5") == ExitCode.OUTPUT
    assert f"cannot read {tmp_path / 'none.h5'}: No such file" in capsys.readouterr().err


def test_what_cannot_be_read_is_said_in_words(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.h5").write_text("no HDF5")
    assert check(tmp_path / "cut.h5", tmp_path / "text.h5") == ExitCode.OUTPUT
    assert capsys.readouterr().err.splitlines() == [
        f"sf_bsread check: cannot read {tmp_path}/cut.h5: it is cut off",
        f"sf_bsread check: cannot read {tmp_path}/text.h5: it is not an HDF5 file",
    ]


def test_a_file_that_is_being_written_says_so(tmp_path: Path) -> None:
    writing = "import h5py, sys; file = h5py.File(sys.argv[1], 'w', locking=True); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", writing, str(tmp_path / "run.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OutputError, match=r"run\.h5: it is still being written by a writer"):
            inspect_file(tmp_path / "run.h5")


def test_the_worst_of_several_files_decides(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path / "good.h5", '{"outcome": "complete"}')
    assert check(good, good) == ExitCode.COMPLETE
    assert check(path, good) == ExitCode.INCOMPLETE
    assert check(path, tmp_path / "none.h5", good) == ExitCode.OUTPUT
    assert capsys.readouterr().out.splitlines()[-1] == "as asked for"


def test_ranges_are_inclusive() -> None:
    assert parse_range("100:599") == PulseRange(100, 599)
    assert parse_range("7:7") == PulseRange(7, 7)


@pytest.mark.parametrize("text", ["", "5", "a:b", "5:", "9:5", "1:2:3"])
def test_a_bad_range_is_a_usage_error_that_shows_a_good_one(path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="looks like 100:599"):
        parse_range(text)
    assert check(path, "--range", text) == ExitCode.USAGE


def test_only_the_first_ranges_are_shown() -> None:
    ranges = tuple(PulseRange(pulse, pulse) for pulse in range(1000, 1100, 2))
    assert ranges_text(Gaps(pulses=50, ranges=ranges)) == "1000, 1002, 1004, 1006, 1008, 1010, 1012, … 50 ranges"
    assert ranges_text(Gaps(pulses=8, ranges=ranges[:7])) == "1000, 1002, 1004, 1006, 1008, 1010, 1012"
    assert ranges_text(Gaps(pulses=0, ranges=())) == ""
