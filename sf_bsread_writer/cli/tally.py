"""What a live stream brings in an interval: messages, gaps, latency, and for each channel its rate and its last value. Pure.

Whole runs are counted; a message is kept once in an interval only, and of that only the channels that are shown are decoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.cli.columns import printable, shape_text, table
from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.due import Due, due_pulses
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import HeaderFrame, Run
from sf_bsread_writer.model import NS_PER_S

MAX_TEXT = 40
"""Of a text channel's value."""

_MOST_SEEN = 64
"""Data headers that are counted apart in an interval; a stream that changes more often is not to be read by a person anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelLine:
    """One channel in an interval; ``value`` is the last one in words."""

    name: str
    type: str
    shape: tuple[int, ...]
    rate_hz: float
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An interval; what counts losses counts from the beginning. ``latency_s``: from a message's own time to its arrival here.

    ``all_channels`` is how many there are, of which those in ``channels`` were asked for.
    """

    rate_hz: float
    bytes_per_s: float
    newest_pulse_id: int | None
    latency_s: float | None
    gaps: int
    out_of_order: int
    channels: tuple[ChannelLine, ...]
    all_channels: int


class Tally:
    """Counts what comes; ``patterns`` (as of a shell) choose the channels that are shown, all without any."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = patterns
        self._newest: int | None = None
        self._gaps = self._out_of_order = 0
        self._latency_ns: int | None = None
        self._header: HeaderFrame | None = None
        self._due: dict[bytes, Due] = {}
        self._values: dict[Channel, str] = {}  # of slow channels, which are not in every message
        self._begin()

    def _begin(self) -> None:
        self._messages = self._bytes = 0
        self._present: dict[HeaderFrame, NDArray[np.int64]] = {}
        self._sample: tuple[HeaderFrame, list[bytes]] | None = None

    def take(self, run: Run, *, now_ns: int) -> None:
        """Counts a run that has arrived now, ns since 1970."""
        self._messages += len(run)
        self._bytes += int((run.ends - run.starts).sum())
        self._latency_ns = now_ns - int(run.global_timestamps_ns[-1])
        for index, messages in enumerate(np.bincount(run.layout_index, minlength=len(run.layouts)).tolist()):
            layout = run.layouts[index]
            try:
                present = layout.present
            except MessageError:
                continue
            self._header = layout.header
            if layout.header in self._present or len(self._present) < _MOST_SEEN:
                counts = self._present.setdefault(layout.header, np.zeros(len(present), np.int64))
                counts += present * messages
        self._follow(run.pulse_ids)
        last = run.layouts[run.layout_index[-1]]
        if self._sample is None and self._header is not None and last.header is self._header:
            self._sample = self._header, [bytes(frame) for frame in run.frames(len(run) - 1)]

    def _follow(self, ids: NDArray[np.int64]) -> None:
        before = ids[:-1] if self._newest is None else np.concatenate(([self._newest], ids[:-1]))
        after = ids[len(ids) - len(before) :]
        self._out_of_order += int(np.count_nonzero(after <= before))
        self._gaps += int(self._due_now().between(before, after).sum())
        self._newest = int(ids[-1])

    def _due_now(self) -> Due:
        if self._header is None:
            return due_pulses(())
        key = self._header.data
        if key not in self._due:
            self._due = {key: due_pulses(self._header.decoded.channels)}
        return self._due[key]

    def snapshot(self, seconds: float, *, most: int | None = None) -> Snapshot:
        """The interval of so many seconds until now, and begins the next; ``most`` channels are decoded."""
        channels = () if self._header is None else self._header.decoded.channels
        chosen = [index for index, channel in enumerate(channels) if self._is_chosen(channel)]
        rates = self._counts(channels) / seconds
        self._values = {channel: self._values[channel] for channel in channels if channel in self._values}
        lines = tuple(self._line(index, channels[index], rates[index]) for index in chosen[:most])
        snapshot = Snapshot(
            rate_hz=self._messages / seconds,
            bytes_per_s=self._bytes / seconds,
            newest_pulse_id=self._newest,
            latency_s=None if self._latency_ns is None else self._latency_ns / NS_PER_S,
            gaps=self._gaps,
            out_of_order=self._out_of_order,
            channels=lines,
            all_channels=len(channels),
        )
        self._begin()
        return snapshot

    def _is_chosen(self, channel: Channel) -> bool:
        return not self._patterns or any(fnmatchcase(channel.name, pattern) for pattern in self._patterns)

    def _counts(self, channels: Sequence[Channel]) -> NDArray[np.int64]:
        """Values of each channel, of all headers of the interval that have the channels of the last one."""
        counts = np.zeros(len(channels), np.int64)
        for header, present in self._present.items():
            if header.decoded.channels == channels:
                counts += present
        return counts

    def _line(self, index: int, channel: Channel, rate_hz: float) -> ChannelLine:
        value = self._values.get(channel, "")
        if self._sample is not None and self._sample[0].decoded.channels[index : index + 1] == (channel,):
            value = _value_text(channel, self._sample[1][2 + 2 * index]) or value
            self._values[channel] = value
        return ChannelLine(
            name=printable(channel.name), type=channel.type.wire, shape=channel.shape, rate_hz=float(rate_hz), value=value
        )


def _value_text(channel: Channel, payload: bytes) -> str:
    """A value in words; an array by its range and mean. Nothing for a missing one."""
    if not payload:
        return ""
    try:
        value = decode_value(channel, payload)
    except MessageError:
        return "damaged"
    if isinstance(value, str):
        return printable(value[:MAX_TEXT])
    if value.ndim == 0:
        return f"{value[()]:.6g}" if value.dtype.kind == "f" else str(value[()])
    numbers = value[np.isfinite(value)] if value.dtype.kind == "f" else value
    return f"{numbers.min():.5g} … {numbers.max():.5g}, mean {numbers.mean():.5g}" if numbers.size else "not finite"


def channel_lines(snapshot: Snapshot) -> list[str]:
    """The table of the channels, its heading first."""
    lines = snapshot.channels
    return [
        f"{line}  {value}".rstrip()
        for line, value in zip(
            table(
                [
                    ["channel", *(line.name for line in lines)],
                    ["type", *(line.type for line in lines)],
                    ["shape", *(shape_text(line.shape) for line in lines)],
                ],
                [["per s", *(f"{line.rate_hz:.1f}" for line in lines)]],
            ),
            ["last value", *(line.value for line in lines)],
            strict=True,
        )
    ]


def stream_lines(snapshot: Snapshot) -> list[str]:
    """What is to be said of the stream as a whole."""
    newest = "no pulse yet" if snapshot.newest_pulse_id is None else f"newest pulse {snapshot.newest_pulse_id}"
    latency = "" if snapshot.latency_s is None else f", {snapshot.latency_s * 1000:.1f} ms after its own time"
    lost = f"{snapshot.gaps} pulses missing, {snapshot.out_of_order} not in order, since the beginning"
    shown = len(snapshot.channels)
    of_all = "" if shown == snapshot.all_channels else f", {shown} of them shown"
    return [
        f"{snapshot.rate_hz:.1f} messages/s, {snapshot.bytes_per_s / 1e6:.2f} MB/s, {snapshot.all_channels} channels{of_all}",
        f"{newest}{latency}",
        lost,
    ]
