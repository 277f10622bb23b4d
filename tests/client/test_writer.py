"""A writer from Python, against the real programs."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from sf_bsread_writer.client.writer import Writer
from sf_bsread_writer.errors import DeadlineError, ExitCode, OutputError, RequestError, SetupError
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, ZmqSource, buffer_of, report_in, writer_of
from sf_bsread_writer.testing.managing import NotifySocket

pytestmark = pytest.mark.system

PARAMETERS = {"general/created": "c", "general/user": "u", "general/process": "p", "general/instrument": "i"}


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    with ZmqSource() as source, buffer_of(source.address, "-b", 1000) as buffer:
        feed = Feed(source, buffer)
        feed.send(100)
        yield feed


def test_launched_writer_stays_for_more_than_one_file_and_ends_with_the_block(feed: Feed, tmp_path: Path) -> None:
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5", options=["--overwrite"]) as writer:
        report = writer.acquire(10, 19, parameters=PARAMETERS)
        assert (report.outcome, report.rows) == ("complete", 10)
        assert report == report_in(tmp_path / "1.h5") == writer.report
        assert writer.acquire(20, 20, output_file="2.h5").output_file == str(tmp_path / "2.h5")
        writer.start_now()
        assert (writer.status, writer.statistics.rows) == ("writing", 0)
        sent = feed.send(3)
        writer.stop_now()
        assert writer.wait().first_pulse_id == sent[0]
        assert writer.status == "waiting"
    assert writer.log.count("Waiting for the next start") == 3
    assert_holds(tmp_path / "1.h5", sent)
    assert_holds(tmp_path / "2.h5", [20])
    with h5py.File(tmp_path / "2.h5") as file:
        assert file["general/user"].asstr()[()] != "u"  # they were for the first


def test_launched_writer_says_nothing_to_the_service_manager_of_who_launches_it(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with NotifySocket(tmp_path) as manager:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.environment["NOTIFY_SOCKET"])
        with Writer.launch(feed.buffer.address, "/dev/null"):
            pass
        assert manager.is_silent_for(0.001)


def test_launched_writer_that_does_not_stay_ends_with_its_file_though_nobody_asks(feed: Feed, tmp_path: Path) -> None:
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5", stays=False) as writer:
        writer.stop(19)
        writer.start(10)
        report = writer.wait()
        assert (report.outcome, report.rows, report.trimmed) == ("complete", 10, 0)
        assert writer._program is not None
        assert writer._program.exit_code() == ExitCode.COMPLETE
    assert report == report_in(tmp_path / "1.h5")


def test_so_does_one_whose_stream_goes_on_no_more(feed: Feed, tmp_path: Path) -> None:
    options = ["--stall_timeout", "0.2"]
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5", options=options, stays=False) as writer:
        writer.stop(feed.next_pulse_id + 10)
        writer.start(feed.next_pulse_id - 10)
        report = writer.wait()
        assert (report.outcome, report.rows) == ("stalled", 10)
        assert writer._program is not None
        assert writer._program.exit_code() == ExitCode.STALLED


def test_an_event_loop_that_runs_already_does_not_matter(feed: Feed, tmp_path: Path) -> None:
    async def cell() -> None:  # of a notebook
        with writer_of(feed.buffer.address, "/dev/null") as running, Writer(running.url) as writer:
            assert writer.acquire(10, 19, output_file="/dev/null").rows == 10

    asyncio.run(cell())


def test_deadline_leaves_the_acquisition_running_and_the_end_of_the_block_closes_its_file(feed: Feed, tmp_path: Path) -> None:
    last = feed.next_pulse_id - 1
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5") as writer:
        with pytest.raises(DeadlineError, match=r"not over within 0\.1 s: still writing"):
            writer.acquire(last - 4, last + 1000, timeout_s=0.1)
        with pytest.raises(RequestError, match=r"/stop_pulse_id/-3 was refused: .*-3"):
            writer.stop(-3)
        assert writer.status == "writing"
    report = report_in(tmp_path / "1.h5")
    assert (report.outcome, report.rows) == ("interrupted", 5)


def test_finish_writes_what_has_arrived_and_ends_the_writer_with_its_report(feed: Feed, tmp_path: Path) -> None:
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5") as writer:
        writer.start_now()
        sent = feed.send(20)
        report = writer.finish()
        assert report == report_in(tmp_path / "1.h5")
        assert (report.outcome, report.first_pulse_id, report.last_pulse_id) == ("complete", sent[0], sent[-1])
        assert writer._program is not None
        assert writer._program.exit_code() == ExitCode.COMPLETE
    with writer_of(feed.buffer.address, tmp_path / "2.h5") as running:
        writer = Writer(running.url)
        writer.stop(sent[-1] + 1000)
        writer.start(sent[0])
        assert writer.finish() == running.ended(ExitCode.INCOMPLETE)


def test_finish_of_a_writer_without_an_acquisition_has_no_report(feed: Feed) -> None:
    with writer_of(feed.buffer.address, "/dev/null") as running:
        assert Writer(running.url).finish() is None
        assert running.program.wait_for_exit() == ExitCode.COMPLETE


def test_kill_ends_the_writer_at_once_with_its_file_closed(feed: Feed, tmp_path: Path) -> None:
    with Writer.launch(feed.buffer.address, tmp_path / "1.h5") as writer:
        writer.start(feed.next_pulse_id - 5)
        writer.kill()
        assert writer._program is not None
        assert writer._program.exit_code() == ExitCode.INTERRUPTED
        report = writer.wait()
        assert report == report_in(tmp_path / "1.h5")
        assert report.outcome == "interrupted"


def test_writer_that_cannot_start_is_told_of_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"ended with code 2 before it could be asked; it said: (.|\n)*--no_such_option"):
        Writer.launch("tcp://127.0.0.1:1", tmp_path / "1.h5", options=["--no_such_option"])


def test_launched_writer_has_the_secret_and_ends_with_the_last_reference_to_it(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("abcdefghijklmnop")
    token_file.chmod(0o600)
    writer = Writer.launch("tcp://127.0.0.1:1", tmp_path / "1.h5", token_file=token_file)
    writer.stop(5)
    with pytest.raises(RequestError, match="wants its token"):
        Writer(writer.url).stop(5)
    del writer  # the fixture of all tests finds what is left


def test_report_of_a_writer_that_ends_with_its_file_is_read_from_it(feed: Feed, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    path.write_bytes(b"an earlier file")
    with writer_of(feed.buffer.address, path) as running:
        report = Writer(running.url).acquire(30, 39)
        assert running.ended() == report
    assert (report.rows, report.moved_aside) == (10, f"{path}.1")


def test_report_of_an_earlier_file_is_not_taken_for_that_of_a_writer_that_was_killed(feed: Feed, tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with Writer.launch(feed.buffer.address, path) as writer:
        writer.acquire(30, 39)
    with Writer.launch(feed.buffer.address, path) as writer:
        writer.start(30)
        program = writer._program
        assert program is not None
        os.kill(program._process.pid, signal.SIGKILL)
        with pytest.raises(OutputError, match=rf"no new file {path}: the writer ended with code -9; it said: (.|\n)*REST on"):
            writer.wait()
