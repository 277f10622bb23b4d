"""Values side by side."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.columns import (
    Block,
    Places,
    RowBuffer,
    TextBuffer,
    chunks_of,
    gather,
    gather_times,
    index_of,
    rectangle,
)

DTYPES = tuple(np.dtype(f"{order}u{size}") for order in "<>" for size in (1, 2, 4, 8))


def memory_of(size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(size).integers(0, 256, size, np.uint8)


@given(
    starts=st.lists(st.integers(0, 200), min_size=1, max_size=9, unique=True).map(sorted),
    bodies=st.lists(st.integers(0, 90), min_size=1, max_size=7),
    dtype=st.sampled_from(DTYPES),
)
def test_gather_takes_the_item_at_each_body_and_place(starts: list[int], bodies: list[int], dtype: np.dtype) -> None:
    data = memory_of(max(starts) + max(bodies) + dtype.itemsize)  # the last item ends where the memory ends
    expected = [[np.frombuffer(data, dtype, 1, start + body)[0] for body in bodies] for start in starts]
    assert np.array_equal(expected, gather(data, Places.of(np.array(starts)), np.array(bodies), dtype))


@pytest.mark.parametrize(("starts", "spacing"), [([3, 31, 59], 28), ([3, 31, 60], 0), ([3], 0), ([3, 3, 3], 0)])
def test_equal_distances_are_noticed(starts: list[int], spacing: int) -> None:
    assert spacing == Places.of(np.array(starts)).spacing


@pytest.mark.parametrize("order", ["<", ">"])
def test_timestamps_are_seconds_and_nanoseconds(order: str) -> None:
    stamps = np.array([[1_700_000_000, 123_456_789], [5, 7]], f"{order}i8")
    data = np.frombuffer(b"xyz" + stamps.tobytes(), np.uint8)
    places, big_endian = Places.of(np.array([0, 16])), order == ">"
    times, is_bad = gather_times(data, places, np.array([3]), big_endian=big_endian, default_ns=np.array([9]))
    assert is_bad is None
    assert times.tolist() == [[1_700_000_000_123_456_789], [5_000_000_007]]


IMPOSSIBLE = [
    (2**63 - 1, 0),
    (-(2**63), 0),
    (-(2**63), -(2**63)),
    (9_223_372_037, 0),
    (9_223_372_036, 854_775_808),
    (0, -(2**63)),
]
POSSIBLE = [
    (9_223_372_036, 854_775_807),
    (-9_223_372_036, -854_775_807),
    (-1, 5),
    (1, 5 * 10**9),
    (9_223_372_037, -(10**9)),
    (1, 0),
]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_time_that_nobody_can_store_is_that_of_the_message(order: str) -> None:
    data = np.frombuffer(b"".join(struct.pack(f"{order}qq", *pair) for pair in IMPOSSIBLE + POSSIBLE), np.uint8)
    places, bodies = Places.of(16 * np.arange(len(POSSIBLE))), np.array([0, 16 * len(IMPOSSIBLE)])
    times, is_bad = gather_times(data, places, bodies, big_endian=order == ">", default_ns=np.array([77, 88]))
    assert is_bad is not None
    assert is_bad.tolist() == [[True, False]] * len(POSSIBLE)
    assert times.tolist() == [[77, sec * 10**9 + ns] for sec, ns in POSSIBLE]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [([4], slice(4, 5)), ([4, 5, 6], slice(4, 7)), ([4, 6], [4, 6])],
)
def test_positions_without_gaps_become_a_slice(positions: list[int], expected: object) -> None:
    index = index_of(np.array(positions))
    assert expected == (index if isinstance(index, slice) else index.tolist())


def test_two_indices_span_a_rectangle() -> None:
    cells = np.arange(20).reshape(4, 5)
    for lines in (slice(0, 2), np.array([0, 2])):
        for columns in (slice(1, 4), np.array([1, 3, 4])):
            assert np.array_equal(cells[lines][:, columns], cells[rectangle(lines, columns)])


def test_block_lends_slots_in_order_and_again_when_they_come_back() -> None:
    block = Block[str]("<u4")
    assert [block.take(owner) for owner in "abc"] == [0, 1, 2]
    block.put(slice(1, 2), slice(0, 2), np.array([[7, 8]]))
    untaken = block.give_back(1)
    assert untaken is not None
    assert untaken[:3].tolist() == [7, 8, 0]
    assert block.take("d") == 1
    assert not block.cells[1].any()
    assert block.take("e") == 3


def test_block_grows_and_keeps_what_it_holds() -> None:
    block = Block[int]("<u8")
    slots = [block.take(owner) for owner in range(100)]
    block.put(index_of(np.array(slots)), slice(3, 4), np.arange(100)[:, None])
    assert [block.take(owner) for owner in range(100, 300)] == list(range(100, 300))
    assert list(range(100)) == block.cells[:100, 3].tolist()


def test_block_hands_out_each_change_once_and_is_zero_in_the_next_chunk() -> None:
    block = Block[str]("<i8")
    for owner in "abc":
        block.take(owner)
    block.put(np.array([0, 2]), np.array([1, 3]), np.array([[1, 2], [3, 4]]))
    assert [(owner, chunk[:4].tolist()) for owner, chunk in block.take_dirty()] == [("a", [0, 1, 0, 2]), ("c", [0, 3, 0, 4])]
    assert list(block.take_dirty()) == []
    block.next_chunk()
    assert not block.cells.any()


def test_block_converts_byte_order() -> None:
    block = Block[str]("<u2")
    block.take("a")
    block.put(slice(0, 1), slice(0, 1), np.array([[0x0102]], ">u2"))
    assert bytes.fromhex("0201") == block.cells[0, 0].tobytes()


@pytest.mark.parametrize("items", [3, 4000])
@pytest.mark.parametrize("big_endian", [False, True])
def test_row_buffer_holds_values_where_they_belong_and_zero_elsewhere(items: int, big_endian: bool) -> None:
    values = np.arange(4 * items, dtype=np.uint16).reshape(4, items) + 1
    raw = values.astype(">u2" if big_endian else "<u2").tobytes()
    data = np.frombuffer(b"x" + raw, np.uint8)
    buffer = RowBuffer(8, np.dtype("<u2"), items)
    buffer.start(2)
    rows = np.array([16, 17, 19, 23])
    buffer.put(data, 1 + np.arange(4) * 2 * items, rows, big_endian=big_endian)
    expected = np.zeros((8, items), "<u2")
    expected[rows - 16] = values
    assert np.array_equal(expected, buffer.whole())
    buffer.start(3)
    assert not buffer.whole().any()


def test_row_buffer_takes_any_byte_but_zero_for_true() -> None:
    buffer = RowBuffer(4, np.dtype("?"), 5)
    buffer.put(np.array([0, 1, 2, 128, 255], np.uint8), np.array([0]), np.array([1]), big_endian=False)
    assert buffer.whole()[1].view(np.uint8).tolist() == [0, 1, 1, 1, 1]


@given(rows=st.sets(st.integers(0, 100), min_size=0, max_size=30).map(sorted), chunk_rows=st.sampled_from((1, 4, 16, 1024)))
def test_rows_are_cut_where_chunks_end(rows: list[int], chunk_rows: int) -> None:
    expected: dict[int, list[int]] = {}
    for row in rows:
        expected.setdefault(row // chunk_rows, []).append(row)
    actual = [(number, rows[part]) for number, part in chunks_of(np.array(rows, np.intp), chunk_rows)]
    assert list(expected.items()) == actual


def test_text_buffer_fills_gaps_with_empty_strings_and_forgets() -> None:
    buffer = TextBuffer()
    buffer.put(5, "five")
    buffer.put(7, "seven")
    assert buffer.take() == (5, ["five", "", "seven"])
    assert buffer.take() is None
    assert buffer.characters == 0
