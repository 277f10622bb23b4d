"""Clients that take their time, on real sockets."""

import asyncio
import contextlib
import socket
import threading
import time

import httpx
import pytest

from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.protocol import TimedProtocol
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.serving import serving

TIMEOUT_S = 0.5
HEAD = b"POST /parameters HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
WHOLE = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedProtocol, "request_timeout_s", TIMEOUT_S)


def drips(peer: socket.socket, byte: bytes) -> None:
    """Sends the byte again and again, until the other end has closed."""
    with contextlib.suppress(OSError):
        while True:
            peer.sendall(byte)
            time.sleep(TIMEOUT_S / 20)


def seconds_until_closed(peer: socket.socket, begin: bytes, byte: bytes) -> float:
    """How long a client that begins so and then drips is tolerated."""
    started_s = time.monotonic()
    peer.sendall(begin)
    dripping = threading.Thread(target=drips, args=(peer, byte))
    dripping.start()
    with contextlib.suppress(ConnectionError):
        while peer.recv(1000):
            pass
    elapsed_s = time.monotonic() - started_s
    dripping.join()
    return elapsed_s


@pytest.mark.parametrize(
    ("begin", "byte"),
    [
        (b"", b"G"),
        (b"GET /status HTTP/1.1\r\n", b"X: y\r\n"),
        (HEAD, b" "),
        (b"POST /parameters HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"GET /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", b" "),
        (WHOLE, b"G"),
        (WHOLE + HEAD, b" "),
    ],
    ids=["request line", "headers", "body", "chunked body", "body nobody reads", "second request", "second body"],
)
def test_who_sends_byte_by_byte_is_cut_off(begin: bytes, byte: bytes) -> None:
    with serving(FakeAcquisition()) as root, socket.create_connection(("127.0.0.1", httpx.URL(root).port), timeout=20) as peer:
        assert TIMEOUT_S * 0.9 < seconds_until_closed(peer, begin, byte) < 10


def test_who_says_nothing_is_cut_off() -> None:
    with serving(FakeAcquisition()) as root, socket.create_connection(("127.0.0.1", httpx.URL(root).port), timeout=20) as peer:
        try:
            answer = peer.recv(1)
        except ConnectionResetError:
            answer = b""
    assert answer == b""


def test_an_answer_may_take_longer() -> None:
    async def ask() -> bytes:
        acquisition = FakeAcquisition()
        acquisition.may_finish.clear()
        server = Server(build_app(acquisition), port=0)
        await server.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(WHOLE.replace(b"status", b"stop"))
            await acquisition.finishing.wait()
            silent, other = await asyncio.open_connection("127.0.0.1", server.port)
            with contextlib.suppress(ConnectionResetError):
                await silent.read()  # once this one is cut off, the time is over for the first, too
            other.close()
            acquisition.may_finish.set()
            answer = await reader.readuntil(b"}")
            writer.close()
            return answer
        finally:
            await server.stop()

    assert asyncio.run(asyncio.wait_for(ask(), 20)).endswith(b'{"state":"ok","status":"waiting"}')


def test_others_are_served_meanwhile() -> None:
    with serving(FakeAcquisition()) as root, contextlib.ExitStack() as slow:
        for _ in range(50):
            peer = slow.enter_context(socket.create_connection(("127.0.0.1", httpx.URL(root).port), timeout=20))
            peer.sendall(b"GET ")
        assert httpx.get(f"{root}/status").status_code == 200
