"""Serves a simulated stream on a port: a PUSH or PUB socket with any number of clients.

Unlike libzmq's PUSH, which deals its messages out, every client gets every message: two readers of one simulated source see the
same. Each client has a queue of its own, limited in messages. When it is full, the source either waits for the slowest client
(the way to find out how fast a reader is) or leaves whole messages out for that client and counts them, as a real source does.

One asyncio loop makes the messages and sends them; a batch is made once and its memory shared by all queues.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import PeerError, UsageError
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.simulator.batch import Batch
from sf_bsread_writer.simulator.client import Client
from sf_bsread_writer.simulator.pacing import Pacer
from sf_bsread_writer.simulator.prepared import PreparedHeader
from sf_bsread_writer.simulator.stream import Burst, Plan
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.handshake import Announcement, Ready, SocketType
from sf_bsread_writer.zmtp.listener import Listener

NS_BETWEEN_UNPACED = 1_000
"""Between the timestamps of messages that are sent as fast as possible: they differ, and stay near the clock."""

_MAX_PULSES_AT_ONCE = 64
_BATCH_BYTES = 4 << 20
_FAREWELL_S = 2.0
"""How long a client that has got everything may take to close its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """A simulated source.

    ``port`` 0 lets the system choose. ``rate_hz`` counts pulses, also those that have no message; 0 means as fast as clients take
    them. ``messages`` None goes on for ever. ``when_full`` "block" makes the source wait for the slowest client.
    ``clock_offset_ns`` is by how much the source's clock is wrong.
    """

    plan: Plan
    host: str = "127.0.0.1"
    port: int = 0
    mode: Literal["push", "pub"] = "push"
    rate_hz: float = 100.0
    messages: int | None = None
    wait_for_clients: int = 0
    when_full: Literal["block", "drop"] = "drop"
    queue_messages: int = 1000
    dh_compression: Compression = Compression.NONE
    clock_offset_ns: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate_hz < 1e7:
            raise UsageError(f"a rate of {self.rate_hz} Hz is not possible; give pulses a second, or 0 for as fast as possible")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port {self.port} is not between 0 and 65535; 0 takes a free one")
        if self.queue_messages < 1:
            raise UsageError(f"a queue holds at least one message, not {self.queue_messages}")
        if self.messages is not None and self.messages < 1:
            raise UsageError(f"a stream has at least one message, not {self.messages}; leave the number out for an endless one")
        if not self.plan.epochs[0].channels:
            raise UsageError("a source needs at least one channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics:
    """One connected client; all counts are messages."""

    address: str
    sent: int
    left_out: int
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatistics:
    """A snapshot. ``pulse_id`` is that of the last message made, None before the first.

    ``sent``, ``sent_bytes`` and ``left_out`` are sums over all clients, those that have gone included.
    ``given_up_s`` is how much behind its rate the source has fallen for good.
    """

    messages: int
    pulse_id: int | None
    sent: int
    sent_bytes: int
    left_out: int
    given_up_s: float
    clients: tuple[ClientStatistics, ...]


class Source:
    """A running simulated source: `start`, then `run` until all messages are sent or the task is cancelled, then `stop`."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        self._role = SocketType.PUSH if config.mode == "push" else SocketType.PUB
        self._headers = [PreparedHeader(epoch.channels, dh_compression=config.dh_compression) for epoch in config.plan.epochs]
        self._listener = Listener(config.host, config.port, answer=self._answer, on_connection=self._welcome)
        self._clients: list[Client] = []
        self._changed = asyncio.Event()
        self._messages = 0
        self._pulse_id: int | None = None
        largest = max(header.message_bytes for header in self._headers)
        # Few enough that a batch is small, and that it fits into a client's queue.
        self._pulses_at_once = max(1, min(_MAX_PULSES_AT_ONCE, config.queue_messages // 2, _BATCH_BYTES // largest))
        self._gone_sent = self._gone_bytes = self._gone_left_out = 0
        self._given_up_ns = 0

    @property
    def address(self) -> str:
        """``tcp://host:port`` with the real port, after `start`."""
        return str(Address(self.config.host, self._listener.port))

    @property
    def message_bytes(self) -> int:
        """About the size on the wire of a message with the first header in which no channel is missing."""
        return self._headers[0].message_bytes

    async def start(self) -> None:
        """Listens; raises `SetupError` if the port is taken."""
        await self._listener.start()

    async def run(self) -> None:
        """Sends all messages; returns when the last client has got the last of them."""
        while sum(client.wants_messages for client in self._clients) < self.config.wait_for_clients:
            await self._change()
        await (self._run_paced() if self.config.rate_hz else self._run_unpaced())
        while any(client.queued for client in self._clients):
            await self._change()

    async def stop(self) -> None:
        """Closes the port and all connections; what is already in a socket is still delivered."""
        await self._listener.stop()
        clients = list(self._clients)
        for client in clients:
            client.say_goodbye()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                while self._clients:
                    await self._change()
        for client in clients:
            client.close()

    def statistics(self) -> SourceStatistics:
        """A snapshot."""
        return SourceStatistics(
            messages=self._messages,
            pulse_id=self._pulse_id,
            sent=self._gone_sent + sum(client.sent for client in self._clients),
            sent_bytes=self._gone_bytes + sum(client.sent_bytes for client in self._clients),
            left_out=self._gone_left_out + sum(client.left_out for client in self._clients),
            given_up_s=self._given_up_ns / 1e9,
            clients=tuple(
                ClientStatistics(address=client.address, sent=client.sent, left_out=client.left_out, queued=client.queued)
                for client in self._clients
            ),
        )

    async def _run_paced(self) -> None:
        pacer = Pacer(rate_hz=self.config.rate_hz, start_ns=time.monotonic_ns())
        to_wall_ns = time.time_ns() - time.monotonic_ns() + self.config.clock_offset_ns
        pulse = 0
        while self._unfinished():
            wait_ns = pacer.wait_ns(pulse, time.monotonic_ns())
            self._given_up_ns = pacer.given_up_ns
            await asyncio.sleep(wait_ns / 1e9)
            stop = min(pacer.due(time.monotonic_ns()), pulse + self._pulses_at_once)
            for burst in self.config.plan.messages(pulse, stop):
                await self._send(burst, pacer.deadline_ns(burst.pulses) + to_wall_ns)
            pulse = max(pulse, stop)

    async def _run_unpaced(self) -> None:
        pulse = 0
        while self._unfinished():
            while not any(client.wants_messages for client in self._clients):
                await self._change()
            now_ns = time.time_ns() + self.config.clock_offset_ns
            for burst in self.config.plan.messages(pulse, pulse + self._pulses_at_once):
                await self._send(burst, now_ns + (burst.pulses - pulse) * NS_BETWEEN_UNPACED)
            pulse += self._pulses_at_once
            await asyncio.sleep(0)

    def _unfinished(self) -> bool:
        return self.config.messages is None or self._messages < self.config.messages

    async def _send(self, burst: Burst, times_ns: NDArray[np.int64]) -> None:
        """Makes the messages of a burst and gives them to every client that wants them."""
        if self.config.messages is not None:
            burst = burst.head(self.config.messages - self._messages)
        if not len(burst):
            return
        batch = self._headers[burst.epoch].batch(burst.pulse_ids, times_ns[: len(burst)], burst.present)
        if self.config.when_full == "block":
            await self._room_for(batch)
        self._messages += len(batch)
        self._pulse_id = int(burst.pulse_ids[-1])
        for client in list(self._clients):
            client.offer(batch, room=self.config.queue_messages - client.queued)

    async def _room_for(self, batch: Batch) -> None:
        limit = max(self.config.queue_messages - len(batch), 0)
        while any(client.queued > limit for client in self._clients):
            await self._change()

    async def _change(self) -> None:
        """Returns once a client has come, gone, subscribed or emptied its queue."""
        self._changed.clear()
        await self._changed.wait()

    def _answer(self, ready: Ready) -> Announcement:
        if ready.socket_type != self._role.partner:
            ours, partner = self._role, self._role.partner
            raise PeerError(f"a {ready.socket_type} socket cannot read here, only {partner} can: this source is a {ours} socket")
        return self._role, {}

    def _welcome(self, connection: Connection) -> None:
        self._clients.append(Client(connection, on_change=self._changed.set, on_end=self._forget))
        self._changed.set()

    def _forget(self, client: Client) -> None:
        self._clients.remove(client)
        self._gone_sent += client.sent
        self._gone_bytes += client.sent_bytes
        self._gone_left_out += client.left_out
        self._changed.set()
