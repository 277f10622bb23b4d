"""The values of messages that all differ in layout, item by item: no plan, which would be used once only. Pure.

A `Plan` fetches a rectangle of values in one go, but making and using it takes some forty calls of NumPy. Where channels are
missing at random, every message has a layout of its own: here the places of all values of all messages are found together.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import Binding, Column
from sf_bsread_writer.hdf5.columns import Block, Places, gather, gather_times
from sf_bsread_writer.hdf5.contents import Contents
from sf_bsread_writer.hdf5.plan import BAD_TIME, NO_TIME, single_of
from sf_bsread_writer.hdf5.singles import Values
from sf_bsread_writer.hdf5.store import Store

MESSAGES_PER_PLAN = 4
"""With fewer messages for each layout, finding the place of each item costs less than a rectangle for each layout."""

HERE = Places.of(np.zeros(1, np.int64))
"""Items that begin where `gather` is told that messages do."""


@dataclass(frozen=True, slots=True, eq=False)
class _Items:
    """What there is of some channels: item i is that of ``members[which[i]]`` in message ``messages[i]``.

    ``first_messages`` are the first ones with a value, shape (members,); each member has one.
    """

    members: NDArray[np.intp]
    first_messages: NDArray[np.intp]
    messages: NDArray[np.intp]
    which: NDArray[np.intp]

    @classmethod
    def of(cls, members: NDArray[np.intp], present: NDArray[np.bool_]) -> "_Items":
        """Those that are ``present``, shape (messages, channels)."""
        present = present[:, members]
        some = present.any(axis=0)
        return cls(members[some], present[:, some].argmax(axis=0), *np.nonzero(present[:, some]))

    def __bool__(self) -> bool:
        return len(self.members) > 0

    def places(self, bodies: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the items are; ``starts`` has shape (messages, channels)."""
        places: NDArray[np.int64] = bodies[self.messages] + starts[self.messages, self.members[self.which]]
        return places


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scatter:
    """Messages of one data header that become the rows from ``first_row`` on.

    ``contents`` has one row for each message; ``bodies`` and ``times_ns``, the global timestamps, have shape (messages,).
    """

    contents: Contents
    binding: Binding
    bodies: NDArray[np.int64]
    times_ns: NDArray[np.int64]
    first_row: int

    def put(self, store: Store, data: NDArray[np.uint8]) -> None:
        """Puts all single numbers, and all timestamps but those of compressed values; ``data`` holds the messages."""
        contents, traits = self.contents, self.binding.traits
        for numbers in traits.numbers:
            if items := _Items.of(numbers.members, contents.present):
                values = gather(data, HERE, items.places(self.bodies, contents.starts), numbers.dtype)[0]
                target = store.value_slots(self.binding, items.members, self.first_row + items.first_messages)
                self._scatter(store, target, items, values != 0 if numbers.is_truth else values)
        if items := _Items.of(np.flatnonzero(~traits.is_packed), contents.present):
            target = store.time_slots(self.binding, items.members, self.first_row + items.first_messages)
            self._scatter(store, target, items, self._times(items, data))

    def values(self) -> Iterator[Values]:
        """All other values, channel by channel."""
        contents, traits = self.contents, self.binding.traits
        present = contents.present & traits.is_single
        for member in np.flatnonzero(present.any(axis=0)).tolist():
            positions = np.flatnonzero(present[:, member])
            bodies = self.bodies[positions]
            own_times = np.full(len(positions), NO_TIME)
            if traits.is_packed[member]:
                own_times[contents.has_bad_time[positions, member]] = BAD_TIME
                has_time = contents.has_time[positions, member]
                own_times[has_time] = (bodies + contents.time_starts[positions, member])[has_time]
            yield Values(
                single=single_of(contents, int(positions[0]), member, self.binding),
                positions=positions,
                starts=bodies + contents.starts[positions, member],
                lengths=contents.lengths[positions, member],
                time_starts=own_times,
            )

    def count_damaged(self) -> None:
        """Adds what has a size that does not fit to its channel's count."""
        counts = np.count_nonzero(self.contents.is_damaged, axis=0)
        for member in np.flatnonzero(counts).tolist():
            self.binding.channels[member].damaged += int(counts[member])

    def _times(self, items: _Items, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The timestamps of these items; where they have none of their own, those of their messages."""
        times_ns = self.times_ns[items.messages]
        places, members = items.places(self.bodies, self.contents.time_starts), items.members[items.which]
        has_time = self.contents.has_time[items.messages, members]
        for big_endian in (False, True):
            own = has_time & (self.binding.traits.is_big_endian[members] == big_endian)
            if own.any():
                times, is_bad = gather_times(data, HERE, places[own], big_endian=big_endian, default_ns=times_ns[own])
                times_ns[own] = times[0]
                for member in [] if is_bad is None else members[own][is_bad[0]].tolist():
                    self.binding.channels[member].damaged += 1
        return times_ns

    def _scatter(
        self, store: Store, target: tuple[Block[Column], NDArray[np.intp]], items: _Items, numbers: NDArray[np.generic]
    ) -> None:
        block, slots = target
        block.scatter(slots[items.which], items.messages + (self.first_row - store.chunk_start), numbers)
