"""The buffer between real sources and real readers: libzmq at both ends."""

import asyncio
import contextlib
import re
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import zmq

from sf_bsread_writer.errors import SetupError, StateError
from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.relay.access import Access, parse_network
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.relaying import RunningRelay, relaying
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

pytestmark = pytest.mark.peer

MIB = 1 << 20
Socket = zmq.Socket[bytes]
Frames = Sequence[bytes]


class Zmq:
    """Sockets of libzmq, all closed at the end."""

    def __init__(self) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self._made: list[Socket] = []  # or a reader of one line would be collected, and complain, before it is closed

    def source(self, kind: int = zmq.PUSH, endpoint: str = "tcp://127.0.0.1:*", **options: Any) -> Socket:
        socket = self._socket(kind, options)
        socket.sndtimeo = 10_000
        socket.bind(endpoint)
        return socket

    def reader(self, relay: RunningRelay, kind: int = zmq.PULL, **options: Any) -> Socket:
        socket = self._socket(kind, options)
        socket.rcvtimeo = 10_000
        if kind == zmq.SUB and "SUBSCRIBE" not in options:
            socket.subscribe(b"")
        socket.connect(str(relay.address))
        return socket

    def _socket(self, kind: int, options: dict[str, Any]) -> Socket:
        socket = self.context.socket(kind)
        self._made.append(socket)
        socket.linger = 0
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        return socket


@pytest.fixture
def sockets() -> Iterator[Zmq]:
    made = Zmq()
    yield made
    made.context.destroy(linger=0)


@pytest.fixture
def source(sockets: Zmq) -> Socket:
    return sockets.source()


def address_of(socket: Socket) -> Address:
    return parse_address(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def config(source: Socket | Address, **settings: Any) -> BufferConfig:
    address = source if isinstance(source, Address) else address_of(source)
    usual: dict[str, Any] = {"port": 0, "bind": "127.0.0.1", "memory_limit_bytes": 64 * MIB}
    return BufferConfig(source=address, **(usual | settings))


def scalars(pulse_id: int) -> list[bytes]:
    return message_of(pulse_id, {"A": float(pulse_id), "B": pulse_id, "T": f"pulse {pulse_id}"})


def text_of(size: int) -> Callable[[int], list[bytes]]:
    """Messages of about that many bytes, each with another content."""
    return lambda pulse_id: message_of(pulse_id, {"T": f"{pulse_id:08d}" * (size // 8)})


def send(socket: Socket, pulses: Sequence[int], make: Callable[[int], list[bytes]] = scalars) -> list[list[bytes]]:
    messages = [make(pulse_id) for pulse_id in pulses]
    for frames in messages:
        socket.send_multipart(frames)
    return messages


def receive(socket: Socket, count: int) -> list[list[bytes]]:
    return [socket.recv_multipart() for _ in range(count)]


def pulse_ids(messages: Sequence[Frames]) -> list[int]:
    return [parse_main_header(frames[0]).pulse_id for frames in messages]


def publish_until_it_arrives(socket: Socket, relay: RunningRelay) -> int:
    """Returns how many came; a PUB socket throws away what it is given before the subscription has come."""

    def arrived() -> bool:
        socket.send_multipart(scalars(0))
        return relay.statistics().ring.received_messages > 0

    wait_until(arrived, "a published message arrived")
    return relay.statistics().ring.received_messages


def clients_are(count: int) -> Callable[[Any], bool]:
    return lambda statistics: len(statistics.clients) == count


# What a client gets


def test_a_puller_gets_every_frame_as_the_source_sent_it(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source)) as relay:
        sent = send(source, range(50))
        assert receive(sockets.reader(relay), 50) == sent


@pytest.mark.parametrize(("kind", "forced"), [(zmq.PUSH, "pull"), (zmq.PUB, "sub")])
@pytest.mark.parametrize("mode", ["auto", "forced"])
def test_sources_of_both_kinds_are_found_out_or_taken_as_told(sockets: Zmq, kind: int, forced: str, mode: str) -> None:
    source = sockets.source(kind)
    with relaying(config(source, mode=forced if mode == "forced" else mode)) as relay:
        publish_until_it_arrives(source, relay)
        sent = send(source, range(1, 21))
        reader = sockets.reader(relay)
        messages = receive(reader, 21)
        while pulse_ids(messages)[-1] < 20:
            messages += receive(reader, 1)
        assert messages[-20:] == sent
        assert set(pulse_ids(messages[:-20])) == {0}


def test_every_client_gets_every_message(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source)) as relay:
        readers = [sockets.reader(relay) for _ in range(3)] + [sockets.reader(relay, zmq.SUB) for _ in range(2)]
        relay.wait_until(lambda now: [client.lag_messages for client in now.clients] == [0] * 5, "five clients")
        wait_for_subscribers(sockets, source, readers[3:])
        sent = send(source, range(1, 101))
        for reader in readers:
            messages = receive(reader, 1)
            while pulse_ids(messages)[-1] < 100:
                messages += receive(reader, 1)
            assert messages[-100:] == sent


def wait_for_subscribers(sockets: Zmq, source: Socket, subscribers: Sequence[Socket]) -> None:
    """Sends pulse 0 until all subscribers have got one: from then on they get all."""
    waiting = list(subscribers)

    def all_have() -> bool:
        source.send_multipart(scalars(0))
        waiting[:] = [socket for socket in waiting if not socket.poll(20)]
        return not waiting

    wait_until(all_have, "a message at every subscriber")


def test_a_late_client_gets_the_last_messages_and_then_all_without_gap_or_repeat(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source, buffer_length=30)) as relay:
        send(source, range(100))
        relay.wait_for_messages(100)
        reader = sockets.reader(relay)
        send(source, range(100, 1000))
        messages = receive(reader, 1)
        while pulse_ids(messages)[-1] < 999:
            messages += receive(reader, 1)
        first = pulse_ids(messages)[0]
        assert 70 <= first <= 970
        assert pulse_ids(messages) == list(range(first, 1000))


def test_a_client_that_comes_when_nothing_is_sent_gets_exactly_the_ring(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source, buffer_length=30)) as relay:
        sent = send(source, range(100))
        relay.wait_for_messages(100)
        reader = sockets.reader(relay)
        assert receive(reader, 30) == sent[-30:]
        assert reader.poll(50) == 0


