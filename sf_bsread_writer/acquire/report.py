"""The report of an acquisition: what was asked for, what is in the file, what is missing and why. Pure.

The same report is in the log's last lines, in ``GET /report``, and in the file's ``/report``.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Outcome = Literal["running", "complete", "incomplete", "stalled", "interrupted", "failed"]
Cause = Literal["stop reached", "stream silent", "asked to end", "cut short", "other start", "interrupted", "write error"]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Pulse ids, both inclusive."""

    first: int
    last: int


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A message is due for each pulse id with ``(pulse_id - offset) % modulo == 0``."""

    modulo: int
    offset: int


class DueFrom(msgspec.Struct, frozen=True, kw_only=True):
    """From this pulse id on, a message was due where any of the rules says so; without rules, nowhere."""

    first_pulse_id: int
    rules: tuple[Rule, ...]


class ChannelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of the file: ``present + missing == rows``."""

    name: str
    present: int
    missing: int
    datasets: tuple[str, ...] = ()
    damaged: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an acquisition; times are ns since 1970 (UTC), None where there is none.

    ``due`` ascends, one for each change of the rules; the first holds for what comes before, too.
    """

    outcome: Outcome
    reason: str
    output_file: str
    moved_aside: str | None
    start_pulse_id: int | None
    stop_pulse_id: int | None
    start_timestamp_ns: int | None
    stop_timestamp_ns: int | None
    first_pulse_id: int | None
    last_pulse_id: int | None
    rows: int
    due: tuple[DueFrom, ...]
    missing_pulses: int
    missing: tuple[Range, ...]
    missing_truncated: bool
    evicted_before_start: int
    lost_in_buffer: int
    duplicates: int
    out_of_order: int
    trimmed: int
    dropped: dict[str, int]
    reconnects: int
    received_messages: int
    file_bytes: int
    dead_bytes: int = 0
    expected_bytes: int | None = None
    lacking_bytes: int = 0
    seconds: float
    stream: str
    channels: tuple[ChannelReport, ...]
    recovered: bool = False


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer notes at each flush, in case that it is killed; ``damaged`` by the channel's group, without zeros."""

    report: Report
    parameters: Mapping[str, Any] = {}
    damaged: Mapping[str, int] = {}


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a running writer; the first six fields are what existing clients read.

    ``start_timestamp`` and ``stop_timestamp`` are seconds since 1970 when "now" was asked for, else None.
    """

    start_pulse_id: int | None
    stop_pulse_id: int | None
    start_timestamp: float | None
    stop_timestamp: float | None
    last_pulse_id: int
    last_timestamp: float | None
    rows: int
    received_messages: int
    missing_pulses: int
    duplicates: int
    out_of_order: int
    expected_rows: int | None
    file_bytes: int
    expected_bytes: int | None
    lacking_bytes: int
    waiting_messages: int
    lag_s: float
    connected: bool
    output_file: str


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The other side of a writer. What a buffer holds is None for a source, and as long as nobody has said it."""

    address: str
    connected: bool
    is_buffer: bool
    messages: int | None
    oldest_pulse_id: int | None
    newest_pulse_id: int | None


DEAD_BYTES_TO_TELL, DEAD_SHARE_TO_TELL = 64 << 20, 0.25
"""Room that nothing uses is told of if it is more than this, and more than this share of the file."""


def describe(report: Report) -> list[str]:
    """The report in lines for a log or a terminal; the first says how it ended, the last where the file is, if there is one."""
    lines = [f"Acquisition {report.outcome}: {report.reason}"]
    span = f", pulses {report.first_pulse_id}..{report.last_pulse_id}" if report.rows else ""
    channels = f" of {len(report.channels)} channels" if report.channels or not report.rows else ""  # unknown if it is not closed
    lines.append(f"Asked for: {_asked(report)}; written: {report.rows} pulses{channels}{span}")
    if report.missing_pulses:
        lines.append(f"Missing: {report.missing_pulses} pulses: {_ranges(report)}")
    losses = {
        "no longer in the buffer when asked for": report.evicted_before_start,
        "let go by the buffer because this writer was too slow": report.lost_in_buffer,
        "duplicates left out": report.duplicates,
        "late messages left out": report.out_of_order,
        "taken back behind the stop": report.trimmed,
        "interruptions of the stream": report.reconnects,
        **{f"messages dropped ({kind})": count for kind, count in report.dropped.items()},
    }
    told = [f"{what}: {count}" for what, count in losses.items() if count]
    if told:
        lines.append(f"Also: {'; '.join(told)}")
    damaged = {channel.name: channel.damaged for channel in report.channels if channel.damaged}
    if damaged:
        lines.append(f"Damaged: {sum(damaged.values())} values, of the channels {_names(list(damaged))}")
    if report.dead_bytes > max(DEAD_BYTES_TO_TELL, DEAD_SHARE_TO_TELL * report.file_bytes):
        lines.append(
            f"{report.dead_bytes / 1e6:.1f} MB of the file are dead room, which rows taken back had; "
            "a copy that `h5repack` makes is without it"
        )
    if report.lacking_bytes and report.outcome == "failed":
        lines.append(f"For all that was asked for, the disk lacked {report.lacking_bytes / 1e6:.1f} MB")
    if report.moved_aside is not None:
        lines.append(f"The file that had this name before is now {report.moved_aside}")
    if report.file_bytes or report.outcome != "failed":  # else there never was a file of this acquisition
        lines.append(f"{report.file_bytes / 1e6:.1f} MB in {report.seconds:.1f} s to {report.output_file}")
    return lines


def _asked(report: Report) -> str:
    start = "now" if report.start_pulse_id is None else str(report.start_pulse_id)
    if report.stop_pulse_id is not None:
        return f"{start}..{report.stop_pulse_id}"
    return f"{start}..now" if report.stop_timestamp_ns is not None else f"{start}.."


def _names(names: list[str], most: int = 10) -> str:
    return ", ".join(map(repr, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def _ranges(report: Report, most: int = 10) -> str:
    shown = [str(gap.first) if gap.first == gap.last else f"{gap.first}..{gap.last}" for gap in report.missing[:most]]
    if len(report.missing) > most or report.missing_truncated:
        shown.append("…")
    slow = any(rule.modulo > 1 for due in report.due for rule in due.rules)
    return ", ".join(shown) + (" (of those that are due)" if slow else "")
