"""Datasets for channels, and names for groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.hdf5.layout import (
    CHUNK_ROWS,
    FILTERED_BYTES,
    DatasetLayout,
    Keeping,
    dataset_layout,
    group_name,
    value_dataset,
)
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.strategies import channels

U2, F8 = ValueType.UINT16, ValueType.FLOAT64
LZ4, BITSHUFFLE = Compression.LZ4, Compression.BITSHUFFLE_LZ4


@pytest.mark.parametrize(
    ("channel", "keeping", "row_shape", "chunk_rows"),
    [
        ((F8, (), Compression.NONE), Keeping.CELLS, (1,), 1024),
        ((F8, (), LZ4), Keeping.CELLS, (1,), 1024),
        ((F8, (), BITSHUFFLE), Keeping.CELLS, (1,), 1024),
        ((U2, (1, 1), Compression.NONE), Keeping.CELLS, (1, 1), 1024),
        ((U2, (2,), Compression.NONE), Keeping.ROWS, (2,), 1024),
        ((F8, (2048,), Compression.NONE), Keeping.ROWS, (2048,), 16),
        ((U2, (150, 200), Compression.NONE), Keeping.ROWS, (150, 200), 4),
        ((U2, (1024, 1280), Compression.NONE), Keeping.CHUNKS, (1024, 1280), 1),
        ((U2, (1024, 1280), BITSHUFFLE), Keeping.CHUNKS, (1024, 1280), 1),
        ((F8, (255,), LZ4), Keeping.ROWS, (255,), 128),
        ((F8, (256,), LZ4), Keeping.CHUNKS, (256,), 1),
        ((F8, (255,), BITSHUFFLE), Keeping.ROWS, (255,), 128),
        ((F8, (256,), BITSHUFFLE), Keeping.CHUNKS, (256,), 1),
        ((ValueType.STRING, (), Compression.NONE), Keeping.TEXTS, (), 1024),
        ((ValueType.STRING, (), LZ4), Keeping.TEXTS, (), 1024),
    ],
)
def test_size_decides_how_values_are_kept(
    channel: tuple[ValueType, tuple[int, ...], Compression], keeping: Keeping, row_shape: tuple[int, ...], chunk_rows: int
) -> None:
    kind, shape, compression = channel
    layout = dataset_layout(Channel(name="c", type=kind, shape=shape, compression=compression))
    assert (keeping, row_shape, chunk_rows) == (layout.keeping, layout.row_shape, layout.chunk_rows)


def test_only_what_is_stored_as_it_came_keeps_its_byte_order() -> None:
    plain = dataset_layout(Channel(name="c", type=U2, shape=(1024, 1280), big_endian=True))
    packed = dataset_layout(Channel(name="c", type=U2, shape=(1024, 1280), big_endian=True, compression=BITSHUFFLE))
    assert (np.dtype("<u2"), np.dtype(">u2")) == (plain.dtype, packed.dtype)


@given(channel=channels())
def test_chunks_are_of_bearable_size_and_end_together(channel: Channel) -> None:
    layout = dataset_layout(channel)
    assert layout.chunk_bytes <= max(256 * 1024, layout.row_bytes)
    assert CHUNK_ROWS % layout.chunk_rows == 0
    assert layout.filter is Compression.NONE or layout.row_bytes >= FILTERED_BYTES


def test_earlier_datasets_are_numbered() -> None:
    assert [value_dataset(number) for number in range(3)] == ["data", "data(1)", "data(2)"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SARES11-LSCP10-FNS:CH1:VAL_GET", "SARES11-LSCP10-FNS:CH1:VAL_GET"),
        ("a b", "a b"),
        ("a/b", "a_b"),
        ("/", "_"),
        ("", "_"),
        (".", "_"),
        ("..", "__"),
        ("...", "..."),
        ("a\0b", "a_b"),
        ("\ud800", "?"),
        ("x" * 300, "x" * 255),
        ("é" * 200, "é" * 127),
        ("taken", "taken(2)"),
        ("twice", "twice(3)"),
    ],
)
def test_group_names_are_the_channels_own_where_hdf5_can_hold_them(name: str, expected: str) -> None:
    assert expected == group_name(name, {"taken", "twice", "twice(2)"})


@given(st.lists(st.text(max_size=6), max_size=8))
def test_group_names_are_never_shared(names: list[str]) -> None:
    taken: set[str] = set()
    for name in names:
        taken.add(group_name(name, taken))
    assert len(names) == len(taken)
    assert not any("/" in name or "\0" in name or name in ("", ".", "..") for name in taken)


def test_layouts_are_told_apart_by_all_they_say() -> None:
    layout = dataset_layout(Channel(name="c", type=F8))
    assert layout == DatasetLayout(keeping=Keeping.CELLS, dtype=np.dtype("<f8"), row_shape=(1,), chunk_rows=1024)
    assert layout != dataset_layout(Channel(name="c", type=ValueType.INT64))
