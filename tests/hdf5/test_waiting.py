"""What waits reads as if it had been written, in the order in which it came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.hdf5.waiting import Waiting

SIZE = 300_000
"""Some blocks of 64 KiB."""

PLACES = st.one_of(st.integers(0, SIZE - 1), st.integers(-3, 3).map(lambda near: 65536 + near), st.just(0))
PIECES = st.tuples(PLACES, st.integers(1, 70_000), st.integers(1, 255))


@given(changes=st.lists(PIECES, max_size=12), start=PLACES, length=st.integers(0, 140_000))
def test_it_shows_what_the_file_would_hold(changes: list[tuple[int, int, int]], start: int, length: int) -> None:
    waiting, plain = Waiting(), np.zeros(SIZE + 70_000, np.uint8)
    for begin, size, value in changes:
        waiting.put(begin, bytes([value]) * size)
        plain[begin : begin + size] = value
    shown = np.zeros(length, np.uint8)
    waiting.show(start, shown)
    assert shown.tobytes() == plain[start : start + length].tobytes()
    touched = any(begin < start + length and start < begin + size for begin, size, _ in changes) and length > 0
    assert waiting.touches(start, length) == touched
    made = np.zeros_like(plain)
    for begin, data in waiting.all():
        made[begin : begin + len(data)] = np.frombuffer(data, np.uint8)
    assert made.tobytes() == plain.tobytes()
    waiting.clear()
    assert not waiting.all()
    assert not waiting.touches(0, SIZE)
