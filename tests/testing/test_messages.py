import numpy as np
import pytest

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.layout import CommandFrame, Run
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.messages import channels_of, message_of, run_of, scan_pieces, stream_of, time_of
from sf_bsread_writer.zmtp.frames import encode_command


def test_a_run_holds_the_messages_it_was_made_of() -> None:
    messages = [message_of(i, {"A": float(i)}) for i in (5, 3, 3)]
    run = run_of(messages)
    assert run.pulse_ids.tolist() == [5, 3, 3]
    assert run.global_timestamps_ns.tolist() == [time_of(5), time_of(3), time_of(3)]
    assert [[bytes(frame) for frame in run.frames(i)] for i in range(3)] == messages


@pytest.mark.parametrize("messages", [[], [[b"garbage"]], [message_of(1, {"A": 1}), [b"garbage", b""]]])
def test_what_is_no_run_is_an_error(messages: list[list[bytes]]) -> None:
    with pytest.raises(ValueError, match=f"{len(messages)} messages"):
        run_of(messages)


def test_channels_follow_the_values() -> None:
    channels = channels_of({"A": 1.5, "B": 3, "C": "x", "D": True, "E": np.zeros((2, 3), "u2"), "F": np.float32(1)})
    assert [(channel.name, channel.type, channel.shape) for channel in channels] == [
        ("A", ValueType.FLOAT64, ()),
        ("B", ValueType.INT64, ()),
        ("C", ValueType.STRING, ()),
        ("D", ValueType.BOOL, ()),
        ("E", ValueType.UINT16, (2, 3)),
        ("F", ValueType.FLOAT32, ()),
    ]


def test_a_value_of_no_type_of_bsread_is_an_error() -> None:
    with pytest.raises(MessageError, match="complex128"):
        channels_of({"A": 1j})


def test_a_name_left_out_is_missing() -> None:
    channels = channels_of({"A": 1.5, "B": 3})
    assert run_of([message_of(1, {"B": 3}, channels=channels)]).layouts[0].present.tolist() == [False, True]
    with pytest.raises(ValueError, match="B"):
        message_of(1, {"A": 1.5, "B": 3}, channels=channels[:1])


def test_pieces_give_the_same_events_as_the_whole() -> None:
    stream = stream_of([message_of(1, {"A": 1.5})]) + encode_command("SOME", b"data") + stream_of([message_of(2, {"A": 2.5})])
    for size in (1, 7, len(stream)):
        first, command, second = scan_pieces([stream[i : i + size] for i in range(0, len(stream), size)])
        assert isinstance(first, Run)
        assert isinstance(second, Run)
        assert command == CommandFrame(name="SOME", data=b"data")
        assert (first.pulse_ids.tolist(), second.pulse_ids.tolist()) == ([1], [2])
