"""Everything that can knock at a buffer's port, all at once, beside readers that must not notice."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import zmq

from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.testing.beam import assert_holds, beam_message
from sf_bsread_writer.testing.chain import Feed, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.strangers import GREETING, ready
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame
from sf_bsread_writer.zmtp.handshake import SocketType

pytestmark = pytest.mark.system

MIB = 1 << 20
ZMTP_2 = b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x08" + b"\x00\x00"
HTTP = b"GET / HTTP/1.1\r\nHost: buffer\r\n\r\n"
PULL = GREETING + ready(Socket_Type=b"PULL")
MAX_CLIENTS = 40
SILENT = 300
BRIEF = 700


def client_hello() -> bytes:
    """What a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="buffer").do_handshake()
    return outgoing.read()


TALKERS = {
    "HTTP": HTTP,
    "TLS": client_hello(),
    "ZMTP 2.0": ZMTP_2,
    "megabytes of anything": b"A" * (4 * MIB),
    "a message, as if this was a source": PULL + encode_frame(bytes(4 * MIB)),
    "commands without end": PULL + encode_command("NOISE", bytes(60_000)) * 100,
    "questions without reading the answers": PULL + encode_command("PING", bytes(60_000)) * 100,
    "subscriptions without end": GREETING
    + ready(Socket_Type=b"SUB")
    + b"".join(encode_frame(b"\x01" + number.to_bytes(4) + bytes(1000)) for number in range(900)),
}


def connected(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port))


def talker(address: Address, says: bytes) -> socket.socket:
    """Says all of it, as far as it is listened to, and stays."""
    sock = connected(address)
    sock.settimeout(0.2)
    with suppress(OSError):
        sock.sendall(says)
    return sock


def hang_up_with_a_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Trickle:
    """Reads a byte every now and then, in a thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._read, name="trickle")
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError):
            while not self._end.wait(0.05):
                self._sock.recv(1)

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def pull_socket() -> Iterator["zmq.Socket[bytes]"]:
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        yield socket


def resident_bytes(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


class Puller:
    """A reader made of libzmq."""

    def __init__(self, socket: "zmq.Socket[bytes]") -> None:
        self._socket = socket

    def received(self, *, until: int) -> list[int]:
        """The pulse ids that come up to that one."""
        pulse_ids: list[int] = []
        while not pulse_ids or pulse_ids[-1] != until:
            pulse_ids.append(parse_main_header(self._socket.recv_multipart()[0]).pulse_id)
        return pulse_ids


def test_readers_get_every_pulse_whatever_else_knocks_and_all_that_took_is_given_back(
    pull_socket: "zmq.Socket[bytes]", tmp_path: Path
) -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "-b", 5000, "--memory_limit", "48M", "--max_clients", MAX_CLIENTS) as buffer,
        writer_of(buffer.address, tmp_path / "run.h5") as writer,
    ):
        feed, address, pid = Feed(source, buffer), parse_address(buffer.address), buffer.program.process.pid
        for _ in range(5):
            feed.send_ballast()  # now the ring is as large as it gets
        first = feed.send(50)[0]
        writer.put(f"/start_pulse_id/{first}")
        pull_socket.connect(buffer.address)
        puller = Puller(pull_socket)
        puller.received(until=feed.next_pulse_id - 1)
        memory_before, open_before = resident_bytes(pid), descriptors(pid)
        begin = feed.next_pulse_id

        with ExitStack() as stack:
            for _ in range(SILENT):
                stack.enter_context(connected(address))
            for _ in range(BRIEF):
                connected(address).close()
            feed.send(50)
            for says in TALKERS.values():
                stack.enter_context(talker(address, says))
            stills = [stack.enter_context(Reader(address)) for _ in range(10)]  # that never read
            stack.enter_context(Reader(address, role=SocketType.SUB))  # that never subscribes
            trickle = Trickle(stack.enter_context(Reader(address)).socket)
            stack.callback(trickle.close)
            for _ in range(20):
                hang_up_with_a_reset(Reader(address).socket)
            writer.wait_for(last_pulse_id=feed.send(50)[-1])
            for _ in range(2):
                feed.send_ballast()  # who does not read stands inside one
            last = feed.send(50)
            for still in stills[:5]:
                hang_up_with_a_reset(still.socket)
            with Reader(address, X_Start=f"pulse {last[0]}") as late:
                messages = [late.next() for _ in last]
            assert messages == [beam_message(pulse_id) for pulse_id in last]
            assert puller.received(until=last[-1]) == list(range(begin, last.stop))

        wait_until(lambda: descriptors(pid) <= open_before, f"{open_before} descriptors again")
        last = feed.send(50)
        assert puller.received(until=last[-1]) == list(last)
        assert resident_bytes(pid) <= memory_before + 16 * MIB
        writer.put(f"/stop_pulse_id/{last[-1]}")
        report = writer.ended()
        assert (report.rows, report.lost_in_buffer, report.reconnects) == (last.stop - first, 0, 0)
        buffer.program.end()
    assert "Traceback" not in buffer.program.output
    refusals = [line for line in buffer.program.lines if line.startswith("[WARNING] Client refused")]
    assert len(refusals) == 1  # one line a minute, however many knock


REST_TALKERS = {
    "TLS": client_hello(),
    "ZMTP 3": PULL,
    "ZMTP 2.0": ZMTP_2,
    "megabytes of anything": b"A" * (4 * MIB),
    "a header without end": b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * (4 * MIB),
    "a body without end": b"POST /parameters HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n"
    + b"x" * (12 * MIB),
    "half a request": b"PUT /stop_pulse_id/1 HTTP/1.1\r\nHo",
    "requests without reading the answers": b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000,
}


def test_a_writer_writes_every_pulse_and_answers_whatever_else_knocks_at_its_rest_port(tmp_path: Path) -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "-b", 5000) as buffer,
        writer_of(buffer.address, tmp_path / "run.h5") as writer,
    ):
        feed, address, pid = Feed(source, buffer), parse_address(writer.url.replace("http", "tcp")), writer.program.process.pid
        sent = list(feed.send(50))
        writer.put(f"/start_pulse_id/{sent[0]}")
        writer.wait_for(rows=50)
        memory_before, open_before = resident_bytes(pid), descriptors(pid)
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(connected(address))
            for _ in range(100):
                connected(address).close()
            for says in REST_TALKERS.values():
                stack.enter_context(talker(address, says))
                assert writer.status == "writing"
            for _ in range(20):
                hang_up_with_a_reset(talker(address, b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
            sent += feed.send(50)
            writer.wait_for(rows=100)
        wait_until(lambda: descriptors(pid) <= open_before, f"{open_before} descriptors again")
        assert resident_bytes(pid) <= memory_before + 32 * MIB
        sent += feed.send(50)
        writer.put(f"/stop_pulse_id/{sent[-1]}")
        writer.ended()
    assert_holds(writer.path, sent)
    assert "Traceback" not in writer.program.output
