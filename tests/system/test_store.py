"""The buffer is killed and started again on its store: nothing that it had received is lost, and nothing comes twice."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Buffer, Feed, Writer, ZmqSource, buffer_of, holdings, report_in, writer_of
from sf_bsread_writer.testing.programs import PACKAGE, Program, running, started, wait_until

pytestmark = pytest.mark.system

MIB = 1 << 20
KILLS = 3


class Flow:
    """Sends one pulse after the other, from 1 on, as fast as they are taken."""

    def __init__(self, source: ZmqSource) -> None:
        self._source = source
        self._last = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send, name="flow")
        self._thread.start()

    def _send(self) -> None:
        while not self._ends.is_set():
            self._source.send_beam([self._last + 1])
            self._last += 1

    def end(self) -> int:
        """Returns the last pulse id."""
        self._ends.set()
        self._thread.join()
        return self._last


@contextmanager
def flowing(source: ZmqSource) -> Iterator[Flow]:
    flow = Flow(source)
    try:
        yield flow
    finally:
        flow.end()


def rows_of(writer: Writer) -> int:
    rows: int = writer.get("/statistics")["statistics"]["rows"]
    return rows


def ended(writer: Writer) -> Report:
    """The report of a writer that has reached its stop, with or without gaps."""
    assert writer.program.wait_for_exit() in {ExitCode.COMPLETE, ExitCode.INCOMPLETE}, writer.program.output
    return report_in(writer.path)


def test_killed_in_full_flow_again_and_again_it_has_all_that_it_had_received(tmp_path: Path, free_port: int) -> None:
    """Missing is only what was on its way when the buffer was killed: directly behind the newest that was found again."""
    options = ("-o", free_port, "-b", 1_000_000, "--memory_limit", "1G", "--store", tmp_path / "store")
    found: list[tuple[int, int]] = []  # at each restart: messages, newest pulse id
    with (
        ZmqSource() as source,
        writer_of(f"tcp://127.0.0.1:{free_port}", tmp_path / "run.h5", connected=False) as writer,
        flowing(source) as flow,
    ):
        writer.put("/start_pulse_id/1")
        for kill in range(KILLS + 1):
            with buffer_of(source.address, *options) as buffer:
                if kill:
                    line = buffer.program.wait_for_line(r"goes on with (\d+) messages, pulses 1\.\.(\d+), from the store")
                    found.append((int(line[1]), int(line[2])))
                before = rows_of(writer)
                wait_until(lambda before=before: rows_of(writer) > before + 200, "more rows")  # type: ignore[misc]
                if kill < KILLS:
                    buffer.program.end(signal.SIGKILL)
                    continue
                last = flow.end()
                buffer.wait_until_it_holds(newest=last)
                held = holdings(buffer.address)
                with writer_of(buffer.address, tmp_path / "late.h5") as late:
                    for each in (writer, late):
                        each.put("/start_pulse_id/1")
                        each.put(f"/stop_pulse_id/{last}")
                    report, report_of_late = ended(writer), ended(late)
    missing = {pulse_id for gap in report.missing for pulse_id in range(gap.first, gap.last + 1)}
    assert {gap.first - 1 for gap in report.missing} <= {newest for _, newest in found}
    assert found == [(newest - sum(pulse_id < newest for pulse_id in missing), newest) for _, newest in found]
    assert (held.oldest_pulse_id, held.messages) == (1, last - len(missing))
    assert (report.reconnects, report.duplicates, report.out_of_order, report.lost_in_buffer) == (KILLS, 0, 0, 0)
    assert report_of_late.missing == report.missing
    for each in (writer, late):
        assert_holds(each.path, [pulse_id for pulse_id in range(1, last + 1) if pulse_id not in missing])


def test_a_writer_that_stood_still_when_the_buffer_was_killed_misses_nothing(tmp_path: Path, free_port: int) -> None:
    options = ("-o", free_port, "-b", 1000, "--store", tmp_path / "store")
    with ZmqSource() as source, writer_of(f"tcp://127.0.0.1:{free_port}", tmp_path / "run.h5", connected=False) as writer:
        with buffer_of(source.address, *options) as buffer:
            writer.program.wait_for_line("Connected to the buffer")
            writer.put("/start_pulse_id/1")
            feed = Feed(source, buffer)
            feed.send(20)
            writer.wait_for(rows=20)
            writer.program.process.send_signal(signal.SIGSTOP)
            feed.send(500)
            buffer.program.end(signal.SIGKILL)
        with buffer_of(source.address, *options) as buffer:
            assert holdings(buffer.address).messages == 520
            Feed(source, buffer, next_pulse_id=521).send(30)
            writer.program.process.send_signal(signal.SIGCONT)
            writer.put("/stop_pulse_id/550")
            report = writer.ended()
    assert_holds(writer.path, range(1, 551))
    assert (report.reconnects, report.duplicates) == (1, 0)


def test_a_store_in_use_and_one_of_another_stream_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with ZmqSource() as source, ZmqSource() as other:
        with buffer_of(source.address, "--store", folder) as buffer:
            buffer.program.wait_for_line(rf"The ring begins empty; it is in the store {folder}")
            assert refusal(source.address, "--store", folder).endswith(
                "in use by another buffer; give each buffer a folder of its own"
            )
            Feed(source, buffer).send(5)
            buffer.program.end()
        assert f"holds the ring of {source.address}, not of {other.address}" in refusal(other.address, "--store", folder)
        with buffer_of(source.address, "--store", folder) as buffer:  # told to end, it leaves its ring as well
            buffer.program.wait_for_line(r"The ring goes on with 5 messages, pulses 1\.\.5")


def refusal(*arguments: object) -> str:
    """The line that a buffer ends with which cannot start."""
    with running("buffer", *arguments, "-o", 0) as program:
        assert program.wait_for_exit() == ExitCode.SETUP
        return program.output


@contextmanager
def buffer_in_small_tmpfs(source: str, folder: Path, size_bytes: int, *arguments: object) -> Iterator[Program]:
    """A buffer whose store is on a file system of this size, which only it sees; skips where that is not possible."""
    unshare = ("unshare", "--user", "--map-root-user", "--mount")
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name spaces here")
    folder.mkdir(exist_ok=True)
    mount = f'mount -t tmpfs -o size={size_bytes} none "$0" && exec "$@"'
    program = (sys.executable, str(PACKAGE / "buffer.py"), source, "-o", "0", "--bind", "127.0.0.1", "--store", str(folder))
    command = [*unshare, "sh", "-c", mount, str(folder), *program, *map(str, arguments)]
    with started(command, name="buffer", environment={"PYTHONPATH": str(PACKAGE.parent)}) as child:
        yield child


def test_a_file_system_that_is_smaller_than_the_memory_limit_makes_the_ring_smaller(tmp_path: Path) -> None:
    values = {"BALLAST": np.zeros(MIB, np.uint8)}
    with ZmqSource() as source, buffer_in_small_tmpfs(source.address, tmp_path / "store", 24 * MIB) as program:
        program.wait_for_line(r"has room for 22 MiB of messages: that is the memory limit, instead of \d+ MiB")
        port = program.wait_for_line(r"serves port (\d+)")[1]
        buffer = Buffer(program, f"tcp://127.0.0.1:{port}")
        for pulse_id in range(1, 61):
            source.send(pulse_id, values)
        buffer.wait_until_it_holds(newest=60)
        assert 15 <= holdings(buffer.address).messages <= 22
        assert program.end() == ExitCode.COMPLETE
        assert "cannot" not in program.output


def test_a_file_system_that_is_too_small_ends_it_at_once(tmp_path: Path) -> None:
    with buffer_in_small_tmpfs("tcp://127.0.0.1:1", tmp_path / "store", 8 * MIB) as program:
        assert program.wait_for_exit() == ExitCode.SETUP
        assert "has room for 7 MiB of messages, and at least 16 are needed" in program.output
