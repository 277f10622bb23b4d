"""The report of an acquisition: what was asked for, what is in the file, what is missing and why. Pure.

The same report is in the log's last lines, in ``GET /report``, and in the file's ``/report``.
"""

from typing import Literal

import msgspec

Outcome = Literal["running", "complete", "incomplete", "stalled", "interrupted", "failed"]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Pulse ids, both inclusive."""

    first: int
    last: int


class ChannelReport(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of the file: ``present + missing == rows``."""

    name: str
    present: int
    missing: int
    datasets: tuple[str, ...] = ()
    damaged: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an acquisition; times are ns since 1970 (UTC), None where there is none."""

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
    pulse_step: int
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
    seconds: float
    stream: str
    channels: tuple[ChannelReport, ...]


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
    file_bytes: int
    connected: bool
    output_file: str
