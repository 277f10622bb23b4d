"""Any stream, cut and flushed anyhow, gives the file that the rules ask for."""

import shutil
import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.hdf5.file import FileOptions, PulseFile
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.encode import encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.file_model import FileModel, file_content
from sf_bsread_writer.testing.messages import message_of, run_of, time_of

MEMORY = Path("/dev/shm")
"""For the hundreds of files that the examples write, if there is such a place."""

NAMES = ("A", "SARES11-CAM:FPICTURE", "B", "B")
SHAPES: tuple[tuple[ValueType | None, tuple[int, ...]], ...] = (
    (None, ()),
    (None, ()),
    (None, (5,)),
    (ValueType.INT32, (1, 1)),
    (ValueType.INT16, (3, 4)),
    (ValueType.FLOAT32, (700,)),  # worth a filtered chunk if it comes compressed
    (ValueType.BOOL, (2100,)),
    (ValueType.UINT16, (150, 250)),  # one chunk per row
)


HABITS = ("there", "there", "never", "third", "any", "any", "damaged", "bad time")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages with one data header; ``habits`` say for each channel when it has a value."""

    channels: tuple[Channel, ...]
    habits: tuple[str, ...]
    messages: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that changes on its way, and how it is handed to the file."""

    stretches: tuple[Stretch, ...]
    seed: int
    batches: tuple[int, ...]
    flushes: tuple[bool, ...]
    left_out: int
    compression: Compression


@st.composite
def channel_variants(draw: st.DrawFn, name: str) -> tuple[Channel, ...]:
    """How one channel is described, now and later: each time anew, or only packed in another way."""
    variants: list[Channel] = []
    for _ in range(draw(st.integers(1, 3))):
        if variants and draw(st.booleans()):
            kind, shape = variants[-1].type, variants[-1].shape
        else:
            fixed, shape = draw(st.sampled_from(SHAPES))
            kind = fixed or draw(st.sampled_from(ValueType))
            shape = () if kind is ValueType.STRING else shape
        variants.append(
            Channel(
                name=name, type=kind, shape=shape, big_endian=draw(st.booleans()), compression=draw(st.sampled_from(Compression))
            )
        )
    return tuple(variants)


