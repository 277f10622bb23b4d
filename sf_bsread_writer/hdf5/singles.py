"""Values that need a look of their own, channel by channel: arrays, strings, and everything compressed. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.hdf5.chunks import chunk_of, decoded
from sf_bsread_writer.hdf5.columns import Places, gather_times
from sf_bsread_writer.hdf5.layout import Keeping
from sf_bsread_writer.hdf5.plan import BAD_TIME, NO_TIME, Single
from sf_bsread_writer.hdf5.store import Store
from sf_bsread_writer.message.compression import Payload, decompress, is_missing_payload
from sf_bsread_writer.message.decode import decode_string
from sf_bsread_writer.message.layout import Run


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Values:
    """One channel's values in some rows, in ascending order. All arrays have shape (values,).

    ``positions`` count from the first of the rows, ``starts`` and ``time_starts`` are places in the memory of the run; the latter
    may be `NO_TIME` or `BAD_TIME`.
    """

    single: Single
    positions: NDArray[np.intp]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    time_starts: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[tuple[Single, NDArray[np.intp]]], bodies: NDArray[np.int64]) -> "Values":
        """Merges what several layouts hold of one channel: for each layout its positions; ``bodies`` has shape (rows,)."""
        each = [_one_layout(single, positions, bodies) for single, positions in parts]
        if len(each) == 1:
            return each[0]
        merged = cls(
            single=each[0].single,
            positions=np.concatenate([values.positions for values in each]),
            starts=np.concatenate([values.starts for values in each]),
            lengths=np.concatenate([values.lengths for values in each]),
            time_starts=np.concatenate([values.time_starts for values in each]),
        )
        return merged._choose(np.argsort(merged.positions))

    def without(self, positions: Sequence[int]) -> "Values":
        """All but those at these positions."""
        return self._choose(np.flatnonzero(~np.isin(self.positions, positions))) if positions else self

    def _choose(self, which: NDArray[np.intp]) -> "Values":
        return Values(
            single=self.single,
            positions=self.positions[which],
            starts=self.starts[which],
            lengths=self.lengths[which],
            time_starts=self.time_starts[which],
        )


def _one_layout(single: Single, positions: NDArray[np.intp], bodies: NDArray[np.int64]) -> Values:
    here = bodies[positions]
    return Values(
        single=single,
        positions=positions,
        starts=here + single.start,
        lengths=np.full(len(here), single.length, np.int64),
        time_starts=np.full(len(here), single.time_start, np.int64) if single.time_start < 0 else here + single.time_start,
    )


def absent(values: Values, run: Run) -> list[int]:
    """Positions of compressed values whose content says that there is none."""
    return [position for position, payload, has_time in _payloads(values, run) if _is_absent(values.single, payload, has_time)]


def _payloads(values: Values, run: Run) -> Iterator[tuple[int, memoryview, bool]]:
    """Position and bytes of each value, and whether it has a timestamp of its own, good or bad."""
    has_time = values.time_starts != NO_TIME
    for position, start, length, own in zip(
        values.positions.tolist(), values.starts.tolist(), values.lengths.tolist(), has_time.tolist(), strict=True
    ):
        yield position, run.view[start : start + length], own


def _is_absent(single: Single, payload: Payload, has_time: bool) -> bool:
    """True if there is no value; a string of no bytes is one if it has a timestamp."""
    if not single.is_packed or (single.channel.is_string and has_time):
        return False
    return is_missing_payload(single.channel.compression, payload)


def put_values(store: Store, values: Values, run: Run, *, first_row: int, times_ns: NDArray[np.int64]) -> list[int]:
    """Puts the values into their column; returns the positions where there was none after all.

    ``first_row`` is the row of position 0; ``times_ns`` has the global timestamp of each row.
    """
    single = values.single
    if not single.is_packed and not single.channel.is_string:
        _put_arrays(store, values, run, first_row)
        return []
    failed = []
    for position, payload, has_time in _payloads(values, run):
        if _is_absent(single, payload, has_time) or not _put_one(store, single, payload, first_row + position):
            failed.append(position)
    if single.is_packed:
        _put_times(store, values.without(failed), run, first_row, times_ns)
    return failed


def _put_arrays(store: Store, values: Values, run: Run, first_row: int) -> None:
    single, rows = values.single, values.positions + first_row
    column = store.values(single.owner, single.channel, int(rows[0]))
    if column.layout.keeping is Keeping.ROWS:
        store.put_rows(column, run.data, values.starts, rows, big_endian=single.channel.big_endian)
        return
    for row, start in zip(rows.tolist(), values.starts.tolist(), strict=True):
        store.write_row(column, row, *chunk_of(column.layout, single.channel, run.view[start : start + single.length]))


def _put_one(store: Store, single: Single, payload: Payload, row: int) -> bool:
    """Puts one value; False, and counted, if it cannot be used."""
    channel, owner = single.channel, single.owner
    try:
        if channel.is_string:
            _put_text(store, single, payload, row)
        else:
            layout = store.layout_for(owner, channel)
            if layout.keeping is Keeping.CHUNKS:
                chunk = chunk_of(layout, channel, payload)
                store.write_row(store.values(owner, channel, row), row, *chunk)
            else:
                value = decoded(layout, channel, payload)
                store.put_value(store.values(owner, channel, row), value, row)
    except MessageError:
        owner.damaged += 1
        return False
    return True


def _put_text(store: Store, single: Single, payload: Payload, row: int) -> None:
    channel, owner = single.channel, single.owner
    if is_missing_payload(channel.compression, payload):
        payload = b""
    elif single.is_packed:
        payload = decompress(
            channel.compression, payload, expected_bytes=None, item_bytes=channel.item_bytes, big_endian=channel.big_endian
        )
    text, was_damaged = decode_string(payload)
    owner.damaged += was_damaged
    store.put_text(store.values(owner, channel, row), text, row)


def _put_times(store: Store, values: Values, run: Run, first_row: int, times_ns: NDArray[np.int64]) -> None:
    """Puts the timestamps of compressed values."""
    if not len(values.positions):
        return
    times = times_ns[values.positions]
    own = values.time_starts >= 0
    values.single.owner.damaged += int((values.time_starts == BAD_TIME).sum())
    if own.any():
        place = Places.of(np.zeros(1, np.int64))
        big_endian, starts = values.single.channel.big_endian, values.time_starts[own]
        own_times, is_bad = gather_times(run.data, place, starts, big_endian=big_endian, default_ns=times[own])
        times[own] = own_times[0]
        values.single.owner.damaged += 0 if is_bad is None else int(is_bad.sum())
    store.put_times(values.single.owner, values.positions + first_row, times)
