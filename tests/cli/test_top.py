"""``sf_bsread top`` on the real programs: a table once, and on a terminal until a key is pressed."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq

from sf_bsread_writer.cli import main
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import BALLAST_BYTES, Buffer, ZmqSource, buffer_of, holdings, writer_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.terminal import on_terminal
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

pytestmark = pytest.mark.system


@contextmanager
def sending(source: ZmqSource, first: int) -> Iterator[None]:
    """A message every few milliseconds until the end of the block; of a source that publishes, since that waits for nobody."""
    ended = threading.Event()

    def send() -> None:
        pulse_id = first
        while not ended.wait(0.005):
            source.send(pulse_id, {"A": float(pulse_id), "B:TEXT": "ready"})
            pulse_id += 1

    sender = threading.Thread(target=send, name="source")
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


@pytest.fixture
def buffer() -> Iterator[Buffer]:
    """One that holds pulses 1..50 and gets more."""
    with ZmqSource(zmq.XPUB) as source, buffer_of(source.address) as buffer:
        source.wait_for_subscriber()
        source.send_range(1, 50)
        buffer.wait_until_it_holds(newest=50)
        with sending(source, 60):
            yield buffer


def test_one_table_of_a_buffers_live_stream(buffer: Buffer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", buffer.address, "--once", "--interval", "0.3"]) == ExitCode.COMPLETE
    out = capsys.readouterr().out
    assert out.startswith(f"{buffer.address}: a buffer that holds ")
    assert "0 pulses missing, 0 not in order" in out  # the gap 50..60 is of the past, which it did not ask for
    rows = [line.split() for line in out.splitlines()]
    assert rows[-3][:3] == ["A", "float64", "scalar"]
    assert float(rows[-3][3]) > 0
    assert int(float(rows[-3][4])) >= 60
    assert rows[-2][-1] == "ready"


def test_a_buffers_clients_are_a_table_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ZmqSource(zmq.XPUB) as source, buffer_of(source.address, "-b", 1000) as buffer:
        source.wait_for_subscriber()
        with (
            writer_of(buffer.address, tmp_path / "run.h5") as writer,
            Reader(parse_address(buffer.address), X_Name="sleeper") as sleeper,  # it does not read
        ):
            writer.put("/start_now")
            source.send(50, {"A": 50.0, "B:TEXT": "x" * BALLAST_BYTES})
            with sending(source, 51):
                wait_until(lambda: (holdings(buffer.address).newest_pulse_id or 0) >= 60, "ten pulses behind the large one")
                assert main(["top", buffer.address, "--once", "--interval", "0.3"]) == ExitCode.COMPLETE
            port = sleeper.socket.getsockname()[1]
    lines = capsys.readouterr().out.splitlines()
    heading = next(index for index, line in enumerate(lines) if line.startswith("client "))
    split = lines[heading].index("address")
    table = {line[:split].strip(): line[split:].split() for line in lines[heading + 1 : heading + 5]}
    writing = f"sf_bsread_writer:{writer.url.rpartition(':')[2]}"
    assert sorted(table) == ["sf_bsread top", "sf_bsread top, holdings", writing, "sleeper"]
    assert table["sleeper"][0] == f"tcp://127.0.0.1:{port}"
    per_s, behind, by_s, lost = map(float, table["sleeper"][1:])
    assert (per_s, lost) == (0.0, 0.0)
    assert behind >= 10
    assert by_s > 0
    per_s, behind, _, lost = map(float, table[writing][1:])
    assert per_s > 10
    assert (behind < 10, lost) == (True, 0.0)
    assert lines[heading + 5] == ""
    assert lines[heading + 6].startswith("channel ")


def test_on_a_terminal_it_goes_on_until_q(buffer: Buffer) -> None:
    with on_terminal([sys.executable, "-m", "sf_bsread_writer.cli", "top", buffer.address, "--interval", "0.1"]) as terminal:
        terminal.wait_for("B:TEXT")
        before = terminal.shown.count("messages/s")
        wait_until(lambda: terminal.shown.count("messages/s") > before + 1, "the table is shown again and again")
        terminal.press("q")
        assert terminal.ended() == ExitCode.COMPLETE
        assert "\x1b[?1049h" in terminal.shown  # a screen of its own,
        assert terminal.shown.rindex("\x1b[?1049l") > terminal.shown.rindex("B:TEXT")  # which it has left


def test_on_a_terminal_ctrl_c_ends_it_and_trouble_stays_out_of_the_table(buffer: Buffer) -> None:
    with on_terminal([sys.executable, "-m", "sf_bsread_writer.cli", "top", buffer.address, "--interval", "0.1"]) as terminal:
        terminal.wait_for("B:TEXT")
        buffer.program.end()
        terminal.wait_for("NOT connected")
        terminal.wait_for("[WARNING] ")
        terminal.interrupt()
        assert terminal.ended() == ExitCode.COMPLETE
        assert "Traceback" not in terminal.shown


def test_a_publisher_is_looked_at_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with ZmqSource(zmq.XPUB) as source, sending(source, 7):
        assert main(["top", source.address, "--interval", "0.2", "--seconds", "0.5", "--channel", "B*"]) == ExitCode.COMPLETE
    out = capsys.readouterr().out
    assert out.startswith(f"{source.address}\n")
    assert out.count("messages/s") in (2, 3)
    assert "2 channels, 1 of them shown" in out


def test_a_push_source_loses_nothing_to_one_who_only_looks(capsys: pytest.CaptureFixture[str]) -> None:
    with ZmqSource() as source:
        assert main(["top", source.address, "--once"]) == ExitCode.USAGE
        assert "give --mode pull if nobody else needs its messages" in capsys.readouterr().err
        with buffer_of(source.address) as buffer:
            source.send_range(1, 20)
            buffer.wait_until_it_holds(newest=20)
            assert main(["top", source.address, "--once"]) == ExitCode.USAGE
            source.send_range(21, 40)
            buffer.wait_until_it_holds(newest=40)
            buffer.program.end()
            assert "40 messages" in buffer.program.lines[-1]
        sender = threading.Thread(target=source.send_range, args=(41, 60))  # waits until somebody takes it
        sender.start()
        assert main(["top", source.address, "--interval", "0.2", "--seconds", "0.4", "--mode", "pull"]) == ExitCode.COMPLETE
        sender.join()
    assert "newest pulse 60" in capsys.readouterr().out


def test_where_nobody_is_it_says_so_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with ZmqSource() as source:
        address = source.address
    assert main(["top", address]) == ExitCode.SETUP
    assert "nothing listens there" in capsys.readouterr().err
