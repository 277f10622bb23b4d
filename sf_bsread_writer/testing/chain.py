"""The whole chain for tests: a libzmq source in the test's hands, the real buffer, the real writer, and its REST face."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import msgspec
import numpy as np
import zmq

from sf_bsread_writer import client
from sf_bsread_writer.acquire.report import Report, describe
from sf_bsread_writer.acquire.service import OUTCOME_EXIT_CODES
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.testing.beam import beam_message
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import PROMPTLY_S, Program, running, wait_until
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.extension import Holdings

BALLAST_BYTES = 12 << 20
"""Linux gives the two sockets of a connection on one machine 10 MB at most, unless told otherwise."""

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
            self._socket.setsockopt(zmq.XPUB_VERBOSE, True)  # or it would not tell of the second subscriber
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

    def send_beam(self, pulse_ids: Iterable[int]) -> None:
        """Sends these pulses of `beam`."""
        for pulse_id in pulse_ids:
            self.send_frames(beam_message(pulse_id))

    def wait_for_subscriber(self) -> None:
        """For an XPUB: returns when somebody has subscribed; that others have left is passed over."""
        while not self._socket.recv().startswith(b"\x01"):
            pass

    def close(self) -> None:
        """Ends it; what is not sent yet is lost."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def holdings(address: str | Address) -> Holdings:
    """What the buffer at this address holds now, by asking it as a client."""
    return client.Buffer(address, name="test").holdings(timeout_s=10)


@dataclass(frozen=True)
class Buffer:
    """A running buffer."""

    program: Program
    address: str

    def wait_until_it_holds(self, *, newest: int) -> None:
        """Returns when this pulse id is the newest in the ring."""
        wait_until(lambda: holdings(self.address).newest_pulse_id == newest, f"pulse {newest} in {self.address}")

    @property
    def url(self) -> str:
        """The root of its REST; it has to be started with ``--rest_port``."""
        return self.program.wait_for_line(r"REST on (http://\S+)")[1]

    def get(self, path: str) -> Any:
        """What REST answers."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=PROMPTLY_S) as answer:
            return json.load(answer)


@contextmanager
def buffer_of(source: str, *arguments: object) -> Iterator[Buffer]:
    """A buffer of this source on a free port."""
    with running("buffer", source, "-o", 0, "--bind", "127.0.0.1", *arguments) as program:
        port = program.wait_for_line(r"serves port (\d+)")[1]
        yield Buffer(program, f"tcp://127.0.0.1:{port}")


class Feed:
    """A source and the buffer of it, which a test, or one test after the other, sends the next pulses of `beam` through."""

    def __init__(self, source: ZmqSource, buffer: Buffer, *, next_pulse_id: int = 1) -> None:
        self.source = source
        self.buffer = buffer
        self.next_pulse_id = next_pulse_id

    def send(self, count: int) -> range:
        """Sends the next so many pulses; returns their ids once the buffer holds them all."""
        sent = range(self.next_pulse_id, self.next_pulse_id + count)
        self.source.send_beam(sent)
        self.next_pulse_id = sent.stop
        self.buffer.wait_until_it_holds(newest=sent[-1])
        return sent

    def send_ballast(self) -> None:
        """One message, the next pulse's, of more bytes than the sockets to a reader that does not read can take."""
        self.source.send(self.next_pulse_id, {"BALLAST": np.zeros(BALLAST_BYTES, np.uint8)})
        self.buffer.wait_until_it_holds(newest=self.next_pulse_id)
        self.next_pulse_id += 1


class Writer:
    """A running writer and its REST face; every answer is checked to be HTTP 200. ``path`` is its output file."""

    def __init__(self, program: Program, url: str, path: Path) -> None:
        self.program = program
        self.url = url
        self.path = path

    def request(self, method: str, path: str, body: object = None) -> Any:
        """The decoded JSON of the answer, None for an empty one; raises for other codes than 200."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                text = answer.read()
        except (urllib.error.URLError, ConnectionError) as error:
            raise AssertionError(f"{method} {path} got {error} from a writer that says:\n{self.program.output}") from error
        return json.loads(text) if text else None

    def put(self, path: str, body: object = None) -> None:
        """A start or stop; it must be taken without an error."""
        answer = self.request("PUT", path, body)
        assert answer is None, answer

    def get(self, path: str) -> Any:
        """The decoded answer."""
        return self.request("GET", path)

    def error_of(self, method: str, path: str, body: object = None) -> str:
        """What the writer says is wrong with this request; it must refuse it."""
        answer = self.request(method, path, body)
        assert answer is not None, f"{method} {path} was taken"
        assert answer["state"] == "error", answer
        text: str = answer["status"]
        return text

    @property
    def status(self) -> str:
        """``waiting`` or ``writing``."""
        status: str = self.get("/status")["status"]
        return status

    def wait_for(self, **values: object) -> None:
        """Returns when ``GET /statistics`` has these values."""
        latest: dict[str, Any] = {}

        def reached() -> bool:
            latest.update(self.get("/statistics")["statistics"])
            return latest.items() >= values.items()

        try:
            wait_until(reached, f"{values}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; instead {latest}, and a writer that says:\n{self.program.output}") from None

    def wait_until_waiting(self) -> None:
        """Returns when the file of this acquisition is closed, and the writer stays for another."""
        wait_until(lambda: self.status == "waiting", "the writer waits for its next start")

    def ended(self, code: ExitCode = ExitCode.COMPLETE) -> Report:
        """The process must end promptly, with this code; returns the file's report, which must be the one in the log."""
        actual = self.program.wait_for_exit(timeout_s=PROMPTLY_S)
        assert actual == code, f"{actual!r} instead of {code!r}:\n{self.program.output}"
        report = report_in(self.path)
        assert OUTCOME_EXIT_CODES[report.outcome] == code
        assert not self.path.with_name(f"{self.path.name}.partial").exists()
        self.assert_logged(report)
        return report

    def assert_logged(self, report: Report) -> None:
        """The report stands in the log, line by line."""
        texts = [line.partition("] ")[2] for line in self.program.lines]
        assert "\n".join(describe(report)) in "\n".join(texts), self.program.output


def report_in(path: Path) -> Report:
    """The report that a file holds."""
    with h5py.File(path) as file:
        return msgspec.json.decode(file["report"][()], type=Report)


@contextmanager
def writer_of(
    stream: str, output_file: Path | str, *arguments: object, connected: bool = True, rest_port: int = 0, **environment: str
) -> Iterator[Writer]:
    """A writer on this stream with a free REST port; unless told otherwise, this waits until it is connected."""
    with running("writer", stream, output_file, -1, rest_port, *arguments, **environment) as program:
        url = program.wait_for_line(r"REST on (http://\S+)")[1]
        if connected:
            program.wait_for_line(r"Connected to the")
        yield Writer(program, url, Path(output_file))


def writers_on(stream: str, output_files: Sequence[Path], stack: ExitStack) -> list[Writer]:
    """A writer for each file, all started at the same time; they end with the stack."""
    with ThreadPoolExecutor(len(output_files)) as pool:
        return list(pool.map(lambda path: stack.enter_context(writer_of(stream, path)), output_files))
