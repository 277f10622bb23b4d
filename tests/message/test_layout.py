import numpy as np
import pytest

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.encode import encode_data_header, encode_main_header, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.messages import message_of, run_of, time_of

NUMBER = Channel(name="NUMBER", type=ValueType.FLOAT64)
TEXT = Channel(name="TEXT", type=ValueType.STRING)
EMPTY = Channel(name="EMPTY", type=ValueType.FLOAT64, shape=(0,))
CAMERA = Channel(name="CAMERA", type=ValueType.UINT16, shape=(20, 30))
MAIN = encode_main_header(pulse_id=1, global_timestamp_ns=2, hash="hash")
TIME = bytes(16)


def layout_of(channels: list[Channel], frames: list[bytes]) -> Layout:
    """The layout of a message with these channels and these frames behind its data header."""
    (layout,) = run_of([[MAIN, encode_data_header(channels), *frames]]).layouts
    return layout


def content(run: Run, index: int, start: int, length: int) -> bytes:
    body = int(run.bodies[index])
    return run.data[body + start : body + start + length].tobytes()


def test_the_place_of_every_value_and_timestamp_is_known() -> None:
    channels = [NUMBER, CAMERA, TEXT]
    image = np.arange(600, dtype="<u2").reshape(20, 30)
    run = run_of([message_of(i, {"NUMBER": 1.5, "CAMERA": image, "TEXT": "abc"}, channels=channels) for i in (7, 8)])
    (layout,) = run.layouts
    for index, pulse_id in enumerate((7, 8)):
        values = [
            content(run, index, start, length) for start, length in zip(layout.value_starts, layout.value_lengths, strict=True)
        ]
        assert values == [np.float64(1.5).tobytes(), image.tobytes(), b"abc"]
        times = [
            np.frombuffer(content(run, index, start, length), "<i8").tolist()
            for start, length in zip(layout.timestamp_starts, layout.timestamp_lengths, strict=True)
        ]
        assert times == [list(divmod(time_of(pulse_id) + channel, 10**9)) for channel in range(3)]
        assert content(run, index, int(layout.frame_starts[0]), int(layout.frame_lengths[0])) == layout.data_header


def test_lengths_add_up() -> None:
    run = run_of([message_of(1, {"NUMBER": 1.5, "TEXT": "x" * 300})])
    (layout,) = run.layouts
    assert layout.n_frames == 6
    assert len(layout.frame_starts) == len(layout.frame_lengths) == 5
    np.testing.assert_array_equal(layout.frame_ends, layout.frame_starts + layout.frame_lengths)
    assert layout.total_bytes == run.ends[0] - run.bodies[0] == layout.frame_ends[-1]
    np.testing.assert_array_equal(run.data[run.bodies[0] + layout.template_offsets], layout.template_bytes)
    in_frames = np.zeros(layout.total_bytes, bool)
    for start, end in zip(layout.frame_starts, layout.frame_ends, strict=True):
        in_frames[start:end] = True
    np.testing.assert_array_equal(np.flatnonzero(~in_frames), layout.template_offsets)
    assert layout.template_of_frame[-1] == len(layout.template_offsets)


PRESENCE = {
    "number": (NUMBER, bytes(8), TIME, True),
    "number without a timestamp": (NUMBER, bytes(8), b"", True),
    "no number": (NUMBER, b"", b"", False),
    "no number, but a timestamp": (NUMBER, b"", TIME, False),
    "text": (TEXT, b"abc", TIME, True),
    "text without a timestamp": (TEXT, b"abc", b"", True),
    "empty text": (TEXT, b"", TIME, True),
    "no text": (TEXT, b"", b"", False),
    "no elements": (EMPTY, b"", TIME, False),
    "no elements, compressed": (EMPTY, bytes(5), TIME, False),
}


@pytest.mark.parametrize(("channel", "value", "timestamp", "present"), PRESENCE.values(), ids=PRESENCE.keys())
def test_a_value_is_present_by_its_bytes_and_a_text_by_its_timestamp_too(
    channel: Channel, value: bytes, timestamp: bytes, present: bool
) -> None:
    assert layout_of([NUMBER, channel], [bytes(8), TIME, value, timestamp]).present.tolist() == [True, present]


def test_no_channels_are_none_present() -> None:
    assert layout_of([], []).present.tolist() == []


@pytest.mark.parametrize("frames", [[], [b""], [bytes(8), TIME, b""], [bytes(8), TIME, bytes(8), TIME]])
def test_frames_that_do_not_fit_the_channels_are_an_error_each_time(frames: list[bytes]) -> None:
    layout = layout_of([NUMBER], frames)
    for _ in range(2):
        with pytest.raises(MessageError, match=f"{2 + len(frames)} frames, but its 1 channels need 4"):
            _ = layout.channels
        with pytest.raises(MessageError):
            _ = layout.present


def test_a_data_header_that_cannot_be_read_is_the_same_error_each_time() -> None:
    (layout,) = run_of([[MAIN, b"garbage"]]).layouts
    texts = set()
    for _ in range(3):
        with pytest.raises(MessageError) as caught:
            _ = layout.channels
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert "garbage" in texts.pop()


@pytest.mark.parametrize("compression", Compression)
def test_the_channels_are_decoded_once(compression: Compression) -> None:
    frames = encode_message(pulse_id=1, global_timestamp_ns=2, channels=[NUMBER], values=[(0.5, 1)], dh_compression=compression)
    (layout,) = run_of([frames]).layouts
    assert layout.channels.channels == (NUMBER,)
    assert layout.channels is layout.channels
    assert layout.dh_compression is compression
    assert layout.data_header == frames[1]


def test_equal_layouts_are_still_two() -> None:
    first, second = (layout_of([], []) for _ in range(2))
    assert first != second
    assert len({first, second}) == 2


def test_a_slice_of_a_run_is_a_run() -> None:
    run = run_of([message_of(i, {"NUMBER": float(i)}) for i in range(10)])
    part = run.slice(3, 6)
    assert len(part) == 3
    assert part.pulse_ids.tolist() == [3, 4, 5]
    assert part.global_timestamps_ns.tolist() == [time_of(i) for i in (3, 4, 5)]
    assert [part.main_header(i) for i in range(3)] == [run.main_header(i) for i in (3, 4, 5)]
    assert [part.frames(i) for i in range(3)] == [run.frames(i) for i in (3, 4, 5)]
    assert part.view is run.view
    assert len(run.slice(4, 4)) == 0


def test_frames_are_the_message_as_it_came() -> None:
    message = message_of(1, {"NUMBER": 1.5, "TEXT": "x" * 300})
    assert [bytes(frame) for frame in run_of([message]).frames(0)] == message
