"""What stands where in the file: datasets, their types and chunks, and the names of groups. Pure.

One row per message. How a channel's values are kept follows from their size, because each way has its price per row:

====================================  ==========================================================================
values                                stored as
====================================  ==========================================================================
single numbers                        `Keeping.CELLS`: gathered for all channels at once; chunks of `CHUNK_ROWS` rows
arrays, below `DIRECT_BYTES`          `Keeping.ROWS`: copied row by row; chunks of about `WIDE_CHUNK_BYTES`
from `DIRECT_BYTES` on                `Keeping.CHUNKS`: one chunk per row, from the received bytes straight into the file
                                      or compressed on the way, if the user wants that
compressed, from `FILTERED_BYTES` on  `Keeping.CHUNKS`, as they came, with the HDF5 filter that undoes the compression
strings                               `Keeping.TEXTS`: variable length, written by HDF5 itself
====================================  ==========================================================================

Source of the file's layout: the files of the SwissFEL writers, see ``docs/reference/file.md``.
"""

from collections.abc import Container
from dataclasses import dataclass
from enum import Enum
from math import prod

import numpy as np

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType

CHUNK_ROWS = 1024
"""Rows in a chunk of scalars. A power of two, so that every smaller power of two divides it."""

WIDE_CHUNK_BYTES = 256 * 1024
"""Aim for a chunk of waveforms: four times the size has no measurable gain, and 1000 waveforms would need a GiB of memory."""

DIRECT_BYTES = 64 * 1024
"""From here on a chunk for each row costs less than a copy of the row."""

FILTERED_BYTES = 2 * 1024
"""From here on a compressed value becomes a chunk as it came. That costs 10 µs and 60 bytes of index; decompressing a smaller one
costs 5 to 15 µs, and columns read back far faster than chunks of one row."""

MAX_NAME_BYTES = 255
"""Longer channel names are cut: HDF5 takes them, but many tools that show them do not."""


class Keeping(Enum):
    """How a channel's values are gathered and written; see the table above."""

    CELLS = "cells"
    ROWS = "rows"
    CHUNKS = "chunks"
    TEXTS = "texts"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetLayout:
    """A dataset of shape ``(rows, *row_shape)``: ``(1,)`` for a scalar, ``(n,)`` waveform, ``(h, w)`` image, ``()`` string."""

    keeping: Keeping
    dtype: np.dtype[np.generic] | None
    row_shape: tuple[int, ...]
    chunk_rows: int
    filter: Compression = Compression.NONE

    @property
    def row_bytes(self) -> int:
        """Bytes of one decompressed value; 0 for strings."""
        return 0 if self.dtype is None else prod(self.row_shape) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one uncompressed chunk; 16 a row for strings, whose chunks hold references."""
        return self.chunk_rows * (self.row_bytes or 16)


Spec = tuple[ValueType, tuple[int, ...]]
"""Type and shape (NumPy order) of a channel's values. As long as they stay the same, so does the dataset."""


def spec_of(channel: Channel) -> Spec:
    """What of a channel decides about its dataset; compression and byte order may change without changing it."""
    return channel.type, channel.shape


def dataset_layout(channel: Channel, compression: Compression = Compression.NONE) -> DatasetLayout:
    """The dataset for a channel's values, made when the first of them arrives.

    ``compression`` is what those are compressed with that come uncompressed, and have a chunk for each row.
    Values are stored little-endian. Only chunks that are written as they came, compressed, keep the channel's byte order.
    """
    if channel.is_string:
        return DatasetLayout(keeping=Keeping.TEXTS, dtype=None, row_shape=(), chunk_rows=CHUNK_ROWS)
    row_shape = channel.shape or (1,)
    row_bytes = prod(row_shape) * channel.item_bytes
    if channel.compression is not Compression.NONE and row_bytes >= FILTERED_BYTES:
        return DatasetLayout(
            keeping=Keeping.CHUNKS, dtype=channel.dtype, row_shape=row_shape, chunk_rows=1, filter=channel.compression
        )
    dtype = channel.type.numpy
    if row_bytes >= DIRECT_BYTES:
        return DatasetLayout(keeping=Keeping.CHUNKS, dtype=dtype, row_shape=row_shape, chunk_rows=1, filter=compression)
    if prod(row_shape) == 1:
        return DatasetLayout(keeping=Keeping.CELLS, dtype=dtype, row_shape=row_shape, chunk_rows=CHUNK_ROWS)
    rows = 1 << ((WIDE_CHUNK_BYTES // row_bytes).bit_length() - 1)
    return DatasetLayout(keeping=Keeping.ROWS, dtype=dtype, row_shape=row_shape, chunk_rows=min(CHUNK_ROWS, rows))


def value_dataset(number: int) -> str:
    """Name of a dataset of values: 0 is the latest, ``data``; earlier ones are ``data(1)``, ``data(2)``, …, oldest first."""
    return f"data({number})" if number else "data"


def group_name(name: str, taken: Container[str]) -> str:
    """The name of a channel's group: the channel's own wherever HDF5 can hold it as one name, else one as close as possible.

    ``a/b`` would be a group in a group, ``.`` means the group itself, and a NUL ends a name. A name that is ``taken`` already, by
    another channel or because it stands twice in a header, gets ``(2)``, ``(3)``, … behind it.
    """
    safe = name.replace("/", "_").replace("\0", "_")
    safe = safe.encode("utf-8", "replace")[:MAX_NAME_BYTES].decode("utf-8", "ignore")
    if safe in ("", ".", ".."):
        safe = "_" * max(1, len(safe))
    candidate, number = safe, 1
    while candidate in taken:
        number += 1
        candidate = f"{safe}({number})"
    return candidate
