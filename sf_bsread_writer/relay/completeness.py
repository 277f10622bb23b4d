"""Which channels have values in which pulses, as a map of few parts. Pure.

Strategy: a message is remembered as its pulse id and the number of a *pattern*: a data header and which of its channels have a
value. A steady stream has a handful of patterns, however many channels and messages it has; so the map of some channels is made
from how often each pattern comes in each part.

The pulses of a map are those from the newest one back, at most `MOST_PULSES` of them: a pulse id far from all others, and a
counter that starts over, make it shorter and not larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import gcd

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.due import EVERY, Due, at_a_change
from sf_bsread_writer.message.headers import DataHeader
from sf_bsread_writer.message.layout import Layout, Run
from sf_bsread_writer.relay.presence import Rules, facts_of, void
from sf_bsread_writer.ring.log import late

MOST_PULSES = 100_000
_MOST_HEADERS = 32
_UNDECODABLE = -1


class State(IntEnum):
    """What a channel has in one part of the map, or the stream itself."""

    NOTHING_DUE = 0
    COMPLETE = 1
    SOME_MISSING = 2
    ALL_MISSING = 3
    GAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelCompleteness:
    """One channel: due in so many messages, without a value in ``missing`` of them."""

    name: str
    due: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """The map of ``messages`` from ``first_pulse_id`` on, in parts of ``pulses_per_part`` pulses that are ``step`` apart.

    ``states`` has the shape (channels, parts), ``stream`` (parts,); both hold numbers of `State`.
    """

    first_pulse_id: int
    last_pulse_id: int
    step: int
    pulses_per_part: int
    messages: int
    undecodable: int
    gap_pulses: int
    matching_channels: int
    complete_channels: int
    channels: tuple[ChannelCompleteness, ...]
    stream: NDArray[np.uint8]
    states: NDArray[np.uint8]


class _Header:
    """A data header, and which patterns its messages have: a pattern's number, by its bits."""

    def __init__(self, header: DataHeader) -> None:
        self.places = header.places
        self.facts = facts_of(header)
        self.patterns: dict[bytes, int] = {}


class Presence:
    """Remembers of messages, which come newest run first, what a map needs. Keeps nothing of their memory."""

    def __init__(self) -> None:
        self._headers: dict[DataHeader, _Header] = {}
        self._patterns: list[_Pattern] = []
        self._ids: list[NDArray[np.int64]] = []
        self._numbers: list[NDArray[np.int64]] = []  # of patterns, -1: undecodable

    def take(self, first: int, run: Run) -> bool:
        """The messages of a run; False when they have had so many data headers that the map is to end here."""
        numbers = np.empty(len(run), np.int64)
        for layout, rows in run.by_layout():
            numbers[rows] = self._patterns_of(run, layout, rows)
        self._ids.append(run.pulse_ids.copy())
        self._numbers.append(numbers)
        return len(self._headers) < _MOST_HEADERS

    @property
    def is_empty(self) -> bool:
        """Whether no message was taken, and there is nothing to map."""
        return not self._ids

    def completeness(self, *, parts: int, search: str, rows: int) -> Completeness:
        """Of the channels in whose names ``search`` is, those that miss the most values, at most so many."""
        ids, numbers = _newest_stretch(np.concatenate(self._ids[::-1]), np.concatenate(self._numbers[::-1]))
        return _Map(self._patterns, ids, numbers, parts).completeness(search.casefold(), rows)

    def _patterns_of(self, run: Run, layout: Layout, rows: NDArray[np.intp]) -> NDArray[np.int64] | int:
        """The patterns of messages with this layout; one number for all if they are the same."""
        try:
            present = layout.present
        except MessageError:
            return _UNDECODABLE
        header = self._headers.get(layout.channels)
        if header is None:
            header = self._headers[layout.channels] = _Header(layout.channels)
        compressed = header.facts.compressed[present[header.facts.compressed]]
        missing = void(run, layout, rows, compressed) if len(compressed) else np.zeros((1, 0), np.bool_)
        if not missing.any():
            return self._number(header, present)
        numbers = np.empty(len(rows), np.int64)
        for place in range(len(rows)):
            own = present.copy()
            own[compressed[missing[place]]] = False
            numbers[place] = self._number(header, own)
        return numbers

    def _number(self, header: _Header, present: NDArray[np.bool_]) -> int:
        bits = np.packbits(present).tobytes()
        number = header.patterns.setdefault(bits, len(self._patterns))
        if number == len(self._patterns):
            self._patterns.append(_Pattern(header, bits, len(present)))
        return number


