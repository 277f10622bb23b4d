"""One message, frame by frame: the slow and always right way to find its end. Pure.

A walk stops where the bytes stop and goes on at the same frame when more have come, so that a message that trickles in costs no
more than one that comes at once. All places are relative to the first byte of the message, because its owner may move it.

Where a message differs from an earlier one in a few frames only (a text of another length, a slow channel that is missing), the
walk jumps: it compares the frame headers of the rest with those of the earlier message, shifted, and goes on where they differ.
Where it differs everywhere, the walk strides: it follows the lengths as if all headers were short, and looks at the flags of many
frames afterwards. Both leave everything that is not a plain short frame to the single step.
"""

from array import array
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.layout import LONG_HEADER_BYTES, SHORT_HEADER_BYTES, Layout
from sf_bsread_writer.zmtp.frames import LONG, MORE, FrameHeader, read_frame_header

MIB = 1 << 20

MAX_LAYOUTS = 32
"""Layouts that anybody remembers: what is known of one is up to 1.5 MB, and a stream that never repeats itself makes new ones."""

_WORTH_A_JUMP = 256
"""A jump costs as much as striding over about so many frames."""

_FRAMES_BETWEEN_JUMPS = 64
"""At least; four times as many after each jump that was not worth it."""

_WORTH_A_STRIDE = 16
_STRIDE_FRAMES = 128, 1024
"""How many frames the first stride tries, and the longest: behind a long frame it follows lengths that are none."""

_STRIDE_BYTES = 16 * 1024
_LEAST_STRIDE_BYTES = 256
"""With fewer bytes, the frames end too soon for a stride to be worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may make us hold. A message beyond that is passed over, up to ``max_skipped_bytes``.

    Attributes
    ----------
    max_frames : the default has room for 2 headers, and value and timestamp of 65536 channels
    max_layouts : layouts remembered; slow channels at 2, 5 and 10 times the pulse make 4, texts of changing length any number
    max_layout_bytes : what these may hold, data headers included; the largest known stream needs 1.5 MB for each
    max_skipped_bytes : a message that is longer is none: what stands for its length is damage, and its end would never come
    """

    max_frame_bytes: int = 256 * MIB
    max_frames: int = 2 + 2 * 65536
    max_message_bytes: int = 1024 * MIB
    max_layouts: int = MAX_LAYOUTS
    max_layout_bytes: int = 64 * MIB
    max_skipped_bytes: int = 1024 * MIB

    @property
    def advice(self) -> str:
        """What to do about a message that is over a limit of bytes."""
        usual = Limits()
        is_for_want_of_memory = self.max_frame_bytes < usual.max_frame_bytes or self.max_message_bytes < usual.max_message_bytes
        return "give more --memory_limit" if is_for_want_of_memory else "mend the sender"


class Progress(Enum):
    """Why a walk stopped."""

    WHOLE = "the message ends here"
    SHORT = "the bytes end here"
    COMMAND = "a whole command frame stands here"
    TOO_LARGE = "the message is over a limit"


