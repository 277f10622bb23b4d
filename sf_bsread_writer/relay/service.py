"""The buffer as a whole: owns the ring, the connection to the source, the port and the clients.

Everything runs in one event loop. What one part may do in its turn is limited (see ``TURN_BYTES`` in `ingest` and `replay`), so
neither a fast source nor a client that has much to catch up on keeps the others from theirs.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from sf_bsread_writer.errors import SetupError, StateError
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.relay.channels import Seen
from sf_bsread_writer.relay.clock import ArrivalClock
from sf_bsread_writer.relay.config import ALL_INTERFACES, LOOPBACK, BufferConfig
from sf_bsread_writer.relay.ingest import Ingest, IngestStatistics
from sf_bsread_writer.relay.looks import Looks
from sf_bsread_writer.relay.outbox import CopyBudget
from sf_bsread_writer.relay.replay import Client, ClientStatistics
from sf_bsread_writer.ring.ring import Ring, RingStatistics
from sf_bsread_writer.ring.store import Store
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.extension import (
    MOST_LISTED,
    ClientList,
    ClientWishes,
    ListedClient,
    encode_extension,
    holdings_properties,
)
from sf_bsread_writer.zmtp.handshake import Announcement, Ready, serving_role
from sf_bsread_writer.zmtp.listener import Listener, ListenerStatistics
from sf_bsread_writer.zmtp.peer import Connection

logger = logging.getLogger(__name__)

_LOOPBACK = {ALL_INTERFACES: LOOPBACK, "::": "::1"}

LIST_S = 0.2
"""As long as a list of the clients counts as new: making it costs the same however many ask for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatistics:
    """The whole buffer at one moment. ``lost_messages`` counts what clients, those that left included, were overtaken by.

    ``seconds`` have passed since it was made, ``oldest_age_s`` and ``newest_age_s`` since the oldest and the newest message that
    can be replayed arrived, None if there is none.
    """

    ring: RingStatistics
    source: IngestStatistics
    listener: ListenerStatistics
    clients: Sequence[ClientStatistics]
    lost_messages: int
    seconds: float
    rate_hz: float
    oldest_age_s: float | None
    newest_age_s: float | None


