"""``sf_bsread recover``: what it prints, how it ends, and what becomes of the report."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.report import Notes, Report
from sf_bsread_writer.acquire.selection import PulseBound, Selection, TimeBound
from sf_bsread_writer.cli import main
from sf_bsread_writer.cli import recover as cli_recover
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.place import journal_path
from sf_bsread_writer.testing.chain import report_in
from sf_bsread_writer.testing.messages import message_of, run_of

PULSES = [pulse for pulse in range(100, 110) if pulse != 104]


def leave(
    folder: Path, selection: Selection, pulses: Sequence[int] = PULSES, *, noted: int | None = None, lost_in_buffer: int = 0
) -> Path:
    """What a writer of these pulses leaves if it is killed after a flush; what it noted knows of the first ``noted`` of them."""
    file, recording = PulseFile(folder / "living" / "run.h5"), Recording(selection, stream="tcp://here:1", started_ns=0)
    run = run_of([message_of(pulse, {"A": 1.0, "B": np.arange(5)}) for pulse in pulses])
    recording.take(run.slice(0, len(pulses) if noted is None else noted), np.zeros(len(pulses), np.int64)[:noted])
    recording.lost_in_buffer = lost_in_buffer
    file.write(run, np.arange(len(pulses)), np.zeros(len(pulses), np.int64))
    report = recording.report(outcome="running", reason="still writing", output_file="?", file_bytes=0, now_ns=2_000_000_000)
    file.flush(msgspec.json.encode(Notes(report=report, parameters={"general/user": "p1"}, damaged={"B": 2})))
    left = folder / "run.h5.partial"
    for name in (left.name, journal_path(left).name):
        (folder / name).write_bytes((folder / "living" / name).read_bytes())
    file.abandon()
    (folder / "living").rmdir()
    return left


def recover(path: Path, *arguments: str) -> ExitCode:
    return ExitCode(main(["recover", str(path), *arguments]))


def asked(start: int, stop: int | None) -> Selection:
    return Selection(PulseBound(start), None if stop is None else PulseBound(stop))


def test_an_interrupted_acquisition_keeps_its_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = leave(tmp_path, asked(100, 120))
    assert recover(left) is ExitCode.COMPLETE
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == (
        "Acquisition interrupted: its writer was killed, and the file recovered; 12 pulses are missing"
    )
    assert told.err.splitlines() == ["2 channels completed"]
    assert os.listdir(tmp_path) == ["run.h5"]
    report = report_in(tmp_path / "run.h5")
    assert (report.outcome, report.recovered, report.rows, report.stream) == ("interrupted", True, 9, "tcp://here:1")
    assert (report.start_pulse_id, report.stop_pulse_id, report.first_pulse_id, report.last_pulse_id) == (100, 120, 100, 109)
    assert [(gap.first, gap.last) for gap in report.missing] == [(104, 104), (110, 120)]
    assert (report.missing_pulses, report.received_messages, report.output_file) == (12, 9, str(tmp_path / "run.h5"))
    assert [(channel.name, channel.present, channel.missing, channel.damaged) for channel in report.channels] == [
        ("A", 9, 0, 0),
        ("B", 9, 0, 2),
    ]
    with h5py.File(tmp_path / "run.h5") as file:
        assert file["general/user"][()] == b"p1"
    assert main(["check", str(tmp_path / "run.h5"), "--range", "105:109"]) == ExitCode.INCOMPLETE  # others are in it, too
    assert main(["check", str(tmp_path / "run.h5"), "--range", "100:109", "--json"]) == ExitCode.INCOMPLETE  # 104 is not
    assert '"problems": []' in capsys.readouterr().out


def test_a_file_with_all_that_was_asked_for_is_complete(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recover(leave(tmp_path, asked(105, 108), range(105, 112))) is ExitCode.COMPLETE
    report = report_in(tmp_path / "run.h5")
    assert (report.outcome, report.rows, report.trimmed, report.missing) == ("complete", 4, 3, ())
    assert report.reason == "its writer was killed, and the file recovered; every pulse asked for is in the file"
    assert main(["check", str(tmp_path / "run.h5")]) == ExitCode.COMPLETE


@pytest.mark.parametrize(
    ("selection", "lost_in_buffer", "outcome", "reason"),
    [
        (asked(105, None), 0, "interrupted", "it had not come to its stop"),
        (Selection(TimeBound(0), PulseBound(109)), 0, "complete", "every pulse asked for is in the file"),
        (Selection(TimeBound(0), PulseBound(109)), 3, "interrupted", "it had not come to its stop"),
    ],
)
def test_open_ends(tmp_path: Path, selection: Selection, lost_in_buffer: int, outcome: str, reason: str) -> None:
    recover(leave(tmp_path, selection, range(105, 110), lost_in_buffer=lost_in_buffer))
    report = report_in(tmp_path / "run.h5")
    assert (report.outcome, report.reason.partition("; ")[2]) == (outcome, reason)
    assert (report.missing_pulses, report.lost_in_buffer) == (0, lost_in_buffer)


def test_what_is_in_the_file_goes_before_what_was_noted(tmp_path: Path) -> None:
    recover(leave(tmp_path, asked(100, 109), noted=3))
    report = report_in(tmp_path / "run.h5")
    assert (report.rows, report.last_pulse_id, report.missing_pulses) == (9, 109, 1)


def test_without_notes_the_report_says_what_the_file_says(tmp_path: Path) -> None:
    left = leave(tmp_path, asked(100, 109))
    journal_path(left).unlink()
    assert recover(left) is ExitCode.OUTPUT
    assert recover(left, "--without_journal") is ExitCode.COMPLETE
    report = report_in(tmp_path / "run.h5")
    assert (report.start_pulse_id, report.stop_pulse_id, report.rows, report.outcome) == (None, None, 9, "interrupted")
    assert (report.missing_pulses, report.stream) == (1, "")  # 104, between the first and the last


def test_an_acquisition_that_was_killed_before_its_first_pulse(tmp_path: Path) -> None:
    (tmp_path / "run.h5.partial").touch()
    assert recover(tmp_path / "run.h5.partial") is ExitCode.COMPLETE
    report = report_in(tmp_path / "run.h5")
    assert (report.rows, report.first_pulse_id, report.channels, report.recovered) == (0, None, (), True)


def test_a_restart_of_the_machine_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = leave(tmp_path, asked(100, 109))
    os.utime(journal_path(left), (1, 1))
    assert recover(left) is ExitCode.COMPLETE
    assert "The machine was restarted since then" in capsys.readouterr().err


def test_the_name_can_be_chosen_and_nothing_that_has_it_is_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left = leave(tmp_path, asked(100, 109))
    (tmp_path / "taken.h5").write_text("precious")
    assert recover(left, "--output", str(tmp_path / "taken.h5")) is ExitCode.USAGE
    assert "exists already" in capsys.readouterr().err
    assert recover(left, "--output", str(tmp_path / "new" / "other.h5")) is ExitCode.COMPLETE
    assert report_in(tmp_path / "new" / "other.h5").rows == 9
    assert sorted(os.listdir(tmp_path)) == ["new", "taken.h5"]


def test_a_second_call_has_nothing_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recover(leave(tmp_path, asked(100, 109)))
    before = (tmp_path / "run.h5").read_bytes()
    assert recover(tmp_path / "run.h5") is ExitCode.COMPLETE
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path / 'run.h5'} is complete already"
    assert (tmp_path / "run.h5").read_bytes() == before
    assert recover(tmp_path / "run.h5.partial") is ExitCode.OUTPUT


def test_a_file_that_was_closed_and_not_renamed_gets_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recover(leave(tmp_path, asked(100, 109)))
    (tmp_path / "run.h5").rename(tmp_path / "run.h5.partial")
    before = (tmp_path / "run.h5.partial").read_bytes()
    assert recover(tmp_path / "run.h5.partial") is ExitCode.COMPLETE
    assert "was complete but for its name" in capsys.readouterr().out
    assert (tmp_path / "run.h5").read_bytes() == before


def test_a_recovery_that_takes_long_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli_recover, "TELL_INTERVAL_S", 0.0)
    assert recover(leave(tmp_path, asked(100, 109))) is ExitCode.COMPLETE
    assert capsys.readouterr().err.splitlines() == ["1 of 2 channels completed, 0:00 left", "2 channels completed"]


def test_on_a_terminal_there_is_a_bar(tmp_path: Path) -> None:
    left = leave(tmp_path, asked(100, 109))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sf_bsread_writer.cli", "recover", str(left)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}) as process:
        os.close(theirs)
        assert process.wait(30) == ExitCode.COMPLETE
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "channels" in shown
    assert "━" in shown
    assert isinstance(report_in(tmp_path / "run.h5"), Report)
