"""Where the values of a layout's messages go: worked out once for a layout, then used for every message of it. Pure."""

from collections import defaultdict
from dataclasses import dataclass, field
from math import prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.channels import Binding, Column, FileChannel
from sf_bsread_writer.hdf5.columns import Block, Index, Places, gather, gather_times, index_of
from sf_bsread_writer.hdf5.store import Store
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.layout import Layout
from sf_bsread_writer.message.types import Compression, ValueType

TIMESTAMP_BYTES = 16


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
    """Timestamps of one byte order, likewise."""

    block: Block[Column]
    slots: Index
    places: Places
    big_endian: bool

    def put(self, data: NDArray[np.uint8], bodies: NDArray[np.int64], lines: Index) -> None:
        """Gathers them for some messages, whose rows are ``lines`` of the chunk."""
        self.block.put(self.slots, lines, gather_times(data, self.places, bodies, big_endian=self.big_endian))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Single:
    """A value that needs a look of its own: an array, a string, or anything compressed.

    ``member`` is its position in the data header. ``time_start`` is set only if it is compressed, and has a time of its own: then
    the content tells whether there is a value, so its time cannot be put with those of all others.
    """

    member: int
    owner: FileChannel
    channel: Channel
    start: int
    length: int
    time_start: int | None

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


@dataclass(slots=True, eq=False)
class _Contents:
    """What a layout holds, sorted by what has to be done with it; numbers are places relative to the body."""

    present: NDArray[np.bool_]
    scalars: defaultdict[tuple[str, bool], list[tuple[FileChannel, Channel, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    times: defaultdict[bool | None, list[tuple[FileChannel, int]]] = field(default_factory=lambda: defaultdict(list))
    singles: list[Single] = field(default_factory=list)
    damaged: list[FileChannel] = field(default_factory=list)


def make_plan(layout: Layout, binding: Binding, store: Store | None, *, row: int) -> Plan:
    """The plan for a layout, the first message of which is to be ``row``; columns are made where there are none.

    Without a store (a dry run) the plan only says who is present.
    """
    contents = _sort(layout, binding)
    scalars: list[Scalars] = []
    times: list[Times] = []
    global_times = None
    if store is not None:
        for (dtype, is_truth), numbers in contents.scalars.items():
            columns = [store.values(owner, channel, row) for owner, channel, _ in numbers]
            block, slots, order = _slots_of(columns)
            places = Places.of(np.array([start for _, _, start in numbers], np.int64)[order])
            scalars.append(Scalars(block=block, slots=slots, places=places, dtype=np.dtype(dtype), is_truth=is_truth))
        for big_endian, stamps in contents.times.items():
            block, slots, order = _slots_of([store.times(owner, row) for owner, _ in stamps])
            if big_endian is None:
                global_times = block, slots
                continue
            places = Places.of(np.array([start for _, start in stamps], np.int64)[order])
            times.append(Times(block=block, slots=slots, places=places, big_endian=big_endian))
    return Plan(
        binding=binding,
        present=contents.present,
        scalars=scalars,
        singles=contents.singles,
        times=times,
        global_times=global_times,
        damaged=contents.damaged,
        slots_version=0 if store is None else store.version,
    )


def _sort(layout: Layout, binding: Binding) -> _Contents:
    contents = _Contents(layout.present.copy())
    starts, lengths = layout.value_starts.tolist(), layout.value_lengths.tolist()
    time_starts, time_lengths = layout.timestamp_starts.tolist(), layout.timestamp_lengths.tolist()
    for member in np.flatnonzero(contents.present).tolist():
        channel, owner = binding.header.channels[member], binding.channels[member]
        is_packed = channel.compression is not Compression.NONE
        if not is_packed and channel.value_bytes not in (None, lengths[member]):
            contents.present[member] = False
            contents.damaged.append(owner)
            continue
        has_time = time_lengths[member] == TIMESTAMP_BYTES
        if not has_time and time_lengths[member]:
            contents.damaged.append(owner)
        if not is_packed:
            contents.times[channel.big_endian if has_time else None].append((owner, time_starts[member]))
        if is_packed or channel.is_string or prod(channel.shape) > 1:
            time_start = time_starts[member] if is_packed and has_time else None
            single = Single(
                member=member, owner=owner, channel=channel, start=starts[member], length=lengths[member], time_start=time_start
            )
            contents.singles.append(single)
        else:
            dtype = f"{'>' if channel.big_endian else '<'}u{channel.item_bytes}"
            contents.scalars[dtype, channel.type is ValueType.BOOL].append((owner, channel, starts[member]))
    return contents


def _slots_of(columns: list[Column]) -> tuple[Block[Column], Index, NDArray[np.intp]]:
    """Block and ascending slots of columns that share a block, and the order that makes them ascend."""
    slots = np.array([column.slot for column in columns], np.intp)
    order = np.argsort(slots, kind="stable")
    return cast(Block[Column], columns[0].block), index_of(slots[order]), order
