"""Bytes on their way into a socket: words before parts, and never a byte lost or doubled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.relay.outbox import CopyBudget, Outbox, Views


class Sink:
    """A socket that takes as many bytes as it is told to."""

    def __init__(self) -> None:
        self.got = b""
        self.takes = 0
        self.most_views = 0

    def send(self, views: Views) -> int:
        self.most_views = max(self.most_views, len(views))
        taken = b"".join(views)[: self.takes]
        self.got += taken
        return len(taken)


def drained(outbox: Outbox, sink: Sink, takes: int = 1000) -> bytes:
    before = len(sink.got)
    sink.takes = takes
    while outbox:
        outbox.send(sink.send)
    return sink.got[before:]


@given(
    words=st.binary(max_size=20),
    parts=st.lists(st.binary(min_size=1, max_size=20), max_size=6),
    takes=st.lists(st.integers(0, 30), max_size=8),
    own=st.booleans(),
)
def test_everything_goes_out_once_in_order_and_words_are_told_from_parts(
    words: bytes, parts: list[bytes], takes: list[int], own: bool
) -> None:
    outbox, sink = Outbox(), Sink()
    memory = [bytearray(part) for part in parts]
    outbox.put(words, [memoryview(part) for part in memory])
    counted = [0, 0]
    for count in takes:
        if outbox:
            sink.takes = count
            sent = outbox.send(sink.send)
            counted = [counted[0] + sent[0], counted[1] + sent[1]]
    assert sum(counted) == len(sink.got)
    assert counted[0] == min(len(sink.got), len(words))
    if own and outbox:
        outbox.own()
        for part in memory:
            part[:] = bytes(len(part))
    drained(outbox, sink)
    assert sink.got == words + b"".join(parts)
    assert not outbox


@given(sent=st.integers(0, 30), kept=st.integers(0, 20))
def test_what_is_kept_of_a_slice_that_was_given_up_counts_as_words(sent: int, kept: int) -> None:
    outbox, sink = Outbox(), Sink()
    outbox.put(b"0123456789", [memoryview(b"abcdefghijkl"), memoryview(b"mnopqrstuvwx")])
    sink.takes = sent
    outbox.send(sink.send)
    left = b"0123456789abcdefghijklmnopqrstuvwx"[sent:]
    words_left = max(0, 10 - sent)
    outbox.keep(kept)
    expected = left[: words_left + kept]
    sink.takes = 1000
    if expected:
        assert outbox.send(sink.send) == (len(expected), 0)
    assert not outbox
    assert sink.got[sent:] == expected


def test_more_views_than_one_call_takes_are_sent_in_several() -> None:
    outbox, sink = Outbox(), Sink()
    parts = [b"%04d" % i for i in range(3000)]
    outbox.put(b"", [memoryview(part) for part in parts])
    assert drained(outbox, sink, 10**6) == b"".join(parts)
    assert 1 < sink.most_views <= 1024


def test_a_full_outbox_takes_nothing_more() -> None:
    outbox = Outbox()
    outbox.put(b"a")
    with pytest.raises(RuntimeError, match="must go first"):
        outbox.put(b"b")
    outbox.clear()
    outbox.put(b"c")
    assert drained(outbox, Sink()) == b"c"


def test_copies_of_all_clients_have_one_limit() -> None:
    budget = CopyBudget(10)
    assert budget.take(7)
    assert not budget.take(4)
    assert budget.take(3)
    budget.give_back(7)
    assert budget.used_bytes == 3
    assert budget.take(7)


def test_what_waits_is_counted_with_words_and_parts() -> None:
    outbox, sink = Outbox(), Sink()
    outbox.put(b"0123", [memoryview(b"abc"), memoryview(b"de")])
    sink.takes = 5
    outbox.send(sink.send)
    assert outbox.waiting_bytes == 4
