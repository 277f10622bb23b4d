"""The writer's stream on a real connection."""

import asyncio
from collections.abc import Callable

import pytest

from sf_bsread_writer.acquire.receive import Pulses, StreamEvent, ZmtpStream
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.wire import Source


def receive(source: Source, deliver: Callable[[StreamEvent], None]) -> None:
    """Runs a stream on the source, which sends one message."""

    async def life() -> None:
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16))
        running = asyncio.create_task(stream.run(deliver))
        await asyncio.to_thread(source.accept)
        source.send_messages([message_of(1, {"A": 1.0})])
        async with asyncio.timeout(10):
            await running

    asyncio.run(life())


def test_an_error_in_taking_messages_ends_the_stream_instead_of_losing_them() -> None:
    def deliver(event: StreamEvent) -> None:
        if isinstance(event, Pulses):
            raise ZeroDivisionError(f"pulse {event.run.pulse_ids[0]}")

    with Source() as source, pytest.raises(ZeroDivisionError, match="pulse 1"):
        receive(source, deliver)