@pytest.mark.parametrize(
    ("start", "first"), [("pulse 93", 93), ("pulse 5", 80), ("pulse 100", 100), ("oldest", 80), ("live", 100), ("arrival 0", 80)]
)
def test_any_zmq_client_can_choose_its_start_with_a_property(sockets: Zmq, source: Socket, start: str, first: int) -> None:
    with relaying(config(source, buffer_length=20)) as relay:
        send(source, range(100))
        relay.wait_for_messages(100)
        reader = sockets.reader(relay, METADATA=f"X-Start:{start}".encode())
        relay.wait_until(clients_are(1), "the client")
        send(source, range(100, 110))
        assert pulse_ids(receive(reader, 110 - first)) == list(range(first, 110))


def test_any_zmq_client_sees_what_the_buffer_holds(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source, buffer_length=20)) as relay:
        send(source, range(100))
        relay.wait_for_messages(100)
        frame = sockets.reader(relay).recv(copy=False)
        held = {name: frame.get(name) for name in ("X-Bsread-Buffer", "X-Messages", "X-Oldest-Pulse-Id", "X-Newest-Pulse-Id")}
        assert list(held.values()) == ["1", "20", "80", "99"]


def test_a_subscriber_gets_live_messages_only(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source)) as relay:
        send(source, range(100, 150))
        relay.wait_for_messages(50)
        reader = sockets.reader(relay, zmq.SUB)
        wait_for_subscribers(sockets, source, [reader])
        send(source, [1])
        assert set(pulse_ids(receive(reader, 1))) == {0}
        assert 1 in pulse_ids([reader.recv_multipart() for _ in iter(lambda: reader.poll(100), 0)])


