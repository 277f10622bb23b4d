"""The server's own behaviour: its port, its end, its logs, and what it imports when."""

import asyncio
import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from sf_bsread_writer.errors import ExitCode, SetupError
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.testing.acquisition import FakeAcquisition, sample_report
from sf_bsread_writer.testing.serving import serving


def running(test: Callable[[Server, FakeAcquisition], Awaitable[None]]) -> None:
    """Runs the test against a started server, in one loop with it."""

    async def run() -> None:
        acquisition = FakeAcquisition()
        server = Server(build_app(acquisition), port=0)
        await server.start()
        try:
            await asyncio.wait_for(test(server, acquisition), 20)
        finally:
            await server.stop()

    asyncio.run(run())


async def request(server: Server, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a GET; the answer has yet to be read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


def test_a_port_in_use_is_a_setup_error_that_names_it_and_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SetupError, match=rf"port {port} .* in use.*choose another") as caught:
            Server(build_app(FakeAcquisition()), port=port).bind()
        assert caught.value.exit_code == ExitCode.SETUP


def test_it_serves_ipv6_where_it_is_told_to() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")

    async def run() -> int:
        server = Server(build_app(FakeAcquisition()), port=0, host="::1")
        await server.start()
        try:
            async with httpx.AsyncClient() as client:
                assert server.url == f"http://[::1]:{server.port}"
                return (await client.get(f"{server.url}/status")).status_code
        finally:
            await server.stop()

    assert asyncio.run(run()) == 200


def test_of_two_servers_on_one_port_the_second_fails_to_bind_though_none_serves_yet() -> None:
    async def run() -> None:
        first = Server(build_app(FakeAcquisition()), port=0)
        first.bind()
        try:
            with pytest.raises(SetupError, match=f"port {first.port} "):
                Server(build_app(FakeAcquisition()), port=first.port).bind()
        finally:
            await first.stop()

    asyncio.run(run())


@pytest.mark.parametrize("port", [-1, 65536, 10**30])
def test_a_port_that_cannot_be_is_a_setup_error_with_its_number(port: int) -> None:
    with pytest.raises(SetupError, match=f"port {port} "):
        Server(build_app(FakeAcquisition()), port=port).bind()


def test_a_port_can_be_served_again_right_after_the_server_before() -> None:
    async def run() -> None:
        port = 0
        for _ in range(3):
            server = Server(build_app(FakeAcquisition()), port=port)
            await server.start()
            port = server.port
            reader, writer = await request(server, "/status")
            await reader.readuntil(b"}")
            await server.stop()  # closes first, so that the connection lingers on this side
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


def test_it_listens_on_one_address_only() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        for address in ("127.0.0.2", "127.255.255.254"):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(address, server.port)

    running(check)


def test_who_connects_between_bind_and_start_is_answered_after_the_start() -> None:
    async def run() -> None:
        server = Server(build_app(FakeAcquisition()), port=0)
        server.bind()
        reader, writer = await request(server, "/status")
        await server.start()
        assert b"200" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        await server.stop()

    asyncio.run(run())


def test_answers_on_a_kept_connection_do_not_wait_for_delayed_acknowledgements() -> None:
    with serving(FakeAcquisition()) as root, httpx.Client(base_url=root) as client:
        client.get("/status")
        started_s = time.perf_counter()
        for _ in range(25):
            client.get("/status")
        assert time.perf_counter() - started_s < 25 * 0.04 * 0.8


def test_the_answer_to_stop_is_sent_though_the_server_is_stopped_by_it() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        acquisition.may_finish.clear()
        reader, writer = await request(server, "/stop")
        await acquisition.finishing.wait()

        async def end_of_process() -> None:
            await acquisition.ended.wait()
            await server.stop()

        ending = asyncio.create_task(end_of_process())
        acquisition.may_finish.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'{"state":"ok","status":"waiting"}')
        await ending
        writer.close()

    running(check)


def test_a_request_still_running_when_the_server_stops_is_answered() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        acquisition.may_finish.clear()
        reader, writer = await request(server, "/stop")
        await acquisition.finishing.wait()
        stopping = asyncio.create_task(server.stop(grace_s=10))
        await asyncio.sleep(0)
        acquisition.may_finish.set()
        answer = await reader.read()
        assert answer.endswith(b'{"state":"ok","status":"waiting"}')
        await stopping
        writer.close()

    running(check)


