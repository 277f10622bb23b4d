"""Messages with one header, made ready once and then only patched, so that 300 scalars leave thousands of times a second. Pure.

Messages in which the same channels are present have the same frames with the same lengths. A batch is a block of copies of such a
message (its template), in which NumPy writes all values and timestamps of all messages at once. What repeats (images, waveforms,
text, compressed values: see `values.period`) is a frame that exists once and is referred to by every message that needs it.
Nothing is encoded while the stream runs but the main header.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import encode_data_header, encode_main_header, encode_value, header_hash
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.simulator.batch import Batch
from sf_bsread_writer.simulator.channels import SimulatedChannel
from sf_bsread_writer.simulator.templates import Template, Templates
from sf_bsread_writer.simulator.values import period, scalar_formula, value_at
from sf_bsread_writer.zmtp.frames import encode_frame

MAIN_HEADER_START = b'{"htype":"bsr_m-1.1","pulse_id":'
"""How the first frame of every simulated message begins; what subscriptions are compared with."""


class PreparedHeader:
    """Everything that messages with these channels share. Makes batches; holds memory for the frames that repeat."""

    def __init__(self, channels: Sequence[SimulatedChannel], *, dh_compression: Compression = Compression.NONE) -> None:
        self.channels = tuple(channels)
        on_wire = [channel.channel for channel in channels]
        self._header_frame = encode_frame(encode_data_header(on_wire, dh_compression), more=True)
        self._encode_main_header = partial(encode_main_header, hash=header_hash(on_wire), dh_compression=dh_compression)
        self._prepared = [_prepare(channel) for channel in channels]
        self._templates = Templates(channels)
        everything = self.batch(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones((1, len(channels)), np.bool_))
        self.message_bytes = sum(map(len, everything.pieces))
        """Size on the wire of a message in which no channel is missing, give or take the digits of pulse id and time."""

    def batch(self, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64], present: NDArray[np.bool_]) -> Batch:
        """One message for each pulse id; ``times_ns`` are the global timestamps, and ``present`` is ``(messages, channels)``."""
        pieces: list[bytes | memoryview] = []
        ends: list[int] = []
        changes = np.flatnonzero((present[1:] != present[:-1]).any(axis=1)) + 1
        for first, stop in pairwise([0, *changes.tolist(), len(pulse_ids)]):
            self._render(self._templates.of(present[first]), pulse_ids[first:stop], times_ns[first:stop], pieces, ends)
        return Batch(pieces=pieces, ends=ends)

    def _render(
        self,
        template: Template,
        pulse_ids: NDArray[np.int64],
        times_ns: NDArray[np.int64],
        pieces: list[bytes | memoryview],
        ends: list[int],
    ) -> None:
        """Appends the messages of these pulses, which all have this template."""
        block = _patched(template, pulse_ids, times_ns)
        view, size = memoryview(block.data).cast("B"), len(template.row)
        for i, (pulse_id, time_ns) in enumerate(zip(pulse_ids.tolist(), times_ns.tolist(), strict=True)):
            main_header = self._encode_main_header(pulse_id=pulse_id, global_timestamp_ns=time_ns)
            pieces.append(encode_frame(main_header, more=True))
            pieces.append(self._header_frame)
            start, done = i * size, 0
            for cut, index in template.cuts:
                if cut > done:
                    pieces.append(view[start + done : start + cut])
                frames = self._prepared[index]
                pieces.append(frames[pulse_id % len(frames)])
                done = cut
            pieces.append(view[start + done : start + size])
            ends.append(len(pieces))


def _patched(template: Template, pulse_ids: NDArray[np.int64], times_ns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One row for each message, shape ``(k, row bytes)``, values and timestamps written in."""
    block = np.empty((len(pulse_ids), len(template.row)), np.uint8)
    block[:] = template.row
    rows = (np.arange(len(pulse_ids), dtype=np.int64) * block.shape[1])[:, None]
    for (pattern, dtype), places in template.values.items():
        values = scalar_formula(pattern, dtype.newbyteorder("<"), places.salts, pulse_ids)
        _anywhere(block, dtype)[rows + places.at] = values
    for dtype, places in template.timestamps.items():
        seconds, ns = np.divmod(times_ns[:, None] + places.salts, NS_PER_S)
        words, at = _anywhere(block, dtype), rows + places.at
        words[at] = seconds
        words[at + 8] = ns
    return block


def _anywhere(block: NDArray[np.uint8], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """The block as items of ``dtype`` that begin at each of its bytes: index i is the item at byte i, aligned or not."""
    return np.ndarray((block.size - dtype.itemsize + 1,), dtype, buffer=block, strides=(1,))


def _prepare(simulated: SimulatedChannel) -> list[bytes]:
    """The value frames of one whole period; empty for channels that are patched in."""
    repeats_after = period(simulated)
    if repeats_after is None:
        return []
    phases = range(repeats_after)
    return [encode_frame(encode_value(simulated.channel, value_at(simulated, phase)), more=True) for phase in phases]
