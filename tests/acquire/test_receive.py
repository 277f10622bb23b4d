"""The writer's stream on a real connection."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import numpy as np
import pytest

from sf_bsread_writer.acquire.receive import BadMessage, Connected, Disconnected, Opened, Pulses, StreamEvent, ZmtpStream
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.messages import message_of, renumbered, stream_of
from sf_bsread_writer.testing.wire import Source
from sf_bsread_writer.zmtp.extension import (
    Holdings,
    Started,
    StartPoint,
    StartRequest,
    encode_extension,
    encode_run,
    holdings_properties,
)

MESSAGE = message_of(1, {"A": 1.0})
BUFFER = holdings_properties(oldest_pulse_id=1, newest_pulse_id=1, messages=1)


def receive(source: Source, play: Callable[[], Coroutine[object, object, None]], deliver: Callable[[StreamEvent], None]) -> None:
    """Runs a stream on the source while ``play`` does, and raises what it raises."""

    async def life() -> None:
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16))
        running = asyncio.create_task(stream.run(deliver))
        playing = asyncio.create_task(play())
        async with asyncio.timeout(10):
            await asyncio.wait((running, playing), return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                await running
            await playing
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(life())


def test_an_error_in_taking_messages_ends_the_stream_instead_of_losing_them() -> None:
    def deliver(event: StreamEvent) -> None:
        if isinstance(event, Pulses):
            raise ZeroDivisionError(f"pulse {event.run.pulse_ids[0]}")

    async def play() -> None:
        await asyncio.to_thread(source.accept)
        source.send_messages([MESSAGE])
        await asyncio.Event().wait()

    with Source() as source, pytest.raises(ZeroDivisionError, match="pulse 1"):
        receive(source, play, deliver)


@pytest.mark.parametrize(("properties", "expected"), [({}, [BadMessage(kind="broken off")]), (BUFFER, [])])
def test_a_message_cut_off_by_a_lost_connection_is_lost_unless_a_buffer_sends_it_again(
    properties: dict[str, bytes], expected: list[StreamEvent], caplog: pytest.LogCaptureFixture
) -> None:
    events: list[StreamEvent] = []

    async def play() -> None:
        await asyncio.to_thread(source.accept)
        source.send(stream_of([MESSAGE])[:-5])
        await asyncio.to_thread(source.accept)

    with Source(properties) as source:
        receive(source, play, events.append)
    assert events[: 2 + len(expected)] == [Connected(), *expected, Disconnected()]
    size = len(stream_of([MESSAGE])) - 5
    assert [record.message for record in caplog.records] == [
        f"Connection to {source.address} lost: the other side closed it; {size} bytes of an unfinished message are dropped; "
        "connecting again"
    ]


def test_a_buffer_that_tells_nonsense_is_left_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        await asyncio.to_thread(source.accept)
        await asyncio.to_thread(source.accept)

    with Source(dict(BUFFER) | {"X-Messages": b"many"}) as source:
        receive(source, play, lambda event: None)
    assert (
        f"Connection to {source.address} lost: it sent the property X-Messages = b'many'; expected a decimal number"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([7], "pulse 8"),
        ([2**63 - 2, 2**63 - 1], f"pulse {2**63 - 1}"),
        ([7, 10**8], "pulse 8"),  # a wrong one, or the first behind a jump: it comes again
        ([10**8], "pulse 5"),
    ],
)
def test_after_a_lost_connection_a_buffer_is_asked_for_what_comes_behind_the_highest_pulse(ids: list[int], expected: str) -> None:
    taken = asyncio.Event()

    def deliver(event: StreamEvent) -> None:
        if isinstance(event, Pulses):
            taken.set()

    def request(at: str) -> bytes:
        return encode_extension(StartRequest(generation=1, at=at))

    async def asked(at: str) -> None:
        assert await asyncio.to_thread(source.receive, len(request(at))) == request(at)

    async def life(source: Source) -> None:
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16))
        running = asyncio.create_task(stream.run(deliver))
        await stream.open(StartPoint("pulse", 5))
        await asyncio.to_thread(source.accept)
        await asked("pulse 5")
        started = Started(generation=1, now_ns=0, oldest_pulse_id=1, newest_pulse_id=1, messages=1, first_sequence=0)
        source.send(encode_extension(started) + stream_of([renumbered(MESSAGE, pulse_id) for pulse_id in ids]))
        await taken.wait()
        await asyncio.to_thread(source.accept)
        await asked(expected)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with Source(BUFFER) as source:
        asyncio.run(asyncio.wait_for(life(source), 10))


def test_a_dropped_message_takes_its_own_arrival_time_with_it() -> None:
    arrivals_ns: list[int] = []
    last = asyncio.Event()

    def deliver(event: StreamEvent) -> None:
        if isinstance(event, Pulses):
            arrivals_ns.extend(event.arrivals_ns.tolist())
            if 3 in event.run.pulse_ids:
                last.set()

    async def life(source: Source) -> None:
        limits = Limits(max_frame_bytes=1000)
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16), limits=limits)
        running = asyncio.create_task(stream.run(deliver))
        await stream.open(StartPoint("pulse", 1))
        await asyncio.to_thread(source.accept)
        started = Started(generation=1, now_ns=0, oldest_pulse_id=1, newest_pulse_id=3, messages=3, first_sequence=0)
        announced = encode_run(0, np.array([10, 20, 30]))
        large = message_of(2, {"A": np.zeros(1000)})
        source.send(encode_extension(started) + announced + stream_of([MESSAGE, large, renumbered(MESSAGE, 3)]))
        await last.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with Source(BUFFER) as source:
        asyncio.run(asyncio.wait_for(life(source), 10))
    assert arrivals_ns == [10, 30]


@pytest.mark.parametrize(("properties", "is_left"), [({}, True), (BUFFER, False)])
def test_a_source_that_hangs_is_connected_to_again_but_a_buffer_may_have_nothing_to_say(
    properties: dict[str, bytes], is_left: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gone = asyncio.Event()

    def deliver(event: StreamEvent) -> None:
        if isinstance(event, Disconnected):
            gone.set()

    async def life(source: Source) -> bool:
        pool = SegmentPool(1 << 20, 1 << 16)
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=pool, stale_timeout_s=0.2)
        running = asyncio.create_task(stream.run(deliver))
        await asyncio.to_thread(source.accept)
        with suppress(TimeoutError):
            await asyncio.wait_for(gone.wait(), 10 if is_left else 0.8)
        was_left = gone.is_set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return was_left

    with Source(properties) as source:
        assert asyncio.run(life(source)) == is_left
    assert ("it has sent nothing for 0.2 s" in caplog.text) == is_left


def test_a_look_at_a_buffer_is_answered_unless_it_is_open_and_not_asked_for_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    def frame(generation: int, at: str) -> bytes:
        return encode_extension(StartRequest(generation=generation, at=at))

    def started(generation: int, newest: int) -> bytes:
        held = {"oldest_pulse_id": 1, "newest_pulse_id": newest, "messages": newest}
        return encode_extension(Started(generation=generation, now_ns=7, first_sequence=0, **held))

    async def life(source: Source) -> None:
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16))
        assert stream.held is None
        stream.look()
        connected = asyncio.Event()
        running = asyncio.create_task(stream.run(lambda event: connected.set()))
        await asyncio.to_thread(source.accept)
        await connected.wait()
        assert stream.held == Holdings(oldest_pulse_id=1, newest_pulse_id=1, messages=1)  # as it said of itself
        for _ in range(100):
            stream.look()
        opening = asyncio.create_task(stream.open(StartPoint("pulse", 5)))
        expected = frame(0, "hold") + frame(1, "pulse 5")
        assert await asyncio.to_thread(source.receive, len(expected)) == expected
        source.send(started(0, 8) + started(1, 9))
        assert (await opening).newest_pulse_id == 9
        assert stream.held == Holdings(oldest_pulse_id=1, newest_pulse_id=9, messages=9)
        monkeypatch.setattr("sf_bsread_writer.acquire.receive.LOOK_S", 0.0)
        stream.look()  # it is open
        stream.close()
        stream.look()
        expected = frame(2, "hold") * 2
        assert await asyncio.to_thread(source.receive, len(expected)) == expected
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert stream.held is None

    with Source(BUFFER) as source:
        asyncio.run(asyncio.wait_for(life(source), 10))


@pytest.mark.parametrize(("from_oldest", "oldest_held"), [(True, 100), (False, None)])
def test_the_oldest_pulse_matters_only_if_the_stream_begins_there(from_oldest: bool, oldest_held: int | None) -> None:
    """After a source's counter has started over, the oldest id held says nothing of what was evicted."""

    async def life(source: Source) -> Opened:
        stream = ZmtpStream(source.address, mode="auto", name="test", pool=SegmentPool(1 << 20, 1 << 16))
        running = asyncio.create_task(stream.run(lambda event: None))
        await asyncio.to_thread(source.accept)
        opening = asyncio.create_task(stream.open(StartPoint("pulse", 20)))
        await asyncio.to_thread(source.receive, len(encode_extension(StartRequest(generation=1, at="pulse 20"))))
        started = Started(
            generation=1,
            now_ns=7,
            oldest_pulse_id=100,
            newest_pulse_id=50,
            messages=150,
            first_sequence=9,
            from_oldest=from_oldest,
        )
        source.send(encode_extension(started))
        opened = await opening
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return opened

    with Source(BUFFER) as source:
        opened = asyncio.run(asyncio.wait_for(life(source), 10))
    assert opened == Opened(now_ns=7, oldest_pulse_id=oldest_held, newest_pulse_id=50)
