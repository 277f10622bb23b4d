"""The main headers of many messages at once. Pure.

Main headers of one stream differ in the digits of pulse id and time, and in nothing else. So one of them is decoded, and the
digits of the others are read where its own stand, after every other byte was compared. What differs in anything else is left to
`parse_main_header`, one by one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.headers import INT64_MAX, parse_main_header
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.model import NS_PER_S

FEWEST = 32
"""Main headers of one length for which this pays; fewer are decoded one by one."""

_NUMBERS = [
    re.compile(rb'(?<!\\)"' + name + rb'"\s*:\s*(\d{1,18})(?=[\s,}])') for name in (rb"pulse_id", rb"(?:sec|epoch)", rb"ns")
]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mains:
    """What some main headers say: pulse ids and global timestamps in ns since 1970, shape (messages,), and what all have."""

    pulse_ids: NDArray[np.int64]
    global_timestamps_ns: NDArray[np.int64]
    dh_compression: Compression


def read_alike(data: NDArray[np.uint8], starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Mains | None:
    """The main headers in ``data[starts[i]:stops[i]]``, whole and of any lengths; None if they are not that much alike."""
    lengths = stops - starts
    pulse_ids, times_ns = np.empty((2, len(starts)), np.int64)
    compressions: set[Compression] = set()
    for length in np.unique(lengths).tolist():
        which = np.flatnonzero(lengths == length)
        if len(which) < FEWEST:
            try:
                mains = [parse_main_header(data[start : start + length].tobytes()) for start in starts[which].tolist()]
            except MessageError:
                return None
            pulse_ids[which] = [main.pulse_id for main in mains]
            times_ns[which] = [main.global_timestamp_ns for main in mains]
            compressions.update(main.dh_compression for main in mains)
            continue
        part = _read_one_length(np.ndarray(len(data) - length + 1, f"V{length}", data, strides=1)[starts[which]])
        if part is None:
            return None
        pulse_ids[which], times_ns[which] = part.pulse_ids, part.global_timestamps_ns
        compressions.add(part.dh_compression)
    if len(compressions) != 1:
        return None
    return Mains(pulse_ids=pulse_ids, global_timestamps_ns=times_ns, dh_compression=compressions.pop())


def _read_one_length(frames: NDArray[np.void]) -> Mains | None:
    first = frames[0].tobytes()
    found = [list(number.finditer(first)) for number in _NUMBERS]
    if any(len(matches) != 1 for matches in found):
        return None
    spans = [matches[0].span(1) for matches in found]
    bytes_ = frames.view(np.uint8).reshape(len(frames), len(first))
    is_digit = np.zeros(len(first), np.bool_)
    for begin, end in spans:
        is_digit[begin:end] = True
    if not ((bytes_ == bytes_[0]) | is_digit).all():
        return None
    numbers = [_decimal(bytes_[:, begin:end]) for begin, end in spans]
    pulse_ids, seconds, nanoseconds = numbers
    if pulse_ids is None or seconds is None or nanoseconds is None:
        return None
    if int(seconds.max()) * NS_PER_S + int(nanoseconds.max()) > INT64_MAX:
        return None
    # A name may stand where it means something else: then a frame with other digits there does not say those numbers.
    for frame in (_with_other_digits(first, spans), first):
        pulse_id, sec, ns = (int(frame[begin:end]) for begin, end in spans)
        try:
            main = parse_main_header(frame)
        except MessageError:
            return None
        if (main.pulse_id, main.global_timestamp_ns) != (pulse_id, sec * NS_PER_S + ns):
            return None
    return Mains(pulse_ids=pulse_ids, global_timestamps_ns=seconds * NS_PER_S + nanoseconds, dh_compression=main.dh_compression)


def _with_other_digits(frame: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """The frame with another number of as many digits in each of these places."""
    changed = bytearray(frame)
    for begin, end in spans:
        ones = b"1" * (end - begin)
        changed[begin:end] = ones if frame[begin:end] != ones else b"2" * (end - begin)
    return bytes(changed)


def _decimal(characters: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Numbers from their digits, shape (numbers, digits); None if one has other characters, or a zero in front."""
    digits = characters - ord("0")
    if (digits > 9).any() or (digits.shape[1] > 1 and not digits[:, 0].all()):
        return None
    numbers: NDArray[np.int64] = digits.astype(np.int64) @ (10 ** np.arange(digits.shape[1])[::-1])
    return numbers
