"""A connection's traffic read frame by frame, for tests: plain instead of fast."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence

from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.frames import encode_message, encode_pong, parse_command, read_frame_header


class Traffic:
    """Owns a `Connection`: gives its messages and its commands, each kind in its order, and answers PING unless told not to."""

    def __init__(self, connection: Connection, *, answer_pings: bool = True) -> None:
        self.connection = connection
        self.pings = 0
        """How many have come."""
        self._answer_pings = answer_pings
        self._received = bytearray(connection.leftover)
        self._frames: list[bytes] = []
        self._messages: deque[list[bytes]] = deque()
        self._commands: defaultdict[str, deque[bytes]] = defaultdict(deque)

    async def message(self) -> list[bytes]:
        """The frames of the next message; raises `EOFError` if the peer has hung up."""
        while not self._messages:
            await self._take_frame()
        return self._messages.popleft()

    async def command(self, name: str) -> bytes:
        """The data of the next command of this name, which is not PING; raises `EOFError` if the peer has hung up."""
        while not self._commands[name]:
            await self._take_frame()
        return self._commands[name].popleft()

    async def pinged(self, times: int) -> None:
        """Returns when so many PINGs have come since the beginning; raises `EOFError` if the peer has hung up."""
        while self.pings < times:
            await self._take_frame()

    async def send(self, frames: Sequence[bytes]) -> None:
        """Sends one message."""
        await self.send_bytes(encode_message(frames))

    async def send_bytes(self, data: bytes) -> None:
        """Sends bytes as they are."""
        await asyncio.get_running_loop().sock_sendall(self.connection.socket, data)

    async def _take_frame(self) -> None:
        while True:
            header = read_frame_header(self._received, 0, len(self._received), max_frame_bytes=1 << 30)
            if header is not None and header.body_stop <= len(self._received):
                break
            await self._receive()
        body = bytes(self._received[header.body_start : header.body_stop])
        del self._received[: header.body_stop]
        if header.command:
            await self._take_command(body)
            return
        self._frames.append(body)
        if not header.more:
            self._messages.append(self._frames)
            self._frames = []

    async def _take_command(self, body: bytes) -> None:
        name, data = parse_command(body)
        if name != "PING":
            self._commands[name].append(data)
            return
        self.pings += 1
        if self._answer_pings:
            await self.send_bytes(encode_pong(data))

    async def _receive(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.connection.socket, 1 << 16)
        if not data:
            raise EOFError(f"{self.connection.peer_address} has hung up")
        self._received += data