@dataclass(frozen=True, slots=True)
class _Pattern:
    header: _Header
    bits: bytes
    channels: int

    @property
    def present(self) -> NDArray[np.bool_]:
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=self.channels).astype(np.bool_)


def _newest_stretch(ids: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The messages since the counter last started over, without single ones that are out of order."""
    if len(ids) > 1 and ids[-1] < ids[-2]:  # a late one, or the first of a counter that starts over: the next one tells
        ids, numbers = ids[:-1], numbers[:-1]
    is_late = late(ids)
    is_early = np.zeros(len(ids), np.bool_)
    is_early[1:-1] = (ids[1:-1] > ids[2:]) & (ids[:-2] <= ids[2:]) & ~is_late[2:]
    ids, numbers = ids[~(is_late | is_early)], numbers[~(is_late | is_early)]
    falls = np.flatnonzero(np.diff(ids) < 0)
    begin = int(falls[-1]) + 1 if len(falls) else 0
    return ids[begin:], numbers[begin:]


class _Map:
    """The map of messages whose pulse ids do not decrease."""

    def __init__(self, patterns: Sequence[_Pattern], ids: NDArray[np.int64], numbers: NDArray[np.int64], parts: int) -> None:
        used = {number: patterns[number] for number in np.unique(numbers).tolist() if number != _UNDECODABLE}
        dues = [pattern.header.facts.due for pattern in used.values()]
        # Messages may come in pulses that are not due: both these and those that are have a place in the map.
        steps = [gcd(due.step, int(ids[-1]) - due.rules[0][1]) for due in dues]
        self.step = gcd(*steps, int(np.gcd.reduce(ids[-1] - ids))) or 1
        begin = int(np.searchsorted(ids, ids[-1] - (MOST_PULSES - 1) * self.step))
        self.ids, self.numbers = ids[begin:], numbers[begin:]
        self.pulses = int(self.ids[-1] - self.ids[0]) // self.step + 1
        self.per_part = -(-self.pulses // parts)
        self.parts = -(-self.pulses // self.per_part)
        self.part = self._part_of(self.ids)
        self.patterns = [(pattern, np.flatnonzero(self.numbers == number)) for number, pattern in used.items()]
        self.patterns = [(pattern, rows) for pattern, rows in self.patterns if len(rows)]
        self.gaps = self._gaps()

    def completeness(self, search: str, rows: int) -> Completeness:
        """Of the channels in whose names ``search`` is."""
        headers = self._newest_headers()
        names = {name: None for header in headers for name in header.places}
        place = {name: place for place, name in enumerate(name for name in names if search in name.casefold())}
        due, missing = (counts[:, 0] for counts in self._counts(headers, place, np.zeros_like(self.part), 1))
        order = np.argsort(-missing, kind="stable")[:rows].tolist()
        matching = list(place)
        chosen = [matching[index] for index in order]
        stream = (np.bincount(self.part, minlength=self.parts) > 0).astype(np.uint8)
        stream[self._part_of(self.gaps)] = State.GAP
        return Completeness(
            first_pulse_id=int(self.ids[0]),
            last_pulse_id=int(self.ids[-1]),
            step=self.step,
            pulses_per_part=self.per_part,
            messages=len(self.ids),
            undecodable=int(np.count_nonzero(self.numbers == _UNDECODABLE)),
            gap_pulses=len(self.gaps),
            matching_channels=len(place),
            complete_channels=int(np.count_nonzero(missing == 0)),
            channels=tuple(
                ChannelCompleteness(name=matching[index], due=int(due[index]), missing=int(missing[index])) for index in order
            ),
            stream=stream,
            states=self._states(headers, chosen),
        )

    def _part_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        parts: NDArray[np.int64] = (ids - self.ids[0]) // (self.step * self.per_part)
        return parts

    def _newest_headers(self) -> list[_Header]:
        """Those there are, by their newest message."""
        newest: dict[_Header, int] = {}
        for pattern, rows in self.patterns:
            newest[pattern.header] = max(newest.get(pattern.header, -1), int(rows[-1]))
        return sorted(newest, key=lambda header: -newest[header])

    def _gaps(self) -> NDArray[np.int64]:
        """Pulses for which a message was due and none came."""
        pulses = self.ids[0] + self.step * np.arange(self.pulses)
        behind = np.searchsorted(self.ids, pulses)
        is_there = self.ids[behind] == pulses
        pulses, behind = pulses[~is_there], behind[~is_there]
        dues = self._dues()
        found = []
        places, begins = np.unique(behind, return_index=True)
        for place, gap in zip(places.tolist(), np.split(pulses, begins[1:]), strict=False):  # without any, NumPy gives one piece
            due = dues[place]
            if dues[place - 1] != due:
                due = at_a_change(dues[place - 1], due, int(self.ids[place - 1]) + 1, int(self.ids[place]) - 1)
            found.append(gap[due.contains(gap)])
        return np.concatenate(found) if found else pulses

    def _dues(self) -> list[Due]:
        """By which rules each message came; one whose header cannot be read, by those of the message before it."""
        dues: list[Due] = [EVERY] * len(self.ids)
        by_row = {int(row): pattern.header.facts.due for pattern, rows in self.patterns for row in rows}
        last = by_row[min(by_row)] if by_row else EVERY
        for row in range(len(self.ids)):
            dues[row] = last = by_row.get(row, last)
        return dues

    def _counts(
        self, headers: Sequence[_Header], place: dict[str, int], part: NDArray[np.int64], parts: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """In how many messages each channel is due, and in how many of these it is missing, shapes (channels, parts).

        ``part`` says for each message in which it is counted.
        """
        due, missing = np.zeros((2, len(place), parts), np.int64)
        for header in headers:
            numbers, rows_of = _columns(header, place)
            rules = header.facts.rules.of(numbers)
            for pattern, rows in self.patterns:
                if pattern.header is header:
                    counts = _by_part(rules, self.ids[rows], part[rows], parts)[rules.of_channel]
                    present = pattern.present[numbers][:, None]
                    due[rows_of] += np.where(present, np.bincount(part[rows], minlength=parts), counts)
                    missing[rows_of] += np.where(present, 0, counts)
        return due, missing

    def _states(self, headers: Sequence[_Header], chosen: Sequence[str]) -> NDArray[np.uint8]:
        place = {name: index for index, name in enumerate(chosen)}
        due, missing = self._counts(headers, place, self.part, self.parts)
        gaps = np.zeros(due.shape, np.bool_)
        for header in reversed(headers):  # a gap is judged by the newest header that has the channel
            numbers, rows_of = _columns(header, place)
            rules = header.facts.rules.of(numbers)
            gaps[rows_of] = (_by_part(rules, self.gaps, self._part_of(self.gaps), self.parts) > 0)[rules.of_channel]
        states = np.full(due.shape, State.COMPLETE, np.uint8)
        states[missing > 0] = State.SOME_MISSING
        states[missing == due] = State.ALL_MISSING
        states[due == 0] = State.NOTHING_DUE
        states[gaps] = State.GAP
        return states


def _by_part(rules: Rules, ids: NDArray[np.int64], part: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """How many of these pulses are due by each rule in each part, shape (rules, parts)."""
    counts = np.zeros((len(rules), parts), np.int64)
    for rule in range(len(rules)):
        counts[rule] = np.bincount(part[rules.due(ids, rule)], minlength=parts)
    return counts


def _columns(header: _Header, place: dict[str, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Of those channels that a header has: where they are in the header, and their place."""
    pairs = [(number, place[name]) for name, number in header.places.items() if name in place]
    columns = np.array(pairs, np.intp).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]
