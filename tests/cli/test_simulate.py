"""``sf_bsread simulate`` read by libzmq, by the reference implementation, and by a plain socket."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bsread
import numpy as np
import pytest
import zmq

from sf_bsread_writer.cli import main
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.simulator.channels import SimulatedChannel, parse_channel, preset
from sf_bsread_writer.simulator.values import salt, value_at
from sf_bsread_writer.testing.programs import Program, running
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

pytestmark = pytest.mark.system

FIRST_ID = 26_012_345_678
SPECIFICATIONS = (
    "WAVE:int16:100:byte_order=big",
    "IMAGE:uint16:64x48:compression=bitshuffle_lz4",
    "SLOW:float64:modulo=10:offset=3",
    "PACKED:float32:compression=bitshuffle_lz4:byte_order=big",
)
CHANNELS = (*preset("types"), *map(parse_channel, SPECIFICATIONS))
CHANNEL_ARGUMENTS = ("--preset", "types", *(argument for text in SPECIFICATIONS for argument in ("--channel", text)))


@contextmanager
def simulating(*arguments: object) -> Iterator[tuple[Program, Address]]:
    with running("cli/__main__", "simulate", *arguments) as program:
        yield program, parse_address(program.wait_for_line(r"^(tcp://\S+) ")[1])


@contextmanager
def libzmq(kind: int, address: Address) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.rcvtimeo = 10_000
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(str(address))
        yield socket


def is_due(simulated: SimulatedChannel, pulse_id: int) -> bool:
    return (pulse_id - simulated.channel.offset) % simulated.channel.modulo == 0


@pytest.mark.peer
@pytest.mark.parametrize(("mode", "kind"), [("push", zmq.PULL), ("pub", zmq.SUB)])
def test_libzmq_gets_the_frames_asked_for(mode: str, kind: int) -> None:
    arguments = (
        "--mode",
        mode,
        "--rate",
        0,
        "--messages",
        40,
        "--wait_for_client",
        "--first_pulse_id",
        FIRST_ID,
        "--channel",
        "A:int32",
    )
    with simulating(*arguments) as (program, address), libzmq(kind, address) as socket:
        for pulse_id in range(FIRST_ID, FIRST_ID + 40):
            main, data, value, timestamp = socket.recv_multipart()
            header = parse_main_header(main)
            assert header.pulse_id == pulse_id
            assert json.loads(data)["channels"][0]["name"] == "A"
            assert np.frombuffer(value, "<i4")[0] == value_at(parse_channel("A:int32"), pulse_id)
            assert np.frombuffer(timestamp, "<i8").tolist() == list(divmod(header.global_timestamp_ns + salt("A"), 10**9))
        assert program.wait_for_exit() == ExitCode.COMPLETE
    assert "40 messages made" in program.output


@pytest.mark.peer
@pytest.mark.parametrize(("mode", "read_as"), [("push", bsread.PULL), ("pub", bsread.SUB)])
@pytest.mark.parametrize("dh_compression", [kind.value for kind in Compression])
def test_reference_implementation_reads_the_values_specified(mode: str, read_as: Any, dh_compression: str) -> None:
    arguments = (*CHANNEL_ARGUMENTS, "--first_pulse_id", FIRST_ID, "--dh_compression", dh_compression, "--mode", mode)
    with (
        simulating("--rate", 0, "--wait_for_client", *arguments) as (_, address),
        bsread.Source(host=address.host, port=address.port, mode=read_as, receive_timeout=10_000) as source,
    ):
        for pulse_id in range(FIRST_ID, FIRST_ID + 33):
            message = source.receive()
            assert message is not None
            assert message.data.pulse_id == pulse_id
            time_ns = int(message.data.global_timestamp) * 10**9 + int(message.data.global_timestamp_offset)
            for simulated in CHANNELS:
                name, expected = simulated.channel.name, np.asarray(value_at(simulated, pulse_id))
                received = message.data.data[name]
                # This implementation takes an empty string for a missing value.
                if not is_due(simulated, pulse_id) or (simulated.channel.is_string and not expected.item()):
                    assert received.value is None
                    continue
                assert np.array_equal(received.value, expected), name
                assert np.shape(received.value) == expected.shape, name
                assert received.timestamp * 10**9 + received.timestamp_offset == time_ns + salt(name)


@pytest.mark.peer
def test_faults_are_those_asked_for() -> None:
    arguments = [
        "--rate",
        0,
        "--messages",
        60,
        "--wait_for_client",
        "--first_pulse_id",
        1000,
        "--channel",
        "A:int32",
        "--channel",
    ]
    arguments += ["W:int8:4", "--gap", "10:19", "--duplicate", 25, "--step_back", "40:30", "--change_header_at", 50]
    with simulating(*arguments, "--missing", 0.5, "--seed", 7) as (_, address), libzmq(zmq.PULL, address) as socket:
        messages = [socket.recv_multipart() for _ in range(60)]
    numbers = [n for n in range(70) if not 10 <= n <= 19 for _ in range(1 + (n > 0 and n % 25 == 0))][:60]
    assert [parse_main_header(frames[0]).pulse_id for frames in messages] == [1000 + n - 30 * (n >= 40) for n in numbers]
    shapes = [[(c["name"], c["shape"]) for c in json.loads(frames[1])["channels"]] for frames in messages]
    changed = [n >= 50 for n in numbers]
    assert [shape == [("A", [1]), ("W", [5]), ("SIM:ADDED", [1])] for shape in shapes] == changed
    assert [shape == [("A", [1]), ("W", [4])] for shape in shapes] == [not after for after in changed]
    values = [bool(frame) for frames in messages for frame in frames[2::2]]
    assert 0.3 < np.mean(values) < 0.7
    assert all(bool(value) == bool(timestamp) for f in messages for value, timestamp in zip(f[2::2], f[3::2], strict=True))


def test_default_pulse_id_and_time_come_from_the_clock_and_its_offset() -> None:
    with (
        simulating("--channel", "A:int8", "--messages", 1, "--wait_for_client", "--clock_offset", 3600) as (_, address),
        libzmq(zmq.PULL, address) as socket,
    ):
        header = parse_main_header(socket.recv_multipart()[0])
    assert header.global_timestamp_ns / 1e9 == pytest.approx(time.time() + 3600, abs=30)
    assert header.pulse_id == pytest.approx((time.time() - 1_483_228_800) * 100, abs=3000)


def test_300_scalars_leave_thousands_of_times_a_second() -> None:
    async def read_all(address: Address) -> float:
        connection = await connect(address, role=SocketType.PULL)
        begun_s, memory = time.perf_counter(), bytearray(1 << 20)
        connection.socket.setblocking(True)
        while connection.socket.recv_into(memory):
            pass
        connection.close()
        return time.perf_counter() - begun_s

    with simulating("--scalars", 300, "--rate", 0, "--messages", 20_000, "--wait_for_client") as (program, address):
        took_s = asyncio.run(read_all(address))
        program.wait_for_exit()
    assert "20000 sent" in program.output
    assert took_s < 5, f"{20_000 / took_s:.0f} messages/s"  # 40,000 messages/s on an idle core


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_endless_stream_ends_well_when_told_to(number: int) -> None:
    with simulating("--channel", "A:int8", "--interval", 0.1) as (program, _):
        program.wait_for_line(r"messages/s made")
        assert program.end(number) == ExitCode.COMPLETE
    assert "Traceback" not in program.output
    assert program.lines[-1].startswith("ended: ")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("--rate", 0), "waiting for a client"),
        (("--wait_for_client",), "waiting for a client"),
        (("--wait_for_client", 2), "waiting for 2 clients; 0 connected"),
    ],
)
def test_source_without_clients_says_that_it_waits_for_them(options: tuple[object, ...], line: str) -> None:
    with simulating("--channel", "A:int8", "--interval", 0.05, *options) as (program, _):
        assert program.wait_for_line("waiting")[0]
        assert program.lines[1] == line
        program.end(signal.SIGTERM)
    assert "None" not in program.output


def test_one_client_is_one_client() -> None:
    with simulating("--channel", "A:int8", "--interval", 0.05) as (program, address), libzmq(zmq.PULL, address) as socket:
        socket.recv_multipart()
        program.wait_for_line("sent to 1 client$")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--channel", "A:int8", "--channel", "A:float64"),
        ("--scalars", "2", "--channel", "SIM:SCALAR-001:int8"),
        ("--channel", "SIM:ADDED:int8", "--change_header_at", "5"),
    ],
)
def test_name_that_is_given_twice_is_refused(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *arguments]) == ExitCode.USAGE
    assert re.search(r"channel '(A|SIM:SCALAR-001|SIM:ADDED)' is there 2 times", capsys.readouterr().err)


def test_stream_of_n_messages_that_is_cut_short_says_so() -> None:
    with simulating("--channel", "A:int8", "--messages", 1_000_000) as (program, _):
        assert program.end(signal.SIGINT) == ExitCode.INTERRUPTED


def test_every_client_gets_what_it_asked_for_at_the_same_time() -> None:
    with (
        simulating("--channel", "A:int8", "--rate", 0, "--messages", 500, "--wait_for_client", 2, "--first_pulse_id", 0) as (
            _,
            address,
        ),
        libzmq(zmq.PULL, address) as first,
        libzmq(zmq.PULL, address) as second,
    ):
        for socket in (first, second):
            assert [parse_main_header(socket.recv_multipart()[0]).pulse_id for _ in range(500)] == list(range(500))