def test_a_subscriber_gets_only_what_begins_with_one_of_its_prefixes(sockets: Zmq, source: Socket) -> None:
    head = scalars(1)[0].partition(b"1,")[0]  # {"htype":"bsr_m-1.1","pulse_id":
    with relaying(config(source)) as relay:
        reader = sockets.reader(relay, zmq.SUB, SUBSCRIBE=head + b"1")
        reader.subscribe(head + b"27")
        reader.subscribe(head + b"9")
        reader.unsubscribe(head + b"9")

        def got_one() -> bool:
            send(source, [1])
            return reader.poll(20) != 0

        wait_until(got_one, "a subscribed message")
        while reader.poll(50):
            reader.recv_multipart()
        send(source, [2, 10, 271, 3, 28, 27, 9, 100, 5])
        assert pulse_ids(receive(reader, 4)) == [10, 271, 27, 100]
        assert reader.poll(30) == 0


# Memory


def test_messages_of_all_sizes_survive_rings_of_small_segments(sockets: Zmq, source: Socket) -> None:
    sizes = [10, 3000, 70_000, 500, 20_000, 65_000, 200_000, 9]
    with relaying(config(source, segment_bytes=1 << 16, memory_limit_bytes=2 * MIB, buffer_length=1000)) as relay:
        reader = sockets.reader(relay)
        for turn in range(40):
            sent = [send(source, [10 * turn + i], text_of(size))[0] for i, size in enumerate(sizes)]
            assert receive(reader, len(sizes)) == sent
        statistics = relay.statistics()
        assert statistics.ring.memory.allocated_bytes <= 2 * MIB
        assert statistics.ring.evicted_by_memory > 0
        assert statistics.lost_messages == 0


def test_memory_stays_the_same_however_long_the_stream_is(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source, segment_bytes=1 << 16, buffer_length=20)) as relay:
        reader = sockets.reader(relay)
        allocated = []
        for turn in range(60):
            send(source, range(15 * turn, 15 * turn + 15), text_of(5000))  # fewer than it holds: the reader must not be overtaken
            receive(reader, 15)
            allocated.append(relay.statistics().ring.memory.allocated_bytes)
        assert allocated[30:] == [allocated[30]] * 30
        assert allocated[-1] <= 8 << 16


