"""Prefixes against libzmq's rules."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.frames import encode_message
from sf_bsread_writer.zmtp.subscriptions import Subscriptions

PREFIXES = st.text("ab", max_size=3).map(str.encode)


def wanted(subscriptions: Subscriptions, first_frames: Sequence[bytes]) -> list[bool]:
    memory = bytearray()
    starts = []
    for frame in first_frames:
        starts.append(len(memory))
        memory += encode_message([frame, b"ab"])
    return subscriptions.wanted(memoryview(memory), np.array(starts, np.int64)).tolist()


@given(
    changes=st.lists(st.tuples(st.booleans(), PREFIXES), max_size=20),
    frames=st.lists(st.text("ab", max_size=4).map(str.encode), max_size=6),
)
def test_messages_are_wanted_that_begin_with_a_prefix_subscribed_more_often_than_cancelled(
    changes: list[tuple[bool, bytes]], frames: list[bytes]
) -> None:
    subscriptions = Subscriptions()
    counts: dict[bytes, int] = {}
    for subscribe, prefix in changes:
        subscriptions.change(subscribe, prefix)
        counts[prefix] = max(0, counts.get(prefix, 0) + (1 if subscribe else -1))
    left = [prefix for prefix, count in counts.items() if count]
    assert bool(subscriptions) == bool(left)
    assert subscriptions.want_all == (b"" in left)
    assert wanted(subscriptions, frames) == [any(frame.startswith(prefix) for prefix in left) for frame in frames]


def test_long_first_frames_are_compared_behind_their_longer_header() -> None:
    subscriptions = Subscriptions()
    subscriptions.change(True, b"b")
    assert wanted(subscriptions, [b"b" * 300, b"a" * 300]) == [True, False]


def test_there_is_a_limit() -> None:
    subscriptions = Subscriptions()
    for i in range(1000):
        subscriptions.change(True, b"%d" % i)
    subscriptions.change(True, b"7")
    with pytest.raises(PeerError, match="more than 1000 subscriptions"):
        subscriptions.change(True, b"one more")


def test_the_bytes_of_all_prefixes_are_limited() -> None:
    subscriptions = Subscriptions()
    for number in range(64):
        subscriptions.change(True, number.to_bytes(1024))
    with pytest.raises(PeerError, match="subscriptions of more than 65536 bytes"):
        subscriptions.change(True, b"x")
