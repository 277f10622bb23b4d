"""What goes away in the middle of an acquisition and comes back: the source, and the buffer."""

import signal
from pathlib import Path

import h5py
import pytest
import zmq

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Writer, ZmqSource, buffer_of, holdings, report_in, writer_of
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system


def test_a_source_that_comes_back_on_its_port_is_gone_on_with(tmp_path: Path) -> None:
    """Straight and through a buffer: nothing that is sent while somebody is connected gets lost."""
    with (
        ZmqSource(zmq.XPUB) as source,
        buffer_of(source.address) as buffer,
        writer_of(buffer.address, tmp_path / "buffered.h5") as buffered,
        writer_of(source.address, tmp_path / "direct.h5") as direct,
    ):
        writers = (buffered, direct)
        for _ in writers:
            source.wait_for_subscriber()
        for writer in writers:
            writer.put("/start_pulse_id/1")
            writer.put("/stop_pulse_id/40")
        source.send_beam(range(1, 21))
        for writer in writers:
            writer.wait_for(rows=20)
        source.close()
        direct.wait_for(connected=False)
        with ZmqSource(zmq.XPUB, port=source.port) as again:
            for _ in writers:
                again.wait_for_subscriber()
            again.send_beam(range(21, 41))
            for writer, reconnects in ((buffered, 0), (direct, 1)):
                report = writer.ended()
                assert_holds(writer.path, range(1, 41))
                assert (report.outcome, report.reconnects) == ("complete", reconnects)


def test_what_a_source_sends_before_it_is_connected_to_again_is_missing_by_name(tmp_path: Path) -> None:
    with ZmqSource(zmq.XPUB) as source, writer_of(source.address, tmp_path / "run.h5") as writer:
        source.wait_for_subscriber()
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/40")
        source.send_beam(range(1, 21))
        writer.wait_for(rows=20)
        source.close()
        writer.wait_for(connected=False)
        with ZmqSource(zmq.XPUB, port=source.port) as again:
            again.send_beam(range(21, 26))  # nobody has subscribed yet
            again.wait_for_subscriber()
            again.send_beam(range(26, 41))
            report = writer.ended(ExitCode.INCOMPLETE)
    assert_holds(writer.path, [*range(1, 21), *range(26, 41)])
    assert [(gap.first, gap.last) for gap in report.missing] == [(21, 25)]


def test_a_buffer_that_is_killed_and_comes_back_is_gone_on_with_and_the_gap_is_named(tmp_path: Path, free_port: int) -> None:
    with (
        ZmqSource(zmq.XPUB) as source,
        buffer_of(source.address, "-o", free_port) as buffer,
        writer_of(buffer.address, tmp_path / "run.h5") as writer,
    ):
        source.wait_for_subscriber()
        writer.put("/start_pulse_id/1")
        writer.put("/stop_pulse_id/40")
        source.send_beam(range(1, 21))
        writer.wait_for(rows=20)
        buffer.program.end(signal.SIGKILL)
        writer.wait_for(connected=False)
        source.send_beam(range(21, 26))  # to nobody
        with buffer_of(source.address, "-o", free_port) as again:
            source.wait_for_subscriber()
            source.send_beam(range(26, 36))
            writer.wait_for(rows=30)
            assert holdings(again.address).oldest_pulse_id == 26
            source.send_beam(range(36, 41))
            report = writer.ended(ExitCode.INCOMPLETE)
    assert_holds(writer.path, [*range(1, 21), *range(26, 41)])
    assert [(gap.first, gap.last) for gap in report.missing] == [(21, 25)]
    assert (report.reconnects, report.duplicates, report.missing_pulses) == (1, 0, 5)


