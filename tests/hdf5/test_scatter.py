"""Messages that all differ in layout give the same rows together as one by one."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import Channels, Column
from sf_bsread_writer.hdf5.chunks import Chunk
from sf_bsread_writer.hdf5.presence import Presence, Split
from sf_bsread_writer.hdf5.scatter import MESSAGES_PER_PLAN
from sf_bsread_writer.hdf5.table import Table
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.encode import encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import run_of, time_of

Where = tuple[str, str]
"""Group and name of a dataset."""


class Kept:
    """A sink that keeps what comes, by dataset and first row."""

    def __init__(self) -> None:
        self.rows = 0
        self.chunks: defaultdict[Where, dict[int, tuple[bytes, int]]] = defaultdict(dict)
        self.texts: defaultdict[Where, dict[int, list[str]]] = defaultdict(dict)
        self.presence: defaultdict[int, dict[int, tuple[bytes, bytes]]] = defaultdict(dict)

    def write_chunk(self, column: Column, first_row: int, chunk: Chunk, filter_mask: int = 0) -> None:
        raw = chunk.tobytes() if isinstance(chunk, np.ndarray) else bytes(chunk)
        self.chunks[column.group, column.name][first_row] = raw, filter_mask

    def write_texts(self, column: Column, first_row: int, texts: Sequence[str]) -> None:
        for row, text in enumerate(texts, first_row):
            self.texts[column.group, column.name].setdefault(row, []).append(text)

    def write_presence(self, number: int, first_row: int, pulse_ids: NDArray[np.int64], flags: NDArray[np.uint8]) -> None:
        self.presence[number][first_row] = pulse_ids.tobytes(), flags.tobytes()

    def split(self, split: Split) -> None:
        self.presence[split.new] = dict(self.presence[split.old])

    def retire(self, column: Column, name: str) -> None:
        for kept in (self.chunks, self.texts):
            kept[column.group, name] = kept.pop((column.group, column.name), {})  # type: ignore[assignment]
        column.name = name

    def revive(self, column: Column, name: str) -> None:
        raise AssertionError("nothing is trimmed here")

    def drop(self, column: Column) -> None:
        raise AssertionError("nothing is trimmed here")


SHAPES = ((), (), (), (1, 1), (3,), (20_000,))


@st.composite
def headers(draw: st.DrawFn) -> tuple[Channel, ...]:
    """Some channels, one name twice now and then."""
    channels = []
    for number in range(draw(st.integers(2, 9))):
        kind = draw(st.sampled_from(ValueType))
        shape = () if kind is ValueType.STRING else draw(st.sampled_from(SHAPES))
        name = draw(st.sampled_from(("A", f"B{number}", f"C{number}")))
        packed = draw(st.sampled_from((Compression.NONE, Compression.NONE, *Compression)))
        channels.append(Channel(name=name, type=kind, shape=shape, big_endian=draw(st.booleans()), compression=packed))
    return tuple(channels)


def message(pulse_id: int, channels: Sequence[Channel], random: np.random.Generator) -> list[bytes]:
    """Each value there, missing or damaged, its time there, missing or damaged, as chance will have it."""
    values = []
    for channel in channels:
        value: str | NDArray[np.generic] = "text"[: random.integers(5)]
        if not channel.is_string:
            raw = random.integers(0, 3, channel.value_bytes, np.uint8)
            value = np.frombuffer(raw.tobytes(), channel.type.numpy).reshape(channel.shape)
        time = None if random.random() < 0.3 else int(random.integers(0, 2**62))
        values.append((None, None) if random.random() < 0.3 else (value, time))
    frames = encode_message(pulse_id=pulse_id, global_timestamp_ns=time_of(pulse_id), channels=channels, values=values)
    for index, channel in enumerate(channels):
        value_frame, time_frame = 2 + 2 * index, 3 + 2 * index
        if random.random() < 0.1:
            damaged = b"\xff" if channel.is_string else bytes((channel.value_bytes or 0) + channel.item_bytes)
            frames[value_frame] = compress(channel.compression, damaged, item_bytes=channel.item_bytes, big_endian=False)
        elif channel.compression is not Compression.NONE and not frames[value_frame] and random.random() < 0.5:
            frames[value_frame] = bytes(12)  # missing, as those write it who compress nothing too
        if random.random() < 0.1:
            frames[time_frame] = bytes(7)
    return frames


def rows_of(run: Run, cuts: Sequence[int], *, is_dry: bool) -> object:
    """All that a table makes of a run that is handed to it in these pieces, as something to compare."""
    sink, presence = Kept(), Presence()
    table = Table(None if is_dry else sink, Channels(), presence)
    for start, stop in zip([0, *cuts], [*cuts, len(run)], strict=True):
        table.add(run, np.arange(start, stop), np.arange(start, stop) * 7)
    table.drain()
    channels = [
        (
            channel.group,
            channel.first_row,
            channel.damaged,
            [(column.name, column.spec, column.layout, column.first_row, column.last_row) for column in channel.values],
            channel.times and channel.times.first_row,
            presence.pulse_ids[presence.class_of[channel.number]].tolist(),
            presence.flags[presence.class_of[channel.number]].tolist(),
            int(presence.rows_present[presence.class_of[channel.number]]),
            presence.last_row_of(channel.number),
            None if is_dry else sink.presence[int(presence.class_of[channel.number])],
        )
        for channel in table.channels.all
    ]
    return table.rows, channels, {where: kept for where, kept in sink.chunks.items() if kept}, dict(sink.texts)


@given(
    stretches=st.lists(headers(), min_size=1, max_size=3),
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(2, 9)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    seed=st.integers(0, 2**32),
    is_dry=st.sampled_from((False, False, False, True)),
)
def test_messages_of_many_layouts_are_the_same_rows_together_as_one_by_one(
    stretches: list[tuple[Channel, ...]], turns: list[tuple[int, int]], cuts: list[int], seed: int, is_dry: bool
) -> None:
    random = np.random.default_rng(seed)
    order = [stretches[turn % len(stretches)] for turn, count in turns for _ in range(count)]
    run = run_of([message(1000 + row, channels, random) for row, channels in enumerate(order)])
    assume(len(run) < MESSAGES_PER_PLAN * len(run.layouts))
    together = sorted({cut % len(run) for cut in cuts} - {0})
    assert rows_of(run, range(1, len(run)), is_dry=is_dry) == rows_of(run, together, is_dry=is_dry)