def test_a_long_answer_is_sent_to_the_last_byte_to_a_slow_reader() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        acquisition.last_report = sample_report(channels=200_000)
        reader, writer = await request(server, "/report")
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        stopping = asyncio.create_task(server.stop(grace_s=10))
        done, _ = await asyncio.wait({stopping}, timeout=0.05)  # the reader pauses; far more than sockets hold is under way
        assert not done
        assert len(await reader.readexactly(length)) == length > 10_000_000
        await stopping
        writer.close()

    running(check)


def test_an_answer_that_takes_longer_than_the_grace_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        before = asyncio.all_tasks()
        acquisition.may_finish.clear()
        reader, writer = await request(server, "/stop")
        await acquisition.finishing.wait()
        await server.stop(grace_s=0.05)
        assert asyncio.all_tasks() == before
        assert await reader.read() == b""
        writer.close()
        assert [record.getMessage() for record in caplog.records] == ["REST: cut off 1 connections, 1 requests"]

    running(check)


def test_an_idle_connection_does_not_delay_the_end() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        reader, writer = await request(server, "/status")
        await reader.readuntil(b"}")
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        started_s = time.perf_counter()
        await server.stop(grace_s=10)
        assert time.perf_counter() - started_s < 1
        assert await reader.read() == b""
        writer.close()
        silent.close()

    running(check)


def test_after_stop_nobody_can_connect_and_stop_may_be_called_again() -> None:
    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        await server.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        await server.stop()

    running(check)


def test_signal_handlers_are_left_alone() -> None:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in watched]

    async def check(server: Server, acquisition: FakeAcquisition) -> None:
        during = [signal.getsignal(number) for number in watched]
        assert during[1:] == before[1:]

    running(check)
    assert [signal.getsignal(number) for number in watched] == before


def test_the_log_has_one_line_with_the_address_and_none_for_requests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(FakeAcquisition()) as root:
        httpx.get(f"{root}/status")
        httpx.get(f"{root}/nope")
    ours = [record.getMessage() for record in caplog.records if record.name.partition(".")[0] in ("sf_bsread_writer", "uvicorn")]
    assert ours == [f"REST on {root}"]


def test_garbage_is_refused_and_the_server_goes_on() -> None:
    with serving(FakeAcquisition()) as root:
        port = int(root.rpartition(":")[2])
        for garbage in (b"\x00\xff" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"GET /status HTTP/1.1\r\n\r\n", b"A" * 100_000):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
                peer.sendall(garbage)
                assert peer.recv(100).startswith(b"HTTP/1.1 400")
        assert httpx.get(f"{root}/status").status_code == 200


IMPORTS = """
import asyncio, json, sys
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.testing.acquisition import FakeAcquisition

REQUESTS = [
    b"GET /status HTTP/1.1", b"PUT /start_pulse_id/5 HTTP/1.1", b"PUT /start_pulse_id/x HTTP/1.1", b"GET /nope HTTP/1.1",
    b"POST /parameters HTTP/1.1", b"POST /status HTTP/1.1", b"GET /statistics HTTP/1.1", b"GET /report HTTP/1.1",
    b"GET /openapi.json HTTP/1.1", b"GET /metrics HTTP/1.1", b"GET /events HTTP/1.1", b"GARBAGE", b"GET /stop HTTP/1.1",
]

async def main():
    server = Server(build_app(FakeAcquisition()), port=0)
    server.bind()
    before = set(sys.modules)
    await server.start()
    for line in REQUESTS:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(line + b"\\r\\nHost: localhost\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n")
        assert await reader.read(1000)
        writer.close()
    await server.stop()
    print(json.dumps(sorted(set(sys.modules) - before)))

asyncio.run(main())
"""


def test_nothing_is_imported_once_the_port_is_bound() -> None:
    """After the switch to another user, the interpreter's own files may be unreadable."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, timeout=30, check=True)
    assert json.loads(done.stdout) == []
