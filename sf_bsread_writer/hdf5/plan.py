"""Where the values of a layout's messages go: worked out once for a layout, then used for every message of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import Binding, Column, FileChannel
from sf_bsread_writer.hdf5.columns import Block, Index, Places, gather, gather_times, index_of
from sf_bsread_writer.hdf5.contents import Contents
from sf_bsread_writer.hdf5.store import Store
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Layout
from sf_bsread_writer.message.types import Compression

NO_TIME = -1
"""In place of where a timestamp starts: the value has none of its own."""

BAD_TIME = -2
"""Or one of a size that does not fit."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Scalars:
    """Numbers of equal size and byte order, for one gather into slots of a block. Places count from the body of a message."""

    block: Block[Column]
    slots: Index
    places: Places
    dtype: np.dtype[np.generic]
    is_truth: bool

    def put(self, data: NDArray[np.uint8], bodies: NDArray[np.int64], lines: Index) -> None:
        """Gathers them for some messages, whose rows are ``lines`` of the chunk."""
        items = gather(data, self.places, bodies, self.dtype)
        self.block.put(self.slots, lines, items != 0 if self.is_truth else items)  # any byte but 0 is true on the wire


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Times:
    """Timestamps of one byte order, likewise; ``owners`` are in the order of the slots."""

    block: Block[Column]
    slots: Index
    places: Places
    owners: Sequence[FileChannel]
    big_endian: bool

    def put(self, data: NDArray[np.uint8], bodies: NDArray[np.int64], lines: Index, times_ns: NDArray[np.int64]) -> None:
        """Gathers them for some messages, whose rows are ``lines`` of the chunk, and whose own times ``times_ns``."""
        times, is_bad = gather_times(data, self.places, bodies, big_endian=self.big_endian, default_ns=times_ns)
        self.block.put(self.slots, lines, times)
        if is_bad is not None:
            for owner, count in zip(self.owners, is_bad.sum(axis=1).tolist(), strict=True):
                owner.damaged += count


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Single:
    """A value that needs a look of its own: an array, a string, or anything compressed.

    ``member`` is its position in the data header. ``time_start`` is where its timestamp starts, `NO_TIME` or `BAD_TIME`, and
    always `NO_TIME` if it is not compressed: of what is, the content tells whether there is a value, so its time cannot be put
    with those of all others.
    """

    member: int
    owner: FileChannel
    channel: Channel
    start: int
    length: int
    time_start: int

    @property
    def is_packed(self) -> bool:
        """True if its bytes are not those of the value."""
        return self.channel.compression is not Compression.NONE


@dataclass(slots=True, eq=False, kw_only=True)
class Plan:
    """All of a layout. ``present`` says which members of the data header have a value, as far as the layout can tell.

    ``damaged`` are the channels whose value or timestamp has a size that does not fit, once for each; ``global_times`` the slots
    whose time is the message's. The versions say how long slots and classes are right: see `Store` and `Presence`.
    """

    binding: Binding
    present: NDArray[np.bool_]
    scalars: list[Scalars]
    singles: list[Single]
    times: list[Times]
    global_times: tuple[Block[Column], Index] | None
    damaged: list[FileChannel]
    slots_version: int
    classes_version: int = -1
    classes: Index | None = None


def make_plan(layout: Layout, binding: Binding, store: Store | None, *, row: int) -> Plan:
    """The plan for a layout, the first message of which is to be ``row``; columns are made where there are none.

    Without a store (a dry run) the plan only says who is present.
    """
    traits, contents = binding.traits, Contents.of([layout], binding.header, binding.traits)
    present = contents.present[0]
    return Plan(
        binding=binding,
        present=present,
        scalars=[] if store is None else _scalars(contents, binding, store, row),
        singles=[single_of(contents, 0, member, binding) for member in np.flatnonzero(present & traits.is_single).tolist()],
        times=[] if store is None else _times(contents, binding, store, row),
        global_times=None if store is None else _global_times(contents, binding, store, row),
        damaged=[binding.channels[member] for member in np.flatnonzero(contents.is_damaged[0]).tolist()],
        slots_version=0 if store is None else store.version,
    )


def single_of(contents: Contents, layout: int, member: int, binding: Binding) -> Single:
    """One of the channels that need a look of their own, as it stands in one of the layouts."""
    time_start = NO_TIME
    if binding.traits.is_packed[member] and contents.has_time[layout, member]:
        time_start = int(contents.time_starts[layout, member])
    elif binding.traits.is_packed[member] and contents.has_bad_time[layout, member]:
        time_start = BAD_TIME
    return Single(
        member=member,
        owner=binding.channels[member],
        channel=binding.header.channels[member],
        start=int(contents.starts[layout, member]),
        length=int(contents.lengths[layout, member]),
        time_start=time_start,
    )


def _scalars(contents: Contents, binding: Binding, store: Store, row: int) -> list[Scalars]:
    scalars = []
    for numbers in binding.traits.numbers:
        members = numbers.members[contents.present[0, numbers.members]]
        if len(members):
            block, slots = store.value_slots(binding, members, np.full(len(members), row))
            order = np.argsort(slots, kind="stable")
            places, index = Places.of(contents.starts[0, members[order]]), index_of(slots[order])
            scalars.append(Scalars(block=block, slots=index, places=places, dtype=numbers.dtype, is_truth=numbers.is_truth))
    return scalars


def _times(contents: Contents, binding: Binding, store: Store, row: int) -> list[Times]:
    times = []
    for big_endian in (False, True):
        of_order = binding.traits.is_big_endian == big_endian
        members = np.flatnonzero(contents.present[0] & contents.has_time[0] & of_order & ~binding.traits.is_packed)
        if len(members):
            block, slots = store.time_slots(binding, members, np.full(len(members), row))
            order = np.argsort(slots, kind="stable")
            places = Places.of(contents.time_starts[0, members[order]])
            owners = [binding.channels[member] for member in members[order].tolist()]
            slots_index = index_of(slots[order])
            times.append(Times(block=block, slots=slots_index, places=places, owners=owners, big_endian=big_endian))
    return times


def _global_times(contents: Contents, binding: Binding, store: Store, row: int) -> tuple[Block[Column], Index] | None:
    members = np.flatnonzero(contents.present[0] & ~contents.has_time[0] & ~binding.traits.is_packed)
    if not len(members):
        return None
    block, slots = store.time_slots(binding, members, np.full(len(members), row))
    return block, index_of(np.sort(slots))
