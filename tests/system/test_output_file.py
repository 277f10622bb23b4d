"""Where the file goes, what else is in it, and what is told of it."""

import shutil
import subprocess
from pathlib import Path

import h5py
import msgspec
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, report_in, writer_of
from sf_bsread_writer.testing.programs import PROMPTLY_S

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def sent(feed: Feed) -> range:
    """The pulses that every test of this module writes."""
    return feed.send(20)


def acquire(writer: Writer, pulse_ids: range) -> Report:
    writer.put(f"/start_pulse_id/{pulse_ids[0]}")
    writer.put(f"/stop_pulse_id/{pulse_ids[-1]}")
    return writer.ended()


def test_an_existing_file_is_moved_aside_and_missing_folders_are_made(feed: Feed, sent: range, tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "run.h5"
    with writer_of(feed.buffer.address, path) as writer:
        path.parent.mkdir(exist_ok=True)
        path.write_text("an earlier run")
        path.with_name("run.h5.1").write_text("one before that")
        report = acquire(writer, sent)
    assert_holds(path, sent)
    assert {entry.name for entry in path.parent.iterdir()} == {"run.h5", "run.h5.1", "run.h5.2"}
    assert path.with_name("run.h5.1").read_text() == "one before that"
    assert path.with_name("run.h5.2").read_text() == "an earlier run"
    assert report.moved_aside == str(path.with_name("run.h5.2"))


def test_with_overwrite_an_existing_file_is_replaced(feed: Feed, sent: range, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_text("an earlier run")
    with writer_of(feed.buffer.address, path, "--overwrite") as writer:
        report = acquire(writer, sent)
    assert_holds(path, sent)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.h5"]
    assert report.moved_aside is None


def test_dev_null_is_a_dry_run_that_does_everything_but_write(feed: Feed, sent: range, tmp_path: Path) -> None:
    with writer_of(feed.buffer.address, "/dev/null", "--output_root", tmp_path) as writer:
        writer.put(f"/start_pulse_id/{sent[0]}", {"output_file": "/dev/null"})  # to stay, so that the report can be asked for
        writer.put(f"/stop_pulse_id/{sent[-1]}")
        writer.wait_until_waiting()
        report = msgspec.convert(writer.get("/report"), Report)
        writer.get("/stop")
        assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.COMPLETE
    assert Path("/dev/null").is_char_device()
    assert list(tmp_path.iterdir()) == []
    assert (report.outcome, report.rows, report.output_file, report.file_bytes) == ("complete", len(sent), "/dev/null", 0)
    assert {channel.name: channel.missing for channel in report.channels}["SOMETIMES"] == sum(n % 3 == 0 for n in sent)


def test_the_report_of_rest_of_the_file_and_of_the_log_are_one(feed: Feed, sent: range, writer: Writer) -> None:
    path = writer.path.with_name("another.h5")
    path.write_text("an earlier run")
    writer.put(f"/start_pulse_id/{sent[3]}", {"output_file": str(path)})
    writer.put(f"/stop_pulse_id/{sent[9]}")
    writer.wait_until_waiting()
    report = msgspec.convert(writer.get("/report"), Report)
    writer.program.wait_for_line(f"to {path}$")
    writer.assert_logged(report)
    assert report == report_in(path)
    assert (report.rows, report.first_pulse_id, report.last_pulse_id) == (7, sent[3], sent[9])
    assert (report.start_pulse_id, report.stop_pulse_id) == (sent[3], sent[9])
    assert (report.stream, report.output_file) == (feed.buffer.address, str(path))
    assert report.moved_aside == f"{path}.1"
    assert 0 <= path.stat().st_size - report.file_bytes < 100_000  # it grows by the report
    # Nothing of the acquisition is left for the next one.
    writer.put(f"/start_pulse_id/{sent[12]}")
    writer.put(f"/stop_pulse_id/{sent[13]}")
    writer.wait_until_waiting()
    assert msgspec.convert(writer.get("/report"), Report) == report_in(writer.path)
    assert (report_in(writer.path).rows, report_in(writer.path).moved_aside) == (2, None)


def test_parameters_go_to_the_file(sent: range, writer: Writer) -> None:
    given = {f"general/{name}": f"the {name}" for name in ("created", "user", "process", "instrument")}
    extra = given | {"general/µ": "ü", "channels": ["A", "B"]}
    answer = writer.request("POST", "/parameters", extra)
    assert answer == {"state": "ok", "status": "waiting", "parameters": extra}
    assert writer.error_of("POST", "/parameters", {"general/user": "p1"}).startswith("Missing mandatory parameters")
    acquire(writer, sent)
    with h5py.File(writer.path) as file:
        assert {f"general/{name}": file["general"][name][()].decode() for name in file["general"]}.items() >= given.items()
        assert file["general/µ"][()].decode() == "ü"


def test_pulses_that_a_ring_too_small_no_longer_has_are_named(tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_of(source.address, "-b", 30) as buffer:
        sent = Feed(source, buffer).send(100)
        with writer_of(buffer.address, tmp_path / "run.h5") as writer:
            writer.put("/start_pulse_id/51")
            writer.program.wait_for_line(r"\[WARNING\] .*51.*71")
            writer.put(f"/stop_pulse_id/{sent[-1]}")
            report = writer.ended(ExitCode.INCOMPLETE)
    assert_holds(writer.path, range(71, 101))
    assert [(gap.first, gap.last) for gap in report.missing] == [(51, 70)]
    assert (report.evicted_before_start, report.missing_pulses, report.rows) == (20, 20, 30)
    assert "no longer in the buffer when asked for: 20" in writer.program.output


@pytest.mark.skipif(shutil.which("h5ls") is None, reason="h5ls is not installed (Debian's hdf5-tools has it)")
def test_h5ls_shows_the_layout_that_readers_know(sent: range, writer: Writer) -> None:
    acquire(writer, sent)
    shown = subprocess.run(["h5ls", "-r", str(writer.path)], check=True, capture_output=True, text=True, timeout=10).stdout
    lines = {" ".join(line.replace("\\ ", " ").split()).partition(", same as")[0] for line in shown.splitlines()}
    rows = len(sent)
    assert lines >= {
        "/data Group",
        f"/data/IMAGE/data Dataset {{{rows}/Inf, 4, 6}}",
        f"/data/SCALAR/data Dataset {{{rows}/Inf, 1}}",
        f"/data/TEXT/data Dataset {{{rows}/Inf}}",
        f"/data/WAVE:FORM-1/data Dataset {{{rows}/Inf, 8}}",
        f"/data/SOMETIMES/is_data_present Dataset {{{rows}/Inf}}",
        f"/data/SOMETIMES/pulse_id Dataset {{{rows}/Inf}}",
        "/general/user Dataset {SCALAR}",
        "/report Dataset {SCALAR}",
        f"/stream/pulse_id Dataset {{{rows}/Inf}}",
    }
