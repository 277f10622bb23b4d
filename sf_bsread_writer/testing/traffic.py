"""A connection's traffic read frame by frame, for tests: plain instead of fast."""

import asyncio
from collections.abc import Sequence

from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.frames import encode_message, encode_pong, parse_command, read_frame_header


class Traffic:
    """Owns a `Connection`: reads its messages and commands, answers PING unless told not to, and keeps what commands came."""

    def __init__(self, connection: Connection, *, answer_pings: bool = True) -> None:
        self.connection = connection
        self.commands: list[tuple[str, bytes]] = []
        """Name and data of every command so far, PING too."""
        self._answer_pings = answer_pings
        self._received = bytearray(connection.leftover)

    async def message(self) -> list[bytes]:
        """The frames of the next message; raises `EOFError` if the peer has hung up."""
        frames: list[bytes] = []
        while True:
            frame = await self._frame()
            if frame is None:
                continue
            body, more = frame
            frames.append(body)
            if not more:
                return frames

    async def command(self, name: str, *, times: int = 1) -> bytes:
        """The data of the ``times``-th command of this name since the beginning; messages before it are skipped."""
        while len(found := [data for command, data in self.commands if command == name]) < times:
            await self._frame()
        return found[times - 1]

    async def send(self, frames: Sequence[bytes]) -> None:
        """Sends one message."""
        await self.send_bytes(encode_message(frames))

    async def send_bytes(self, data: bytes) -> None:
        """Sends bytes as they are."""
        await asyncio.get_running_loop().sock_sendall(self.connection.socket, data)

    async def _frame(self) -> tuple[bytes, bool] | None:
        """Body and MORE flag of the next frame, None if it was a command."""
        while True:
            header = read_frame_header(self._received, 0, len(self._received), max_frame_bytes=1 << 30)
            if header is not None and header.body_stop <= len(self._received):
                break
            await self._receive()
        body = bytes(self._received[header.body_start : header.body_stop])
        del self._received[: header.body_stop]
        if not header.command:
            return body, header.more
        name, data = parse_command(body)
        if name == "PING" and self._answer_pings:
            await self.send_bytes(encode_pong(data))
        self.commands.append((name, data))
        return None

    async def _receive(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.connection.socket, 1 << 16)
        if not data:
            raise EOFError(f"{self.connection.peer_address} has hung up")
        self._received += data
