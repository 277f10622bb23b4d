"""Reading kept messages back, while the ring goes on."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pytest

from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.relay import reading
from sf_bsread_writer.relay.reading import Reader
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.testing.messages import message_of
from sf_bsread_writer.testing.rings import MIB, feed, ring_of
from sf_bsread_writer.zmtp.frames import encode_message

_Result = TypeVar("_Result")


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is a turn of its own."""
    monkeypatch.setattr(reading, "TURN_S", 1e-9)


@pytest.fixture
def long_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is."""
    monkeypatch.setattr(reading, "TURN_S", 100.0)


class Taken:
    """Notes what it is given, as (sequence number, pulse id), run by run."""

    def __init__(self, enough: int = 1_000_000) -> None:
        self.runs: list[list[tuple[int, int]]] = []
        self.enough = enough
        self.were_decoded = True

    def __call__(self, first: int, run: Run) -> bool:
        self.runs.append(list(enumerate(run.pulse_ids.tolist(), first)))
        self.were_decoded &= all(layout.header.was_decoded for layout in run.layouts)
        return len(self.all) < self.enough

    @property
    def all(self) -> list[tuple[int, int]]:
        return [each for run in self.runs for each in run]


def scalars(pulse_ids: Sequence[int]) -> list[list[bytes]]:
    return [message_of(pulse_id, {"A": float(pulse_id)}) for pulse_id in pulse_ids]


async def experienced(ring: Ring) -> Reader:
    """One that knows the newest message's data header, and does not wait for it to be decoded."""
    reader = Reader(ring)
    await reader.read(ring.next - 1, ring.next, Taken())
    return reader


def read(ring: Ring, first: int, stop: int, **options: bool) -> Taken:
    taken = Taken()
    asyncio.run(Reader(ring).read(first, stop, taken, **options))
    return taken


@pytest.mark.usefixtures("long_turns")
@pytest.mark.parametrize("newest_first", [False, True])
def test_every_message_comes_once_with_its_sequence_number(newest_first: bool) -> None:
    ring = ring_of(scalars(range(1000, 1300)))
    taken = read(ring, 20, 280, newest_first=newest_first)
    assert sorted(taken.all) == [(sequence, sequence + 1000) for sequence in range(20, 280)]
    assert [run[0] for run in taken.runs] == sorted([run[0] for run in taken.runs], reverse=newest_first)
    assert len(taken.runs) < 12  # many at a time


