"""What the disk does to an acquisition: it is full, sooner or later, cannot be written to, fails, is slow, or never answers."""

import errno
import re
import resource
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import msgspec
import numpy as np
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.cli import main
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.place import journal_path, partial_path
from sf_bsread_writer.testing.chain import Buffer, Writer, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.disks import fill, small_disk, writer_on_faulty_disk
from sf_bsread_writer.testing.programs import PROMPTLY_S, running, wait_until

pytestmark = pytest.mark.system

IMAGES = range(1, 61)
IMAGE_SHAPE = (512, 1024)
IMAGE_BYTES = 1 << 20


def send_images(source: ZmqSource, pulse_ids: Sequence[int]) -> None:
    for pulse_id in pulse_ids:
        source.send(pulse_id, {"I": np.full(IMAGE_SHAPE, pulse_id, np.uint16)})


@pytest.fixture(scope="module")
def images() -> Iterator[Buffer]:
    """A buffer that holds an image of 1 MiB for each of these pulses."""
    with ZmqSource() as source, buffer_of(source.address) as buffer:
        send_images(source, IMAGES)
        buffer.wait_until_it_holds(newest=IMAGES[-1])
        yield buffer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """For the disk; what else a test needs is beside it."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def assert_has_images(path: Path, pulse_ids: Sequence[int]) -> None:
    with h5py.File(path) as file:
        assert file["stream/pulse_id"][:].tolist() == list(pulse_ids)
        assert file["data/I/pulse_id"][:].tolist() == list(pulse_ids)
        for row, pulse_id in enumerate(pulse_ids):
            assert (file["data/I/data"][row] == pulse_id).all()


def flushed_bytes(path: Path) -> int:
    """The size of a file, which is being written, at its last flush."""
    journal = Journal(journal_path(partial_path(path)), size=None)
    journal.close()
    return 0 if journal.last is None else journal.last.size


def assert_can_be_recovered(path: Path, pulse_ids: Sequence[int]) -> None:
    """What is left of a file that could not be finished has these pulses."""
    assert not path.exists()
    assert main(["recover", str(partial_path(path))]) == ExitCode.COMPLETE
    assert_has_images(path, pulse_ids)


def assert_says_what_is_left(writer: Writer) -> None:
    """The last flush that it knows to have ended may be the one before that which the journal has."""
    left = re.escape(f" is left in {partial_path(writer.path)}, for `sf_bsread recover`")
    said = re.search(rf"the file is not finished: what it got(?: until pulse (\d+))?{left}", writer.program.output)
    assert said is not None, writer.program.output
    assert int(said[1] or 0) in (0, *IMAGES)


def assert_ends_where_it_says(writer: Writer, reason: str) -> Report:
    """The file is closed and valid until the pulse that the report names, which must not be the last one that was asked for."""
    report = writer.ended(ExitCode.OUTPUT)
    assert reason in report.reason
    assert report.last_pulse_id is not None
    assert f"the file is closed, with all it got until pulse {report.last_pulse_id}" in report.reason
    assert 1 <= report.last_pulse_id < IMAGES[-1]
    assert_has_images(writer.path, range(1, report.last_pulse_id + 1))
    return report


# Full


def test_a_disk_without_room_for_a_file_refuses_the_start_and_leaves_nothing(images: Buffer, folder: Path) -> None:
    with small_disk(folder, 2), writer_of(images.address, folder / "run.h5") as writer:
        error = writer.error_of("PUT", "/start_pulse_id/1")
        assert "No space left on device; free some space, or choose another disk" in error
        assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.OUTPUT
        assert list(folder.iterdir()) == []


def test_a_disk_that_gets_full_ends_the_acquisition_with_the_file_closed(images: Buffer, folder: Path) -> None:
    with small_disk(folder, 40), writer_of(images.address, folder / "run.h5") as writer:
        writer.put("/start_pulse_id/1")
        writer.put(f"/stop_pulse_id/{IMAGES[-1]}")
        report = assert_ends_where_it_says(writer, "No space left on device; free some space, or choose another disk")
        assert [entry.name for entry in folder.iterdir()] == ["run.h5"]
        assert report.lacking_bytes > 10 * IMAGE_BYTES


def test_a_limit_of_the_file_s_size_is_like_a_full_disk(images: Buffer, folder: Path) -> None:
    with writer_of(images.address, folder / "run.h5") as writer:
        resource.prlimit(writer.program.process.pid, resource.RLIMIT_FSIZE, (40 << 20, resource.RLIM_INFINITY))
        writer.put("/start_pulse_id/1")
        writer.put(f"/stop_pulse_id/{IMAGES[-1]}")
        assert_ends_where_it_says(writer, "the limit for file sizes is reached (see `ulimit -f`)")


def test_a_disk_that_others_fill_does_not_hinder_the_end(images: Buffer, folder: Path) -> None:
    """What closing needs is reserved."""
    with small_disk(folder, 64), writer_of(images.address, folder / "run.h5") as writer:
        writer.put("/start_pulse_id/58")
        writer.wait_for(rows=3, waiting_messages=0)
        fill(folder)
        writer.put("/stop_pulse_id/60")
        assert writer.ended().outcome == "complete"
        assert_has_images(writer.path, range(58, 61))


def test_parameters_for_which_there_is_no_room_are_left_out_and_the_file_is_closed(images: Buffer, folder: Path) -> None:
    given = {f"general/{name}": name for name in ("created", "user", "process", "instrument")}
    with small_disk(folder, 24), writer_of(images.address, folder / "run.h5") as writer:
        writer.request("POST", "/parameters", {**given, "general/much": "x" * 9_000_000})
        writer.put("/start_pulse_id/1")
        report = assert_ends_where_it_says(writer, "No space left on device")
        assert report.reason.endswith("; the parameters are left out, for which there is no room")
        assert [channel.name for channel in report.channels] == ["I"]
        with h5py.File(writer.path) as file:
            assert file["general/user"][()] == b"not given"


def test_what_is_to_be_left_free_is_left_free(images: Buffer, folder: Path) -> None:
    with small_disk(folder, 80), writer_of(images.address, folder / "run.h5", "--min_free", "40M") as writer:
        writer.put("/start_pulse_id/1")
        writer.put(f"/stop_pulse_id/{IMAGES[-1]}")
        assert_ends_where_it_says(writer, "MB left, which --min_free keeps free; free some space, or choose another disk")
        assert shutil.disk_usage(folder).free >= 40 << 20


def test_that_a_file_will_not_fit_is_told_while_there_is_time(images: Buffer, folder: Path) -> None:
    with small_disk(folder, 40), writer_of(images.address, folder / "run.h5") as writer:
        writer.put("/start_pulse_id/58")
        writer.put("/stop_pulse_id/1057")
        told = writer.program.wait_for_line(r"\[WARNING\] .* will have (\S+) MB at pulse 1057, (\S+) MB more than")
        statistics = writer.get("/statistics")["statistics"]
        report = msgspec.convert(writer.get("/report"), Report)
        assert 1000 * IMAGE_BYTES <= statistics["expected_bytes"] <= 1010 * IMAGE_BYTES
        assert 960 * IMAGE_BYTES <= statistics["lacking_bytes"] <= 1010 * IMAGE_BYTES
        foreseen = [statistics["expected_bytes"], statistics["lacking_bytes"]]
        assert [float(each) * 1e6 for each in told.groups()] == pytest.approx(foreseen, rel=0.01)
        assert [report.expected_bytes, report.lacking_bytes] == pytest.approx(foreseen, rel=0.01)
        writer.put("/stop_pulse_id/60")
        assert writer.ended().lacking_bytes == 0


# Read-only, failing


def test_a_read_only_disk_is_told_before_anybody_relies_on_it(images: Buffer, folder: Path) -> None:
    with small_disk(folder, 16, "ro"), running("writer", images.address, folder / "run.h5", -1, 0) as program:
        assert program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.OUTPUT
        assert "Read-only file system; the file system is read-only: choose another one" in program.output


def test_a_disk_that_fails_leaves_what_was_flushed_and_says_where(images: Buffer, folder: Path, tmp_path: Path) -> None:
    with writer_on_faulty_disk(images.address, folder / "run.h5", tmp_path / "faults") as (writer, disk):
        writer.put("/start_pulse_id/1")
        wait_until(lambda: flushed_bytes(writer.path) > len(IMAGES) * IMAGE_BYTES, "all to be flushed")
        disk.fail(errno.EIO)
        assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.OUTPUT
        assert "Input/output error; the disk or the file server reports an error; see the system's log; " in writer.program.output
        assert_says_what_is_left(writer)
        assert_can_be_recovered(writer.path, IMAGES)


# Slow, silent


def test_a_slow_disk_costs_no_pulse_that_the_buffer_can_hold(folder: Path, tmp_path: Path) -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "-b", 200) as buffer,
        writer_on_faulty_disk(buffer.address, folder / "run.h5", tmp_path / "faults", "--memory_limit", "16M") as (writer, disk),
    ):
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/100")
        disk.slow(0.5)
        send_images(source, range(1, 101))
        buffer.wait_until_it_holds(newest=100)
        seen: list[dict[str, float]] = []

        def behind() -> bool:
            seen.append(writer.get("/statistics")["statistics"])
            return seen[-1]["lag_s"] > 1.0

        wait_until(behind, "the disk to be behind")
        disk.heal()
        report = writer.ended()
    assert 1 <= max(statistics["waiting_messages"] for statistics in seen) <= 16  # that is the memory limit
    assert (report.lost_in_buffer, report.missing_pulses) == (0, 0)
    assert_has_images(writer.path, range(1, 101))


def test_what_a_slow_disk_makes_the_buffer_let_go_is_counted_and_named(folder: Path, tmp_path: Path) -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "-b", 10) as buffer,
        writer_on_faulty_disk(buffer.address, folder / "run.h5", tmp_path / "faults", "--memory_limit", "16M") as (writer, disk),
    ):
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/100")
        disk.hang()
        send_images(source, range(1, 101))
        buffer.wait_until_it_holds(newest=100)
        disk.heal()
        report = writer.ended(ExitCode.INCOMPLETE)
    missing = {pulse_id for gap in report.missing for pulse_id in range(gap.first, gap.last + 1)}
    assert report.lost_in_buffer == report.missing_pulses == len(missing) > 0
    assert_has_images(writer.path, [pulse_id for pulse_id in range(1, 101) if pulse_id not in missing])


@pytest.mark.parametrize("end", ["SIGTERM", "/stop", "/kill"])
def test_a_disk_that_never_answers_does_not_keep_the_writer(images: Buffer, folder: Path, tmp_path: Path, end: str) -> None:
    arguments = ("--disk_timeout", "1")
    with writer_on_faulty_disk(images.address, folder / "run.h5", tmp_path / "faults", *arguments) as (writer, disk):
        writer.put("/start_pulse_id/1")
        wait_until(lambda: flushed_bytes(writer.path) > len(IMAGES) * IMAGE_BYTES, "all to be flushed")
        disk.hang()
        if end == "SIGTERM":
            writer.program.process.terminate()
        elif end == "/stop":
            assert "the disk has not answered for 1 s; the file is not finished: what it got" in writer.error_of("GET", end)
        else:
            assert writer.get(end) is None
        assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.OUTPUT
        assert "[ERROR] Ended without waiting any longer: the disk does not answer" in writer.program.output
        assert_says_what_is_left(writer)
    assert_can_be_recovered(writer.path, IMAGES)
