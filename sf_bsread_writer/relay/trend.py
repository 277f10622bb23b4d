"""What one scalar channel was in many messages, and few enough points of it to be drawn. Pure."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import AbsentError, MessageError
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.due import is_due, rule_of
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.kinds import check_kind, kind_of
from sf_bsread_writer.relay.presence import items, present
from sf_bsread_writer.relay.thinning import plain, thin


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One channel in ``messages`` of the ring, of which ``present_messages`` have a value of it.

    ``values`` are in order of arrival, each of the pulse that stands at the same place in ``pulse_ids``. None: it was due and is
    missing, is damaged, or no number. ``thinned``: there were more.
    """

    channel: Channel
    messages: int
    present_messages: int
    first_pulse_id: int | None
    last_pulse_id: int | None
    thinned: bool
    pulse_ids: list[int]
    values: list[bool | float | None]


class Gathering:
    """Gathers the values of one channel from runs, which come in any order. Keeps nothing of their memory."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._channel: Channel | None = None
        self._described = -1  # sequence number of the message by which it is described
        self._messages = self._present = 0
        self._ends: tuple[tuple[int, int], ...] = ()  # first and last message: sequence number, pulse id
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]] = []

    @property
    def is_known(self) -> bool:
        """Whether a message had this channel in its header, with a value or not."""
        return self._channel is not None

    def take(self, first: int, run: Run) -> bool:
        """The messages of a run, whose first has this sequence number. Always True."""
        self._messages += len(run)
        here = ((first, int(run.pulse_ids[0])), (first + len(run) - 1, int(run.pulse_ids[-1])))
        self._ends = (min(*self._ends, *here), max(*self._ends, *here)) if self._ends else here
        for layout, rows in run.by_layout():
            if (number := self._place(layout, first + int(rows[-1]))) is not None:
                self._take(first, run, layout, rows, number)
        return True

    def describe(self, first: int, run: Run) -> bool:
        """Only what kind of channel it is, from a run of earlier messages; True as long as that is not known."""
        for layout, rows in run.by_layout():
            self._place(layout, first + int(rows[-1]))
        return not self.is_known

    def trend(self, points: int) -> Trend:
        """All that was taken. Raises `AbsentError` if no message has this channel, `UsageError` if it is no scalar number."""
        channel = self._channel
        if channel is None:
            raise AbsentError(f"no message in the ring has a channel {self._name!r:.200}; GET /channels lists those there are")
        check_kind(channel, "scalar")
        sequences, ids, values, valid = self._sorted()
        chosen = thin(values, valid, points)
        return Trend(
            channel=channel,
            messages=self._messages,
            present_messages=self._present,
            first_pulse_id=self._ends[0][1] if self._ends else None,
            last_pulse_id=self._ends[1][1] if self._ends else None,
            thinned=len(chosen) < len(sequences),
            pulse_ids=ids[chosen].tolist(),
            values=plain(values[chosen], valid[chosen]),
        )

    def _place(self, layout: Layout, sequence: int) -> int | None:
        """Where the channel is in the header of this layout, whose newest message is this one."""
        try:
            header = layout.channels
        except MessageError:
            return None
        number = header.places.get(self._name)
        if number is not None and sequence > self._described:
            self._channel, self._described = header.channels[number], sequence
        return number

    def _take(self, first: int, run: Run, layout: Layout, rows: NDArray[np.intp], number: int) -> None:
        channel = layout.channels.channels[number]
        is_there = present(run, layout, rows, number)
        self._present += int(np.count_nonzero(is_there))
        if kind_of(channel) != "scalar":
            return
        wanted = is_there | is_due(run.pulse_ids[rows], *rule_of(channel))
        values, valid = _values(run, layout, rows[wanted], number)
        self._parts.append((rows[wanted] + first, run.pulse_ids[rows[wanted]], values, valid & is_there[wanted]))

    def _sorted(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[np.bool_]]:
        if not self._parts:
            none = np.zeros(0, np.int64)
            return none, none, none, np.zeros(0, np.bool_)
        sequences, ids, values, valid = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        order = np.argsort(sequences, kind="stable")
        return sequences[order], ids[order], values[order], valid[order]


def _values(run: Run, layout: Layout, rows: NDArray[np.intp], number: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values and which of them are numbers."""
    channel = layout.channels.channels[number]
    start, length = int(layout.value_starts[number]), int(layout.value_lengths[number])
    dtype = np.dtype(np.uint8) if channel.type is ValueType.BOOL else channel.dtype
    if channel.compression is not Compression.NONE:
        return _decoded(run, channel, (run.bodies[rows] + start).tolist(), length)
    if length != dtype.itemsize:
        return np.zeros(len(rows), channel.type.numpy), np.zeros(len(rows), np.bool_)
    values = items(run.data, dtype)[run.bodies[rows] + start]
    values = values != 0 if channel.type is ValueType.BOOL else values.astype(dtype.newbyteorder("="))
    return values, np.isfinite(values)


def _decoded(run: Run, channel: Channel, starts: list[int], length: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    values, valid = np.zeros(len(starts), channel.type.numpy.newbyteorder("=")), np.zeros(len(starts), np.bool_)
    for place, start in enumerate(starts):
        try:
            values[place] = decode_value(channel, run.view[start : start + length])
        except (MessageError, ValueError):
            continue
        valid[place] = np.isfinite(values[place])
    return values, valid
