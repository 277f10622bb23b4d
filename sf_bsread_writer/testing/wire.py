"""Both ends of a ZMTP connection byte by byte, with blocking sockets: what libzmq does not let a test see or do."""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Self

from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.frames import encode_message, parse_command, read_frame_header
from sf_bsread_writer.zmtp.handshake import Handshake, SocketType, serving_role
from sf_bsread_writer.zmtp.peer import connect

_TIMEOUT_S = 10.0
_RECEIVE_BYTES = 1 << 16

Message = list[bytes]
Command = tuple[str, bytes]


class Reader(AbstractContextManager["Reader"]):
    """A client: gives messages (lists of frames) and commands (name, data) in their common order."""

    def __init__(self, address: Address, *, role: SocketType = SocketType.PULL, **properties: str) -> None:
        """Connects; underscores in the names of properties stand for hyphens."""
        sent = {name.replace("_", "-"): value.encode() for name, value in properties.items()}
        connection = asyncio.run(connect(address, role=role, properties=sent))
        self.ready = connection.ready
        self.socket = connection.socket
        self.socket.settimeout(_TIMEOUT_S)
        self._received = bytearray(connection.leftover)
        self._frames: Message = []

    def next(self) -> Message | Command:
        """The next message or command; raises `EOFError` if the peer has hung up, TimeoutError if nothing comes."""
        while True:
            header = read_frame_header(self._received, 0, len(self._received), max_frame_bytes=1 << 30)
            if header is None or header.body_stop > len(self._received):
                self._receive()
                continue
            body = bytes(self._received[header.body_start : header.body_stop])
            del self._received[: header.body_stop]
            if header.command:
                if self._frames:
                    raise AssertionError(f"command {body[:40]!r} inside a message")
                return parse_command(body)
            self._frames.append(body)
            if not header.more:
                message, self._frames = self._frames, []
                return message

    def until(self, name: str) -> tuple[list[Message | Command], bytes]:
        """All that comes before the next command of that name, and its data."""
        before: list[Message | Command] = []
        while True:
            event = self.next()
            if isinstance(event, tuple) and event[0] == name:
                return before, event[1]
            before.append(event)

    def is_silent(self, for_s: float) -> bool:
        """Whether nothing comes for so long."""
        if self._received:
            return False
        self.socket.settimeout(for_s)
        try:
            self._received += self.socket.recv(_RECEIVE_BYTES)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(_TIMEOUT_S)
        return False

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def close(self) -> None:
        """Hangs up."""
        self.socket.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _receive(self) -> None:
        data = self.socket.recv(_RECEIVE_BYTES)
        if not data:
            raise EOFError("the peer has hung up")
        self._received += data


class Source(AbstractContextManager["Source"]):
    """A PUSH source on a free port, one connection at a time: `accept`, then send any bytes."""

    def __init__(self, properties: Mapping[str, bytes] | None = None) -> None:
        """``properties`` are told to each client."""
        self._properties = properties or {}
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(_TIMEOUT_S)
        self.address = Address("127.0.0.1", self._server.getsockname()[1])
        self._socket: socket.socket | None = None
        self.handshake = Handshake(answer=lambda ready: (serving_role(ready), self._properties))

    def accept(self, *, together_with: bytes = b"") -> Self:
        """Waits for the next connection and shakes hands, with these bytes in the same piece; hangs up the one before."""
        self.hang_up()
        self._socket, _ = self._server.accept()
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.handshake = Handshake(answer=lambda ready: (serving_role(ready), self._properties))
        self._socket.sendall(self.handshake.start())
        while self.handshake.ready is None:
            answer = self.handshake.feed(self._socket.recv(_RECEIVE_BYTES))
            self._socket.sendall(answer + together_with if self.handshake.ready else answer)
        return self

    @contextmanager
    def accept_beside(self) -> Iterator[None]:
        """As `accept`, but what is connected already stays so, and silent, for a ``with`` block."""
        before, self._socket = self._socket, None
        try:
            self.accept()
            yield
        finally:
            if before is not None:
                before.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        assert self._socket is not None
        self._socket.sendall(data)

    def send_messages(self, messages: Sequence[Sequence[bytes]]) -> None:
        """Sends whole messages, each a sequence of frames."""
        self.send(b"".join(encode_message(frames) for frames in messages))

    def receive(self, count: int) -> bytes:
        """So many bytes from the client."""
        assert self._socket is not None
        data = self.handshake.leftover
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            if not more:
                raise EOFError(f"the peer has hung up after {data!r}")
            data += more
        return data

    def hang_up(self) -> None:
        """Closes the connection, not the port."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()
        self._server.close()
