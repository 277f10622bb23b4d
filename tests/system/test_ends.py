"""Every end closes the file: asked for, by a signal, or because nothing comes any more."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.programs import PROMPTLY_S

pytestmark = pytest.mark.system

STALL_TIMEOUT_S = 0.5
MANY = 2000


@pytest.fixture(scope="module")
def many(feed: Feed) -> range:
    """Pulses that the buffer holds, more than go in one piece."""
    return feed.send(MANY)


def send_signal(number: int) -> Callable[[Writer], object]:
    return lambda writer: writer.program.process.send_signal(number)


def test_stop_writes_all_that_has_arrived_then_answers_then_the_process_ends(many: range, writer: Writer) -> None:
    writer.put(f"/start_pulse_id/{many[0]}")
    assert writer.get("/stop")["state"] == "ok"
    assert_holds(writer.path, many)
    report = writer.ended()
    assert (report.outcome, report.rows, report.stop_pulse_id) == ("complete", MANY, None)


def test_stop_before_the_last_pulse_asked_for_leaves_the_range_incomplete(many: range, writer: Writer) -> None:
    writer.put(f"/start_pulse_id/{many[0]}")
    writer.put(f"/stop_pulse_id/{many[-1] + 10}")
    writer.get("/stop")
    report = writer.ended(ExitCode.INCOMPLETE)
    assert_holds(writer.path, many)
    assert [(gap.first, gap.last) for gap in report.missing] == [(many[-1] + 1, many[-1] + 10)]


INTERRUPTIONS: dict[str, Callable[[Writer], object]] = {
    "kill": lambda writer: writer.get("/kill"),
    "SIGTERM": send_signal(signal.SIGTERM),
    "SIGINT": send_signal(signal.SIGINT),
}


@pytest.mark.parametrize("interrupt", INTERRUPTIONS.values(), ids=INTERRUPTIONS)
def test_an_interruption_in_the_middle_leaves_a_valid_file_that_says_where_it_ends(
    many: range, writer: Writer, interrupt: Callable[[Writer], object]
) -> None:
    writer.put(f"/start_pulse_id/{many[0]}")
    writer.put(f"/stop_pulse_id/{many[-1] + 10}")
    interrupt(writer)
    report = writer.ended(ExitCode.INTERRUPTED)
    assert report.outcome == "interrupted"
    assert_holds_first(writer.path, many, report.rows)
    assert [(gap.first, gap.last) for gap in report.missing] == [(many[0] + report.rows, many[-1] + 10)]
    assert report.missing_pulses == MANY + 10 - report.rows


def assert_holds_first(path: Path, pulse_ids: range, rows: int) -> None:
    """The first rows, however many; a file without any has no channels either."""
    if rows:
        assert_holds(path, pulse_ids[:rows])


def test_a_writer_that_was_never_started_ends_without_a_file(writer: Writer) -> None:
    writer.program.process.send_signal(signal.SIGTERM)
    assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == ExitCode.COMPLETE
    assert list(writer.path.parent.iterdir()) == []


@pytest.fixture
def source() -> Iterator[ZmqSource]:
    with ZmqSource(zmq.XPUB) as source:
        yield source


def test_a_source_that_vanishes_before_the_stop_ends_the_acquisition_after_the_stall_timeout(
    source: ZmqSource, tmp_path: Path
) -> None:
    """Seen straight, where the connection is lost, and through a buffer, where it is only silence."""
    with (
        buffer_of(source.address) as buffer,
        writer_of(buffer.address, tmp_path / "buffered.h5", "--stall_timeout", STALL_TIMEOUT_S) as buffered,
        writer_of(source.address, tmp_path / "direct.h5", "--stall_timeout", STALL_TIMEOUT_S) as direct,
    ):
        for _ in range(2):
            source.wait_for_subscriber()
        for writer in (buffered, direct):
            writer.put("/start_pulse_id/1")
        source.send_beam(range(1, 21))
        for writer in (buffered, direct):
            writer.wait_for(rows=20)
        source.close()
        for writer, reconnects in ((buffered, 0), (direct, 1)):
            writer.put("/stop_pulse_id/30")
            report = writer.ended(ExitCode.STALLED)
            assert_holds(writer.path, range(1, 21))
            assert [(gap.first, gap.last) for gap in report.missing] == [(21, 30)]
            assert report.reconnects == reconnects


def test_a_stop_in_a_stream_without_messages_ends_with_a_valid_empty_file(feed: Feed, tmp_path: Path) -> None:
    with writer_of(feed.buffer.address, tmp_path / "run.h5", "--stall_timeout", STALL_TIMEOUT_S) as writer:
        first = feed.next_pulse_id
        writer.put(f"/start_pulse_id/{first}")
        writer.put(f"/stop_pulse_id/{first + 9}")
        report = writer.ended(ExitCode.STALLED)
    assert (report.rows, report.missing_pulses, report.channels) == (0, 10, ())
