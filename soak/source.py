"""The source, a process of its own: sends one pulse after the other and writes down what it has sent.

It is a PUSH socket with one client, and holds nothing back for later: what is due while nobody is connected, or while the client
does not read for a second, is never sent. Signals make it misbehave (`MISBEHAVE`), at the next pulse.

The record of each message stands in its file before the first byte is sent, and is completed after the last. So whatever happens
to this process, the file says which messages have gone out whole, which not at all, and which perhaps.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time

import numpy as np

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.simulator.prepared import PreparedHeader
from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.frames import encode_message
from sf_bsread_writer.zmtp.handshake import Announcement, Ready, SocketType
from sf_bsread_writer.zmtp.listener import Listener
from soak.ledger import RECORD
from soak.stream import PULSE_NS, SIZES, channels, global_ns, plan, present

HALF, GARBAGE_BYTES, GARBAGE_MESSAGE = "half a message", "garbage bytes", "garbage message"
MISBEHAVE = {signal.SIGUSR1: HALF, signal.SIGUSR2: GARBAGE_BYTES, signal.SIGHUP: GARBAGE_MESSAGE}

_BEHIND_NS = 1_000_000_000


class Source:
    """One client at a time; a later one takes the place of the one before."""

    def __init__(self, port: int, record: int, seed: int) -> None:
        self._listener = Listener("127.0.0.1", port, answer=self._answer, on_connection=self._welcome)
        self._client: Connection | None = None
        self._pushing: Connection | None = None
        self._clients = 0
        self._record = record
        self._records = 0
        self._faults: list[str] = []
        self._random = random.Random(seed)

    async def run(self, size: str, header: int, first_pulse_id: int, rate_hz: float) -> None:
        """Sends for ever."""
        loop = asyncio.get_running_loop()
        for number, fault in MISBEHAVE.items():
            loop.add_signal_handler(number, self._faults.append, fault)
        prepared, stream = PreparedHeader(channels(SIZES[size], header)), plan(SIZES[size], header)
        await self._listener.start()
        print(f"source serves port {self._listener.port}", flush=True)  # noqa: T201 - that it is ready
        period_ns = round(PULSE_NS * 100 / rate_hz)
        due_ns, pulse_id = time.monotonic_ns(), first_pulse_id
        while True:
            await asyncio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            ids = np.array([pulse_id], np.int64)
            batch = prepared.batch(ids, global_ns(ids), present(stream, ids))
            await self._send(pulse_id, header, b"".join(batch.pieces))
            late = max(0, time.monotonic_ns() - due_ns - _BEHIND_NS) // period_ns  # pulses that are lost, as in a real machine
            pulse_id += 1 + late
            due_ns += (1 + late) * period_ns

    async def _send(self, pulse_id: int, header: int, message: bytes) -> None:
        client = self._client
        if client is None:
            return
        fault = self._faults.pop(0) if self._faults else None
        if fault == GARBAGE_BYTES:
            await self._push(client, self._random.randbytes(self._random.randint(1, 3000)))
            self._leave(client)
            return
        if fault == GARBAGE_MESSAGE:
            sizes = [self._random.choice((0, 1, 8, 16, 300, 5000)) for _ in range(self._random.randint(1, 9))]
            await self._push(client, encode_message([self._random.randbytes(size) for size in sizes]))
        whole = fault != HALF
        place, begun_ns = self._records * RECORD.itemsize, time.time_ns()
        self._records += 1
        self._write_down(place, pulse_id, begun_ns, 0, header)
        sent = await self._push(client, message if whole else message[: self._random.randrange(1, len(message))])
        if sent and whole:
            self._write_down(place, pulse_id, begun_ns, time.time_ns(), header)
        else:
            self._leave(client)

    async def _push(self, client: Connection, data: bytes) -> bool:
        self._pushing = client
        try:
            await asyncio.get_running_loop().sock_sendall(client.socket, data)
            return True
        except OSError:
            return False
        finally:
            self._pushing = None
            if client is not self._client:  # it was left meanwhile
                self._leave(client)

    def _write_down(self, place: int, pulse_id: int, begun_ns: int, sent_ns: int, header: int) -> None:
        record = np.array([(pulse_id, begun_ns, sent_ns, self._clients, header)], RECORD)
        os.pwrite(self._record, record.tobytes(), place)

    def _welcome(self, client: Connection) -> None:
        if self._client is not None:
            self._leave(self._client)
        self._client = client
        self._clients += 1
        asyncio.get_running_loop().add_reader(client.socket, self._listen, client)

    def _listen(self, client: Connection) -> None:
        """Unread words of a client's would turn our closing into a reset, which takes what it has not read yet away from it."""
        with contextlib.suppress(BlockingIOError):
            try:
                if client.socket.recv(1 << 16):
                    return
            except ConnectionError:
                pass
            self._leave(client)

    def _leave(self, client: Connection) -> None:
        if client is self._client:
            self._client = None
        if client.socket.fileno() < 0:
            return
        asyncio.get_running_loop().remove_reader(client.socket)
        if client is self._pushing:  # a socket that is closed under it would leave it waiting for ever
            with contextlib.suppress(OSError):
                client.socket.shutdown(socket.SHUT_RDWR)
        else:
            client.close()

    def _answer(self, ready: Ready) -> Announcement:
        if ready.socket_type != SocketType.PULL:
            raise PeerError(f"a {ready.socket_type} socket cannot read here, only PULL can")
        return SocketType.PUSH, {}


def main() -> int:
    """Until it is killed: it has nothing to close."""
    options = argparse.ArgumentParser(prog="python -m soak.source", description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--size", choices=SIZES, required=True)
    options.add_argument("--header", type=int, required=True)
    options.add_argument("--first_pulse_id", type=int, required=True)
    options.add_argument("--rate", type=float, required=True, help="pulses a second")
    options.add_argument("--seed", type=int, required=True, help="of garbage")
    options.add_argument("--record", required=True, help="file of what was sent")
    given = options.parse_args()
    record = os.open(given.record, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    source = Source(given.port, record, given.seed)
    asyncio.run(source.run(given.size, given.header, given.first_pulse_id, given.rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
