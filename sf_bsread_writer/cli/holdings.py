"""Asks a buffer again and again what it holds and who reads it, on one connection; its log then tells of one client only."""

import asyncio
from contextlib import closing
from types import TracebackType
from typing import Self

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.address import parse_address
from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.extension import (
    ClientList,
    ClientsRequest,
    Started,
    StartPoint,
    StartRequest,
    client_properties,
    decode_extension,
    encode_extension,
)
from sf_bsread_writer.zmtp.frames import parse_command, read_frame_header
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

ANSWER_S = 5.0
"""How long an answer may take."""

_MAX_ANSWER_BYTES = 64 * 1024
_HOLD = StartPoint("hold")


class HoldingsWatch:
    """A client that takes no messages: it holds, and asks to go on holding, which the buffer answers with what it has."""

    def __init__(self, address: str, *, name: str) -> None:
        self._address = parse_address(address)
        self._properties = client_properties(name=name, start=_HOLD)
        self._connection: Connection | None = None
        self._received = bytearray()
        self._asked = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._hang_up()

    def ask(self) -> Started | None:
        """What the buffer holds now; None while it cannot be reached."""
        answer = self._ask(b"")
        return None if answer is None else answer[0]

    def ask_for_clients(self) -> tuple[Started, ClientList | None] | None:
        """The same, and its clients; None for these if it is a buffer that does not know the question."""
        return self._ask(encode_extension(ClientsRequest()))

    def find(self, start: StartPoint) -> Started | None:
        """From where a reader would go on that starts there; None if the buffer cannot be reached."""
        try:
            return self._answer(self._connection or self._connect(), b"", start)[0]
        except OSError:
            return None
        finally:
            self._hang_up()  # or the messages would come

    def _ask(self, question: bytes) -> tuple[Started, ClientList | None] | None:
        try:
            return self._answer(self._connection or self._connect(), question)
        except OSError:  # PeerError too
            self._hang_up()
            return None

    def _connect(self) -> Connection:
        connecting = connect(self._address, role=SocketType.PULL, properties=self._properties)
        with closing(connecting), asyncio.Runner() as runner:  # Ctrl-C may come while the loop is being made
            connection = runner.run(connecting)
        connection.socket.settimeout(ANSWER_S)
        self._connection = connection
        self._received[:] = connection.leftover
        return connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(self, connection: Connection, question: bytes, start: StartPoint = _HOLD) -> tuple[Started, ClientList | None]:
        """What is asked before a start is answered before it, or never."""
        self._asked += 1
        connection.socket.sendall(question + encode_extension(StartRequest(generation=self._asked, at=str(start))))
        clients: ClientList | None = None
        while True:
            body = self._command_body()
            if body is None:
                data = connection.socket.recv(_MAX_ANSWER_BYTES)
                if not data:
                    raise PeerError(f"{self._address} closed the connection")
                self._received += data
                continue
            match decode_extension(*parse_command(body)):
                case ClientList() as clients:
                    pass
                case Started(generation=self._asked) as started:
                    return started, clients

    def _command_body(self) -> bytes | None:
        """The next whole command received, None if there is none; a client that holds is sent nothing else."""
        header = read_frame_header(self._received, 0, len(self._received), max_frame_bytes=_MAX_ANSWER_BYTES)
        if header is None or header.body_stop > len(self._received):
            return None
        if not header.command:
            raise PeerError(f"{self._address} sent a message to a client that holds; it is no buffer of this version")
        body = bytes(self._received[header.body_start : header.body_stop])
        del self._received[: header.body_stop]
        return body
