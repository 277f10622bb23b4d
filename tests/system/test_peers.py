"""Who else speaks on the wire: sources and readers made of psi-bsread and pyzmq, and our own simulator."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import bsread
import h5py
import hdf5plugin  # noqa: F401 - registers the filters of compressed channels
import numpy as np
import pytest
import zmq

from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.simulator.channels import SimulatedChannel, parse_channel, preset
from sf_bsread_writer.simulator.values import value_at
from sf_bsread_writer.testing.beam import OWN_TIME_STEP_NS, assert_holds, beam_message, beam_values
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.messages import time_of
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = [pytest.mark.system, pytest.mark.peer]

TIMEOUT_MS = 10_000
POLL_MS = 50
FIRST, LAST = 1001, 1040
"""The pulses asked for; those with lower ids only show that the stream flows."""


@contextmanager
def zmq_reader(kind: int, address: str) -> Iterator["zmq.Socket[bytes]"]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.rcvtimeo = TIMEOUT_MS
        if kind == zmq.SUB:
            socket.subscribe(b"")
        socket.connect(address)
        yield socket


# Ways from a source to a file

Way = Callable[[str, Path], AbstractContextManager[Writer]]


@contextmanager
def buffered(source: str, folder: Path) -> Iterator[Writer]:
    with buffer_of(source) as buffer, writer_of(buffer.address, folder / "buffered.h5") as writer:
        yield writer


def direct(source: str, folder: Path) -> AbstractContextManager[Writer]:
    return writer_of(source, folder / "direct.h5")


# Sources

Send = Callable[[int], None]


@contextmanager
def bsread_sender(mode: int, port: int) -> Iterator[Send]:
    sender = bsread.Sender(port=port, address="tcp://127.0.0.1", mode=mode, queue_size=1000, send_timeout=TIMEOUT_MS)
    sender.open()

    def send(pulse_id: int) -> None:
        values = beam_values(pulse_id)
        sender.send(timestamp=divmod(time_of(pulse_id), NS_PER_S), pulse_id=pulse_id, data=values)

    with closing(sender):
        yield send


@contextmanager
def pyzmq_sender(mode: int, port: int) -> Iterator[Send]:
    with ZmqSource(mode, port=port) as source:
        yield lambda pulse_id: source.send_frames(beam_message(pulse_id))


SOURCES = {
    "bsread PUSH through a buffer": (bsread_sender, bsread.PUSH, buffered),
    "bsread PUSH straight": (bsread_sender, bsread.PUSH, direct),
    "bsread PUB through a buffer": (bsread_sender, bsread.PUB, buffered),
    "pyzmq PUB straight": (pyzmq_sender, zmq.PUB, direct),
}


@pytest.mark.parametrize(("sender", "mode", "way"), SOURCES.values(), ids=SOURCES)
def test_a_source_s_pulses_are_written_value_by_value(
    sender: Callable[[int, int], AbstractContextManager[Send]], mode: int, way: Way, tmp_path: Path, free_port: int
) -> None:
    with sender(mode, free_port) as send, way(f"tcp://127.0.0.1:{free_port}", tmp_path) as writer:
        writer.put(f"/start_pulse_id/{FIRST}")
        writer.put(f"/stop_pulse_id/{LAST}")
        earlier = count(1)

        def flows() -> bool:
            send(next(earlier))
            last: int = writer.get("/statistics")["statistics"]["last_pulse_id"]
            return last > 0

        wait_until(flows, "a first message in the writer")  # a PUB drops what nobody has subscribed to yet
        for pulse_id in range(FIRST, LAST + 1):
            send(pulse_id)
        report = writer.ended()
        step_ns = 0 if sender is bsread_sender else OWN_TIME_STEP_NS
        assert_holds(writer.path, range(FIRST, LAST + 1), own_time_step_ns=step_ns)
        assert (report.outcome, report.dropped) == ("complete", {})


SIMULATED = (
    "SIM:CAMERA:uint16:64x48:compression=bitshuffle_lz4",
    "SIM:WAVE:float32:2048:compression=lz4",
    "SIM:PLAIN-WAVE:int16:17:byte_order=big",
    "SIM:BIG:float64:byte_order=big:compression=lz4",
    "SIM:SLOW:int32:modulo=10",
)


@pytest.mark.parametrize(("mode", "way"), [("push", direct), ("pub", buffered)], ids=["PUSH straight", "PUB through a buffer"])
def test_the_simulator_s_pulses_are_written_value_by_value(mode: str, way: Way, tmp_path: Path) -> None:
    channels = [*preset("types"), *map(parse_channel, SIMULATED)]
    options = ["--preset", "types", *(f"--channel={text}" for text in SIMULATED), "--dh_compression", "bitshuffle_lz4"]
    stream = ["--mode", mode, "--first_pulse_id", FIRST, "--messages", LAST - FIRST + 1, "--rate", 0, "--wait_for_client", 2]
    with running("cli/__main__", "simulate", *stream, *options) as simulator:
        address = simulator.wait_for_line(r"tcp://\S+")[0]
        with way(address, tmp_path) as writer:
            writer.put(f"/start_pulse_id/{FIRST + 3}")
            writer.put(f"/stop_pulse_id/{LAST}")
            with zmq_reader(zmq.PULL if mode == "push" else zmq.SUB, address):  # the second client: the stream begins
                writer.ended()
                assert_holds_simulated(writer.path, channels, range(FIRST + 3, LAST + 1))


def assert_holds_simulated(path: Path, channels: Sequence[SimulatedChannel], pulse_ids: range) -> None:
    with h5py.File(path) as file:
        assert file["stream/pulse_id"][:].tolist() == list(pulse_ids)
        assert sorted(file["data"]) == sorted(simulated.channel.name for simulated in channels)
        for simulated in channels:
            channel = simulated.channel
            due = np.array([pulse_id % channel.modulo == channel.offset for pulse_id in pulse_ids])
            group = file["data"][channel.name]
            assert group["is_data_present"][:].tolist() == due.tolist(), channel.name
            assert group["pulse_id"][:].tolist() == np.where(due, pulse_ids, 0).tolist(), channel.name
            values = [value_at(simulated, pulse_id) for pulse_id in np.array(pulse_ids)[due].tolist()]
            if channel.is_string:
                assert group["data"].asstr()[:].tolist() == values
            else:
                expected = np.stack([np.atleast_1d(value) for value in values])
                np.testing.assert_array_equal(group["data"][:][due], expected, err_msg=channel.name)
                assert group["data"].dtype.newbyteorder("=") == expected.dtype.newbyteorder("="), channel.name


# Readers of the buffer


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """One of this module's own: the buffer holds the pulses from 1 on, and nothing else."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 10_000) as buffer:
        feed = Feed(source, buffer)
        feed.send(1)
        yield feed


