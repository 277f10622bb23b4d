"""The simulated source on a real port, as its clients see it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest

from sf_bsread_writer.errors import PeerError, SetupError, UsageError
from sf_bsread_writer.message.headers import parse_main_header
from sf_bsread_writer.simulator.channels import parse_channel, scalars
from sf_bsread_writer.simulator.service import Source, SourceConfig
from sf_bsread_writer.simulator.stream import Epoch, Plan
from sf_bsread_writer.testing.traffic import Traffic
from sf_bsread_writer.zmtp.address import parse_address
from sf_bsread_writer.zmtp.frames import encode_command, encode_frame
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

DEADLINE_S = 10.0
FIRST_ID = 1000
THREE_SCALARS = scalars("3")


def config(*, channels: Any = THREE_SCALARS, **fields: Any) -> SourceConfig:
    return SourceConfig(plan=Plan(epochs=(Epoch(start=0, channels=channels),), first_pulse_id=FIRST_ID), **fields)


@asynccontextmanager
async def running(settings: SourceConfig) -> AsyncIterator[Source]:
    source = Source(settings)
    await source.start()
    task = asyncio.ensure_future(source.run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield source
            if settings.messages is not None:
                await task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await source.stop()


@asynccontextmanager
async def reading(source: Source, role: SocketType = SocketType.PULL) -> AsyncIterator[Traffic]:
    connection = await connect(parse_address(source.address), role=role)
    try:
        yield Traffic(connection)
    finally:
        connection.close()


async def pulse_ids(traffic: Traffic, count: int) -> list[int]:
    return [parse_main_header((await traffic.message())[0]).pulse_id for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for are numbers of the source, which has no event for each
        await asyncio.sleep(0.002)


def encode_ping(context: bytes = b"") -> bytes:
    return encode_command("PING", bytes(2) + context)


def run(scenario: Any) -> None:
    asyncio.run(scenario)


def test_every_client_gets_every_message() -> None:
    async def scenario() -> None:
        async with running(config(rate_hz=0, messages=500, wait_for_clients=3)) as source:
            async with reading(source) as a, reading(source) as b, reading(source) as c:
                received = await asyncio.gather(*(pulse_ids(traffic, 500) for traffic in (a, b, c)))
            await until(lambda: not source.statistics().clients)
            statistics = source.statistics()
        assert received == [list(range(FIRST_ID, FIRST_ID + 500))] * 3
        assert (statistics.messages, statistics.sent, statistics.left_out) == (500, 1500, 0)
        assert statistics.sent_bytes == pytest.approx(3 * 500 * source.message_bytes, rel=0.05)

    run(scenario())


def test_sub_gets_messages_after_it_has_subscribed() -> None:
    async def scenario() -> None:
        async with running(config(mode="pub", rate_hz=0, messages=100)) as source, reading(source, SocketType.SUB) as traffic:
            assert await pulse_ids(traffic, 100) == list(range(FIRST_ID, FIRST_ID + 100))

    run(scenario())


@pytest.mark.parametrize("as_command", [True, False], ids=["ZMTP 3.1", "ZMTP 3.0"])
def test_sub_that_cancels_gets_nothing_more(as_command: bool) -> None:
    async def scenario() -> None:
        async with running(config(mode="pub", rate_hz=1000)) as source, reading(source, SocketType.SUB) as traffic:
            await pulse_ids(traffic, 3)
            await traffic.send_bytes(encode_command("CANCEL") if as_command else encode_frame(b"\x00"))
            await traffic.send_bytes(encode_ping(b"after"))
            await traffic.command("PONG")
            sent, made = source.statistics().sent, source.statistics().messages
            await until(lambda: source.statistics().messages > made + 10)
            assert source.statistics().sent == sent

    run(scenario())


def test_subscription_to_something_else_gets_nothing() -> None:
    async def scenario() -> None:
        async with running(config(mode="pub", rate_hz=1000)) as source, reading(source, SocketType.SUB) as traffic:
            await traffic.send_bytes(encode_command("SUBSCRIBE", b"other") + encode_command("CANCEL"))
            await traffic.send_bytes(encode_ping())
            await traffic.command("PONG")
            sent, made = source.statistics().sent, source.statistics().messages
            await until(lambda: source.statistics().messages > made + 10)
            assert source.statistics().sent == sent

    run(scenario())


def test_ping_in_the_middle_of_big_messages_is_answered_between_them() -> None:
    async def scenario() -> None:
        big = (parse_channel("IMAGE:uint8:2000x1000"),)
        settings = config(channels=big, rate_hz=0, messages=60, wait_for_clients=1)
        async with running(settings) as source, reading(source) as traffic:
            await until(
                lambda: sum(client.queued for client in source.statistics().clients) > 5
            )  # the socket is full: a message has begun
            await traffic.send_bytes(encode_ping(b"one"))
            assert await pulse_ids(traffic, 60) == list(range(FIRST_ID, FIRST_ID + 60))
            assert await traffic.command("PONG") == b"one"

    run(scenario())


def test_client_that_does_not_read_loses_whole_messages_and_they_are_counted() -> None:
    async def scenario() -> None:
        big = (parse_channel("IMAGE:uint8:1000x200"),)
        settings = config(channels=big, rate_hz=2000, messages=200, wait_for_clients=1, queue_messages=10, when_full="drop")
        async with running(settings) as source, reading(source) as traffic:
            await until(lambda: source.statistics().messages == 200)
            left_out = source.statistics().left_out
            received = await pulse_ids(traffic, 200 - left_out)
        assert 0 < left_out < 200
        assert received == sorted(set(received))
        assert set(received) < set(range(FIRST_ID, FIRST_ID + 200))

    run(scenario())


def test_blocking_source_waits_for_the_slowest_and_loses_nothing() -> None:
    async def scenario() -> None:
        big = (parse_channel("IMAGE:uint8:1000x1000"),)
        settings = config(channels=big, rate_hz=0, messages=100, wait_for_clients=2, queue_messages=4, when_full="block")
        async with running(settings) as source, reading(source) as fast, reading(source) as slow:
            read_fast = asyncio.ensure_future(pulse_ids(fast, 100))
            await until(lambda: source.statistics().messages > 4)
            assert source.statistics().messages < 100
            assert await pulse_ids(slow, 100) == await read_fast == list(range(FIRST_ID, FIRST_ID + 100))
            assert source.statistics().left_out == 0

    run(scenario())


def test_client_that_leaves_does_not_disturb_the_others() -> None:
    async def scenario() -> None:
        async with running(config(rate_hz=0, messages=5000, wait_for_clients=2)) as source, reading(source) as stays:
            async with reading(source) as leaves:
                await pulse_ids(leaves, 3)
            assert await pulse_ids(stays, 5000) == list(range(FIRST_ID, FIRST_ID + 5000))

    run(scenario())


def test_client_that_sends_garbage_is_let_go() -> None:
    async def scenario() -> None:
        async with running(config(rate_hz=1000)) as source, reading(source) as traffic:
            await pulse_ids(traffic, 1)
            await traffic.send_bytes(b"\xff" * 20)
            with pytest.raises((EOFError, ConnectionResetError)):
                await pulse_ids(traffic, 100_000)

    run(scenario())


def test_pub_refuses_a_pull_socket_and_says_why() -> None:
    async def scenario() -> None:
        async with running(config(mode="pub")) as source:
            with pytest.raises(
                PeerError,
                match="refused the connection: a PULL socket cannot read here, only SUB can: this source is a PUB socket",
            ):
                await connect(parse_address(source.address), role=SocketType.PULL)

    run(scenario())


def test_taken_port_is_a_setup_error() -> None:
    async def scenario() -> None:
        async with running(config()) as source:
            with pytest.raises(SetupError, match=str(parse_address(source.address).port)):
                await Source(config(port=parse_address(source.address).port)).start()

    run(scenario())


def test_rate_is_kept_and_timestamps_follow_it() -> None:
    async def scenario() -> None:
        async with running(config(rate_hz=500, messages=200, wait_for_clients=1, clock_offset_ns=-(10**12))) as source:
            loop = asyncio.get_running_loop()
            async with reading(source) as traffic:
                begun_s = loop.time()
                headers = [parse_main_header((await traffic.message())[0]) for _ in range(200)]
                took_s = loop.time() - begun_s
        times_ns = np.array([header.global_timestamp_ns for header in headers])
        assert np.diff(times_ns).tolist() == [2_000_000] * 199
        assert 0.398 - 0.05 < took_s < 2  # never faster; slower only on a busy machine

    run(scenario())


def test_all_that_was_sent_is_delivered_although_the_source_ends_at_once() -> None:
    async def read_all(traffic: Traffic) -> list[int]:
        ids = await pulse_ids(traffic, 200)
        with pytest.raises(EOFError):
            await traffic.message()
        traffic.connection.close()
        return ids

    async def scenario() -> None:
        source = Source(config(channels=scalars("300"), rate_hz=0, messages=200, wait_for_clients=1))
        await source.start()
        async with reading(source) as traffic, asyncio.timeout(DEADLINE_S):
            # Bytes that the source has not read when it closes would make the kernel throw away what is on its way to the client.
            await traffic.send_bytes(encode_ping() * 20)
            reader = asyncio.ensure_future(read_all(traffic))
            await source.run()
            await source.stop()
            assert await reader == list(range(FIRST_ID, FIRST_ID + 200))

    run(scenario())


@pytest.mark.parametrize(
    "fields",
    [
        {"rate_hz": -1},
        {"rate_hz": float("inf")},
        {"queue_messages": 0},
        {"port": 65536},
        {"port": -1},
        {"channels": ()},
        {"messages": -1},
    ],
)
def test_impossible_source_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        config(**fields)
