"""``sf_bsread capture`` against a real buffer."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sf_bsread_writer.cli import main
from sf_bsread_writer.cli.capturing import interruptible
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, ZmqSource, buffer_of, report_in
from sf_bsread_writer.testing.programs import started, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """Holds pulses 11 to 60 of 60."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 50) as buffer:
        feed = Feed(source, buffer)
        feed.send(60)
        yield feed


def capture(feed: Feed, path: Path, *arguments: object) -> ExitCode:
    return ExitCode(main(["capture", str(path), "--buffer", feed.buffer.address, *map(str, arguments)]))


def pulses(first: int, last: int) -> list[str]:
    return ["--start_pulse_id", str(first), "--stop_pulse_id", str(last)]


def test_last_seconds_are_in_the_file_and_what_the_ring_has_not_is_said(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "run.h5"
    assert capture(feed, path, "--last", "20min") is ExitCode.INCOMPLETE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Asked for the last 1200 s; the ring holds ")
    assert lines[0].endswith(" s of that (pulses 11..60)")
    assert lines[1] == "Acquisition complete: every pulse asked for is in the file"
    assert_holds(path, range(11, 61))
    assert capture(feed, path, "--last", "20min", "--strict") is ExitCode.SETUP
    assert "(pulses 11..60); nothing is written, as --strict wants it" in capsys.readouterr().err
    assert [each.name for each in path.parent.iterdir()] == ["run.h5"]


def test_pulses_that_are_held_are_written_and_those_that_are_gone_are_missing(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.h5"
    assert capture(feed, path, *pulses(20, 29), "--strict") is ExitCode.COMPLETE
    assert report_in(path).trimmed == 0
    assert capture(feed, path, *pulses(5, 15), "--overwrite") is ExitCode.INCOMPLETE
    assert "Asked for pulses 5..15; the ring holds pulses 11..60\n" in capsys.readouterr().out
    assert_holds(path, range(11, 16))
    assert not path.with_name("run.h5.1").exists()


@pytest.mark.parametrize(
    ("arguments", "ends"),
    [
        ([], (ExitCode.USAGE, "give either --last, such as --last 30s, or --start_pulse_id and --stop_pulse_id")),
        (["--last", "1s", *pulses(1, 2)], (ExitCode.USAGE, "give either --last")),
        (["--start_pulse_id", "5"], (ExitCode.USAGE, "go together")),
        (pulses(9, 5), (ExitCode.USAGE, "pulses 9..5 are no range")),
        (pulses(1, 5), (ExitCode.SETUP, "the ring holds pulses 11..60: none of them can be had")),
        (["--last", "1s", "--buffer", "tcp://127.0.0.1:1"], (ExitCode.SETUP, "--buffer says where an sf_bsread_buffer is")),
    ],
)
def test_what_cannot_be_done_is_told(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], ends: tuple[ExitCode, str]
) -> None:
    code, told = ends
    assert capture(feed, tmp_path / "run.h5", *arguments) is code
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_other_places_than_a_file_below_a_folder_are_refused(
    feed: Feed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert capture(feed, Path(os.devnull), "--last", "1s") is ExitCode.USAGE
    assert capture(feed, tmp_path, "--last", "1h") is ExitCode.USAGE
    (tmp_path / "file").touch()
    assert capture(feed, tmp_path / "file" / "run.h5", "--last", "1h") is ExitCode.OUTPUT
    assert str(tmp_path / "file") in capsys.readouterr().err


def test_a_source_is_no_buffer_and_an_empty_ring_or_a_silent_source_has_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ZmqSource() as source, buffer_of(source.address) as buffer:
        feed = Feed(source, buffer)
        arguments = ["capture", str(tmp_path / "run.h5"), "--last", "1us"]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == ExitCode.USAGE
        assert "time '1us' is not understood; give for example 30s, 500ms or 2min" in capsys.readouterr().err
        assert main([*arguments[:-1], "1s", "--buffer", source.address]) == ExitCode.SETUP
        assert "is no buffer, but a plain source" in capsys.readouterr().err
        assert capture(feed, tmp_path / "run.h5", "--last", "1s") is ExitCode.SETUP
        assert "is empty: has its source sent anything yet?" in capsys.readouterr().err
        source.send_range(1000, 1005)
        source.send_range(1, 5)
        buffer.wait_until_it_holds(newest=5)
        assert capture(feed, tmp_path / "run.h5", "--last", "1h") is ExitCode.SETUP
        assert "pulse ids started over in that time, from 1000 to 5" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_closes_the_file_with_what_it_has(feed: Feed, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    command = [sys.executable, "-m", "sf_bsread_writer.cli", "capture", str(path), "--buffer", feed.buffer.address]
    with started([*command, *pulses(50, 100)], name="capture") as program:
        wait_until(lambda: path.with_name("run.h5.partial").exists(), "it has begun")
        assert program.end(signal.SIGINT) == ExitCode.INTERRUPTED
        assert "Ended: the file is closed with what it has" in program.output
        assert "Acquisition interrupted: " in program.output
        assert "Traceback" not in program.output
    report = report_in(path)
    assert (report.outcome, report.start_pulse_id, report.stop_pulse_id) == ("interrupted", 50, 100)


def test_a_closed_terminal_ends_it_but_not_under_nohup() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        for given, meanwhile in ((signal.SIG_DFL, signal.default_int_handler), (signal.SIG_IGN, signal.SIG_IGN)):
            signal.signal(signal.SIGHUP, given)
            with interruptible():
                assert signal.getsignal(signal.SIGHUP) is meanwhile
            assert signal.getsignal(signal.SIGHUP) is given
    finally:
        signal.signal(signal.SIGHUP, before)
