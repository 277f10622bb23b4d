"""Conformance with libzmq, the peer that the world has: all four roles, both directions, both minor versions."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import zmq
import zmq.asyncio

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.testing.traffic import Traffic
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.connection import prepare, shake_hands
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame, encode_subscribe
from sf_bsread_writer.zmtp.handshake import Announcement, Handshake, Ready, SocketType, serving_role
from sf_bsread_writer.zmtp.listener import Listener
from sf_bsread_writer.zmtp.peer import Connection, Connector, connect

pytestmark = pytest.mark.peer

DEADLINE_S = 20

MESSAGES = [
    [b"one frame"],
    [b""],
    [b"header", b"", b"value", b""],
    [b"h" * 255, b"v" * 256, b"x"],
    [b"image header", bytes(range(256)) * 8192],
    [b"%d" % i for i in range(602)],
]


class Peers:
    """A libzmq context of one test; keeps its sockets, which would complain if they were collected before they are closed."""

    def __init__(self) -> None:
        self.context = zmq.asyncio.Context()
        self.sockets: list[zmq.asyncio.Socket] = []

    def socket(self, kind: int, **options: Any) -> zmq.asyncio.Socket:
        peer = self.context.socket(kind)
        self.sockets.append(peer)
        for name, value in options.items():
            peer.setsockopt(getattr(zmq, name), value)
        return peer

    def bound(self, kind: int, **options: Any) -> tuple[zmq.asyncio.Socket, Address]:
        """A socket that listens, with these options."""
        peer = self.socket(kind, **options)
        return peer, Address("127.0.0.1", peer.bind_to_random_port("tcp://127.0.0.1"))

    def connected(self, kind: int, address: Address, **options: Any) -> zmq.asyncio.Socket:
        """A socket that connects, with these options."""
        peer = self.socket(kind, **options)
        peer.connect(str(address))
        return peer


def run(main: Callable[[Peers], Coroutine[Any, Any, None]]) -> None:
    async def framed() -> None:
        peers = Peers()
        try:
            await asyncio.wait_for(main(peers), DEADLINE_S)
        finally:
            for peer in peers.sockets:
                peer.close(linger=0)
            peers.context.term()

    asyncio.run(framed())


def answer(peer: Ready) -> Announcement:
    return serving_role(peer), {"X-Bsread-Buffer": b"1", "X-Messages": b"12"}


class Server:
    """Our listener at work."""

    def __init__(self, **options: Any) -> None:
        self.connections = asyncio.Queue[Connection]()
        self.troubles = asyncio.Queue[str]()
        options = {"answer": answer} | options
        self.listener = Listener(
            "127.0.0.1", 0, on_connection=self.connections.put_nowait, on_trouble=self.troubles.put_nowait, **options
        )

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.listener.port)

    async def client(self) -> Traffic:
        return Traffic(await self.connections.get())


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Server]:
    server = Server(**options)
    await server.listener.start()
    try:
        yield server
    finally:
        await server.listener.stop()
        while not server.connections.empty():
            server.connections.get_nowait().close()


@contextlib.asynccontextmanager
async def listening_as_3_0() -> AsyncIterator[tuple[Address, asyncio.Queue[Traffic]]]:
    """A listener of ours that greets as ZMTP 3.0, for one client after the other."""
    clients = asyncio.Queue[Traffic]()

    async def accept() -> None:
        while True:
            sock, _ = await loop.sock_accept(port)
            prepare(sock)
            clients.put_nowait(Traffic(await shake_hands(sock, Handshake(answer=answer, minor=0), timeout_s=DEADLINE_S)))

    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as port:
        port.setblocking(False)
        accepting = asyncio.create_task(accept())
        yield Address("127.0.0.1", port.getsockname()[1]), clients
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)


async def read_until_hung_up(traffic: Traffic) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            await traffic.message()


@contextlib.asynccontextmanager
async def repeating(peer: zmq.asyncio.Socket, frames: list[bytes]) -> AsyncIterator[None]:
    """Publishes a message again and again: when a subscription has taken effect cannot be seen from outside."""

    async def publish() -> None:
        while True:
            await peer.send_multipart(frames)
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    try:
        yield
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


def test_our_pull_gets_every_message_of_a_libzmq_push() -> None:
    async def main(peers: Peers) -> None:
        push, address = peers.bound(zmq.PUSH)
        traffic = Traffic(await connect(address, role=SocketType.PULL))
        for message in MESSAGES:
            await push.send_multipart(message)
        assert [await traffic.message() for _ in MESSAGES] == MESSAGES
        traffic.connection.close()

    run(main)


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB])
def test_our_sub_gets_the_messages_of_a_libzmq_pub(kind: int) -> None:
    async def main(peers: Peers) -> None:
        pub, address = peers.bound(kind)
        traffic = Traffic(await connect(address, role=SocketType.SUB))
        async with repeating(pub, [b"are you there"]):
            assert await traffic.message() == [b"are you there"]
        for message in MESSAGES:
            await pub.send_multipart(message)
        while (first := await traffic.message()) == [b"are you there"]:
            pass
        assert [first] + [await traffic.message() for _ in MESSAGES[1:]] == MESSAGES
        traffic.connection.close()

    run(main)


def test_our_sub_as_a_3_0_peer_subscribes_at_a_libzmq_pub_too() -> None:
    async def main(peers: Peers) -> None:
        pub, address = peers.bound(zmq.PUB)
        loop = asyncio.get_running_loop()
        with contextlib.closing(socket.create_connection((address.host, address.port))) as sock:
            prepare(sock)
            connection = await shake_hands(sock, Handshake(announce=(SocketType.SUB, {}), minor=0), timeout_s=DEADLINE_S)
            assert connection.ready.minor == 0
            await loop.sock_sendall(sock, encode_subscribe(minor=0))
            async with repeating(pub, [b"hello"]):
                assert await Traffic(connection).message() == [b"hello"]

    run(main)


def test_a_libzmq_pull_gets_every_message_of_our_push() -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            pull = peers.connected(zmq.PULL, server.address)
            traffic = await server.client()
            assert (traffic.connection.socket_type, traffic.connection.ready.minor) == (SocketType.PUSH, 1)
            for message in MESSAGES:
                await traffic.send(message)
            assert [await pull.recv_multipart() for _ in MESSAGES] == MESSAGES
            traffic.connection.close()

    run(main)


def test_a_libzmq_sub_tells_our_pub_its_prefixes_as_commands_and_gets_the_messages() -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            sub = peers.connected(zmq.SUB, server.address)
            sub.subscribe(b"ab")
            traffic = await server.client()
            assert (traffic.connection.socket_type, traffic.connection.ready.minor) == (SocketType.PUB, 1)
            assert await traffic.command("SUBSCRIBE") == b"ab"
            sub.subscribe(b"")
            sub.unsubscribe(b"ab")
            assert await traffic.command("SUBSCRIBE") == b""
            assert await traffic.command("CANCEL") == b"ab"
            for message in MESSAGES:
                await traffic.send(message)
            assert [await sub.recv_multipart() for _ in MESSAGES] == MESSAGES
            traffic.connection.close()

    run(main)


def test_a_libzmq_xsub_subscribes_with_commands_and_with_messages_at_a_3_1_peer() -> None:
    # What it was asked for before it connects goes out as a command, what comes later as it was given to it: as a message.
    async def main(peers: Peers) -> None:
        async with listening() as server:
            xsub = peers.socket(zmq.XSUB)
            await xsub.send(b"\x01ab")
            xsub.connect(str(server.address))
            traffic = await server.client()
            assert (traffic.connection.socket_type, traffic.connection.ready.minor) == (SocketType.PUB, 1)
            assert await traffic.command("SUBSCRIBE") == b"ab"
            await xsub.send(b"\x01cd")
            assert await traffic.message() == [b"\x01cd"]
            for first in (b"abc", b"cde"):
                await traffic.send([first, b"value"])
                assert await xsub.recv_multipart() == [first, b"value"]
            traffic.connection.close()

    run(main)


def test_a_libzmq_sub_tells_a_3_0_peer_its_prefixes_as_messages() -> None:
    async def main(peers: Peers) -> None:
        async with listening_as_3_0() as (address, clients):
            sub = peers.connected(zmq.SUB, address)
            sub.subscribe(b"ab")
            sub.subscribe(b"")
            traffic = await clients.get()
            assert traffic.connection.ready.minor == 0
            assert sorted([await traffic.message(), await traffic.message()]) == [[b"\x01"], [b"\x01ab"]]
            sub.unsubscribe(b"ab")
            assert await traffic.message() == [b"\x00ab"]
            await traffic.send([b"abc", b"value"])
            assert await sub.recv_multipart() == [b"abc", b"value"]
            traffic.connection.close()

    run(main)


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.SUB])
def test_properties_of_a_libzmq_client_reach_us_and_ours_reach_it_with_every_frame(kind: int) -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            reader = peers.socket(kind)
            reader.setsockopt(zmq.METADATA, b"X-Start:pulse 100")
            reader.setsockopt(zmq.METADATA, b"X-Name:a name: with colon")
            if kind == zmq.SUB:
                reader.subscribe(b"")
            reader.connect(str(server.address))
            traffic = await server.client()
            properties = traffic.connection.ready.properties
            assert (properties["X-Start"], properties["X-Name"]) == (b"pulse 100", b"a name: with colon")
            await traffic.send([b"header", b"value"])
            frames = await reader.recv_multipart(copy=False)
            assert [frame.get("X-Messages") for frame in frames] == ["12", "12"]
            assert [frame.get("Socket-Type") for frame in frames] == [traffic.connection.socket_type] * 2
            traffic.connection.close()

    run(main)


def test_our_properties_reach_a_libzmq_source_without_harm() -> None:
    async def main(peers: Peers) -> None:
        push, address = peers.bound(zmq.PUSH)
        traffic = Traffic(await connect(address, role=SocketType.PULL, properties={"X-Name": b"us", "X-Arrivals": b"1"}))
        await push.send(b"hello")
        assert await traffic.message() == [b"hello"]
        traffic.connection.close()

    run(main)


HEARTBEATS = {"HEARTBEAT_IVL": 20, "HEARTBEAT_TIMEOUT": 200}


def test_a_libzmq_source_with_heartbeats_keeps_a_client_that_answers() -> None:
    async def main(peers: Peers) -> None:
        push, address = peers.bound(zmq.PUSH, **HEARTBEATS)
        traffic = Traffic(await connect(address, role=SocketType.PULL))
        await traffic.pinged(20)  # twice the time after which it would have hung up
        await push.send(b"hello")
        assert await traffic.message() == [b"hello"]
        traffic.connection.close()

    run(main)


def test_a_libzmq_source_with_heartbeats_hangs_up_on_a_client_that_does_not_answer() -> None:
    async def main(peers: Peers) -> None:
        _, address = peers.bound(zmq.PUSH, **HEARTBEATS)
        traffic = Traffic(await connect(address, role=SocketType.PULL), answer_pings=False)
        with pytest.raises(EOFError):
            await traffic.message()
        assert traffic.pings > 0
        traffic.connection.close()

    run(main)


@pytest.mark.parametrize("kind", [zmq.PULL, zmq.SUB])
def test_a_libzmq_client_with_heartbeats_stays_if_it_is_answered(kind: int) -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            reader = peers.connected(kind, server.address, **HEARTBEATS)
            if kind == zmq.SUB:
                reader.subscribe(b"")
            traffic = await server.client()
            await traffic.pinged(20)
            await traffic.send([b"hello"])
            assert await reader.recv_multipart() == [b"hello"]
            assert server.connections.empty()
            traffic.connection.close()

    run(main)


def test_commands_that_libzmq_does_not_know_are_passed_over_by_it() -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            pull = peers.connected(zmq.PULL, server.address)
            traffic = await server.client()
            await traffic.send_bytes(
                encode_command("BSR-RUN", bytes(16)) + encode_frame(b"hello") + encode_command("X", b"y" * 1000)
            )
            await traffic.send([b"world"])
            assert [await pull.recv(), await pull.recv()] == [b"hello", b"world"]
            traffic.connection.close()

    run(main)


@pytest.mark.parametrize("kind", [zmq.REP, zmq.REQ, zmq.DEALER, zmq.ROUTER, zmq.PAIR, zmq.PULL, zmq.SUB, zmq.XSUB])
def test_a_libzmq_socket_that_is_no_source_is_refused(kind: int) -> None:
    # libzmq hangs up if it reads our READY before it has sent its own, so the socket type is not always known.
    async def main(peers: Peers) -> None:
        peer, address = peers.bound(kind)
        name = zmq.SocketType(kind).name
        with pytest.raises(
            PeerError, match=f"is a {name} socket; a bsread source is PUSH or PUB|closed the connection before its READY"
        ):
            await connect(address, role=SocketType.PULL)
        peer.close()

    run(main)


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.REP, zmq.DEALER, zmq.ROUTER, zmq.PAIR, zmq.PUSH, zmq.PUB, zmq.XPUB])
def test_a_libzmq_socket_that_is_no_reader_is_refused_by_our_listener(kind: int) -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server:
            peers.connected(kind, server.address)
            assert f"a {zmq.SocketType(kind).name} socket cannot read here" in await server.troubles.get()
            (await connect(server.address, role=SocketType.PULL)).close()

    run(main)


CURVE_PUBLIC, CURVE_SECRET = zmq.curve_keypair()


@pytest.mark.parametrize(
    ("mechanism", "options"), [("CURVE", {"CURVE_SERVER": 1, "CURVE_SECRETKEY": CURVE_SECRET}), ("PLAIN", {"PLAIN_SERVER": 1})]
)
def test_a_libzmq_source_with_security_is_refused(mechanism: str, options: dict[str, Any]) -> None:
    async def main(peers: Peers) -> None:
        _, address = peers.bound(zmq.PUSH, **options)
        with pytest.raises(PeerError, match=f"wants security mechanism {mechanism}, only NULL is supported"):
            await connect(address, role=SocketType.PULL)

    run(main)


def test_a_libzmq_client_with_security_hangs_up_on_our_listener() -> None:
    # It compares mechanisms before it has sent its own, so which one it wants is not to be learnt.
    async def main(peers: Peers) -> None:
        keys = {"CURVE_SERVERKEY": CURVE_PUBLIC, "CURVE_PUBLICKEY": CURVE_PUBLIC, "CURVE_SECRETKEY": CURVE_SECRET}
        async with listening() as server:
            peers.connected(zmq.PULL, server.address, **keys)
            assert "closed the connection" in (trouble := await server.troubles.get())
            assert "a security mechanism (only NULL is supported)" in trouble

    run(main)


@pytest.mark.parametrize("kinds", [[zmq.PUSH, zmq.PUB], [zmq.PUB, zmq.PUSH]], ids=["PUSH then PUB", "PUB then PUSH"])
def test_the_connector_finds_out_what_a_libzmq_source_is_and_follows_it_when_it_comes_back(
    free_port: int, kinds: list[int]
) -> None:
    async def main(peers: Peers) -> None:
        connector = Connector(Address("127.0.0.1", free_port), on_trouble=lambda _: None)
        for kind in kinds:
            peer = peers.socket(kind)
            peer.bind(str(connector.address))
            traffic = Traffic(await connector.connected())
            async with repeating(peer, [b"hello"]):
                assert await traffic.message() == [b"hello"]
            peer.close()
            await read_until_hung_up(traffic)
            traffic.connection.close()

    run(main)


def test_a_libzmq_client_that_was_refused_comes_in_when_there_is_room() -> None:
    async def main(peers: Peers) -> None:
        async with listening(max_clients=1) as server:
            ours = await connect(server.address, role=SocketType.PULL)
            first = await server.connections.get()
            pull = peers.connected(zmq.PULL, server.address, RECONNECT_IVL=10)
            assert "too many clients" in await server.troubles.get()
            first.close()
            ours.close()
            traffic = await server.client()
            await traffic.send([b"hello"])
            assert await pull.recv_multipart() == [b"hello"]
            traffic.connection.close()

    run(main)


@contextlib.asynccontextmanager
async def dribbling(target: Address) -> AsyncIterator[Address]:
    """A proxy that passes every byte on by itself, in both directions."""
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            while byte := await reader.read(1):
                writer.write(byte)
                await asyncio.sleep(0)

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target_reader, target_writer = await asyncio.open_connection(target.host, target.port)
        tasks.add(asyncio.create_task(pass_on(reader, target_writer)))
        tasks.add(asyncio.create_task(pass_on(target_reader, writer)))

    server = await asyncio.start_server(join, "127.0.0.1", 0)
    async with server:
        yield Address("127.0.0.1", server.sockets[0].getsockname()[1])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_we_understand_a_libzmq_source_byte_by_byte() -> None:
    async def main(peers: Peers) -> None:
        push, address = peers.bound(zmq.PUSH)
        async with dribbling(address) as slow:
            traffic = Traffic(await connect(slow, role=SocketType.PULL))
            for message in MESSAGES[:4]:
                await push.send_multipart(message)
            assert [await traffic.message() for _ in MESSAGES[:4]] == MESSAGES[:4]
            traffic.connection.close()

    run(main)


def test_we_understand_a_libzmq_client_byte_by_byte() -> None:
    async def main(peers: Peers) -> None:
        async with listening() as server, dribbling(server.address) as slow:
            sub = peers.connected(zmq.SUB, slow)
            sub.subscribe(b"h")
            traffic = await server.client()
            assert await traffic.command("SUBSCRIBE") == b"h"
            await traffic.send(MESSAGES[3])
            assert await sub.recv_multipart() == MESSAGES[3]
            traffic.connection.close()

    run(main)
