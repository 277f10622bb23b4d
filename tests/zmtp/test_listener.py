"""The listening end on real sockets: whoever comes, the good clients are served, and nothing is left behind."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from sf_bsread_writer.errors import PeerError, SetupError
from sf_bsread_writer.testing.strangers import GREETING, SAYS_TOO_LITTLE, SAYS_TOO_MUCH, Stranger, ready
from sf_bsread_writer.testing.traffic import Traffic
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.frames import encode_frame
from sf_bsread_writer.zmtp.handshake import Announcement, Ready, SocketType, serving_role
from sf_bsread_writer.zmtp.listener import Listener, ListenerStatistics
from sf_bsread_writer.zmtp.peer import Connection, connect

DEADLINE_S = 10


class Hall:
    """A listener, with what it hands over and what it complains of."""

    def __init__(self, **options: Any) -> None:
        self.connections = asyncio.Queue[Connection]()
        self.troubles = asyncio.Queue[str]()
        options = {"answer": answer, "handshake_timeout_s": DEADLINE_S} | options
        self.listener = Listener(
            "127.0.0.1", 0, on_connection=self.connections.put_nowait, on_trouble=self.troubles.put_nowait, **options
        )

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.listener.port)


def answer(peer: Ready) -> Announcement:
    return serving_role(peer), {"X-Bsread-Buffer": b"1"}


@contextlib.asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[Hall]:
    hall = Hall(**options)
    await hall.listener.start()
    try:
        yield hall
    finally:
        await hall.listener.stop()
        while not hall.connections.empty():
            hall.connections.get_nowait().close()


@contextlib.asynccontextmanager
async def stranger_at(address: Address, says: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A raw TCP client. What it ``says`` has been sent before the listener can look at it, and start to count the time."""
    sock = socket.create_connection((address.host, address.port))
    sock.sendall(says)
    reader, writer = await asyncio.open_connection(sock=sock)
    with contextlib.closing(writer):
        yield reader, writer
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def read_until_hung_up(reader: asyncio.StreamReader) -> bytes:
    """What is left to read; a reset counts as the end."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            data += piece
    return data


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), DEADLINE_S))


@pytest.mark.parametrize("role", [SocketType.PULL, SocketType.SUB])
def test_a_client_is_handed_over_with_its_wishes_and_sees_our_properties(role: SocketType) -> None:
    async def main() -> None:
        async with listening() as hall:
            client = await connect(hall.address, role=role, properties={"X-Start": b"pulse 100"})
            connection = await hall.connections.get()
            assert client.ready.properties.get("x-bsread-buffer") == b"1"
            assert (connection.socket_type, connection.ready.socket_type) == (role.partner, role)
            assert connection.ready.properties.get("X-Start") == b"pulse 100"
            assert connection.peer_address == "tcp://{}:{}".format(*client.socket.getsockname())
            assert connection.socket.gettimeout() == 0
            assert connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            await Traffic(connection).send([b"header", b"value"])
            assert await Traffic(client).message() == [b"header", b"value"]
            client.close()
            connection.close()
            assert hall.listener.statistics() == ListenerStatistics(
                accepted=1, turned_away=0, refused=0, failed_handshakes=0, reasons=()
            )

    run(main)


def test_a_client_that_sends_byte_by_byte_is_understood_and_what_it_says_next_is_kept() -> None:
    async def main() -> None:
        async with listening() as hall, stranger_at(hall.address) as (reader, writer):
            for byte in GREETING + ready(socket_type=b"SUB") + encode_frame(b"\x01prefix"):
                writer.write(bytes((byte,)))
                await asyncio.sleep(0)
            traffic = Traffic(await hall.connections.get())
            assert await traffic.message() == [b"\x01prefix"]
            expected = GREETING + ready(Socket_Type=b"PUB", X_Bsread_Buffer=b"1")
            assert await reader.readexactly(len(expected)) == expected
            traffic.connection.close()

    run(main)


@pytest.mark.parametrize("stranger", SAYS_TOO_MUCH, ids=lambda stranger: stranger.name)
def test_a_stranger_is_named_dropped_and_counted_and_the_next_client_served(stranger: Stranger) -> None:
    async def main() -> None:
        async with listening() as hall:
            async with stranger_at(hall.address) as (reader, writer):
                port = writer.get_extra_info("sockname")[1]
                writer.write(stranger.says)
                assert await read_until_hung_up(reader) in {GREETING, b""}
            trouble = await hall.troubles.get()
            assert trouble.startswith(f"tcp://127.0.0.1:{port} ")
            assert stranger.complaint in trouble
            (await connect(hall.address, role=SocketType.PULL)).close()
            statistics = ListenerStatistics(accepted=1, turned_away=0, refused=0, failed_handshakes=1, reasons=(trouble,))
            assert hall.listener.statistics() == statistics

    run(main)


@pytest.mark.parametrize("stranger", SAYS_TOO_LITTLE, ids=lambda stranger: stranger.name)
def test_a_client_that_falls_silent_is_dropped_at_the_deadline(stranger: Stranger) -> None:
    async def main() -> None:
        async with listening(handshake_timeout_s=0.1) as hall:
            async with stranger_at(hall.address, stranger.says) as (reader, _):
                assert await read_until_hung_up(reader) == GREETING
            trouble = await hall.troubles.get()
            assert stranger.complaint in trouble
            assert "within 0.1 s" in trouble
            assert hall.listener.statistics().failed_handshakes == 1

    run(main)


@pytest.mark.parametrize("stranger", SAYS_TOO_LITTLE, ids=lambda stranger: stranger.name)
def test_a_client_that_hangs_up_is_noticed_at_once(stranger: Stranger) -> None:
    async def main() -> None:
        async with listening() as hall:
            async with stranger_at(hall.address) as (_, writer):
                writer.write(stranger.says)
            assert "closed the connection" in await hall.troubles.get()
            assert hall.listener.statistics().failed_handshakes == 1

    run(main)


def test_a_refused_client_learns_the_reason() -> None:
    def refuse(peer: Ready) -> Announcement:
        raise PeerError(f"no {peer.socket_type} today")

    async def main() -> None:
        async with listening(answer=refuse) as hall:
            with pytest.raises(PeerError, match=f"{hall.address} refused the connection: no PULL today"):
                await connect(hall.address, role=SocketType.PULL)
            assert (await hall.troubles.get()).endswith(": no PULL today")
            statistics = hall.listener.statistics()
            assert (statistics.accepted, statistics.refused, statistics.failed_handshakes) == (0, 1, 0)

    run(main)


def test_one_client_too_many_is_refused_with_the_reason_until_another_has_gone() -> None:
    async def main() -> None:
        async with listening(max_clients=2) as hall:
            clients = [await connect(hall.address, role=SocketType.PULL) for _ in range(2)]
            with pytest.raises(PeerError, match="refused the connection: too many clients: 2 are connected, the most accepted"):
                await connect(hall.address, role=SocketType.PULL)
            assert ": too many clients: 2 are connected, the most accepted" in await hall.troubles.get()
            (await hall.connections.get()).close()
            clients.append(await connect(hall.address, role=SocketType.SUB))
            for client in clients:
                client.close()
            statistics = hall.listener.statistics()
            assert (statistics.accepted, statistics.refused, statistics.failed_handshakes) == (3, 1, 0)

    run(main)


def test_silent_clients_do_not_keep_a_good_one_out() -> None:
    async def main() -> None:
        async with listening(handshake_timeout_s=0.2) as hall, contextlib.AsyncExitStack() as strangers:
            for _ in range(100):  # more than handshakes are carried out at a time
                await strangers.enter_async_context(stranger_at(hall.address))
            (await connect(hall.address, role=SocketType.PULL)).close()
            assert hall.listener.statistics().accepted == 1
            assert len(hall.listener.statistics().reasons) <= 20

    run(main)


def test_hundreds_of_silent_clients_do_not_keep_a_good_one_out_for_as_long_as_they_may_be_silent() -> None:
    async def main() -> None:
        async with listening(handshake_timeout_s=3600) as hall:
            strangers = [socket.create_connection((hall.address.host, hall.address.port)) for _ in range(400)]
            (await connect(hall.address, role=SocketType.PULL, timeout_s=DEADLINE_S)).close()
            statistics = hall.listener.statistics()
            assert statistics.accepted == 1
            assert statistics.failed_handshakes >= 145
            assert "was not done with its READY after 0.5 s, and others wait" in statistics.reasons[-1]
            with contextlib.suppress(BlockingIOError):
                strangers[-1].setblocking(False)
                assert strangers[-1].recv(100) == GREETING  # when nobody waits, nobody is hurried
            for stranger in strangers:
                stranger.close()

    run(main)


def test_a_lack_of_file_descriptors_is_complained_of_and_survived() -> None:
    async def main() -> None:
        async with listening() as hall:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            with contextlib.ExitStack() as stack:
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
                stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
                with contextlib.suppress(OSError):
                    while True:
                        stack.callback(os.close, os.dup(client.fileno()))
                await asyncio.get_running_loop().sock_connect(client, (hall.address.host, hall.address.port))
                assert "cannot accept a connection on port" in await hall.troubles.get()
            (await connect(hall.address, role=SocketType.PULL)).close()
            assert hall.listener.statistics().accepted == 1

    run(main)


def test_a_port_in_use_is_named_with_what_to_do() -> None:
    async def main() -> None:
        async with listening() as hall:
            second = Listener("127.0.0.1", hall.listener.port, answer=answer, on_connection=hall.connections.put_nowait)
            expected = (
                f"cannot listen on 127.0.0.1:{hall.listener.port}: Address already in use; stop the program that uses this port"
            )
            with pytest.raises(SetupError, match=expected):
                await second.start()
            await second.stop()

    run(main)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("no-such-host.invalid", "the host is unknown; give an"), ("192.0.2.1", "Cannot assign requested address; give an address")],
)
def test_a_host_that_is_not_ours_is_named(host: str, reason: str) -> None:
    async def main() -> None:
        with pytest.raises(SetupError, match=f"cannot listen on {host}:0: {reason}"):
            await Listener(host, 0, answer=answer, on_connection=lambda connection: connection.close()).start()

    run(main)


def test_a_listener_on_every_address_is_reached_by_ipv4_and_ipv6() -> None:
    async def main() -> None:
        listener = Listener("::", 0, answer=answer, on_connection=lambda connection: connection.close())
        try:
            await listener.start()
        except SetupError:
            pytest.skip("this machine has no IPv6")
        for host in ("127.0.0.1", "::1"):
            (await connect(Address(host, listener.port), role=SocketType.PULL)).close()
        await listener.stop()
        assert listener.statistics().accepted == 2

    run(main)


def test_stopping_closes_the_port_and_unfinished_handshakes_but_not_what_was_handed_over() -> None:
    async def main() -> None:
        async with listening() as hall, stranger_at(hall.address) as (reader, _):
            client = await connect(hall.address, role=SocketType.PULL)
            connection = await hall.connections.get()
            assert await reader.readexactly(len(GREETING)) == GREETING
            await hall.listener.stop()
            await hall.listener.stop()
            assert await read_until_hung_up(reader) == b""
            with pytest.raises(PeerError, match="refused the connection"):
                await connect(hall.address, role=SocketType.PULL)
            await Traffic(connection).send([b"still here"])
            assert await Traffic(client).message() == [b"still here"]
            client.close()
            connection.close()

    run(main)


@pytest.mark.parametrize("turns", range(5))
def test_a_client_accepted_in_the_moment_of_stopping_is_closed(turns: int) -> None:
    # In the first turn of the loop it is not accepted, in the last its handshake is under way; in between lies a task that
    # is cancelled before its first step.
    async def main() -> None:
        hall = Hall()
        await hall.listener.start()
        with socket.create_connection((hall.address.host, hall.address.port)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            await hall.listener.stop()
            client.setblocking(False)
            with contextlib.suppress(ConnectionError):
                while await asyncio.get_running_loop().sock_recv(client, 1000):
                    pass

    run(main)
