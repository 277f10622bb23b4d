"""What is unusual in a stream: for whoever starts the buffer with ``--analyzer``. Pure.

Nothing here changes what is kept or sent. Most of it is known per layout, not per message: which values are absent, which frames
have a wrong size. So a steady stream costs a few comparisons for each run, and only compressed values and texts a look at each.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import bitshuffle_chunk, decompress, is_missing_payload, lz4_chunk
from sf_bsread_writer.message.decode import decode_string
from sf_bsread_writer.message.due import EVERY, Due, Rule, at_a_change, due_pulses, is_due, rule_of
from sf_bsread_writer.message.headers import Channel, DataHeader
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression

MISSING = "missing value"
SKIPPED = "skipped pulse id"
DUPLICATE = "duplicate pulse id"
DECREASING = "decreasing pulse id"
CHANGED = "changed data header"
UNDECODABLE = "undecodable data header"
FRAMES = "wrong number of frames"
DAMAGED = "damaged value"

_TIMESTAMP_BYTES = (0, 16)
_MOST_KNOWN_LAYOUTS = 64
_MOST_CHANNELS = 100_000
_NAMES_IN_A_TEXT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomaly:
    """Something unusual that was seen ``count`` times in one run; ``text`` describes the first of them."""

    kind: str
    text: str
    count: int = 1


class Analyzer:
    """Looks at one stream, run by run. ``counts`` has all anomalies by kind, ``missing`` the missing values by channel."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self._last_pulse_id: int | None = None
        self._last_layout: Layout | None = None
        self._due = EVERY
        self._known: dict[Layout, _Facts] = {}

    def look(self, run: Run) -> list[Anomaly]:
        """What is unusual in these messages, compared with those before.

        That a channel's value is missing is told the first time only, and counted always.
        """
        found = self._headers(run) + self._pulse_ids(run)
        for layout, rows in run.by_layout():
            found += self._values(run, layout, rows)
        for anomaly in found:
            self.counts[anomaly.kind] += anomaly.count
        return [anomaly for anomaly in found if anomaly.text]

    def _headers(self, run: Run) -> list[Anomaly]:
        changes = np.flatnonzero(np.diff(run.layout_index, prepend=-1)).tolist()
        found = []
        for row in changes:
            layout = run.layouts[run.layout_index[row]]
            before, self._last_layout = self._last_layout, layout
            if before is not None and before.data_header != layout.data_header:
                text = f"the data header changed at pulse {run.pulse_ids[row]}: {_difference(before, layout)}"
                found.append(Anomaly(kind=CHANGED, text=text))
        return found

    def _pulse_ids(self, run: Run) -> list[Anomaly]:
        """Compares pulse ids with what their own headers promise."""
        dues = [self._facts(layout).due for layout in run.layouts]
        found, start = [], 0
        for due, rows in groupby(dues[index] for index in run.layout_index.tolist()):
            stop = start + len(list(rows))
            found += self._steps(run.pulse_ids[start:stop], due)
            start = stop
        return found

    def _steps(self, pulse_ids: NDArray[np.int64], due: Due) -> list[Anomaly]:
        """Pulse ids of messages with the same rules, compared with each other and the last one before."""
        last, earlier = self._last_pulse_id, self._due
        first = int(pulse_ids[0])
        self._last_pulse_id, self._due = int(pulse_ids[-1]), due
        before = np.concatenate(([first - 1 if last is None else last], pulse_ids[:-1]))
        missed = due.between(before, pulse_ids)
        if earlier != due and last is not None:
            missed[0] = at_a_change(earlier, due, last + 1, first - 1).count(last + 1, first - 1)
        odd = np.flatnonzero((missed > 0) | (pulse_ids <= before))
        columns = (before[odd].tolist(), pulse_ids[odd].tolist(), missed[odd].tolist())
        return [_out_of_step(*each) for each in zip(*columns, strict=True)]

    def _values(self, run: Run, layout: Layout, rows: NDArray[np.intp]) -> list[Anomaly]:
        facts = self._facts(layout)
        first = f"at pulse {run.pulse_ids[rows[0]]}"
        found = [Anomaly(kind=kind, text=f"{text} {first}", count=len(rows)) for kind, text in facts.faults]
        due: dict[Rule, NDArray[np.intp]] = {}
        for channel in facts.absent:
            rule = rule_of(channel)
            if rule not in due:
                due[rule] = rows[is_due(run.pulse_ids[rows], *rule)]
            found += self._missing(channel, run.pulse_ids[due[rule]])
        for number in facts.looked_at:
            found += self._content(run, layout, number, rows)
        return found

    def _missing(self, channel: Channel, pulse_ids: NDArray[np.int64]) -> list[Anomaly]:
        if not len(pulse_ids):
            return []
        is_new = channel.name not in self.missing and len(self.missing) < _MOST_CHANNELS
        if is_new or channel.name in self.missing:
            self.missing[channel.name] += len(pulse_ids)
        text = f"channel {channel.name!r} has no value at pulse {pulse_ids[0]}, where it is due" if is_new else ""
        return [Anomaly(kind=MISSING, text=text, count=len(pulse_ids))]

    def _content(self, run: Run, layout: Layout, number: int, rows: NDArray[np.intp]) -> list[Anomaly]:
        """Looks into compressed values and texts of one channel."""
        channel = layout.channels.channels[number]
        start, length = int(layout.value_starts[number]), int(layout.value_lengths[number])
        missing: list[int] = []
        damaged: list[tuple[int, str]] = []
        for row, body in zip(rows.tolist(), run.bodies[rows].tolist(), strict=True):
            payload = run.view[body + start : body + start + length]
            if channel.compression is not Compression.NONE and is_missing_payload(channel.compression, payload):
                missing.append(row)
            elif problem := _problem(channel, payload):
                damaged.append((row, problem))
        found = []
        if damaged:
            row, problem = damaged[0]
            text = f"channel {channel.name!r} at pulse {run.pulse_ids[row]}: {problem}"
            found.append(Anomaly(kind=DAMAGED, text=text, count=len(damaged)))
        pulse_ids = run.pulse_ids[missing]
        return found + self._missing(channel, pulse_ids[is_due(pulse_ids, *rule_of(channel))])

    def _facts(self, layout: Layout) -> "_Facts":
        facts = self._known.get(layout)
        if facts is None:
            if len(self._known) >= _MOST_KNOWN_LAYOUTS:
                self._known.clear()
            facts = self._known[layout] = _facts_of(layout)
        return facts


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is true of every message with one layout: ``faults`` as (kind, text), and numbers of channels to be looked into."""

    due: Due
    faults: Sequence[tuple[str, str]] = ()
    absent: Sequence[Channel] = ()
    looked_at: Sequence[int] = ()


def _out_of_step(before: int, pulse_id: int, missed: int) -> Anomaly:
    if pulse_id == before:
        return Anomaly(kind=DUPLICATE, text=f"pulse {pulse_id} came twice")
    if pulse_id < before:
        return Anomaly(kind=DECREASING, text=f"pulse {pulse_id} came after {before}, {before - pulse_id} back")
    text = f"pulse {pulse_id} came after {before}: {missed} pulses in between were skipped"
    return Anomaly(kind=SKIPPED, text=text, count=missed)


def _facts_of(layout: Layout) -> _Facts:
    try:
        header = layout.header.decoded
    except MessageError as error:
        return _Facts(EVERY, faults=[(UNDECODABLE, str(error))])
    due = due_pulses(header.channels)
    try:
        present = layout.present
    except MessageError as error:
        return _Facts(due, faults=[(FRAMES, str(error))])
    channels = header.channels
    faults = [*_size_faults(layout, channels, present)]
    looked_at = [i for i in np.flatnonzero(present).tolist() if channels[i].is_string or _is_compressed(channels[i])]
    return _Facts(due, faults, [channels[i] for i in np.flatnonzero(~present).tolist()], looked_at)


def _size_faults(layout: Layout, channels: Sequence[Channel], present: NDArray[np.bool_]) -> list[tuple[str, str]]:
    """Frames whose length no message of this layout should have."""
    faults = []
    values, timestamps = layout.value_lengths.tolist(), layout.timestamp_lengths.tolist()
    for channel, is_present, value, timestamp in zip(channels, present.tolist(), values, timestamps, strict=True):
        if is_present and not channel.is_string and not _is_compressed(channel) and value != channel.value_bytes:
            text = f"channel {channel.name!r} has {value} bytes, {channel.value_bytes} expected for {_described(channel)}"
            faults.append((DAMAGED, text))
        if timestamp not in _TIMESTAMP_BYTES:
            faults.append((DAMAGED, f"channel {channel.name!r} has a timestamp of {timestamp} bytes, 16 or 0 expected"))
    return faults


def _problem(channel: Channel, payload: memoryview) -> str:
    """What is wrong with one compressed value or text; empty if nothing is. Images are not decompressed for that."""
    try:
        if channel.value_bytes is None:
            raw = decompress(channel.compression, payload, expected_bytes=None, item_bytes=1)
            return "text is not UTF-8" if decode_string(raw)[1] else ""
        if channel.compression is Compression.LZ4:
            lz4_chunk(payload, channel.value_bytes)
        else:
            bitshuffle_chunk(payload, channel.value_bytes, channel.item_bytes)
    except MessageError as error:
        return str(error)
    return ""


def _is_compressed(channel: Channel) -> bool:
    return channel.compression is not Compression.NONE


def _described(channel: Channel) -> str:
    return f"{channel.type.wire} of shape {channel.shape}"


def _difference(before: Layout, after: Layout) -> str:
    """What is new in a data header, for a person."""
    try:
        old, new = _by_name(before.header.decoded), _by_name(after.header.decoded)
    except MessageError as error:
        return f"one of both cannot be decoded ({error})"
    changed = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    parts = [
        f"{what} {_listed(names)}"
        for what, names in (("new:", new.keys() - old.keys()), ("gone:", old.keys() - new.keys()), ("changed:", changed))
        if names
    ]
    return f"{len(new)} channels instead of {len(old)}; " + ("; ".join(parts) or "same channels, in other words or another order")


def _by_name(header: DataHeader) -> dict[str, Channel]:
    return {channel.name: channel for channel in header.channels}


def _listed(names: Collection[str]) -> str:
    some = sorted(names)[:_NAMES_IN_A_TEXT]
    more = len(names) - len(some)
    return ", ".join(map(repr, some)) + (f" and {more} more" if more else "")