def test_a_message_too_large_for_the_memory_limit_is_dropped_alone(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    with relaying(config(source, memory_limit_bytes=16 * MIB)) as relay:
        good = send(source, [1])
        for pulse_id in (2, 3):
            send(source, [pulse_id], text_of(9 * MIB))
        many = [scalars(4)[0], *[b""] * 1_000_000]
        source.send_multipart(many)
        good += send(source, [5])
        relay.wait_for_messages(2)
        assert receive(sockets.reader(relay), 2) == good
        statistics = relay.statistics()
        assert (statistics.source.dropped, statistics.source.connections) == ({"too large": 3}, 1)
        assert (statistics.ring.evicted_by_memory, statistics.ring.memory.segments) == (0, 1)
    (line,) = [line for line in caplog.messages if line.startswith("Dropped")]
    assert re.fullmatch(
        r"Dropped a message from \S+ \(too large\): pulse 2 has a frame of \d+ bytes, at most 8388608 are accepted: "
        "give more --memory_limit",
        line,
    )


# Slow clients, and clients that go


def test_a_client_that_stands_still_delays_nobody_and_is_told_what_it_lost(sockets: Zmq, source: Socket) -> None:
    settings = {"segment_bytes": 1 << 18, "memory_limit_bytes": 4 * MIB, "buffer_length": 10_000}
    with relaying(config(source, **settings)) as relay:
        # A libzmq reader takes what its buffers hold even when nobody asks it: small ones, so that it stands still soon.
        still = sockets.reader(relay, RCVHWM=1, RCVBUF=4096)
        reader = sockets.reader(relay)
        relay.wait_until(clients_are(2), "two clients")
        sent = []
        for pulse_id in range(0, 1600, 8):
            sent += send(source, range(pulse_id, pulse_id + 8), text_of(20_000))
            assert receive(reader, 8) == sent[-8:]
        got = receive(still, 1)
        while pulse_ids(got)[-1] < 1599:
            got += receive(still, 1)
        ids = pulse_ids(got)
        assert got == [sent[pulse_id] for pulse_id in ids]
        assert ids == sorted(set(ids))
        relay.wait_until(lambda now: sum(client.sent_messages for client in now.clients) == 1600 + len(got), "all is sent")
        by_lost = sorted(client.lost_messages for client in relay.statistics().clients)
        assert by_lost == [0, 1600 - len(got)]
        assert len(got) < 1600


def test_a_client_that_goes_in_the_middle_of_a_message_is_forgotten(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with relaying(config(source)) as relay:
        gone = sockets.reader(relay, RCVHWM=1, RCVBUF=4096)
        relay.wait_until(clients_are(1), "the client")
        sent = send(source, [1, 2], text_of(12 * MIB))
        relay.wait_for_messages(2)
        gone.close()
        relay.wait_until(clients_are(0), "the client has gone")
        assert receive(sockets.reader(relay), 2) == sent
    assert re.search(r"Client tcp://127\.0\.0\.1:\d+ left, ", caplog.text)


def test_a_client_that_has_had_enough_is_no_broken_connection(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with relaying(config(source)) as relay:
        send(source, [1, 2], text_of(12 * MIB))
        relay.wait_for_messages(2)
        reading = asyncio.run(connect(relay.address, role=SocketType.PULL))
        wait_until(lambda: bool(select.select([reading.socket], [], [], 0)[0]), "some of it has come")
        reading.close()  # with unread bytes the kernel resets the connection
        relay.wait_until(clients_are(0), "the client has gone")
    assert re.search(r"Client \S+ left, it closed the connection with messages still under way to it: ", caplog.text)


# The source


def test_a_source_that_restarts_is_connected_again_and_the_ring_stays(sockets: Zmq, source: Socket) -> None:
    address = address_of(source)
    with relaying(config(source)) as relay:
        before = send(source, range(10))
        relay.wait_for_messages(10)
        source.close()
        relay.wait_until(lambda now: not now.source.connected, "the source has gone")
        again = sockets.source(endpoint=str(address))
        after = send(again, range(10, 20))
        assert receive(sockets.reader(relay), 20) == before + after
        assert relay.statistics().source.connections == 2
        assert relay.statistics().source.unfinished == 0


def test_heartbeats_of_the_source_and_of_clients_are_answered(sockets: Zmq) -> None:
    heartbeat = {"HEARTBEAT_IVL": 20, "HEARTBEAT_TIMEOUT": 200}
    source = sockets.source(**heartbeat)
    with relaying(config(source)) as relay:
        reader = sockets.reader(relay, **heartbeat)
        relay.wait_until(clients_are(1), "the client")
        # Thirty heartbeats: without an answer both ends would have hung up after ten.
        watched = reader.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        assert watched.poll(600) == 0
        reader.disable_monitor()
        watched.close()
        sent = send(source, range(5))
        assert receive(reader, 5) == sent
        assert relay.statistics().source.connections == 1
        assert relay.statistics().listener.accepted == 1


def test_damaged_messages_are_dropped_and_counted_and_in_band_commands_passed_over(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    with relaying(config(source)) as relay:
        good = send(source, [1])
        for frames in (
            [b'{"htype":"bsr_stop-1.0"}'],
            [b'{"htype":"bsr_reconnect-1.0","address":"tcp://elsewhere:1"}'],
            [b""],
            [b"", b"x"],
            [b"\xff\xfe garbage", b"{}", b"", b""],
            [b'{"htype":"mflow-1.0"}', b"{}"],
            scalars(3)[:1],
        ):
            source.send_multipart(frames)
        # What is damaged behind the main header is the reader's business.
        passed_on = [[scalars(4)[0], b"no header", b"", b""], scalars(5)[:-1]]
        for frames in passed_on:
            source.send_multipart(frames)
        good += send(source, [6])
        relay.wait_for_messages(4)
        assert receive(sockets.reader(relay), 4) == [good[0], *passed_on, good[1]]
        assert relay.statistics().source.dropped == {
            "stop": 1,
            "reconnect": 1,
            "empty main header": 2,
            "bad main header": 1,
            "unknown htype": 1,
            "no data header": 1,
        }
    assert "(reconnect): in-band command 'reconnect', the source goes on at 'tcp://elsewhere:1'" in caplog.text
    assert len(caplog.records) == 6  # each kind once


def test_an_unreachable_source_is_complained_of_once(sockets: Zmq, free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(Address("127.0.0.1", free_port))) as relay:
        reader = sockets.reader(relay)
        relay.wait_until(clients_are(1), "clients are served without a source")
        wait_until(lambda: len(caplog.records) > 0, "the complaint")
        late = sockets.source(endpoint=f"tcp://127.0.0.1:{free_port}")
        sent = send(late, [1])
        assert receive(reader, 1) == sent
    assert [record.message for record in caplog.records if "refused the connection" in record.message] == [
        f"Cannot connect: tcp://127.0.0.1:{free_port} refused the connection: nothing listens there; "
        "start what should, or check host and port; trying again until it answers"
    ]


def test_a_buffer_behind_a_buffer_does_not_get_a_message_twice_when_the_connection_is_lost(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source)) as first, relaying(config(first.address)) as second:
        send(source, range(10))
        second.wait_for_messages(10)
        first.drop_clients()
        second.wait_until(lambda now: now.source.connections == 2, "connected again")
        send(source, range(10, 20))
        assert pulse_ids(receive(sockets.reader(second), 20)) == list(range(20))
        assert second.statistics().ring.received_messages == 20


# The analyzer and the log


def test_the_analyzer_logs_each_anomaly_once_and_counts_them(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with relaying(config(source, analyzer=True)) as relay:
        send(source, [1, 2, 2, 7, 8, 8, 20])
        relay.wait_for_messages(7)
        assert relay.statistics().source.anomalies == {"duplicate pulse id": 2, "skipped pulse id": 4 + 11}
    assert [text for text in caplog.messages if text.startswith("Analyzer")] == [
        "Analyzer: pulse 2 came twice",
        "Analyzer: pulse 7 came after 2: 4 pulses in between were skipped",
    ]
    assert "Anomalies: 2 × duplicate pulse id, 15 × skipped pulse id" in caplog.messages


def test_without_the_analyzer_nothing_is_said_of_anomalies(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    with relaying(config(source)) as relay:
        send(source, [1, 1, 9])
        relay.wait_for_messages(3)
        assert relay.statistics().source.anomalies == {}
    assert caplog.messages == []


def test_each_message_is_told_with_its_pulse_id_at_debug_level_only(
    sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "sf_bsread_writer")
    with relaying(config(source)) as relay:
        size = sum(len(frame) + 2 for frame in send(source, [41, 42])[0])
        relay.wait_for_messages(2)
    told = [record for record in caplog.records if record.message.startswith("Pulse 4")]
    assert [record.levelname for record in told] == ["DEBUG", "DEBUG"]
    assert told[1].message == f"Pulse 42 arrived, {size + 7} bytes"  # the data header's frame has a long length


def test_start_and_end_are_told_in_one_line_each(sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with relaying(config(source, buffer_length=77)) as relay:
        send(source, range(5))
        receive(sockets.reader(relay), 5)
        size = relay.statistics().source.received_bytes
        port = relay.address.port
    assert caplog.messages[0] == (
        f"Buffer of {address_of(source)} serves port {port} on 127.0.0.1; it keeps the last 77 messages, in at most 64 MiB"
    )
    assert caplog.messages[1] == "The ring begins empty and is gone when this program ends; with --store DIR it would survive"
    assert caplog.messages[2] == "Clients may connect from wherever this port can be reached; --allow limits that"
    assert caplog.messages[3] == f"Connected to the source at {address_of(source)} (PUSH)"
    assert (
        f"Buffer ends: 5 messages, {size} bytes received over 1 connections; dropped: none; cut off: 0; "
        "1 clients served, 0 messages lost by slow ones"
    ) in caplog.messages


# Limits and refusals


def test_a_client_that_is_no_reader_is_refused(sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(source)) as relay:
        sockets.reader(relay, zmq.REQ)
        relay.wait_until(lambda now: now.listener.refused + now.listener.failed_handshakes > 0, "the refusal")
        assert relay.statistics().clients == []
    assert re.search(r"Client refused: tcp://127\.0\.0\.1:\d+\b.* REQ socket", caplog.text)


def test_an_unusable_start_is_refused_with_the_reason(sockets: Zmq, source: Socket, caplog: pytest.LogCaptureFixture) -> None:
    with relaying(config(source)) as relay:
        sockets.reader(relay, METADATA=b"X-Start:pulse twelve")
        relay.wait_until(lambda now: now.listener.refused > 0, "the refusal")
    assert "X-Start: start point 'pulse twelve': expected" in caplog.text


def test_no_more_than_max_clients_are_served(sockets: Zmq, source: Socket) -> None:
    with relaying(config(source, max_clients=2)) as relay:
        readers = [sockets.reader(relay) for _ in range(3)]
        relay.wait_until(
            lambda now: len(now.clients) == 2 and now.listener.refused + now.listener.failed_handshakes > 0, "a third client"
        )
        send(source, [1])
        wait_until(lambda: sum(reader.poll(0) != 0 for reader in readers) == 2, "two clients have the message")
        assert len(relay.statistics().clients) == 2


def test_a_taken_port_is_an_error_that_names_it(sockets: Zmq, source: Socket) -> None:
    taken = address_of(source).port
    with pytest.raises(SetupError, match=f"cannot listen on 127.0.0.1:{taken}"), relaying(config(source, port=taken)):
        pass


def test_a_buffer_that_was_not_started_does_not_run(source: Socket) -> None:
    with pytest.raises(StateError, match="call start"):
        Relay(config(source)).run().send(None)


def test_only_clients_of_allowed_networks_are_served(source: Socket, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    access = Access(networks=(parse_network("127.0.0.2"), parse_network("::1")))
    with relaying(config(source, bind="0.0.0.0", access=access)) as relay:
        assert "Clients may connect from 127.0.0.2/32, ::1/128" in caplog.messages
        for host, answer in [("127.0.0.1", b""), ("127.0.0.3", b""), ("127.0.0.1", b""), ("127.0.0.2", b"\xff")]:
            with socket.create_connection(("127.0.0.1", relay.address.port), timeout=10, source_address=(host, 0)) as client:
                client.sendall(b"\xff" + bytes(8) + b"\x7f\x03")
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == answer
        statistics = relay.statistics().listener
        assert (statistics.turned_away, statistics.refused) == (3, 0)
    told = [message.partition(":")[0] for message in caplog.messages if "turned away: " in message]
    assert told == ["A client at 127.0.0.1 was turned away", "A client at 127.0.0.3 was turned away"]


def test_a_client_by_way_of_ipv6_is_judged_by_its_own_address(source: Socket) -> None:
    access = Access(networks=(parse_network("127.0.0.1"),))
    with relaying(config(source, bind="::", access=access)) as relay:
        for host, served in [("127.0.0.1", True), ("::1", False)]:
            with socket.create_connection((host, relay.address.port), timeout=10) as client:
                try:
                    answer = client.recv(1)
                except ConnectionResetError:
                    answer = b""
                assert bool(answer) == served


@pytest.mark.parametrize(
    ("bind", "own"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")]
)
def test_captures_connect_from_its_own_address_whatever_is_allowed(source: Socket, tmp_path: Path, bind: str, own: str) -> None:
    access = Access(networks=(parse_network("10.0.0.0/8"),))
    with relaying(config(source, bind=bind, access=access, rest_port=0, capture_root=tmp_path)) as relay:
        assert relay.local_address.host == own
        for host, served in [(own, True), ("127.0.0.3", False)]:
            at = own if served else "127.0.0.1"
            with socket.create_connection((at, relay.local_address.port), timeout=10, source_address=(host, 0)) as client:
                try:
                    answer = client.recv(1)
                except ConnectionResetError:
                    answer = b""
                assert bool(answer) == served
