"""Which channel had a value in which row, kept once for all channels with the same history. Pure.

Most channels of a stream are never missing, and those that come every tenth pulse all come together. So their datasets
``pulse_id`` and ``is_data_present`` are equal row for row, and one column is enough for a whole class of channels. A class is
split when its members part; what was common until then is copied. Classes are never merged: histories never become equal again.

Class 0 is the channels that have never had a value. Nobody's first value changes it: it only loses members.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.columns import Index, grown, rectangle
from sf_bsread_writer.hdf5.layout import CHUNK_ROWS

NEVER = 0
"""The class of channels that have not had a value yet."""


@dataclass(frozen=True, slots=True)
class Split:
    """Some members of class ``old`` are now class ``new``, with the same history so far."""

    old: int
    new: int


class Presence:
    """The columns ``pulse_id`` and ``is_data_present`` of each class, for the rows of one chunk.

    Attributes
    ----------
    class_of : class of each channel, shape (channels,)
    pulse_ids, flags : ``[class, row % CHUNK_ROWS]``, zero where the channels of the class had no value
    rows_present : rows with a value since the start of the file, shape (classes,) or longer
    last_row : the last of them, -1 if there is none
    dirty : classes that were put since somebody reset it
    version : changes whenever ``class_of`` does, so that what was derived from it can be kept until then
    """

    __slots__ = ("class_of", "count", "dirty", "flags", "last_row", "pulse_ids", "rows_present", "version")

    def __init__(self) -> None:
        self.class_of: NDArray[np.intp] = np.zeros(0, np.intp)
        self.count = 1
        self.version = 0
        self.pulse_ids: NDArray[np.int64] = np.zeros((4, CHUNK_ROWS), np.int64)
        self.flags: NDArray[np.uint8] = np.zeros((4, CHUNK_ROWS), np.uint8)
        self.rows_present: NDArray[np.int64] = np.zeros(4, np.int64)
        self.last_row: NDArray[np.int64] = np.full(4, -1, np.int64)
        self.dirty: NDArray[np.bool_] = np.zeros(4, bool)

    def add_channels(self, count: int) -> None:
        """Takes channels in, numbered on from the last; until now they have had no value."""
        self.class_of = np.concatenate((self.class_of, np.full(count, NEVER, np.intp)))
        self.version += 1

    def part(self, labels: NDArray[np.intp]) -> list[Split]:
        """Splits classes until all channels of a class have the same label; returns what was split, in order.

        ``labels`` has one number ≥ 0 for each channel; 0 means "no value". The largest part of a class keeps its number.
        """
        width = int(labels.max(initial=0)) + 1
        keys, members, sizes = np.unique(self.class_of * width + labels, return_inverse=True, return_counts=True)
        owners = keys // width
        stays = {NEVER: NEVER * width}
        for position in np.argsort(-sizes, kind="stable").tolist():
            stays.setdefault(int(owners[position]), int(keys[position]))
        splits = []
        for position, (key, owner) in enumerate(zip(keys.tolist(), owners.tolist(), strict=True)):
            if stays[owner] != key:
                new = self._copy_of(owner)
                self.class_of[members == position] = new
                splits.append(Split(owner, new))
        if splits:
            self.version += 1
        return splits

    def put(self, classes: Index, lines: Index, pulse_ids: NDArray[np.int64], *, last_row: int) -> None:
        """Notes a value in these rows for all channels of these classes.

        ``lines`` count from the start of the chunk, ``last_row`` from the start of the file; ``pulse_ids`` has shape (rows,).
        """
        where = rectangle(classes, lines)
        self.pulse_ids[where] = pulse_ids
        self.flags[where] = 1
        self.rows_present[classes] += len(pulse_ids)
        self.last_row[classes] = np.maximum(self.last_row[classes], last_row)
        self.dirty[classes] = True

    def put_each(
        self, channels: NDArray[np.intp], there: NDArray[np.bool_], pulse_ids: NDArray[np.int64], *, first_row: int
    ) -> None:
        """Notes a value for each of these channels where it is ``there``, in the rows from ``first_row`` on, all of one chunk.

        ``there`` has shape (rows, channels). Channels of one class must be there in the same rows: see `patterns` and `part`.
        """
        classes, examples = np.unique(self.class_of[channels], return_index=True)
        rows_there = there.T[examples]
        some = rows_there.any(axis=1)
        classes, rows_there = classes[some], rows_there[some]
        line = first_row % CHUNK_ROWS
        where = classes, slice(line, line + len(there))
        self.pulse_ids[where] = np.where(rows_there, pulse_ids, 0)
        self.flags[where] = rows_there
        self.rows_present[classes] += np.count_nonzero(rows_there, axis=1)
        self.last_row[classes] = first_row + len(there) - 1 - rows_there[:, ::-1].argmax(axis=1)
        self.dirty[classes] = True

    def last_row_of(self, channel: int) -> int:
        """The last row in which a channel had a value, -1 if there is none."""
        return int(self.last_row[self.class_of[channel]])

    def classes_of(self, channels: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The classes of these channels, ascending; ``channels`` has shape (channels,)."""
        return np.unique(self.class_of[channels])

    def _copy_of(self, old: int) -> int:
        new = self.count
        if new == len(self.dirty):
            self.pulse_ids, self.flags = grown(self.pulse_ids), grown(self.flags)
            self.rows_present, self.last_row, self.dirty = grown(self.rows_present), grown(self.last_row), grown(self.dirty)
        for column in (self.pulse_ids, self.flags, self.rows_present, self.last_row, self.dirty):
            column[new] = column[old]
        self.count += 1
        return new

    def next_chunk(self) -> None:
        """Zero again, for the rows that follow. Everything dirty must have been written."""
        self.pulse_ids[: self.count] = 0
        self.flags[: self.count] = 0


def patterns(there: NDArray[np.bool_]) -> NDArray[np.intp]:
    """A label for each column of ``there``, shape (rows, channels): equal for equal ones, 0 where there is nothing."""
    packed = np.packbits(there, axis=0).T
    width = packed.shape[1]
    raw = packed.tobytes()
    labels = {bytes(width): 0}
    return np.array([labels.setdefault(raw[at : at + width], len(labels)) for at in range(0, len(raw), width)], np.intp)
