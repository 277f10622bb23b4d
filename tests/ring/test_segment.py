"""Segments are recycled, limited and never handed out while somebody holds them."""

import threading

import numpy as np
import pytest

from sf_bsread_writer.ring.segment import Segment, SegmentPool

SIZE = 1 << 16


def test_a_segment_given_back_is_used_again_with_a_new_serial() -> None:
    pool = SegmentPool(4 * SIZE, SIZE)
    first = pool.take()
    assert first is not None
    first.data[:] = 7
    serial, memory = first.serial, first.data
    first.unpin()
    second = pool.take()
    assert second is not None
    assert np.shares_memory(memory, second.data)
    assert second.serial > serial
    assert second.pins == 1


def test_data_and_view_show_the_same_memory() -> None:
    segment = SegmentPool(SIZE, SIZE).take()
    assert segment is not None
    assert (segment.size, len(segment.view), segment.data.shape) == (SIZE, SIZE, (SIZE,))
    segment.view[3:5] = b"ab"
    assert segment.data[3:5].tobytes() == b"ab"


def test_a_segment_stays_out_until_its_last_pin_is_gone() -> None:
    pool = SegmentPool(SIZE, SIZE)
    segment = pool.take()
    assert segment is not None
    segment.pin()
    segment.unpin()
    assert pool.take() is None
    segment.unpin()
    assert pool.take() is segment


def test_a_segment_in_the_pool_can_be_neither_pinned_nor_given_back_again() -> None:
    pool = SegmentPool(SIZE, SIZE)
    segment = pool.take()
    assert segment is not None
    segment.unpin()
    with pytest.raises(RuntimeError, match="not pinned by anybody"):
        segment.pin()
    with pytest.raises(RuntimeError, match="given back more often"):
        segment.unpin()


def test_the_limit_holds_and_reclaim_is_asked_before_none_is_returned() -> None:
    held: list[Segment] = []
    asked = []

    def reclaim() -> bool:
        asked.append(len(held))
        if len(held) < 2:
            return False
        held.pop(0).unpin()
        return True

    pool = SegmentPool(3 * SIZE + 10, SIZE, reclaim=reclaim)
    for _ in range(5):
        segment = pool.take()
        assert segment is not None
        held.append(segment)
    assert asked == [3, 3]
    held[1:] = [held[-1]]
    assert pool.take(10 * SIZE) is None
    statistics = pool.statistics()
    assert statistics.allocated_bytes <= statistics.limit_bytes == 3 * SIZE + 10


@pytest.mark.parametrize(
    ("asked", "multiple", "size"),
    [
        (1, 1, SIZE),
        (SIZE, 1, SIZE),
        (SIZE + 1, 1, SIZE + SIZE // 8),
        (40_000, 40_000, SIZE + 2 * SIZE // 8),
        (1, SIZE // 4, SIZE),
        (1, SIZE // 4 + 1, SIZE + SIZE // 8),
        (5 * SIZE - 3, 5 * SIZE - 3, 5 * SIZE),
    ],
)
def test_large_messages_get_a_segment_of_their_own_size_in_steps_of_the_usual_one(asked: int, multiple: int, size: int) -> None:
    segment = SegmentPool(100 * SIZE, SIZE).take(asked, multiple_of_bytes=multiple)
    assert segment is not None
    assert segment.size == size


def test_a_segment_is_not_larger_than_it_must_be_where_the_limit_does_not_allow_it() -> None:
    pool = SegmentPool(2 * SIZE, SIZE)
    first, second = pool.take(40_000, multiple_of_bytes=40_000), pool.take(10)
    assert first is not None
    assert second is None
    first.unpin()
    sizes = [segment.size for segment in (pool.take(), pool.take(1, multiple_of_bytes=40_000)) if segment is not None]
    assert sizes == [first.size]
    roomy = SegmentPool(2 * SIZE, SIZE)
    assert [segment.size for segment in (roomy.take(), roomy.take(1, multiple_of_bytes=40_000)) if segment] == [SIZE, SIZE]


def test_the_smallest_free_segment_that_fits_is_taken() -> None:
    pool = SegmentPool(100 * SIZE, SIZE)
    segments = [pool.take(size) for size in (8 * SIZE, 2 * SIZE, 4 * SIZE)]
    for segment in segments:
        assert segment is not None
        segment.unpin()
    taken = pool.take(SIZE + SIZE // 8 + 1)
    assert taken is segments[1]


def test_free_segments_that_are_too_small_make_room_for_a_larger_one() -> None:
    pool = SegmentPool(4 * SIZE, SIZE)
    small = [pool.take() for _ in range(4)]
    for segment in small:
        assert segment is not None
        segment.unpin()
    large = pool.take(3 * SIZE)
    assert large is not None
    assert large.size == 3 * SIZE
    assert pool.statistics().allocated_bytes <= 4 * SIZE
    assert pool.statistics().used_bytes == 3 * SIZE


def test_the_owner_is_told_of_each_segment_that_comes_back() -> None:
    freed = []
    pool = SegmentPool(SIZE, SIZE, on_free=lambda: freed.append(pool.statistics().used_segments))
    segment = pool.take()
    assert segment is not None
    segment.pin()
    segment.unpin()
    assert freed == []
    segment.unpin()
    assert freed == [0]


def test_pins_from_several_threads_are_all_counted() -> None:
    pool = SegmentPool(SIZE, SIZE)
    segment = pool.take()
    assert segment is not None

    def work() -> None:
        for _ in range(2000):
            segment.pin()
            segment.unpin()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segment.pins == 1


def test_small_messages_take_no_more_than_the_usual_memory_and_large_ones_all_of_it() -> None:
    pool = SegmentPool(8 * SIZE, SIZE, usual_bytes=2 * SIZE)
    taken = [pool.take(), pool.take()]

    assert None not in taken
    assert pool.take() is None
    assert pool.take(4 * SIZE) is not None


def test_the_segment_that_came_back_last_goes_out_first() -> None:
    pool = SegmentPool(2 * SIZE, SIZE)
    first, second = pool.take(), pool.take()
    assert first is not None
    assert second is not None
    first.unpin()
    second.unpin()

    assert pool.take() is second
