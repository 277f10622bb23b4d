"""The program sf_bsread_buffer as it is started in production."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from sf_bsread_writer import buffer
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import running
from sf_bsread_writer.testing.wire import Reader, Source
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.frames import encode_message

pytestmark = pytest.mark.system


@pytest.fixture
def source() -> Iterator[Source]:
    with Source() as made:
        yield made


def test_it_relays_until_a_signal_and_sums_up(source: Source) -> None:
    with running("buffer", "-o", 0, "-b", 50, "--memory_limit", "1G", source.address) as buffer:
        start = buffer.wait_for_line(
            rf"^\[INFO\] Buffer of {source.address} serves port (\d+) on all interfaces; "
            r"it keeps the last 50 messages, in at most 1024 MiB$"
        )
        source.accept()
        sent = [message_of(i, {"A": float(i)}) for i in range(60)]
        source.send_messages(sent)
        with Reader(Address("127.0.0.1", int(start[1]))) as reader:
            first = reader.next()
            assert first in sent[:11]
            assert [reader.next() for _ in sent[sent.index(first) + 1 :]] == sent[sent.index(first) + 1 :]
            assert buffer.end(signal.SIGTERM) == ExitCode.COMPLETE
        assert re.search(r"^\[INFO\] Buffer ends: 60 messages, ", buffer.output, re.MULTILINE)
        assert "Traceback" not in buffer.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_signals_end_it_while_it_waits_for_the_source(free_port: int, number: signal.Signals) -> None:
    with running("buffer", "-o", 0, f"tcp://127.0.0.1:{free_port}") as buffer:
        buffer.wait_for_line(r"^\[WARNING\] .* refused the connection")
        assert buffer.end(number) == ExitCode.COMPLETE
        assert "Traceback" not in buffer.output


def test_debug_tells_each_pulse(source: Source) -> None:
    with running("buffer", "-o", 0, "--log_level", "DEBUG", "--analyzer", source.address) as buffer:
        source.accept()
        source.send(encode_message(message_of(4711, {"A": 1.0})))
        buffer.wait_for_line(r"^\[DEBUG\] Pulse 4711 arrived")


def test_a_port_in_use_ends_it_at_once(source: Source) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        with running("buffer", "-o", port, source.address) as buffer:
            assert buffer.wait_for_exit() == ExitCode.SETUP
            assert f"[ERROR] Cannot start: cannot listen on 0.0.0.0:{port}" in buffer.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["localhost:9999"], "tcp://HOST:PORT"),
        (["tcp://localhost:9999", "-b", "0"], "buffer length 0"),
        (["tcp://localhost:9999", "-o", "70000"], "output port 70000"),
        (["tcp://localhost:9999", "--rest_port", "70000"], "REST port 70000"),
        (["tcp://localhost:9999", "--rest_port", "0", "--rest_bind", "daq-7"], "--rest_bind 'daq-7' is no IP address"),
        (["tcp://localhost:9999", "--rest_bind", "0.0.0.0"], "give --rest_port, too"),
        (
            ["tcp://localhost:9999", "--rest_port", "0", "--rest_bind", "0.0.0.0", "--capture_root", "/tmp"],
            "would let everybody who reaches this machine write files here: give --token_file, too",
        ),
        (["tcp://localhost:9999", "--memory_limit", "lots"], "size 'lots'"),
        (["tcp://localhost:9999", "--memory_limit", "1M"], "give at least 16M"),
        (["tcp://localhost:9999", "--max_clients", "0"], "0 clients at most"),
        (["tcp://localhost:9999", "--allow", "10.0.0.0/8", "--allow", "10.0.0.1/8"], "network '10.0.0.1/8' is not usable"),
        ([], "required: stream"),
    ],
)
def test_unusable_arguments_are_told_with_their_value(arguments: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "sf_bsread_writer.buffer", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == ExitCode.USAGE
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_rest_is_open_to_other_machines_only_if_it_is_told_to_and_says_so(source: Source) -> None:
    def codes(url: str, *hosts: str) -> list[int]:
        return [httpx.get(f"{url}/status", headers={"Host": host}).status_code for host in hosts]

    warning = "is open to other machines, wherever this port can be reached: all of them can see"
    with running("buffer", "-o", 0, "--bind", "127.0.0.1", "--rest_port", 0, source.address) as buffer:
        url = buffer.wait_for_line(r"REST on (http://127\.0\.0\.1:\d+)$")[1]
        assert codes(url, "127.0.0.1", "10.1.2.3") == [200, 403]
        assert warning not in buffer.output
    with running("buffer", "-o", 0, "--bind", "127.0.0.1", "--rest_port", 0, "--rest_bind", "0.0.0.0", source.address) as buffer:
        port = buffer.wait_for_line(r"REST on http://0\.0\.0\.0:(\d+)$")[1]
        assert codes(f"http://127.0.0.1:{port}", "10.1.2.3", socket.gethostname(), "evil.example") == [200, 200, 403]
        assert re.search(rf"^\[WARNING\] REST on http://0\.0\.0\.0:{port} {warning}", buffer.output, re.MULTILINE)


def test_an_unusable_value_while_it_runs_is_no_mistake_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(config: BufferConfig) -> ExitCode:
        raise UsageError("start point pulse -1 is not in range")

    monkeypatch.setattr(buffer, "serve", serve)
    assert buffer.main(["tcp://localhost:9999"]) == ExitCode.INTERNAL
    output = "".join(capsys.readouterr())
    assert "Traceback" in output
    assert "UsageError: start point pulse -1 is not in range" in output
    assert "--help" not in output
