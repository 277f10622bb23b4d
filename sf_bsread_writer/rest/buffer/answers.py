"""The JSON bodies of the buffer's paths. Times are in s, pulse ids None as long as the ring is empty."""

from typing import Any, Literal, Self

import msgspec

from sf_bsread_writer import __version__
from sf_bsread_writer.relay.channels import Seen, SeenChannel
from sf_bsread_writer.relay.replay import ClientStatistics
from sf_bsread_writer.relay.service import Relay


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The buffer in short. The ages are how long ago the oldest and the newest message arrived, None if there is none."""

    state: Literal["connected", "no source"]
    source: str
    rate_hz: float
    messages: int
    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    oldest_age_s: float | None
    newest_age_s: float | None
    clients: int
    seconds: float
    version: str = __version__

    @classmethod
    def of(cls, relay: Relay) -> Self:
        """As it stands."""
        now = relay.statistics()
        return cls(
            state="connected" if now.source.connected else "no source",
            source=str(relay.config.source),
            rate_hz=now.rate_hz,
            messages=now.ring.messages,
            oldest_pulse_id=now.ring.oldest_pulse_id,
            newest_pulse_id=now.ring.newest_pulse_id,
            oldest_age_s=now.oldest_age_s,
            newest_age_s=now.newest_age_s,
            clients=len(now.clients),
            seconds=now.seconds,
        )


class SourceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What came since the start. ``unfinished`` are messages that a lost connection cut off; anomalies need --analyzer."""

    connected: bool
    connections: int
    received_messages: int
    received_bytes: int
    dropped: dict[str, int]
    unfinished: int
    anomalies: dict[str, int]


class RingContents(msgspec.Struct, frozen=True, kw_only=True):
    """What is held. ``evicted_by_memory`` went earlier than ``max_messages`` says, for want of memory."""

    messages: int
    max_messages: int
    message_bytes: int
    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    oldest_age_s: float | None
    newest_age_s: float | None
    evicted_by_memory: int
    memory_used_bytes: int
    memory_allocated_bytes: int
    memory_limit_bytes: int


class ClientCounts(msgspec.Struct, frozen=True, kw_only=True):
    """All clients since the start; ``lost_messages`` are those by which they were overtaken, gone clients included."""

    connected: int
    accepted: int
    turned_away: int
    refused: int
    failed_handshakes: int
    lost_messages: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the buffer counts."""

    seconds: float
    rate_hz: float
    source: SourceStatistics
    ring: RingContents
    clients: ClientCounts

    @classmethod
    def of(cls, relay: Relay) -> Self:
        """As it stands."""
        now = relay.statistics()
        source, ring, memory, listener = now.source, now.ring, now.ring.memory, now.listener
        return cls(
            seconds=now.seconds,
            rate_hz=now.rate_hz,
            source=SourceStatistics(
                connected=source.connected,
                connections=source.connections,
                received_messages=ring.received_messages,
                received_bytes=source.received_bytes,
                dropped=dict(source.dropped),
                unfinished=source.unfinished,
                anomalies=dict(source.anomalies),
            ),
            ring=RingContents(
                messages=ring.messages,
                max_messages=relay.config.buffer_length,
                message_bytes=ring.message_bytes,
                oldest_pulse_id=ring.oldest_pulse_id,
                newest_pulse_id=ring.newest_pulse_id,
                oldest_age_s=now.oldest_age_s,
                newest_age_s=now.newest_age_s,
                evicted_by_memory=ring.evicted_by_memory,
                memory_used_bytes=memory.used_bytes,
                memory_allocated_bytes=memory.allocated_bytes,
                memory_limit_bytes=memory.limit_bytes,
            ),
            clients=ClientCounts(
                connected=len(now.clients),
                accepted=listener.accepted,
                turned_away=listener.turned_away,
                refused=listener.refused,
                failed_handshakes=listener.failed_handshakes,
                lost_messages=now.lost_messages,
            ),
        )


class ClientAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One client. ``sequence`` is its cursor: the number of its next message, counted from the first that ever arrived.

    ``role`` is the buffer's socket towards it: PUSH for a PULL client, PUB for SUB. ``lag_s`` is how long ago its next message
    arrived, 0 if it has all there is. ``lost_messages`` it was overtaken by.
    """

    name: str
    address: str
    role: str
    sequence: int
    lag_messages: int
    lag_s: float
    lost_messages: int
    sent_messages: int
    sent_bytes: int

    @classmethod
    def of(cls, client: ClientStatistics) -> Self:
        """As it stood."""
        return msgspec.convert(client, cls, from_attributes=True)


class ChannelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One channel in the messages looked at. ``shape`` is in NumPy order, slowest first; empty for scalars and texts.

    ``missing_percent`` is of the messages in which it is due, None if there is none. ``last_value`` is None for arrays of more
    than 64 elements, texts of more than 1000 bytes, and damaged values.
    """

    name: str
    type: str
    shape: list[int]
    byte_order: Literal["little", "big"]
    compression: str
    modulo: int
    offset: int
    rate_hz: float
    missing_percent: float | None
    last_pulse_id: int | None
    last_value: Any

    @classmethod
    def of(cls, seen: SeenChannel, span_s: float) -> Self:
        """``span_s`` is how long the messages looked at took to come."""
        channel, due = seen.channel, seen.due_messages
        return cls(
            name=channel.name,
            type=channel.type.wire,
            shape=list(channel.shape),
            byte_order="big" if channel.big_endian else "little",
            compression=channel.compression.value,
            modulo=channel.modulo,
            offset=channel.offset,
            rate_hz=seen.present_messages / span_s if span_s else 0.0,
            missing_percent=100 * (1 - seen.present_messages / due) if due else None,
            last_pulse_id=seen.last_pulse_id,
            last_value=seen.last_value,
        )


class ChannelsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All channels, and how many messages were looked at; ``undecodable`` further ones have an unreadable data header."""

    messages: int
    undecodable: int
    first_pulse_id: int | None
    last_pulse_id: int | None
    channels: list[ChannelAnswer]

    @classmethod
    def of(cls, seen: Seen, channels: list[ChannelAnswer]) -> Self:
        """As they were seen; the channels are given, because thousands take a while to be made."""
        return cls(
            messages=seen.messages,
            undecodable=seen.undecodable,
            first_pulse_id=seen.first_pulse_id,
            last_pulse_id=seen.last_pulse_id,
            channels=channels,
        )


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What events tell. ``lag_s`` is that of the client which is furthest behind."""

    state: Literal["connected", "no source"]
    rate_hz: float
    received_messages: int
    received_bytes: int
    messages: int
    oldest_pulse_id: int | None
    newest_pulse_id: int | None
    clients: int
    lag_s: float
    lost_messages: int

    @classmethod
    def of(cls, relay: Relay) -> Self:
        """As it stands."""
        now = relay.statistics()
        return cls(
            state="connected" if now.source.connected else "no source",
            rate_hz=round(now.rate_hz, 2),
            received_messages=now.ring.received_messages,
            received_bytes=now.source.received_bytes,
            messages=now.ring.messages,
            oldest_pulse_id=now.ring.oldest_pulse_id,
            newest_pulse_id=now.ring.newest_pulse_id,
            clients=len(now.clients),
            lag_s=round(max((client.lag_s for client in now.clients), default=0.0), 3),
            lost_messages=now.lost_messages,
        )
