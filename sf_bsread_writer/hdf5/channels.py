"""The channels of one file: who they are, and which datasets they have had. Pure.

A channel is known by its name. Where a name stands twice in a data header, the second one is another channel, known as that.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.columns import Block, RowBuffer, TextBuffer
from sf_bsread_writer.hdf5.layout import CHUNK_ROWS, DatasetLayout, Keeping, Spec, group_name
from sf_bsread_writer.hdf5.traits import Traits
from sf_bsread_writer.message.headers import Channel, DataHeader

TIMES = DatasetLayout(keeping=Keeping.CELLS, dtype=np.dtype("<i8"), row_shape=(), chunk_rows=CHUNK_ROWS)
"""Any column of pulse ids or times: int64, shape ``(rows,)``."""

FLAGS = DatasetLayout(keeping=Keeping.CELLS, dtype=np.dtype("u1"), row_shape=(), chunk_rows=CHUNK_ROWS)
"""A column of zeros and ones."""

UNKNOWN_SLOT = -1


@dataclass(slots=True, eq=False, kw_only=True)
class Column:
    """One dataset, or what becomes one when its first chunk is written. ``group`` and ``name`` are its place in the file.

    Its values wait in ``slot`` of a ``block`` (`Keeping.CELLS`), in ``rows`` or in ``texts``; those that go straight into the
    file wait nowhere. ``first_row`` is the first row with a value; ``last_row`` the last, known once a later column has begun.
    """

    group: str
    name: str
    layout: DatasetLayout
    spec: Spec | None = None
    first_row: int = 0
    last_row: int | None = None
    block: "Block[Column] | None" = None
    slot: int = -1
    rows: RowBuffer | None = None
    texts: TextBuffer | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class FileChannel:
    """A channel in the file.

    ``described`` is what the latest data header says about it, ``first_row`` the row whose header first named it; ``values`` are
    its columns of values, oldest first, ``times`` that of its own timestamps. ``damaged`` counts values that could not be used,
    or not completely.
    """

    number: int
    group: str
    described: Channel
    first_row: int
    damaged: int = 0
    values: list[Column] = field(default_factory=list)
    times: Column | None = None

    @property
    def name(self) -> str:
        """As the source gives it."""
        return self.described.name


@dataclass(slots=True, eq=False)
class Slots:
    """Where the single numbers and the timestamps of a header's channels wait in the blocks of a store, `UNKNOWN_SLOT` if not
    asked for yet; shape (channels,). Right as long as ``version`` is that of the store.
    """

    values: NDArray[np.intp]
    times: NDArray[np.intp]
    version: int = 0

    @classmethod
    def unknown(cls, count: int) -> "Slots":
        """Of so many channels."""
        return cls(np.full(count, UNKNOWN_SLOT, np.intp), np.full(count, UNKNOWN_SLOT, np.intp))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Binding:
    """The channels of a data header, and those of the file that they are; ``numbers`` has shape (channels,)."""

    header: DataHeader
    channels: Sequence[FileChannel]
    numbers: NDArray[np.intp]
    traits: Traits
    slots: Slots


class Channels:
    """All channels of a file, numbered in order of appearance."""

    def __init__(self) -> None:
        self.all: list[FileChannel] = []
        self._known: dict[tuple[str, int], FileChannel] = {}
        self._groups: set[str] = set()

    def bind(self, header: DataHeader, *, row: int) -> Binding:
        """Finds the header's channels, or makes them; ``row`` is the first one with this header."""
        seen: Counter[str] = Counter()
        found = []
        for channel in header.channels:
            seen[channel.name] += 1
            found.append(self._find(channel, seen[channel.name], row))
        return Binding(
            header=header,
            channels=found,
            numbers=np.array([channel.number for channel in found], np.intp),
            traits=Traits.of(header.channels),
            slots=Slots.unknown(len(found)),
        )

    def _find(self, channel: Channel, occurrence: int, row: int) -> FileChannel:
        key = channel.name, occurrence
        known = self._known.get(key)
        if known is not None:
            known.described = channel
            return known
        name = group_name(channel.name, self._groups)
        self._groups.add(name)
        new = FileChannel(number=len(self.all), group=f"data/{name}", described=channel, first_row=row)
        self.all.append(new)
        self._known[key] = new
        return new