@pytest.mark.parametrize("newest_first", [False, True])
def test_messages_in_several_segments_and_with_something_between_them(newest_first: bool) -> None:
    ring = Ring(1000, 4 * MIB, segment_bytes=MIB // 4)
    inlet = Inlet(ring.pool)
    ping = b"\x04\x07\x04PING\x00\x00"
    for pulse_id in range(40):
        data = encode_message(message_of(pulse_id, {"W": np.zeros(4000)})) + (ping if pulse_id % 7 == 0 else b"")
        for event in inlet.feed(data):
            if isinstance(event, Arrived):
                ring.append(event.segment, event.run, pulse_id)
    inlet.close()
    assert len(set(ring.log.rows(0, 40).serials.tolist())) > 2
    assert sorted(read(ring, 0, 40, newest_first=newest_first).all) == [(number, number) for number in range(40)]


def test_it_ends_when_no_more_is_wanted() -> None:
    ring, taken = ring_of(scalars(range(200))), Taken(enough=1)
    asyncio.run(Reader(ring).read(0, 200, taken, newest_first=True))
    assert taken.all == [(199, 199)]


def test_data_headers_are_decoded_before_unless_they_are_too_many_to_be_remembered() -> None:
    messages = [message_of(number, {f"CHANNEL {number}": 1.0}) for number in range(150)]
    assert len(read(ring_of(messages), 0, 150).all) == 150
    few = read(ring_of(messages[:20]), 0, 20)
    assert (len(few.all), few.were_decoded) == (20, True)


@pytest.mark.usefixtures("short_turns")
def test_the_relay_has_a_turn_after_each_of_the_readers_however_many_there_are() -> None:
    ring, turns = ring_of(scalars(range(300))), list[str]()

    def named(name: str) -> Taken:
        class Named(Taken):
            def __call__(self, first: int, run: Run) -> bool:
                turns.append(name)
                return super().__call__(first, run)

        return Named()

    async def relay(reading: asyncio.Future[Any]) -> None:
        while not reading.done():
            turns.append("relay")
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        reader = await experienced(ring)
        both = asyncio.gather(*(reader.read(0, 300, named(name)) for name in "XY"))
        await relay(both)

    asyncio.run(all_of_them())
    order = "".join(turns).replace("relay", ".")
    assert "XX" not in order
    assert "XY" not in order
    assert "YX" not in order
    readers = order.replace(".", "")
    assert readers.count("X") == readers.count("Y") > 5
    assert "XXX" not in readers
    assert "YYY" not in readers


Work: TypeAlias = Callable[[Reader], Coroutine[Any, Any, _Result]]


def feeding_meanwhile(ring: Ring, messages: Sequence[Sequence[bytes]], work: Work[_Result]) -> _Result:
    """What the work gives, into whose ring all these come again and again at each turn."""

    async def both() -> _Result:
        task = asyncio.create_task(work(await experienced(ring)))
        while not task.done():
            await asyncio.sleep(0)
            feed(ring, messages)
        return task.result()

    return asyncio.run(both())


@pytest.mark.usefixtures("short_turns")
@pytest.mark.parametrize("newest_first", [False, True])
def test_what_the_ring_lets_go_of_meanwhile_is_left_out(newest_first: bool) -> None:
    messages = [message_of(i, {"W": np.full(2000, float(i))}) for i in range(200)]
    ring, taken = ring_of(messages, memory=2 * MIB), Taken()
    oldest, stop = ring.log.oldest, ring.next
    feeding_meanwhile(ring, messages[:20], lambda reader: reader.read(oldest, stop, taken, newest_first=newest_first))
    assert 0 < len(taken.all) < stop - oldest
    assert len(set(taken.all)) == len(taken.all)
    assert all(sequence == pulse_id for sequence, pulse_id in taken.all)
    assert (max if newest_first else min)(taken.all) == taken.runs[0][0]


def test_bytes_are_copied_as_they_are() -> None:
    value = np.random.default_rng(1).random(100_000)
    ring = ring_of([message_of(1, {"W": value})])
    run: list[tuple[int, int]] = []

    def place(first: int, found: Run) -> bool:
        start = int(found.bodies[0] + found.layouts[0].value_starts[0])
        run.append((start, start + int(found.layouts[0].value_lengths[0])))
        return False

    async def copied() -> bytearray | None:
        reader = Reader(ring)
        await reader.read(0, 1, place)
        return await reader.copy(0, *run[0])

    assert asyncio.run(copied()) == value.tobytes()


@pytest.mark.usefixtures("short_turns")
def test_of_what_goes_while_it_is_copied_there_is_nothing() -> None:
    image = message_of(0, {"V": np.zeros(MIB, np.uint8)})
    ring = ring_of([image], memory=4 * MIB)
    assert feeding_meanwhile(ring, [image] * 4, lambda reader: reader.copy(0, 0, MIB)) is None
    assert asyncio.run(Reader(ring).copy(0, 0, 10)) is None


@pytest.mark.usefixtures("short_turns")
def test_things_are_made_in_turns() -> None:
    async def ticks_meanwhile() -> tuple[list[int], int]:
        task, ticks = asyncio.create_task(Reader(ring_of([])).in_turns(number * number for number in range(20))), 0
        while not task.done():
            ticks += 1
            await asyncio.sleep(0)
        return task.result(), ticks

    made, ticks = asyncio.run(ticks_meanwhile())
    assert made == [number * number for number in range(20)]
    assert ticks >= 20