def test_a_restarted_buffer_of_a_source_that_waits_leaves_no_gap(tmp_path: Path, free_port: int) -> None:
    """A PUSH source keeps its messages while nobody pulls; what the writer has already is not written twice."""
    with ZmqSource() as source, writer_of(f"tcp://127.0.0.1:{free_port}", tmp_path / "run.h5", connected=False) as writer:
        writer.put("/start_now")
        with buffer_of(source.address, "-o", free_port) as buffer:
            source.send_beam(range(1, 2))
            writer.wait_for(rows=1)
            source.send_beam(range(2, 21))
            writer.wait_for(rows=20)
            buffer.program.end()
        with buffer_of(source.address, "-o", free_port) as buffer:
            writer.wait_for(connected=True)
            source.send_beam(range(21, 41))
            buffer.wait_until_it_holds(newest=40)
            writer.put("/stop_now")
            report = writer.ended()
    assert_holds(writer.path, range(1, 41))
    assert report.reconnects == 1


def other_message(pulse_id: int) -> list[bytes]:
    """Of a header that has nothing in common with the beam's."""
    return message_of(pulse_id, {"OTHER": pulse_id})


def test_a_source_that_starts_over_with_other_channels_is_held_beside_what_was_before(tmp_path: Path) -> None:
    with (
        ZmqSource(zmq.XPUB) as source,
        buffer_of(source.address) as buffer,
        writer_of(buffer.address, tmp_path / "long.h5", "--stall_timeout", 0.3) as long,
        writer_of(buffer.address, tmp_path / "new.h5") as new,
        writer_of(buffer.address, tmp_path / "old.h5") as old,
    ):
        source.wait_for_subscriber()
        long.put("/start_pulse_id/1")
        source.send_beam(range(101, 121))
        long.wait_for(rows=20)
        source.close()
        with ZmqSource(zmq.XPUB, port=source.port) as again:
            again.wait_for_subscriber()
            for pulse_id in range(1, 31):
                again.send_frames(other_message(pulse_id))
            long.wait_for(out_of_order=30)
            long.put("/stop_pulse_id/140")
            new.put("/start_pulse_id/5")
            new.put("/stop_pulse_id/25")
            report = new.ended()
            assert (report.rows, report.evicted_before_start, report.dropped) == (21, 0, {})
            with h5py.File(new.path) as file:
                assert list(file["data"]) == ["OTHER"]
                assert file["data/OTHER/data"][:, 0].tolist() == list(range(5, 26))
            old.put("/start_pulse_id/110")
            old.put("/stop_pulse_id/115")
            old.ended()
            assert_holds(old.path, range(110, 116))
            report = long.ended(ExitCode.STALLED)
    assert_holds(long.path, range(101, 121))
    assert (report.out_of_order, report.missing_pulses) == (30, 120)
    assert "Left out pulses" in long.program.output
    assert "oldest that the buffer holds" not in new.program.output


def test_a_source_that_hangs_is_gone_on_with_when_it_goes_on(tmp_path: Path) -> None:
    """A stopped process: its connections stay open, and its machine answers for them."""
    with running("cli/__main__", "simulate", "--scalars", 2) as source:
        address = source.wait_for_line(r"tcp://127\.0\.0\.1:\d+")[0]
        with (
            buffer_of(address, "--stale_timeout", 0.5) as buffer,
            writer_of(address, tmp_path / "run.h5", "--stale_timeout", 0.5) as writer,
        ):
            writer.put("/start_now")
            wait_until(lambda: rows_of(writer) > 10, "rows")
            buffer.program.wait_for_line("Connected to the source")
            source.process.send_signal(signal.SIGSTOP)
            for program in (buffer.program, writer.program):
                program.wait_for_line(r"lost: (the source|it) has sent nothing for 0\.5 s")
            before, held = rows_of(writer), holdings(buffer.address).newest_pulse_id
            source.process.send_signal(signal.SIGCONT)
            wait_until(lambda: rows_of(writer) > before + 10, "rows again")
            wait_until(lambda: holdings(buffer.address).newest_pulse_id != held, "pulses again")
            writer.put("/stop_now")
            assert writer.program.wait_for_exit() in (ExitCode.COMPLETE, ExitCode.INCOMPLETE)  # what was not sent is missing
            assert report_in(writer.path).reconnects >= 1


def rows_of(writer: Writer) -> int:
    rows: int = writer.get("/statistics")["statistics"]["rows"]
    return rows