class Walk:
    """The frames of one message that have arrived whole, main header first."""

    __slots__ = ("_lengths", "_limits", "_starts", "command", "excess", "length", "need")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._starts = array("q")
        self._lengths = array("q")
        self.length = 0
        """Bytes walked: where the next frame header is, relative to the message's first byte."""
        self.need = 0
        """After SHORT: how many bytes from the message's first one on must be there before another step can succeed."""
        self.command: FrameHeader | None = None
        """After COMMAND: that frame, in the place given to `advance`."""
        self.excess = ""
        """After TOO_LARGE: what is, and what can be done."""

    @property
    def n_frames(self) -> int:
        """Whole frames so far, main header included."""
        return len(self._starts)

    @property
    def starts(self) -> NDArray[np.int64]:
        """First content byte of each frame, relative to the message's first byte, shape (n_frames,); a copy."""
        return np.array(self._starts, np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Content bytes of each frame, shape (n_frames,); a copy."""
        return np.array(self._lengths, np.int64)

    def advance(self, data: NDArray[np.uint8], view: memoryview, base: int, stop: int, *, like: Layout | None = None) -> Progress:
        """Goes on through the message that begins at ``base``, as far as ``stop`` (exclusive) allows.

        ``like`` is the layout of an earlier message, whose frame headers are tried first.
        Raises `PeerError` when framing is lost.
        """
        starts, lengths, limits = self._starts, self._lengths, self._limits
        jump_at, between_jumps = max(1, len(starts)), _FRAMES_BETWEEN_JUMPS
        stride_at, between_strides, stride = max(2, len(starts)), 1, _STRIDE_FRAMES[0]  # behind both headers
        while True:
            walked = len(starts)
            if like is not None and walked >= jump_at:
                if self._jump(data, base, stop, like):
                    return Progress.WHOLE
                between_jumps = _FRAMES_BETWEEN_JUMPS if len(starts) - walked >= _WORTH_A_JUMP else 4 * between_jumps
                jump_at = len(starts) + between_jumps
            elif walked >= stride_at and stop - base - self.length >= _LEAST_STRIDE_BYTES:
                most = min(stride, like.n_frames - walked) if like is not None and like.n_frames > walked else stride
                self._stride(data, view, base, stop, most)
                if len(starts) - walked == most:
                    stride = min(2 * stride, _STRIDE_FRAMES[1])
                    continue
                is_worth_it = len(starts) - walked >= _WORTH_A_STRIDE
                between_strides, stride = 1 if is_worth_it else min(8 * between_strides, 512), _STRIDE_FRAMES[0]
                stride_at = len(starts) + between_strides
            position = base + self.length
            # The rules of `read_frame_header` once more, for the frames that messages are made of: calling it triples the cost.
            if stop - position < SHORT_HEADER_BYTES:
                return self._short(position + SHORT_HEADER_BYTES - base)
            flags = view[position]
            if flags <= MORE:
                begin = position + SHORT_HEADER_BYTES
                length = view[position + 1]
            elif flags <= MORE | LONG and stop - position >= LONG_HEADER_BYTES:
                begin = position + LONG_HEADER_BYTES
                length = int.from_bytes(view[position + 1 : begin], "big")
                if length > limits.max_frame_bytes:
                    return self._too_large_a_frame(length, view, base, stop)
            else:
                return self._special(view, base, stop)
            end = begin + length
            if end > stop or end - base > limits.max_message_bytes or len(starts) >= limits.max_frames:
                return self._short_or_too_large(end - base, is_last=not flags & MORE)
            starts.append(begin - base)
            lengths.append(length)
            self.length = end - base
            if not flags & MORE:
                return Progress.WHOLE

    def _short(self, need: int) -> Progress:
        self.need = need
        return Progress.SHORT

    def _special(self, view: memoryview, base: int, stop: int) -> Progress:
        """A command, a long header that is cut off, or damage, of which reading it in full raises."""
        position = base + self.length
        header = read_frame_header(view, position, stop, max_frame_bytes=self._limits.max_frame_bytes)
        if header is None:
            return self._short(self.length + LONG_HEADER_BYTES)
        if header.body_stop > stop:
            return self._short(header.body_stop - base)
        self.command = header
        return Progress.COMMAND

    def _too_large_a_frame(self, length: int, view: memoryview, base: int, stop: int) -> Progress:
        if length > self._limits.max_skipped_bytes:
            return self._special(view, base, stop)
        self.excess = f"has a frame of {length} bytes, at most {self._limits.max_frame_bytes} are accepted: {self._limits.advice}"
        return Progress.TOO_LARGE

    def _short_or_too_large(self, message_bytes: int, *, is_last: bool) -> Progress:
        """The next frame is not there yet, or too much; with it, the message has so many bytes."""
        limits = self._limits
        if self.n_frames >= limits.max_frames:
            self.excess = f"has more than {limits.max_frames} frames: mend the sender"
        elif message_bytes > limits.max_message_bytes:
            self.excess = f"has {message_bytes} bytes or more, at most {limits.max_message_bytes} are accepted: {limits.advice}"
        else:
            return self._short(message_bytes + (0 if is_last else SHORT_HEADER_BYTES))
        return Progress.TOO_LARGE

    def _jump(self, data: NDArray[np.uint8], base: int, stop: int, like: Layout) -> bool:
        """Takes the frames from here on that have the same headers as in ``like``; True if they end the message."""
        index = self.n_frames - 1  # frames of a layout are counted without the main header
        if index >= like.n_frames - 1:
            return False
        shift = self.length - int(like.frame_ends[index - 1] if index else 0)
        room = min(stop - base, self._limits.max_message_bytes)
        reached = int(np.searchsorted(like.frame_ends, room - shift, "right"))  # frames that would lie within it
        if reached <= index:
            return False
        first, last = int(like.template_of_frame[index]), int(like.template_of_frame[reached])
        same = data[like.template_offsets[first:last] + (base + shift)] == like.template_bytes[first:last]
        if not same.all():
            reached = int(np.searchsorted(like.template_of_frame, first + int(same.argmin()), "right")) - 1
            if reached == index:
                return False
        self._starts.frombytes((like.frame_starts[index:reached] + shift).tobytes())
        self._lengths.frombytes(like.frame_lengths[index:reached].tobytes())
        self.length = int(like.frame_ends[reached - 1]) + shift
        return reached == like.n_frames - 1

    def _stride(self, data: NDArray[np.uint8], view: memoryview, base: int, stop: int, most: int) -> None:
        """Takes the next frames, at most so many, up to the first that is the last of its message or has no short header."""
        begin = base + self.length
        most = min(most, self._limits.max_frames - len(self._starts))
        window = bytes(view[begin : min(stop, begin + _STRIDE_BYTES, base + self._limits.max_message_bytes)])
        place, heads = 1, [0]  # of a length byte, relative to the window; of the frame headers
        put = heads.append
        try:
            for _ in range(most):
                place += window[place] + SHORT_HEADER_BYTES
                put(place - 1)
        except IndexError:
            pass
        if heads[-1] > len(window):
            heads.pop()
        ends = np.array(heads, np.int64)
        is_plain = data[ends[:-1] + begin] == MORE
        count = len(is_plain) if is_plain.all() else int(is_plain.argmin())
        starts = ends[:count] + (SHORT_HEADER_BYTES + self.length)
        self._starts.frombytes(starts.tobytes())
        self._lengths.frombytes((ends[1 : count + 1] - ends[:count] - SHORT_HEADER_BYTES).tobytes())
        self.length += int(ends[count])
