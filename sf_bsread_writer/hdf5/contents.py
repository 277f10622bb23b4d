"""What messages of some layouts hold: which channels, and where in the message. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.hdf5.traits import ANY_SIZE, Traits
from sf_bsread_writer.message.headers import DataHeader
from sf_bsread_writer.message.layout import Layout, has_value

TIMESTAMP_BYTES = 16


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Contents:
    """For some layouts of one data header. All arrays have shape (layouts, channels); places count from the body of a message.

    Attributes
    ----------
    present : which channels have a value, as far as the layout can tell
    is_damaged : where the value or the timestamp has a size that does not fit; but of a compressed value, which may prove to be
        no value, the timestamp does not count yet
    has_time : where there is a timestamp that fits
    has_bad_time : where there is one that does not
    """

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    time_starts: NDArray[np.int64]
    has_time: NDArray[np.bool_]
    has_bad_time: NDArray[np.bool_]
    present: NDArray[np.bool_]
    is_damaged: NDArray[np.bool_]

    @classmethod
    def of(cls, layouts: Sequence[Layout], header: DataHeader, traits: Traits) -> "Contents":
        """Compares all sizes with what the header promises."""
        starts = np.stack([layout.frame_starts for layout in layouts])
        lengths = np.stack([layout.frame_lengths for layout in layouts])
        value_lengths, time_lengths = lengths[:, 1::2], lengths[:, 2::2]
        has_bytes = has_value(header, value_lengths, time_lengths)
        fits = (value_lengths == traits.value_bytes) | (traits.value_bytes == ANY_SIZE)
        has_time = time_lengths == TIMESTAMP_BYTES
        has_bad_time = ~has_time & (time_lengths > 0)
        return cls(
            starts=starts[:, 1::2],
            lengths=value_lengths,
            time_starts=starts[:, 2::2],
            has_time=has_time,
            has_bad_time=has_bad_time,
            present=has_bytes & fits,
            is_damaged=has_bytes & ~(fits & (~has_bad_time | traits.is_packed)),
        )

    def of_messages(self, which: NDArray[np.intp]) -> "Contents":
        """The same for messages: ``which`` has the layout of each, shape (messages,)."""
        return Contents(
            starts=self.starts[which],
            lengths=self.lengths[which],
            time_starts=self.time_starts[which],
            has_time=self.has_time[which],
            has_bad_time=self.has_bad_time[which],
            present=self.present[which],
            is_damaged=self.is_damaged[which],
        )