QUIET = Stretch((Channel(name="P", type=ValueType.UINT8),), ("there",), 1019)
"""Comes first now and then, so that what follows crosses the end of a chunk."""


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Up to four stretches, in which each channel comes in one of its variants, or not at all."""
    variants = [draw(channel_variants(name)) for name in NAMES[: draw(st.integers(1, len(NAMES)))]]
    stretches = [QUIET] if draw(st.integers(0, 5)) == 0 else []
    for _ in range(draw(st.integers(1, 4))):
        channels = tuple(draw(st.sampled_from(each)) for each in variants if draw(st.integers(0, 4)))
        habits = tuple(draw(st.sampled_from(HABITS)) for _ in channels)
        stretches.append(Stretch(channels, habits, draw(st.integers(1, 12))))
    return Stream(
        stretches=tuple(stretches),
        seed=draw(st.integers(0, 2**32)),
        batches=tuple(draw(st.lists(st.integers(1, 20), min_size=1, max_size=6))),
        flushes=tuple(draw(st.lists(st.booleans(), min_size=1, max_size=5))),
        left_out=draw(st.sampled_from((0, 0, draw(st.integers(0, 60))))),
        compression=draw(st.sampled_from(Compression)),
    )


def _messages(stream: Stream) -> list[list[bytes]]:
    random = np.random.default_rng(stream.seed)
    messages: list[list[bytes]] = []
    for stretch in stream.stretches:
        messages += [_message(len(messages) + row, stretch.channels, stretch.habits, random) for row in range(stretch.messages)]
    return messages


@cache
def _quiet_messages() -> list[list[bytes]]:
    random = np.random.default_rng(1)
    return [_message(row, QUIET.channels, QUIET.habits, random) for row in range(QUIET.messages)]


def _message(row: int, channels: Sequence[Channel], habits: Sequence[str], random: np.random.Generator) -> list[bytes]:
    pulse_id = 1000 + 3 * row
    values = []
    for channel, habit in zip(channels, habits, strict=True):
        there = (
            habit in ("there", "damaged", "bad time")
            or (habit == "third" and row % 3 == 0)
            or (habit == "any" and random.random() < 0.7)
        )
        time = None if random.random() < 0.2 else int(random.integers(0, 2**62))
        values.append((_value(channel, random), time) if there else (None, None))
    frames = encode_message(pulse_id=pulse_id, global_timestamp_ns=time_of(pulse_id), channels=channels, values=values)
    for index, (channel, habit) in enumerate(zip(channels, habits, strict=True)):
        if habit == "damaged" and random.random() < 0.5:
            frames[2 + 2 * index] = _damaged(channel)
            frames[3 + 2 * index] = frames[3 + 2 * index][: int(random.integers(0, 17))]
        elif habit == "bad time" and random.random() < 0.5:
            frames[3 + 2 * index] = (
                bytes(random.choice([1, 8, 15, 17])) if random.random() < 0.5 else struct.pack("<qq", -1, 2**63 - 1)
            )
            if random.random() < 0.3:
                frames[2 + 2 * index] = bytes(12)
        elif channel.compression is not Compression.NONE and not frames[2 + 2 * index] and random.random() < 0.5:
            frames[2 + 2 * index] = bytes(12)  # missing, as those write it who compress nothing too
    return frames


def _value(channel: Channel, random: np.random.Generator) -> np.ndarray | str:
    if channel.is_string:
        return "äöü€ text"[: int(random.integers(0, 9))]
    if channel.type is ValueType.BOOL:
        return random.random(channel.shape) < 0.5
    assert channel.value_bytes is not None
    raw = random.integers(0, 3, channel.value_bytes, np.uint8)  # compresses
    return np.frombuffer(raw.tobytes(), channel.type.numpy).reshape(channel.shape)


def _damaged(channel: Channel) -> bytes:
    """Bytes of a size that does not fit; for a string, of which every size fits, what is no UTF-8."""
    raw = b"t\xffxt" if channel.is_string else bytes((channel.value_bytes or 0) + channel.item_bytes)
    return compress(channel.compression, raw, item_bytes=channel.item_bytes, big_endian=channel.big_endian)


def _batches(run: Run, sizes: Sequence[int]) -> Iterator[np.ndarray]:
    start = turn = 0
    if len(run) > 1019:
        yield np.arange(1000)
        start = 1000
    while start < len(run):
        stop = min(len(run), start + sizes[turn % len(sizes)])
        yield np.arange(start, stop)
        start, turn = stop, turn + 1


@given(stream=streams())
def test_file_holds_what_the_rules_ask_for(stream: Stream) -> None:
    messages = _messages(stream)
    model, run, rows = FileModel(), run_of(messages), max(0, len(messages) - stream.left_out)
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    memory = SegmentPool(1, 1).take()
    try:
        file = PulseFile(folder / "run.h5", options=FileOptions(compression=stream.compression))
        for turn, batch in enumerate(_batches(run, stream.batches)):
            file.write(run, batch, batch.astype(np.int64) * 7, memory)
            for index in batch.tolist():
                model.add(messages[index], index * 7)
            if stream.flushes[turn % len(stream.flushes)]:
                file.flush()
        summary = file.finish(rows)
        file.seal(None, {}, "{}")
        expected, actual = model.content(rows), file_content(folder / "run.h5")
    finally:
        shutil.rmtree(folder)
    assert sorted(expected) == sorted(actual)
    for path, content in expected.items():
        assert (path, *content[:2]) == (path, *actual[path][:2])
        assert content[2] == actual[path][2], path
    channels = [channel for channel in model.channels.values() if channel.first_row < rows]
    assert [sum(row < rows for row in each.pulse_ids) for each in channels] == [each.rows_present for each in summary.channels]
    assert [each.damaged for each in channels] == [each.damaged for each in summary.channels]
    assert memory is not None
    assert memory.pins == 1


@pytest.mark.parametrize("layouts", [1, 5], ids=["all alike", "all different"])
@pytest.mark.parametrize("compression", Compression)
def test_a_time_that_nobody_can_store_is_that_of_the_message(layouts: int, compression: Compression, tmp_path: Path) -> None:
    channels = [
        Channel(name="A", type=ValueType.INT32, compression=compression, big_endian=True),
        Channel(name="T", type=ValueType.STRING),
    ]
    model, messages = FileModel(), []
    for row in range(5):
        message = message_of(row, {"A": 5, "T": "x" * (1 + row % layouts)}, channels=channels)
        message[3] = struct.pack(">qq", 2**62 if row % 2 else 7, 0)
        messages.append(message)
        model.add(message, row)
    file = PulseFile(tmp_path / "run.h5")
    file.write(run_of(messages), np.arange(5), np.arange(5))
    summary = file.finish(5)
    file.seal(None, {}, "{}")
    content = file_content(tmp_path / "run.h5")
    assert np.frombuffer(content["data/A/timestamp"][2], "<i8").tolist() == [time_of(n) if n % 2 else 7 * 10**9 for n in range(5)]
    assert content == model.content(5)
    assert [channel.damaged for channel in summary.channels] == [2, 0] == [each.damaged for each in model.channels.values()]
