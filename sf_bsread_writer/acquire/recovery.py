"""The report of an acquisition whose writer was killed: from what it noted at each flush, and from what is in its file."""

import time

import msgspec
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.report import ChannelReport, Notes, Range, Report
from sf_bsread_writer.acquire.selection import Selection
from sf_bsread_writer.hdf5.inspect import MAX_RANGES, Gaps, gaps_in
from sf_bsread_writer.hdf5.recover import LeftRows
from sf_bsread_writer.message.due import Due
from sf_bsread_writer.model import PulseRange


def read_notes(notes: bytes) -> Notes:
    """The notes of the last flush; if they cannot be read, or there are none, those of an acquisition nothing is known about."""
    try:
        return msgspec.json.decode(notes, type=Notes)
    except msgspec.DecodeError:
        now_ns = time.time_ns()
        nothing = Recording(Selection(), stream="", started_ns=now_ns)
        return Notes(report=nothing.report(outcome="running", reason="", output_file="", file_bytes=0, now_ns=now_ns))


def rebuilt(notes: Notes, left: LeftRows, *, output_file: str, file_bytes: int) -> Report:
    """The report of what is in the file; what only the writer knew is as it was at its last flush."""
    known, ids = notes.report, left.pulse_ids
    first, last = ids[[0, -1]].tolist() if len(ids) else (None, None)
    gaps = _gaps(known, ids)
    is_complete = (
        known.stop_pulse_id is not None
        and len(ids) > 0
        and not gaps.pulses
        and not (known.start_pulse_id is None and known.lost_in_buffer)
    )
    if is_complete:
        shortfall = "every pulse asked for is in the file"
    elif gaps.pulses:
        shortfall = f"{gaps.pulses} pulses are missing"
    else:
        shortfall = "it had not come to its stop"
    return msgspec.structs.replace(
        known,
        outcome="complete" if is_complete else "interrupted",
        reason=f"its writer was killed, and the file recovered; {shortfall}",
        output_file=output_file,
        first_pulse_id=first,
        last_pulse_id=last,
        rows=len(ids),
        missing_pulses=gaps.pulses,
        missing=tuple(Range(first=gap.first, last=gap.last) for gap in gaps.ranges),
        missing_truncated=len(gaps.ranges) >= MAX_RANGES,
        trimmed=known.trimmed + left.cut,
        file_bytes=file_bytes,
        channels=tuple(
            ChannelReport(
                name=channel.name,
                present=channel.rows_present,
                missing=len(ids) - channel.rows_present,
                datasets=channel.datasets,
                damaged=notes.damaged.get(channel.group, 0),
            )
            for channel in left.channels
        ),
        recovered=True,
    )


def _gaps(known: Report, ids: NDArray[np.int64]) -> Gaps:
    """What is missing of what was asked for; a start or stop that has no pulse id is the first or last one written."""
    nothing = Gaps(pulses=0, ranges=())
    if not len(ids) and (known.start_pulse_id is None or known.stop_pulse_id is None):
        return nothing
    first = int(ids[0]) if known.start_pulse_id is None else max(0, known.start_pulse_id)
    last = int(ids[-1]) if known.stop_pulse_id is None else known.stop_pulse_id
    if last < first:
        return nothing
    due = [(each.first_pulse_id, Due(tuple((rule.modulo, rule.offset) for rule in each.rules))) for each in known.due]
    return gaps_in(ids[(ids >= first) & (ids <= last)], PulseRange(first, last), due)
