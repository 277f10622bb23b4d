"""An acquisition's account, from runs of messages to the report."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from sf_bsread_writer.acquire.forecast import Forecast, OnDisk
from sf_bsread_writer.acquire.recording import BAD_FRAMES, BAD_HEADER, Recording, Unusable
from sf_bsread_writer.acquire.report import DueFrom, Outcome, Range, Report, Rule, describe
from sf_bsread_writer.acquire.selection import PulseBound, Selection, TimeBound
from sf_bsread_writer.message.due import EVERY
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.messages import message_of, run_of, time_of


def scalar(name: str = "A", *, modulo: int = 1, offset: int = 0) -> Channel:
    return Channel(name=name, type=ValueType.FLOAT64, modulo=modulo, offset=offset)


def recording_of(*pulse_ids: int, selection: Selection = Selection(), channel: Channel | None = None) -> Recording:  # noqa: B008 - frozen
    recording = Recording(selection, stream="tcp://test:1", started_ns=0)
    if pulse_ids:
        channel = channel or scalar()
        run = run_of([message_of(pulse_id, {channel.name: 1.0}, channels=[channel]) for pulse_id in pulse_ids])
        recording.take(run, run.global_timestamps_ns)
    return recording


def report_of(recording: Recording, outcome: Outcome = "incomplete") -> Report:
    return recording.report(outcome=outcome, reason="", output_file="/f", file_bytes=0, now_ns=3_000_000_000)


def test_messages_that_cannot_be_assigned_to_channels_are_dropped_and_named_by_kind() -> None:
    messages = [message_of(pulse_id, {"A": 1.0}) for pulse_id in range(5)]
    messages[1] = messages[1][:-1]  # a frame is missing
    messages[2][1] = b"{}!"
    messages[3] = messages[3][:-1]
    recording = recording_of()
    run = run_of(messages)
    choice = recording.take(run, run.global_timestamps_ns)

    assert choice.rows.tolist() == [0, 4]
    assert recording.dropped == {BAD_FRAMES: 2, BAD_HEADER: 1}
    assert report_of(recording).missing == (Range(first=1, last=3),)
    assert recording.why_unusable(run, 0) is None
    assert recording.why_unusable(run, 3) == Unusable(kind=BAD_FRAMES, text="message has 3 frames, but its 1 channels need 4")


def test_how_large_the_file_will_be_is_foreseen_from_what_came_and_what_is_due() -> None:
    recording = recording_of(10, 20, selection=Selection(PulseBound(1), PulseBound(100)), channel=scalar(modulo=10))
    on_disk = OnDisk(rows=0, size_bytes=1000, free_bytes=100)
    foreseen = recording.forecast(on_disk)

    assert foreseen.expected_bytes is not None
    row_bytes = (foreseen.expected_bytes - 1000) / 10
    assert 24 <= row_bytes <= 40  # value, time, and how long they are
    assert foreseen.lacking_bytes == foreseen.expected_bytes - 1100
    assert recording.forecast(replace(on_disk, free_bytes=None)).lacking_bytes == 0


@pytest.mark.parametrize("selection", [Selection(), Selection(PulseBound(1)), Selection(PulseBound(1), TimeBound(5))])
def test_without_a_stop_pulse_nothing_is_foreseen(selection: Selection) -> None:
    on_disk = OnDisk(rows=0, size_bytes=1000, free_bytes=0)

    assert recording_of(1, selection=selection).forecast(on_disk) == Forecast()


@pytest.mark.parametrize(("modulo", "rows"), [(1, 4 + 69), (10, 4 + 6)])
def test_as_many_rows_are_foreseen_as_pulses_are_still_due(modulo: int, rows: int) -> None:
    selection = Selection(PulseBound(95), PulseBound(199))
    recording = recording_of(100, 110, 120, 130, selection=selection, channel=scalar(modulo=modulo))
    assert recording.expected_rows == rows
    assert recording.statistics(connected=True, output_file="", file_bytes=0).expected_rows == rows


def test_the_last_message_seen_is_told_even_if_it_is_not_written() -> None:
    recording = recording_of(5, 6, selection=Selection(PulseBound(100)))
    statistics = recording.statistics(connected=True, output_file="", file_bytes=0)

    assert (statistics.last_pulse_id, statistics.last_timestamp) == (6, time_of(6) / 1e9)
    assert statistics.rows == 0


def test_before_any_message_the_last_pulse_id_is_minus_one() -> None:
    statistics = recording_of().statistics(connected=False, output_file="", file_bytes=0)

    assert (statistics.last_pulse_id, statistics.last_timestamp) == (-1, None)


def test_a_stream_of_slow_channels_misses_only_its_own_pulses() -> None:
    recording = recording_of(100, 110, 130, selection=Selection(PulseBound(95), PulseBound(139)), channel=scalar(modulo=10))
    report = report_of(recording)

    assert (report.missing_pulses, report.missing) == (1, (Range(first=120, last=120),))
    assert report.due == (DueFrom(first_pulse_id=100, rules=(Rule(modulo=10, offset=0),)),)
    assert "Missing: 1 pulses: 120 (of those that are due)" in describe(report)


def recording_of_messages(*messages: list[bytes], selection: Selection) -> Recording:
    recording = recording_of(selection=selection)
    run = run_of(messages)
    recording.take(run, run.global_timestamps_ns)
    return recording


def test_channels_of_25_and_10_hz_miss_nothing_when_each_due_pulse_is_there() -> None:
    channels = [scalar("FAST", modulo=4), scalar("SLOW", modulo=10)]
    messages = [message_of(pulse_id, {}, channels=channels) for pulse_id in (100, 104, 108, 110, 112, 116)]
    recording = recording_of_messages(*messages, selection=Selection(PulseBound(97), PulseBound(119)))

    assert recording.missing_pulses() == 0
    assert recording.judge("stop reached", error=None)[0] == "complete"


@pytest.mark.parametrize(
    ("slow", "fast", "missing"),
    [
        ([100, 110, 120], [125, 126, 127], [(128, 129)]),
        ([100, 120], [121, 124], [(110, 110), (122, 123), (125, 129)]),
        ([110, 120, 130, 140], [97, 98, 99, 100], []),
        ([140], [97, 99], [(98, 98), (100, 130)]),
    ],
)
def test_each_stretch_of_pulses_is_judged_by_the_header_that_was_in_force(
    slow: list[int], fast: list[int], missing: list[tuple[int, int]]
) -> None:
    modulos = dict.fromkeys(slow, 10) | dict.fromkeys(fast, 1)
    messages = [message_of(pulse_id, {"A": 1.0}, channels=[scalar(modulo=modulos[pulse_id])]) for pulse_id in sorted(modulos)]
    recording = recording_of_messages(*messages, selection=Selection(PulseBound(97), PulseBound(129 if slow < fast else 149)))
    report = report_of(recording)

    assert report.due[0].first_pulse_id == min(modulos)
    assert [each.rules[0].modulo for each in report.due] == ([10, 1] if slow < fast else [1, 10])
    assert missing == [(gap.first, gap.last) for gap in report.missing]


def test_pulse_ids_below_zero_are_not_missing() -> None:
    recording = recording_of(1, 2, selection=Selection(PulseBound(-100), PulseBound(2)))
    recording.oldest_held = 1

    assert (recording.missing_pulses(), recording.evicted_before_start) == (1, 1)
    assert report_of(recording).missing == (Range(first=0, last=0),)
    assert recording_of(selection=Selection(PulseBound(-9), PulseBound(-1))).missing_pulses() == 0


def test_a_header_that_was_only_seen_tells_what_is_missing_from_an_empty_file() -> None:
    recording = recording_of(30, selection=Selection(PulseBound(5), PulseBound(25)), channel=scalar(modulo=10))

    assert (recording.coverage.rows, recording.missing_pulses()) == (0, 2)


def test_layouts_are_not_kept_for_being_known() -> None:
    recording = recording_of()
    for pulse_id in range(100):
        run = run_of([message_of(pulse_id, {"A": "x" * pulse_id})])
        gone = weakref.ref(run.layouts[0].frame_ends)
        recording.take(run, run.global_timestamps_ns)
        del run
        assert gone() is None


def test_trimming_takes_back_what_lies_behind_the_stop() -> None:
    recording = recording_of(1, 2, 3, 4)
    recording.selection = Selection(None, PulseBound(2))

    assert recording.trim() == 2
    report = report_of(recording)
    assert (report.rows, report.trimmed, report.last_pulse_id, report.missing_pulses) == (2, 2, 2, 0)


def test_what_the_buffer_no_longer_had_is_told_apart_from_other_losses() -> None:
    recording = recording_of(110, 112, selection=Selection(PulseBound(100), PulseBound(112)))
    recording.oldest_held = 110

    assert recording.evicted_before_start == 10
    assert recording.missing_pulses() == 11


def test_an_open_end_counts_as_missing_only_once_it_is_over() -> None:
    recording = recording_of(100, 101, selection=Selection(PulseBound(100), PulseBound(105)))

    assert report_of(recording, "running").missing_pulses == 0
    assert report_of(recording).missing_pulses == 4


@pytest.mark.parametrize(
    ("ids", "selection", "cause", "expected"),
    [
        ([1, 2], Selection(PulseBound(1), PulseBound(2)), "stop reached", "complete"),
        ([1, 3], Selection(PulseBound(1), PulseBound(3)), "stop reached", "incomplete"),
        ([1, 2], Selection(PulseBound(1)), "asked to end", "complete"),
        ([1, 2], Selection(PulseBound(1), PulseBound(9)), "asked to end", "incomplete"),
        ([1, 2], Selection(PulseBound(1), PulseBound(9)), "stream silent", "stalled"),
        ([1, 2], Selection(PulseBound(1)), "interrupted", "interrupted"),
        ([], Selection(TimeBound(1), TimeBound(2)), "stop reached", "incomplete"),
        ([1], Selection(), "write error", "failed"),
    ],
)
def test_the_outcome_follows_from_the_cause_and_from_what_is_missing(
    ids: list[int], selection: Selection, cause: str, expected: Outcome
) -> None:
    error = OSError("disk full") if cause == "write error" else None

    outcome, reason = recording_of(*ids, selection=selection).judge(cause, error=error)  # type: ignore[arg-type]

    assert expected == outcome
    assert reason


def test_the_report_says_in_words_what_is_missing_and_why() -> None:
    recording = recording_of(1, 2, 5, 5, 4, 9, selection=Selection(PulseBound(0), PulseBound(9)))
    recording.lost_in_buffer = 2
    text = "\n".join(describe(report_of(recording)))

    assert "Asked for: 0..9; written: 4 pulses" in text
    assert "Missing: 6 pulses: 0, 3..4, 6..8" in text
    assert (
        "Also: let go by the buffer because this writer was too slow: 2; duplicates left out: 1; late messages left out: 1"
        in text
    )


def test_the_ranges_in_a_report_are_limited_but_the_count_is_not() -> None:
    recording = recording_of()
    recording.coverage.add(np.arange(0, 10_000, 2), EVERY)
    report = report_of(recording)

    assert (len(report.missing), report.missing_truncated, report.missing_pulses) == (1000, True, 4999)


@pytest.mark.parametrize(
    ("dead", "size", "is_told"), [(65 << 20, 200 << 20, True), (65 << 20, 300 << 20, False), (63 << 20, 64 << 20, False)]
)
def test_dead_room_is_told_if_it_is_much_and_a_large_part(dead: int, size: int, is_told: bool) -> None:
    report = recording_of(1).report(
        outcome="complete", reason="", output_file="/f", file_bytes=size, dead_bytes=dead, now_ns=3_000_000_000
    )
    assert any("MB of the file are dead room" in line for line in describe(report)) == is_told