def test_a_pyzmq_pull_gets_all_that_the_buffer_holds_byte_by_byte(feed: Feed) -> None:
    sent = range(1, feed.send(20).stop)
    with zmq_reader(zmq.PULL, feed.buffer.address) as reader:
        for pulse_id in sent:
            assert reader.recv_multipart() == beam_message(pulse_id)
        for pulse_id in feed.send(5):
            assert reader.recv_multipart() == beam_message(pulse_id)


def test_a_pyzmq_sub_gets_all_that_comes_from_then_on_byte_by_byte(feed: Feed) -> None:
    feed.send(20)
    with zmq_reader(zmq.SUB, feed.buffer.address) as reader:
        wait_until(lambda: bool(feed.send(1)) and bool(reader.poll(POLL_MS)), "a first message")
        last = feed.send(20)[-1]
        frames = reader.recv_multipart()
        first = next(pulse_id for pulse_id in range(21, last) if beam_message(pulse_id) == frames)
        for pulse_id in range(first + 1, last + 1):
            assert reader.recv_multipart() == beam_message(pulse_id)


@contextmanager
def bsread_source(mode: int, address: str, timeout_ms: int) -> Iterator[bsread.Source]:
    host, _, port = address.removeprefix("tcp://").partition(":")
    source = bsread.Source(host=host, port=int(port), mode=mode, receive_timeout=timeout_ms)
    source.connect()
    try:
        yield source
    finally:
        source.disconnect()


def assert_is(message: Any, pulse_id: int) -> None:
    """What psi-bsread understands is what was sent."""
    data = message.data
    assert data.pulse_id == pulse_id
    assert (data.global_timestamp, data.global_timestamp_offset) == divmod(time_of(pulse_id), NS_PER_S)
    expected = beam_values(pulse_id)
    assert list(data.data) == list(expected)
    for name, value in expected.items():
        seen = None if isinstance(value, str) and not value else value  # to psi-bsread an empty text is no value
        np.testing.assert_array_equal(data.data[name].value, seen, err_msg=f"{name} of {pulse_id}")


def test_a_bsread_source_gets_all_that_the_buffer_holds(feed: Feed) -> None:
    sent = range(1, feed.send(20).stop)
    with bsread_source(bsread.PULL, feed.buffer.address, TIMEOUT_MS) as source:
        for pulse_id in sent:
            assert_is(source.receive(), pulse_id)


def test_a_bsread_source_that_subscribes_gets_all_that_comes_from_then_on(feed: Feed) -> None:
    with bsread_source(bsread.SUB, feed.buffer.address, POLL_MS) as source:
        received: list[Any] = []

        def receives() -> bool:
            feed.send(1)
            received.append(source.receive())
            return received[-1] is not None

        wait_until(receives, "a first message")
        first = received[-1].data.pulse_id
        last = feed.send(20)[-1]
        for pulse_id in range(first + 1, last + 1):
            assert_is(source.receive(), pulse_id)


def test_bs_h5_and_our_writer_write_the_same_values(feed: Feed, tmp_path: Path) -> None:
    feed.send(30)
    rows, reference, path = 30, tmp_path / "reference.h5", tmp_path / "run.h5"
    arguments = ["bs", "h5", "-s", feed.buffer.address, "-n", str(rows), str(reference)]
    code = f"import sys; sys.argv = {arguments}; from bsread.cli.bs import main; main()"
    done = subprocess.run([sys.executable, "-c", code], timeout=30, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with writer_of(feed.buffer.address, path) as writer:
        writer.put("/start_pulse_id/1")
        writer.put(f"/stop_pulse_id/{rows}")
        writer.ended()
    with h5py.File(reference) as theirs, h5py.File(path) as ours:
        assert theirs["pulse_id"][:].tolist() == list(range(1, rows + 1)) == ours["stream/pulse_id"][:].tolist()
        assert set(ours["data"]) == set(theirs) - {"pulse_id"}
        for name, group in ours["data"].items():
            # To psi-bsread an empty text is no value.
            for dataset in ("data",) if name == "TEXT" else ("data", "pulse_id"):
                expected = theirs[name][dataset][:]
                np.testing.assert_array_equal(group[dataset][:], expected, err_msg=f"{name}/{dataset}", strict=True)
