"""The whole chain for tests: a libzmq source in the test's hands, the real buffer, the real writer, and its REST face."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zmq

from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import Program, running, wait_until
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.extension import Holdings, StartPoint, client_properties
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

_SEND_TIMEOUT_MS = 10_000


class ZmqSource:
    """A bsread source made of a bare libzmq socket: sends exactly the frames that the test wants."""

    def __init__(self, socket_type: int = zmq.PUSH, *, port: int | None = None) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(socket_type)
        self._socket.setsockopt(zmq.SNDTIMEO, _SEND_TIMEOUT_MS)
        self._socket.setsockopt(zmq.SNDHWM, 100_000)
        self._socket.setsockopt(zmq.LINGER, 0)
        if socket_type == zmq.XPUB:
            self._socket.setsockopt(zmq.RCVTIMEO, _SEND_TIMEOUT_MS)
        self.port = port or self._socket.bind_to_random_port("tcp://127.0.0.1")
        if port:
            self._socket.bind(f"tcp://127.0.0.1:{port}")

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def send_frames(self, frames: Sequence[bytes]) -> None:
        """Sends one message."""
        self._socket.send_multipart(frames)

    def send(self, pulse_id: int, values: Mapping[str, Value | None] | None = None) -> None:
        """Sends one bsread message, by default of one scalar ``A`` that equals the pulse id."""
        self.send_frames(message_of(pulse_id, {"A": float(pulse_id)} if values is None else values))

    def send_range(self, first: int, last: int) -> None:
        """Sends the default message for each pulse id, both ends inclusive."""
        for pulse_id in range(first, last + 1):
            self.send(pulse_id)

    def wait_for_subscriber(self) -> None:
        """For an XPUB: returns when somebody has subscribed."""
        self._socket.recv()

    def close(self) -> None:
        """Ends it; what is not sent yet is lost."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def holdings(address: str | Address) -> Holdings:
    """What the buffer at this address holds now, by asking it as a client."""
    target = parse_address(address) if isinstance(address, str) else address

    async def ask() -> Holdings:
        properties = client_properties(name="test", start=StartPoint("hold"))
        connection = await connect(target, role=SocketType.PULL, properties=properties, timeout_s=10)
        try:
            found = Holdings.from_ready(connection.ready)
            assert found is not None
            return found
        finally:
            connection.close()

    return asyncio.run(ask())


@dataclass(frozen=True)
class Buffer:
    """A running buffer."""

    program: Program
    address: str

    def wait_until_it_holds(self, *, newest: int) -> None:
        """Returns when this pulse id is the newest in the ring."""
        wait_until(lambda: holdings(self.address).newest_pulse_id == newest, f"pulse {newest} in {self.address}")


@contextmanager
def buffer_of(source: str, *arguments: object) -> Iterator[Buffer]:
    """A buffer of this source on a free port."""
    with running("buffer", source, "-o", 0, "--bind", "127.0.0.1", *arguments) as program:
        port = program.wait_for_line(r"serves port (\d+)")[1]
        yield Buffer(program, f"tcp://127.0.0.1:{port}")


class Writer:
    """A running writer and its REST face; every answer is checked to be HTTP 200."""

    def __init__(self, program: Program, url: str) -> None:
        self.program = program
        self.url = url

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The decoded JSON of the answer, None for an empty one; raises for other codes than 200."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=15) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def put(self, path: str, body: object = None) -> None:
        """A start or stop; it must be taken without an error."""
        answer = self.request("PUT", path, body)
        assert answer is None, answer

    def get(self, path: str) -> Any:
        """The decoded answer."""
        return self.request("GET", path)

    @property
    def status(self) -> str:
        """``waiting`` or ``writing``."""
        status: str = self.get("/status")["status"]
        return status

    def wait_for(self, **values: object) -> None:
        """Returns when ``GET /statistics`` has these values."""
        wait_until(
            lambda: self.get("/statistics")["statistics"].items() >= values.items(), f"{values} in {self.get('/statistics')}"
        )


@contextmanager
def writer_of(stream: str, output_file: Path | str, *arguments: object) -> Iterator[Writer]:
    """A writer on this stream with a free REST port, connected."""
    with running("writer", stream, output_file, -1, 0, *arguments) as program:
        url = program.wait_for_line(r"REST on (http://\S+)")[1]
        program.wait_for_line(r"Connected to the")
        yield Writer(program, url)
