"""The buffer in numbers, for Prometheus."""

import time
from collections.abc import Iterator, Sequence

from prometheus_client import Metric

from sf_bsread_writer.relay.replay import ClientStatistics
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.exposition import counter, counter_by, gauge, gauge_by, info

_P = "sf_bsread_buffer_"


def metrics_of(relay: Relay) -> Iterator[Metric]:
    """As it stands."""
    now = relay.statistics()
    source, ring, listener = now.source, now.ring, now.listener
    yield info(_P + "info", "The version of this buffer, and its source.", source=str(relay.config.source))
    yield gauge(_P + "source_connected", "Whether there is a connection to the source.", source.connected)
    yield counter(_P + "source_connections", "Connections to the source.", source.connections)
    yield counter(_P + "received_messages", "Messages that went into the ring.", ring.received_messages)
    yield counter(_P + "received_bytes", "Bytes received from the source.", source.received_bytes)
    yield counter_by("reason", _P + "dropped_messages", "Messages that were not passed on.", source.dropped)
    yield counter(_P + "unfinished_messages", "Messages that a lost connection cut off.", source.unfinished)
    yield counter_by("kind", _P + "anomalies", "Anomalies of the stream, with --analyzer.", source.anomalies)
    oldest_s, newest_s = (None if age_s is None else time.time() - age_s for age_s in (now.oldest_age_s, now.newest_age_s))
    yield gauge(_P + "oldest_message_timestamp_seconds", "When the oldest message that can be replayed arrived.", oldest_s)
    yield gauge(_P + "newest_message_timestamp_seconds", "When the newest message arrived.", newest_s)
    yield gauge(_P + "oldest_pulse_id", "Oldest pulse that can be replayed.", ring.oldest_pulse_id)
    yield gauge(_P + "newest_pulse_id", "Newest pulse.", ring.newest_pulse_id)
    yield gauge(_P + "messages", "Messages that can be replayed.", ring.messages)
    yield gauge(_P + "messages_limit", "As many as --buffer_length allows.", relay.config.buffer_length)
    yield gauge(_P + "memory_used_bytes", "Memory that messages are in.", ring.memory.used_bytes)
    yield gauge(_P + "memory_limit_bytes", "As much as --memory_limit allows.", ring.memory.limit_bytes)
    yield counter(_P + "evicted_messages", "Messages that went early, for want of memory.", ring.evicted_by_memory)
    yield gauge(_P + "clients", "Clients that are connected.", len(now.clients))
    yield counter(_P + "accepted_clients", "Clients that were served.", listener.accepted)
    refused = {"not allowed": listener.turned_away, "too many": listener.refused, "handshake": listener.failed_handshakes}
    yield counter_by("reason", _P + "refused_clients", "Connections that did not become clients.", refused)
    yield counter(_P + "lost_messages", "Messages by which slow clients were overtaken.", now.lost_messages)
    yield from _of_clients(now.clients)


def _of_clients(clients: Sequence[ClientStatistics]) -> Iterator[Metric]:
    """By name, of several with one name that which is furthest behind: a label for each connection would pile up for ever."""
    messages: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for client in clients:
        messages[client.name] = max(messages.get(client.name, 0), client.lag_messages)
        seconds[client.name] = max(seconds.get(client.name, 0.0), client.lag_s)
    yield gauge_by("client", _P + "client_lag_messages", "Messages that a client has yet to be sent.", messages)
    yield gauge_by("client", _P + "client_lag_seconds", "How long ago the next of these arrived.", seconds)