class Relay:
    """One buffer: `start`, then `run` until `stop` is called. Raises `SetupError` if the store cannot be used."""

    def __init__(self, config: BufferConfig) -> None:
        config, self._ring = _config_and_ring(config, self._released)
        self._config = config
        self._began_s = time.monotonic()
        self._clock = ArrivalClock(time.time_ns, time.monotonic_ns, after_ns=self._ring.newest_arrival_ns)
        self._ingest = Ingest(config, self._ring, self._clock, self._arrived)
        self._looks = Looks(self._ring)
        self._complaints = Complaints(logger)
        self._listener = Listener(
            config.bind,
            config.port,
            answer=self._answer,
            on_connection=self._welcome,
            max_clients=config.max_clients,
            on_trouble=self._refused,
            admits=self._admits,
        )
        self._clients: dict[Client, None] = {}
        self._client_list, self._listed_s = b"", -math.inf
        self._copies = CopyBudget(config.copies_bytes)
        self._lost_by_gone_clients = 0
        self._stopping: asyncio.Event | None = None
        self._last: RelayStatistics | None = None

    @property
    def config(self) -> BufferConfig:
        """As it is in force: a store may have room for less memory than was asked for."""
        return self._config

    @property
    def port(self) -> int:
        """Where clients connect to; the real port after `start`."""
        return self._listener.port

    @property
    def local_address(self) -> Address:
        """Where a program on this machine connects to, after `start`; its own address is then the same host."""
        host = self._listener.host
        return Address(_LOOPBACK.get(host, host), self.port)

    async def start(self) -> None:
        """Opens the port; raises `SetupError` if that is not possible."""
        self._stopping = asyncio.Event()
        try:
            await self._listener.start()
        except SetupError:
            self._ring.close()
            raise
        config = self._config
        logger.info(
            "Buffer of %s serves port %d on %s; it keeps the last %d messages, in at most %d MiB",
            config.source,
            self.port,
            "all interfaces" if config.bind == ALL_INTERFACES else config.bind,
            config.buffer_length,
            config.memory_limit_bytes >> 20,
        )
        logger.info("%s", _beginning(config.store, self._ring.statistics()))
        limit = "" if config.access.networks else "; --allow limits that"
        logger.info("Clients may connect from %s%s", config.access, limit)

    async def run(self) -> None:
        """Relays until `stop`; raises what ended a part of it that must not end."""
        if self._stopping is None:
            raise StateError("the buffer runs only after it was started: call start() first")
        source = asyncio.create_task(self._ingest.run(), name="ingest")
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            await asyncio.wait((source, stopping), return_when=asyncio.FIRST_COMPLETED)
            if source.done():
                source.result()
        finally:
            for task in (source, stopping):
                task.cancel()
            await asyncio.gather(source, stopping, return_exceptions=True)
            await self._close()

    def stop(self) -> None:
        """Makes `run` return; may be called again."""
        if self._stopping is not None:
            self._stopping.set()

    def statistics(self) -> RelayStatistics:
        """A snapshot; once it has ended, what there was at the end: REST answers a little longer."""
        if self._last is not None:
            return self._last
        clients = [client.statistics() for client in self._clients]
        ring, now_ns = self._ring, self._clock()
        return RelayStatistics(
            ring=ring.statistics(),
            source=self._ingest.statistics(),
            listener=self._listener.statistics(),
            clients=clients,
            lost_messages=self._lost_by_gone_clients + sum(client.lost_messages for client in clients),
            seconds=time.monotonic() - self._began_s,
            rate_hz=ring.rate_hz(now_ns),
            oldest_age_s=ring.age_s(ring.oldest, now_ns) if len(ring.log) else None,
            newest_age_s=ring.age_s(ring.next - 1, now_ns) if len(ring.log) else None,
        )

    def taken_in(self) -> tuple[Ring, int]:
        """The ring with all that has come until now, and the time of that by which arrivals are told (ns since 1970)."""
        self._ingest.receive_now()
        return self._ring, self._clock()

    async def channels(self) -> Seen:
        """What the last messages bring, found out now."""
        return await self._looks.channels(self._clock())

    @property
    def looks(self) -> Looks:
        """For whoever wants to see what is in the ring."""
        return self._looks

    def drop_clients(self, reason: str = "it was told to go") -> None:
        """Closes the connections of all present clients."""
        for client in list(self._clients):
            client.close(reason)

    async def _close(self) -> None:
        await self._listener.stop()
        self._last = self.statistics()
        self.drop_clients("the buffer stops")
        _log_summary(self._last)
        self._ring.close()

    def _arrived(self) -> None:
        for client in self._clients:
            client.wake()

    def _released(self, serial: int) -> None:
        for client in list(self._clients):  # one may be closed for it
            client.released(serial)

    def _answer(self, ready: Ready) -> Announcement:
        ClientWishes.from_ready(ready)  # to refuse an unusable one while the client can still be told
        held = self._ring.statistics()
        return serving_role(ready), holdings_properties(
            oldest_pulse_id=held.oldest_pulse_id, newest_pulse_id=held.newest_pulse_id, messages=held.messages
        )

    def _admits(self, host: str) -> bool:
        is_own = self._config.capture_root is not None and host == self.local_address.host
        if is_own or self._config.access.allows(host):
            return True
        text = f"A client at {host} was turned away: clients may connect from {self._config.access}; see --allow"
        self._complaints.add_reason("turned away", text, now_s=time.monotonic())
        return False

    def _refused(self, text: str) -> None:
        self._complaints.add("refused", f"Client refused: {text}", now_s=time.monotonic())

    def _welcome(self, connection: Connection) -> None:
        wishes = ClientWishes.from_ready(connection.ready)
        client = Client(
            connection,
            wishes,
            self._ring,
            copies=self._copies,
            clock=self._clock,
            receive_now=self._ingest.receive_now,
            list_clients=self._list_clients,
            gone=self._gone,
        )
        self._clients[client] = None
        origin = "" if client.name == connection.peer_address else f" from {connection.peer_address}"
        logger.info("Client %s connected%s (%s)", client.name, origin, connection.ready.socket_type)
        client.start()

    def _list_clients(self) -> bytes:
        now_s = time.monotonic()
        if now_s - self._listed_s >= LIST_S:
            self._listed_s = now_s
            self._client_list = encode_extension(_listed([client.statistics() for client in self._clients], self._clock()))
        return self._client_list

    def _gone(self, client: Client, reason: str) -> None:
        del self._clients[client]
        statistics = client.statistics()
        self._lost_by_gone_clients += statistics.lost_messages
        logger.info(
            "Client %s left, %s: %d messages, %d bytes sent, %d lost",
            client.name,
            reason,
            statistics.sent_messages,
            statistics.sent_bytes,
            statistics.lost_messages,
        )


