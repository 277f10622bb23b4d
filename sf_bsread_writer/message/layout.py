"""Where the frames of a message lie, and runs of whole messages in one piece of memory. Pure.

A steady stream repeats its frame layout exactly: same data header, same frame lengths. A `Layout` is what such messages share:
the offsets of all frame headers behind the main header, and the bytes that stand there. Whoever knows a message's layout knows
every channel's position in it without looking at a frame again; that is what makes 300 channels cost microseconds.

All offsets of a layout count from the **body** of a message: the first byte after its main header frame, because the main
header's length changes with the digits of pulse id and time while nothing behind it does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.headers import DataHeader, MainHeader, parse_data_header, parse_main_header
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.zmtp.frames import LONG

SHORT_HEADER_BYTES = 2
LONG_HEADER_BYTES = 9


class HeaderFrame:
    """A data header frame as it came, shared by all layouts that have it; decoded when somebody first asks."""

    __slots__ = ("_decoded", "_error", "data", "dh_compression")

    def __init__(self, data: bytes, dh_compression: Compression) -> None:
        self.data = data
        self.dh_compression = dh_compression
        self._decoded: DataHeader | None = None
        self._error: str | None = None

    @property
    def was_decoded(self) -> bool:
        """Whether somebody has asked already, and will have the answer at once."""
        return self._decoded is not None or self._error is not None

    @property
    def decoded(self) -> DataHeader:
        """The same object at each call; raises the same `MessageError` at each call if the frame cannot be understood."""
        if self._decoded is None:
            if self._error is not None:
                raise MessageError(self._error)
            try:
                self._decoded = parse_data_header(self.data, self.dh_compression)
            except MessageError as error:
                self._error = str(error)
                raise
        return self._decoded


class Layout:
    """What messages with the same data header and the same frame lengths share. Equal only to itself.

    Attributes
    ----------
    header : the data header frame, an object shared with other layouts of the same stream
    n_frames : frames of a whole message, main header included
    total_bytes : from the body to the end of the message
    frame_starts, frame_lengths : place of each frame's content, shape (n_frames - 1,); index 0 is the data header
    frame_ends : frame_starts + frame_lengths, which is where the next frame's header begins
    template_offsets, template_bytes : every frame header byte behind the main header: where (relative to the body) and what
    nbytes : memory that this layout takes, without its data header
    template_of_frame : index of each frame's first header byte in the template, shape (n_frames,); the last is its length
    """

    __slots__ = (
        "_present",
        "frame_ends",
        "frame_lengths",
        "frame_starts",
        "header",
        "n_frames",
        "nbytes",
        "template_bytes",
        "template_of_frame",
        "template_offsets",
        "total_bytes",
    )

    def __init__(
        self,
        *,
        header: HeaderFrame,
        frame_starts: NDArray[np.int64],
        frame_lengths: NDArray[np.int64],
        body: NDArray[np.uint8],
    ) -> None:
        """``body`` is a message of this layout from its body on; only its frame headers are read, and copied."""
        self.header = header
        self.n_frames = len(frame_starts) + 1
        self.frame_starts = frame_starts
        self.frame_lengths = frame_lengths
        self.frame_ends = frame_starts + frame_lengths
        self.total_bytes = int(self.frame_ends[-1])
        header_starts = np.concatenate(([0], self.frame_ends[:-1]))
        header_sizes = frame_starts - header_starts
        self.template_of_frame = np.concatenate(([0], np.cumsum(header_sizes)))
        shift = np.repeat(header_starts - self.template_of_frame[:-1], header_sizes)
        self.template_offsets: NDArray[np.intp] = (shift + np.arange(len(shift))).astype(np.intp)
        self.template_bytes = body[self.template_offsets]
        kept = (frame_starts, frame_lengths, self.frame_ends, self.template_of_frame, self.template_offsets, self.template_bytes)
        self.nbytes = sum(array.nbytes for array in kept)
        self._present: NDArray[np.bool_] | None = None

    @property
    def data_header(self) -> bytes:
        """The data header frame as on the wire."""
        return self.header.data

    @property
    def dh_compression(self) -> Compression:
        """How the data header frame is compressed, as the main header said."""
        return self.header.dh_compression

    @property
    def channels(self) -> DataHeader:
        """The decoded data header, the same object for all layouts that share it.

        Raises `MessageError` at each call if it cannot be decoded, or if the frames do not fit its channels.
        """
        header = self.header.decoded
        expected = 2 + 2 * len(header.channels)
        if self.n_frames != expected:
            raise MessageError(f"message has {self.n_frames} frames, but its {len(header.channels)} channels need {expected}")
        return header

    @property
    def value_starts(self) -> NDArray[np.int64]:
        """First byte of each channel's value relative to the body, shape (channels,)."""
        return self.frame_starts[1::2]

    @property
    def value_lengths(self) -> NDArray[np.int64]:
        """Bytes of each channel's value frame, shape (channels,)."""
        return self.frame_lengths[1::2]

    @property
    def timestamp_starts(self) -> NDArray[np.int64]:
        """First byte of each channel's timestamp relative to the body, shape (channels,)."""
        return self.frame_starts[2::2]

    @property
    def timestamp_lengths(self) -> NDArray[np.int64]:
        """Bytes of each channel's timestamp frame (16, or 0 where the global timestamp is meant), shape (channels,)."""
        return self.frame_lengths[2::2]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which channels have a value, shape (channels,): see `has_value`. Raises what `channels` raises."""
        if self._present is None:
            self._present = has_value(self.channels, self.value_lengths, self.timestamp_lengths)
        return self._present


def has_value(header: DataHeader, value_lengths: NDArray[np.int64], timestamp_lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which channels have a value: any bytes, or for a string (which may be empty) a timestamp. Shapes (…, channels).

    A channel whose shape has no elements never has one.

    A compressed value that says "0 bytes uncompressed" is missing too, but that stands in its content: `is_missing_payload`.
    """
    return (value_lengths > 0) & ~header.is_empty | header.is_string & (timestamp_lengths > 0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Run:
    """Whole messages in order of arrival, in one piece of memory that somebody else owns (who keeps a run must pin its segment).

    ``data`` is the whole piece, shape (bytes,), and ``view`` the same memory. Message i is ``data[starts[i]:ends[i]]``, its main
    header frame ends at ``bodies[i]``, and its layout is ``layouts[layout_index[i]]``. All arrays have shape (messages,).

    Every main header in a run has been understood. Data headers have not been looked at: ``layouts[j].channels`` raises
    `MessageError` for messages that can be passed on but not assigned to channels.
    """

    data: NDArray[np.uint8]
    view: memoryview
    starts: NDArray[np.int64]
    bodies: NDArray[np.int64]
    ends: NDArray[np.int64]
    pulse_ids: NDArray[np.int64]
    global_timestamps_ns: NDArray[np.int64]
    layout_index: NDArray[np.intp]
    layouts: tuple[Layout, ...]

    def __len__(self) -> int:
        return len(self.starts)

    def main_header(self, index: int) -> MainHeader:
        """The main header of one message, read again from its frame."""
        return parse_main_header(self._main_frame(index))

    def frames(self, index: int) -> list[memoryview]:
        """All frames of one message, main header first, in the run's own memory. Not for the hot path."""
        layout = self.layouts[self.layout_index[index]]
        body = int(self.bodies[index])
        places = zip(layout.frame_starts.tolist(), layout.frame_ends.tolist(), strict=True)
        return [self._main_frame(index), *(self.view[body + start : body + end] for start, end in places)]

    def by_layout(self) -> Iterator[tuple[Layout, NDArray[np.intp]]]:
        """Each layout that messages of this run have, with the indices of these messages, ascending."""
        for index in np.unique(self.layout_index).tolist():
            yield self.layouts[index], np.flatnonzero(self.layout_index == index)

    def slice(self, start: int, stop: int) -> Self:
        """Messages start..stop (stop exclusive) of this run, in the same memory; layouts that are no longer used stay listed."""
        part = np.s_[start:stop]
        return replace(
            self,
            starts=self.starts[part],
            bodies=self.bodies[part],
            ends=self.ends[part],
            pulse_ids=self.pulse_ids[part],
            global_timestamps_ns=self.global_timestamps_ns[part],
            layout_index=self.layout_index[part],
        )

    def _main_frame(self, index: int) -> memoryview:
        start = int(self.starts[index])
        header_bytes = LONG_HEADER_BYTES if self.view[start] & LONG else SHORT_HEADER_BYTES
        return self.view[start + header_bytes : int(self.bodies[index])]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandFrame:
    """A ZMTP command that stood between (or inside) the messages. ``data`` is its content behind the name."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """One message that is not passed on, or an in-band command.

    ``kind`` is one of `DROP_KINDS`; ``text`` says what was wrong, with the value; it lay at start..stop (stop exclusive).
    Of one that was too large nothing is left, and both are the place where it began.
    """

    kind: str
    text: str
    start: int
    stop: int


DROP_KINDS: Sequence[str] = (
    "stop",  # in-band command: the source ends
    "reconnect",  # in-band command: the source moves; text has the address
    "empty main header",  # first frame has no bytes
    "bad main header",  # first frame is no JSON, or a value is out of range
    "unknown htype",  # JSON, but of another kind
    "no data header",  # main header alone
    "too large",  # more bytes or frames than are accepted
)

Event = Run | CommandFrame | Dropped
