import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.message.layout import Layout
from sf_bsread_writer.message.walk import Limits, Progress, Walk
from sf_bsread_writer.testing.messages import message_of, run_of, stream_of
from sf_bsread_writer.zmtp.frames import encode_frame

MAIN = message_of(1, {})[0]


def walked(stream: bytes, *, stops: list[int] | None = None, like: Layout | None = None) -> tuple[Progress, Walk]:
    """A walk through a stream, with stops on the way."""
    data, view = np.frombuffer(stream, np.uint8), memoryview(stream)
    walk = Walk(Limits())
    progress = Progress.SHORT
    for stop in [*(stops or []), len(stream)]:
        progress = walk.advance(data, view, 0, stop, like=like)
    return progress, walk


def frames_of(stream: bytes, walk: Walk) -> list[bytes]:
    return [stream[start : start + length] for start, length in zip(walk.starts, walk.lengths, strict=True)]


FRAMES = st.lists(st.sampled_from([b"", b"x", bytes(8), bytes(16), b"\1" * 200, bytes(300)]), min_size=1, max_size=60)
SCALARS = [bytes(8), bytes(16)] * 300
BODIES = st.one_of(FRAMES, st.builds(lambda head, tail: [*head, *SCALARS, *tail], FRAMES, FRAMES))
EDITS = st.lists(st.tuples(st.integers(0, 700), st.sampled_from([b"", b"other", bytes(8), bytes(400)])), max_size=40)


@given(
    body=BODIES,
    edits=EDITS,
    longer=st.integers(-3, 3),
    stops=st.lists(st.integers(0, 20_000), max_size=3),
    is_alike=st.booleans(),
)
def test_a_walk_that_jumps_and_strides_finds_the_same_frames(
    body: list[bytes], edits: list[tuple[int, bytes]], longer: int, stops: list[int], is_alike: bool
) -> None:
    like = run_of([[MAIN, *body]]).layouts[0] if is_alike else None
    other = list(body)
    for place, frame in edits:
        other[place % len(other)] = frame
    other = other[: max(1, len(other) + longer)] + [b"more"] * longer
    stream = stream_of([[MAIN, *other]])
    stops = sorted(stop for stop in stops if stop < len(stream))
    progress, walk = walked(stream, stops=stops, like=like)
    assert progress is Progress.WHOLE
    assert frames_of(stream, walk) == [MAIN, *other]
    assert walk.length == len(stream)
    assert walk.n_frames == 1 + len(other)


class Counting:
    """In place of a memoryview, which cannot be subclassed."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.looks = view, 0

    def __getitem__(self, place: int | slice) -> object:
        self.looks += 1
        return self.view[place]


def test_a_message_like_the_one_before_is_one_jump() -> None:
    messages = [message_of(i, {f"C{channel}": 0.5 for channel in range(300)}) for i in range(2)]
    (like,) = run_of(messages[:1]).layouts
    stream = stream_of(messages[1:])

    view = Counting(memoryview(stream))
    walk = Walk(Limits())
    assert walk.advance(np.frombuffer(stream, np.uint8), view, 0, len(stream), like=like) is Progress.WHOLE  # type: ignore[arg-type]
    assert frames_of(stream, walk) == messages[1]
    assert view.looks <= 4


def test_a_message_like_no_other_is_a_few_strides() -> None:
    frames = [MAIN, b"header" * 1000, *SCALARS]
    stream = stream_of([frames])
    view, walk = Counting(memoryview(stream)), Walk(Limits())
    assert walk.advance(np.frombuffer(stream, np.uint8), view, 0, len(stream)) is Progress.WHOLE  # type: ignore[arg-type]
    assert frames_of(stream, walk) == frames
    assert view.looks <= 50


@pytest.mark.parametrize("frames", [1, 2, 300, 601])
def test_strides_keep_to_the_limits(frames: int) -> None:
    stream = stream_of([[MAIN, b"header", *SCALARS]])
    data, view = np.frombuffer(stream, np.uint8), memoryview(stream)
    whole = Walk(Limits())
    assert whole.advance(data, view, 0, len(stream)) is Progress.WHOLE
    for limits in (Limits(max_frames=frames), Limits(max_message_bytes=int(whole.starts[frames]) - 1)):
        walk = Walk(limits)
        assert walk.advance(data, view, 0, len(stream)) is Progress.TOO_LARGE
        assert walk.n_frames == frames


def test_a_walk_stops_at_a_command_and_says_where_it_is() -> None:
    stream = encode_frame(MAIN, more=True) + b"\x04\x05\x04PING" + encode_frame(b"rest")
    progress, walk = walked(stream)
    assert progress is Progress.COMMAND
    assert walk.n_frames == 1
    assert walk.command is not None
    assert stream[walk.command.body_start : walk.command.body_stop] == b"\x04PING"


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_cut_message_is_short_of_at_least_one_byte_and_at_most_the_rest(cut: int) -> None:
    stream = stream_of([[MAIN, bytes(3), bytes(3), b""]])
    progress, walk = walked(stream[:-cut] if cut < len(stream) else b"")
    assert progress is Progress.SHORT
    assert len(stream) - cut < walk.need <= len(stream)