def _listed(clients: Sequence[ClientStatistics], now_ns: int) -> ClientList:
    """What clients are told of each other."""
    behind = sorted(range(len(clients)), key=lambda index: clients[index].lag_messages, reverse=True)
    told = [clients[index] for index in sorted(behind[:MOST_LISTED])]
    listed = msgspec.convert(told, tuple[ListedClient, ...], from_attributes=True)
    return ClientList(now_ns=now_ns, connected=len(clients), clients=listed)


def _config_and_ring(config: BufferConfig, released: Callable[[int], None]) -> tuple[BufferConfig, Ring]:
    """The ring, with what is in its store, and the configuration that the store has room for."""
    store = None if config.store is None else Store(config.store, str(config.source))
    try:
        if store is not None:
            config = _with_room(config, store)
        ring = Ring(
            config.buffer_length,
            config.memory_limit_bytes,
            segment_bytes=config.ring_segment_bytes,
            released=released,
            store=store,
        )
    except BaseException:
        if store is not None:
            store.close()
        raise
    return config, ring


def _with_room(config: BufferConfig, store: Store) -> BufferConfig:
    """With no more memory than the store's file system has."""
    room_bytes = store.room_bytes()
    if room_bytes >= config.memory_limit_bytes:
        return config
    logger.warning(
        "The store %s has room for %d MiB of messages: that is the memory limit, instead of %d MiB",
        store.folder,
        room_bytes >> 20,
        config.memory_limit_bytes >> 20,
    )
    return replace(config, memory_limit_bytes=room_bytes)


def _beginning(store: Path | None, ring: RingStatistics) -> str:
    """What the ring holds at the start, and what becomes of it at the end."""
    if store is None:
        return "The ring begins empty and is gone when this program ends; with --store DIR it would survive"
    if not ring.messages:
        return f"The ring begins empty; it is in the store {store} and survives the end of this program"
    return (
        f"The ring goes on with {ring.messages} messages, pulses {ring.oldest_pulse_id}..{ring.newest_pulse_id}, from the store "
        f"{store}"
    )


def _log_summary(statistics: RelayStatistics) -> None:
    source = statistics.source
    logger.info(
        "Buffer ends: %d messages, %d bytes received over %d connections; dropped: %s; cut off: %d; "
        "%d clients served, %d messages lost by slow ones",
        statistics.ring.received_messages,
        source.received_bytes,
        source.connections,
        _counts(source.dropped),
        source.unfinished,
        statistics.listener.accepted,
        statistics.lost_messages,
    )
    if statistics.ring.evicted_by_memory:
        logger.info("%d messages went earlier than --buffer_length says, for want of memory", statistics.ring.evicted_by_memory)
    if statistics.listener.turned_away:
        logger.info("%d connections were turned away, see --allow", statistics.listener.turned_away)
    if source.anomalies:
        logger.info("Anomalies: %s", _counts(source.anomalies))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {kind}" for kind, count in sorted(counts.items())) or "none"
