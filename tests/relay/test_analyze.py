"""What the analyzer finds in runs that the real scanner has cut, and what it leaves alone."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.message.encode import encode_main_header
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.analyze import Analyzer
from sf_bsread_writer.testing.messages import message_of, run_of

A = Channel(name="A", type=ValueType.FLOAT64)
B = Channel(name="B", type=ValueType.INT32)
SLOW = Channel(name="SLOW", type=ValueType.FLOAT64, modulo=10, offset=3)


def scalars(pulse_id: int, channels: Sequence[Channel] = (A, B), *, missing: Sequence[str] = ()) -> list[bytes]:
    values = {channel.name: 1.0 if channel.type is ValueType.FLOAT64 else 1 for channel in channels}
    return message_of(pulse_id, {name: value for name, value in values.items() if name not in missing}, channels=channels)


def texts(analyzer: Analyzer, messages: Sequence[Sequence[bytes]]) -> list[str]:
    """Of all that is found, as one run."""
    return [anomaly.text for anomaly in analyzer.look(run_of(messages))]


def with_frame(frames: list[bytes], index: int, content: bytes) -> list[bytes]:
    return [*frames[:index], content, *frames[index + 1 :]]


def test_a_steady_stream_has_nothing_unusual() -> None:
    analyzer = Analyzer()
    assert texts(analyzer, [scalars(i) for i in range(100, 150)]) == []
    assert texts(analyzer, [scalars(i) for i in range(150, 160)]) == []
    assert analyzer.counts == {}


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_pulse_ids_that_are_skipped_repeated_or_decrease_are_told_across_runs_too(cut: int) -> None:
    analyzer = Analyzer()
    messages = [scalars(pulse_id) for pulse_id in (10, 11, 11, 15, 12)]
    assert texts(analyzer, messages[:cut]) + texts(analyzer, messages[cut:]) == [
        "pulse 11 came twice",
        "pulse 15 came after 11: 3 pulses in between were skipped",
        "pulse 12 came after 15, 3 back",
    ]
    assert analyzer.counts == {"duplicate pulse id": 1, "skipped pulse id": 3, "decreasing pulse id": 1}


@pytest.mark.parametrize(
    ("dues", "pulse_ids", "skipped"),
    [
        ([(10, 0)], [10, 20, 30], 0),
        ([(10, 0)], [10, 30, 40], 1),
        ([(10, 3), (10, 8)], [3, 8, 13, 18], 0),
        ([(10, 3), (10, 8)], [3, 13], 1),
        ([(4, 0), (6, 0)], [0, 4, 6, 8, 12], 0),
        ([(4, 0), (6, 0)], [0, 12], 3),
        ([(10, 0), (1, 0)], [10, 20], 9),
        ([(7, 9)], [2, 9, 16], 0),
        ([(0, 0)], [5, 6], 0),
        ([(100, 0)], [100, 100_000_100], 999_999),
    ],
)
def test_pulses_in_which_no_channel_is_due_are_not_skipped(
    dues: list[tuple[int, int]], pulse_ids: list[int], skipped: int
) -> None:
    channels = [Channel(name=f"C{i}", type=ValueType.FLOAT64, modulo=m, offset=o) for i, (m, o) in enumerate(dues)]
    analyzer = Analyzer()
    for pulse_id in pulse_ids:
        not_due = [channel.name for channel in channels if channel.modulo and (pulse_id - channel.offset) % channel.modulo]
        analyzer.look(run_of([scalars(pulse_id, channels, missing=not_due)]))
    assert analyzer.counts == ({"skipped pulse id": skipped} if skipped else {})


def test_a_gap_where_the_rate_changes_is_judged_by_the_slower_header() -> None:
    slow = Channel(name="A", type=ValueType.FLOAT64, modulo=10)
    analyzer = Analyzer()
    rates = [(100, slow), (110, slow), (115, A), (116, A), (118, A), (130, slow), (150, slow)]
    skipped = [text for text in texts(analyzer, [scalars(pulse, [channel]) for pulse, channel in rates]) if "skipped" in text]
    assert skipped == [
        "pulse 118 came after 116: 1 pulses in between were skipped",
        "pulse 130 came after 118: 1 pulses in between were skipped",
        "pulse 150 came after 130: 1 pulses in between were skipped",
    ]


def test_a_missing_value_is_told_once_for_each_channel_and_counted_always() -> None:
    analyzer = Analyzer()
    messages = [scalars(1), scalars(2, missing=["B"]), scalars(3), scalars(4, missing=["B"]), scalars(5, missing=["A", "B"])]
    assert texts(analyzer, messages) == [
        "channel 'B' has no value at pulse 2, where it is due",
        "channel 'A' has no value at pulse 5, where it is due",
    ]
    assert texts(analyzer, [scalars(6, missing=["A"])]) == []
    assert analyzer.missing == {"A": 2, "B": 3}
    assert analyzer.counts == {"missing value": 5}


def test_a_value_that_is_not_due_is_not_missing() -> None:
    analyzer = Analyzer()
    channels = (A, SLOW)
    absent = [scalars(i, channels, missing=["SLOW"]) for i in range(4, 13)]
    assert texts(analyzer, [scalars(3, channels), *absent, scalars(13, channels)]) == []
    assert texts(analyzer, [scalars(i, channels, missing=["SLOW"]) for i in range(14, 35)]) == [
        "channel 'SLOW' has no value at pulse 23, where it is due"
    ]
    assert analyzer.missing == {"SLOW": 2}


def test_a_compressed_value_of_no_bytes_is_missing() -> None:
    image = Channel(name="IMAGE", type=ValueType.UINT16, shape=(4, 8), compression=Compression.BITSHUFFLE_LZ4)
    whole = message_of(1, {"IMAGE": np.ones((4, 8), np.uint16)}, channels=[image])
    analyzer = Analyzer()
    assert texts(analyzer, [whole]) == []
    empty = message_of(2, {"IMAGE": np.ones((4, 8), np.uint16)}, channels=[image])
    assert texts(analyzer, [with_frame(empty, 2, bytes(12))]) == ["channel 'IMAGE' has no value at pulse 2, where it is due"]


def test_a_changed_header_is_described() -> None:
    analyzer = Analyzer()
    wide = Channel(name="B", type=ValueType.INT64)
    new = [Channel(name=f"NEW{i}", type=ValueType.INT32) for i in range(7)]
    messages = [scalars(1), scalars(2), scalars(3, (A, wide)), scalars(4, (wide, A)), scalars(5, (A, *new))]
    assert texts(analyzer, messages) == [
        "the data header changed at pulse 3: 2 channels instead of 2; changed: 'B'",
        "the data header changed at pulse 4: 2 channels instead of 2; same channels, in other words or another order",
        "the data header changed at pulse 5: 8 channels instead of 2; "
        "new: 'NEW0', 'NEW1', 'NEW2', 'NEW3', 'NEW4' and 2 more; gone: 'B'",
    ]
    assert analyzer.counts == {"changed data header": 3}


def test_values_that_come_and_go_do_not_change_the_header() -> None:
    analyzer = Analyzer()
    analyzer.look(run_of([scalars(i, (A, SLOW), missing=["SLOW"] if i % 10 != 3 else []) for i in range(40)]))
    assert analyzer.counts == {}


def test_an_undecodable_header_is_told() -> None:
    analyzer = Analyzer()
    (problem,) = texts(analyzer, [with_frame(scalars(1), 1, b"no JSON")])
    assert problem.startswith("data header")
    assert problem.endswith("at pulse 1")
    assert analyzer.counts == {"undecodable data header": 1}
    (change,) = texts(analyzer, [scalars(2)])
    assert change.startswith("the data header changed at pulse 2: one of both cannot be decoded")


@pytest.mark.parametrize("extra", [-2, -1, 1, 2])
def test_a_wrong_number_of_frames_is_told(extra: int) -> None:
    frames = scalars(1)[:extra] if extra < 0 else [*scalars(1), *[b""] * extra]
    analyzer = Analyzer()
    (problem,) = texts(analyzer, [frames])
    assert f"{6 + extra} frames" in problem
    assert analyzer.counts == {"wrong number of frames": 1}


def test_frames_of_a_wrong_size_are_told_with_channel_and_size() -> None:
    analyzer = Analyzer()
    damaged = with_frame(with_frame(scalars(1), 2, b"1234567"), 5, b"123")
    assert texts(analyzer, [damaged, with_frame(scalars(2), 5, b"")]) == [
        "channel 'A' has 7 bytes, 8 expected for float64 of shape () at pulse 1",
        "channel 'B' has a timestamp of 3 bytes, 16 or 0 expected at pulse 1",
    ]
    assert analyzer.counts == {"damaged value": 2}


@pytest.mark.parametrize("compression", [Compression.LZ4, Compression.BITSHUFFLE_LZ4])
def test_damaged_compressed_values_are_told(compression: Compression) -> None:
    wave = Channel(name="WAVE", type=ValueType.INT32, shape=(100,), compression=compression)
    good = message_of(1, {"WAVE": np.arange(100, dtype=np.int32)}, channels=[wave])
    analyzer = Analyzer()
    assert texts(analyzer, [good]) == []
    payload = good[2]
    bad = message_of(2, {"WAVE": np.arange(100, dtype=np.int32)}, channels=[wave])
    (problem,) = texts(analyzer, [with_frame(bad, 2, b"\x01" * 12 + payload[12:])])
    assert problem.startswith(f"channel 'WAVE' at pulse 2: {compression.value} payload")
    assert analyzer.counts == {"damaged value": 1}


def test_texts_that_are_no_utf8_are_told() -> None:
    text = Channel(name="TEXT", type=ValueType.STRING)
    good = message_of(1, {"TEXT": "grün"}, channels=[text])
    analyzer = Analyzer()
    assert texts(analyzer, [good]) == []
    bad = message_of(2, {"TEXT": "grün"}, channels=[text])
    assert texts(analyzer, [with_frame(bad, 2, "grün".encode("latin-1"))]) == ["channel 'TEXT' at pulse 2: text is not UTF-8"]
    assert texts(analyzer, [message_of(3, {"TEXT": ""}, channels=[text])]) == []


def test_more_layouts_than_are_remembered_cost_time_only() -> None:
    analyzer = Analyzer()
    text = Channel(name="TEXT", type=ValueType.STRING)
    for pulse_id in range(200):
        assert texts(analyzer, [message_of(pulse_id, {"TEXT": "x" * pulse_id}, channels=[text])]) == []


def test_a_message_without_channels_has_nothing_unusual() -> None:
    analyzer = Analyzer()
    frames = [encode_main_header(pulse_id=1, global_timestamp_ns=0, hash=""), b'{"htype":"bsr_d-1.1","channels":[]}']
    assert texts(analyzer, [frames]) == []
    assert analyzer.counts == {}


@given(
    steps=st.lists(st.integers(-3, 5), min_size=1, max_size=30),
    absent=st.lists(st.sets(st.sampled_from("AB")), min_size=31, max_size=31),
    cuts=st.sets(st.integers(1, 30)),
)
def test_counts_do_not_depend_on_how_the_stream_is_cut_into_runs(
    steps: list[int], absent: list[set[str]], cuts: set[int]
) -> None:
    pulse_ids = (100 + np.cumsum([0, *steps])).tolist()
    messages = [scalars(pulse_id, missing=sorted(gone)) for pulse_id, gone in zip(pulse_ids, absent, strict=False)]
    analyzer = Analyzer()
    edges = [0, *sorted(cut for cut in cuts if cut < len(messages)), len(messages)]
    for start, stop in pairwise(edges):
        analyzer.look(run_of(messages[start:stop]))
    expected = {
        "duplicate pulse id": sum(step == 0 for step in steps),
        "decreasing pulse id": sum(step < 0 for step in steps),
        "skipped pulse id": sum(step - 1 for step in steps if step > 1),
        "missing value": sum(len(gone) for gone in absent[: len(messages)]),
    }
    assert analyzer.counts == {kind: count for kind, count in expected.items() if count}
