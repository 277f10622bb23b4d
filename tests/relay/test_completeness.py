"""The map of what is missing, against a plain reading of the same messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sf_bsread_writer.message.due import due_pulses
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.relay.completeness import MOST_PULSES, Completeness, Presence, State
from sf_bsread_writer.testing.messages import message_of, renumbered, run_of

A = Channel(name="A", type=ValueType.FLOAT64)
PLAIN = (A, replace(A, name="B"))


@dataclass(frozen=True)
class Sent:
    """A message of these channels, of which some have a value."""

    pulse_id: int
    channels: tuple[Channel, ...]
    present: frozenset[str]

    @property
    def frames(self) -> list[bytes]:
        return renumbered(message_of(0, dict.fromkeys(sorted(self.present), 1.0), channels=self.channels), self.pulse_id)


def sent(pulse_ids: Sequence[int], channels: tuple[Channel, ...] = PLAIN) -> list[Sent]:
    """Messages in which everything is there."""
    return [Sent(pulse_id, channels, frozenset(channel.name for channel in channels)) for pulse_id in pulse_ids]


def lacking(messages: Sequence[Sent], name: str, pulse_ids: Sequence[int]) -> list[Sent]:
    return [replace(each, present=each.present - {name}) if each.pulse_id in pulse_ids else each for each in messages]


def map_of(messages: Sequence[Sent | list[bytes]], *, parts: int = 10, search: str = "", rows: int = 100) -> Completeness:
    run = run_of([each.frames if isinstance(each, Sent) else each for each in messages])
    presence, middle = Presence(), len(run) // 2
    for first, stop in ((middle, len(run)), (0, middle)):
        if stop > first:
            presence.take(first, run.slice(first, stop))
    return presence.completeness(parts=parts, search=search, rows=rows)


def states_of(found: Completeness) -> dict[str, list[int]]:
    return {channel.name: states for channel, states in zip(found.channels, found.states.tolist(), strict=True)}


# Random streams, and what a plain reading finds


CHANNELS = st.lists(st.tuples(st.sampled_from((1, 1, 2, 3, 4, 10)), st.integers(0, 10)), min_size=1, max_size=4).map(
    lambda rules: tuple(replace(A, name=f"C{i}", modulo=modulo, offset=offset) for i, (modulo, offset) in enumerate(rules))
)


@st.composite
def streams(draw: st.DrawFn) -> list[Sent]:
    """Increasing pulse ids with gaps, one or two data headers, values that are missing."""
    headers = draw(st.lists(CHANNELS, min_size=1, max_size=2))
    pulse_id, messages = draw(st.integers(0, 2**60)), []
    for _ in range(draw(st.integers(1, 25))):
        pulse_id += draw(st.sampled_from((0, 1, 1, 1, 2, 3, 7)))
        channels = headers[0] if len(messages) < 12 else headers[-1]
        names = [channel.name for channel in channels]
        messages.append(Sent(pulse_id, channels, frozenset(draw(st.sets(st.sampled_from(names))))))
    return messages


def is_due(channel: Channel, pulse_id: int) -> bool:
    return (pulse_id - channel.offset) % channel.modulo == 0


def gaps_of(messages: Sequence[Sent]) -> list[int]:
    """Pulses without a message that the headers around them both, or the one that expects fewer, say are due."""
    gaps = []
    for before, after in pairwise(messages):
        between = range(before.pulse_id + 1, after.pulse_id)
        by = [
            [i for i in between if any(is_due(channel, i) for channel in each.channels)]
            for each in (before, after)
        ]  # fmt: skip
        gaps += by[0] if len(by[0]) < len(by[1]) else by[1]
    return gaps


EVEN = (replace(A, name="C0", modulo=2),)


@given(streams(), st.integers(1, 30))
@example([Sent(1, EVEN, frozenset()), Sent(3, EVEN, frozenset())], 1)  # in no pulse that is due: the one between is, and lacks
def test_it_is_what_a_plain_reading_finds(messages: list[Sent], parts: int) -> None:
    found = map_of(messages, parts=parts)
    first, last = messages[0].pulse_id, messages[-1].pulse_id
    dues = [due_pulses(each.channels) for each in messages]
    phases = [span.first for due in dues if (span := due.within(0, 2**61)) is not None]
    step = gcd(*(due.step for due in dues), *(last - id_ for id_ in [*phases, *(each.pulse_id for each in messages)]))
    assert (found.first_pulse_id, found.last_pulse_id, found.step, found.messages) == (first, last, step, len(messages))
    assert len(found.stream) <= parts
    span = found.pulses_per_part * step

    def part_of(pulse_id: int) -> int:
        return (pulse_id - first) // span

    assert part_of(last) == len(found.stream) - 1
    gaps = gaps_of(messages)
    assert found.gap_pulses == len(gaps)
    channels = {channel.name: channel for each in messages for channel in each.channels}
    assert found.matching_channels == len(found.channels) == len(channels)
    seen = {channel.name: channel for channel in found.channels}
    cells = states_of(found)
    for name, channel in channels.items():
        own = [
            (each.pulse_id, name in each.present)
            for each in messages
            for one in each.channels
            if one.name == name and (name in each.present or is_due(one, each.pulse_id))
        ]
        assert (seen[name].due, seen[name].missing) == (len(own), sum(not is_there for _, is_there in own))
        for part, state in enumerate(cells[name]):
            there = [is_there for pulse_id, is_there in own if part_of(pulse_id) == part]
            if any(part_of(gap) == part and is_due(channel, gap) for gap in gaps):
                expected = State.GAP
            elif not there:
                expected = State.NOTHING_DUE
            else:
                expected = State.COMPLETE if all(there) else State.SOME_MISSING if any(there) else State.ALL_MISSING
            assert state == expected
    for part, state in enumerate(found.stream.tolist()):
        has_gap = any(part_of(gap) == part for gap in gaps)
        has_message = any(part_of(each.pulse_id) == part for each in messages)
        assert state == (State.GAP if has_gap else State.COMPLETE if has_message else State.NOTHING_DUE)
    missing = [channel.missing for channel in found.channels]
    assert missing == sorted(missing, reverse=True)
    assert found.complete_channels == missing.count(0)


# By hand


def test_the_states_of_a_small_stream() -> None:
    channels = (*PLAIN, replace(A, name="SLOW", modulo=5))
    messages = [
        replace(each, present=each.present - ({"SLOW"} if each.pulse_id % 5 else set()))
        for each in sent([*range(100, 108), *range(112, 120)], channels)
    ]
    messages = lacking(lacking(messages, "B", range(104, 108)), "A", [113])
    found = map_of(messages, parts=5)
    assert (found.step, found.pulses_per_part, found.gap_pulses, found.messages) == (1, 4, 4, 16)
    assert found.stream.tolist() == [1, 1, 4, 1, 1]
    assert states_of(found) == {"B": [1, 3, 4, 1, 1], "A": [1, 1, 4, 2, 1], "SLOW": [1, 1, 4, 1, 0]}
    assert [(channel.name, channel.due, channel.missing) for channel in found.channels] == [
        ("B", 16, 4),
        ("A", 16, 1),
        ("SLOW", 3, 0),
    ]


def test_a_stream_of_every_tenth_pulse_has_no_gaps() -> None:
    channels = (replace(A, modulo=10, offset=3),)
    found = map_of(sent(range(13, 1013, 10), channels), parts=20)
    assert (found.step, found.pulses_per_part, found.gap_pulses, found.messages) == (10, 5, 0, 100)
    assert found.stream.tolist() == [1] * 20


@pytest.mark.parametrize("compression", [Compression.LZ4, Compression.BITSHUFFLE_LZ4])
def test_a_payload_that_holds_nothing_is_missing(compression: Compression) -> None:
    messages = [each.frames for each in sent(range(10), (replace(A, compression=compression), replace(A, name="B")))]
    messages[3][2] = b"\0" * len(messages[3][2])
    found = map_of(messages, parts=10)
    assert states_of(found) == {"A": [1, 1, 1, 3, 1, 1, 1, 1, 1, 1], "B": [1] * 10}


def test_search_and_rows_choose_channels() -> None:
    channels = tuple(replace(A, name=name) for name in ("gun:ONE", "gun:TWO", "GUN:three", "linac"))
    messages = lacking(lacking(sent(range(10), channels), "GUN:three", [1]), "gun:TWO", [1, 2])
    found = map_of(messages, search="Gun", rows=2)
    assert (found.matching_channels, found.complete_channels) == (3, 1)
    assert [channel.name for channel in found.channels] == ["gun:TWO", "GUN:three"]
    assert found.states.shape == (2, 10)
    nothing = map_of(messages, search="gone")
    assert (nothing.matching_channels, nothing.channels, nothing.states.shape) == (0, (), (0, 10))


def test_channels_that_appear_and_vanish_are_due_only_while_they_are_there() -> None:
    found = map_of([*sent(range(4), (A, replace(A, name="GONE"))), *sent(range(4, 8), (replace(A, name="NEW"), A))], parts=4)
    assert [channel.name for channel in found.channels] == ["NEW", "A", "GONE"]
    assert states_of(found) == {"NEW": [0, 0, 1, 1], "A": [1, 1, 1, 1], "GONE": [1, 1, 0, 0]}


def test_a_message_that_cannot_be_read_is_no_gap() -> None:
    messages = [each.frames for each in sent(range(8))]
    messages[5][1] = b"no header"
    found = map_of(messages, parts=8)
    assert (found.undecodable, found.messages, found.gap_pulses) == (1, 8, 0)
    assert states_of(found)["A"] == [1, 1, 1, 1, 1, 0, 1, 1]
    none_at_all = map_of([[*each.frames[:1], b"no header", *each.frames[2:]] for each in sent(range(3))], parts=3)
    assert (none_at_all.undecodable, none_at_all.channels, none_at_all.stream.tolist()) == (3, (), [1, 1, 1])


def test_a_gap_where_the_header_changes_is_judged_by_the_rules_that_expect_fewer() -> None:
    slow = (replace(A, modulo=10),)
    assert map_of([*sent(range(5), (A,)), *sent([20, 30], slow)]).gap_pulses == 1  # 10
    assert map_of([*sent([0, 10], slow), *sent(range(25, 30), (A,))]).gap_pulses == 1  # 20


def test_what_cannot_be_read_is_taken_to_follow_the_rules_before_it() -> None:
    slow = (replace(A, modulo=10),)
    messages = [each.frames for each in (*sent(range(10), (A,)), *sent(range(10, 60, 10), slow))]
    messages[-3][1] = messages[-2][1] = b"no header"
    found = map_of(messages)
    assert (found.undecodable, found.messages, found.gap_pulses) == (2, 15, 0)


@pytest.mark.parametrize(
    ("pulse_ids", "mapped"),
    [
        ([50, 51, 52, 1, 2, 3], (1, 3, 3)),  # the counter starts over
        ([10, 11, 12, 5, 13, 14], (10, 14, 5)),  # one is late
        ([10, 11, 10**15, 12, 13], (10, 13, 4)),  # one is far ahead
        ([10, 11, 12, 13, 2], (10, 13, 4)),  # the newest is lower: late, or the first of a new count
        ([10, 10, 11], (10, 11, 3)),  # twice the same
        ([7], (7, 7, 1)),
        ([0, 2**63 - 1], (2**63 - 1, 2**63 - 1, 1)),  # farther than a map can be
    ],
)
def test_odd_pulse_ids_do_no_harm(pulse_ids: list[int], mapped: tuple[int, int, int]) -> None:
    found = map_of(sent(pulse_ids), parts=1000)
    assert (found.first_pulse_id, found.last_pulse_id, found.messages) == mapped
    assert found.gap_pulses <= MOST_PULSES


def test_a_jump_over_more_pulses_than_a_map_has_shortens_it() -> None:
    found = map_of(sent([5, 6, MOST_PULSES - 10, MOST_PULSES + 5]), parts=100)
    assert (found.first_pulse_id, found.messages, found.gap_pulses) == (6, 3, MOST_PULSES - 3)
    assert len(found.stream) == 100


def test_it_ends_where_data_headers_have_changed_too_often() -> None:
    presence, runs = Presence(), [run_of([Sent(i, (replace(A, name=str(i)),), frozenset()).frames]) for i in range(100)]
    taken = next(count for count, run in enumerate(reversed(runs), 1) if not presence.take(0, run))
    assert 1 < taken < 100
    assert presence.completeness(parts=10, search="", rows=10).messages == taken


def test_any_one_of_many_channels_is_told() -> None:
    channels = tuple(replace(A, name=f"C{i}", modulo=1 + i % 7, offset=i) for i in range(4000))
    every: Mapping[int, Sent] = {
        pulse_id: Sent(pulse_id, channels, frozenset(c.name for c in channels if is_due(c, pulse_id))) for pulse_id in range(20)
    }
    messages = lacking(list(every.values()), "C1234", range(20))
    found = map_of(messages, parts=20, rows=3)
    assert (found.matching_channels, found.complete_channels) == (4000, 3999)
    channel = channels[1234]
    due = [pulse_id for pulse_id in range(20) if is_due(channel, pulse_id)]
    assert (found.channels[0].name, found.channels[0].due, found.channels[0].missing) == ("C1234", len(due), len(due))
    assert found.states[0].tolist() == [3 if pulse_id in due else 0 for pulse_id in range(20)]
    assert np.count_nonzero(found.states == State.ALL_MISSING) == len(due)
