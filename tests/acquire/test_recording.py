"""An acquisition's account, from runs of messages to the report."""

import numpy as np
import pytest

from sf_bsread_writer.acquire.coverage import Due
from sf_bsread_writer.acquire.recording import BAD_FRAMES, BAD_HEADER, Recording, Unusable, due_pulses
from sf_bsread_writer.acquire.report import Outcome, Range, Report, describe
from sf_bsread_writer.acquire.selection import PulseBound, Selection, TimeBound
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


def test_the_last_message_seen_is_told_even_if_it_is_not_written() -> None:
    recording = recording_of(5, 6, selection=Selection(PulseBound(100)))
    statistics = recording.statistics(connected=True, output_file="", file_bytes=0)

    assert (statistics.last_pulse_id, statistics.last_timestamp) == (6, time_of(6) / 1e9)
    assert statistics.rows == 0


def test_before_any_message_the_last_pulse_id_is_minus_one() -> None:
    statistics = recording_of().statistics(connected=False, output_file="", file_bytes=0)

    assert (statistics.last_pulse_id, statistics.last_timestamp) == (-1, None)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], Due()),
        ([(1, 0)], Due()),
        ([(10, 0)], Due(10, 0)),
        ([(10, 0), (1, 0)], Due()),
        ([(10, 12)], Due(10, 2)),
        ([(10, 0), (10, 5)], Due(5, 0)),
    ],
)
def test_a_pulse_is_due_when_any_channel_is(rules: list[tuple[int, int]], expected: Due) -> None:
    assert expected == due_pulses([scalar(modulo=modulo, offset=offset) for modulo, offset in rules])


def test_a_stream_of_slow_channels_misses_only_its_own_pulses() -> None:
    recording = recording_of(100, 110, 130, selection=Selection(PulseBound(95), PulseBound(139)), channel=scalar(modulo=10))
    report = report_of(recording)

    assert (report.pulse_step, report.missing_pulses, report.missing) == (10, 1, (Range(first=120, last=120),))


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
    recording.coverage.add(np.arange(0, 10_000, 2))
    report = report_of(recording)

    assert (len(report.missing), report.missing_truncated, report.missing_pulses) == (1000, True, 4999)
