"""Hypothesis strategies for channels, values and whole messages."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType

PULSE_IDS = st.integers(0, 2**63 - 1)
TIMES_NS = st.integers(0, 2**63 - 1)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
TYPES = st.sampled_from(ValueType)
SHAPES = st.one_of(
    st.just(()),
    st.integers(2, 40).map(lambda n: (n,)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
)
"""NumPy order, slowest dimension first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as values, and its frames as our own encoder writes them."""

    pulse_id: int
    global_timestamp_ns: int
    channels: tuple[Channel, ...]
    values: tuple[tuple[Value | None, int | None], ...]
    frames: tuple[bytes, ...]


@st.composite
def channels(draw: st.DrawFn, *, compressions: Sequence[Compression] = tuple(Compression)) -> Channel:
    """Any channel."""
    kind = draw(TYPES)
    return Channel(
        name=draw(NAMES),
        type=kind,
        shape=() if kind is ValueType.STRING else draw(SHAPES),
        big_endian=draw(st.booleans()),
        compression=draw(st.sampled_from(compressions)),
        modulo=draw(st.integers(1, 100)),
        offset=draw(st.integers(0, 100)),
    )


def values(channel: Channel) -> st.SearchStrategy[Value]:
    """Any value of this channel: a text without NUL, or an array of its shape and little-endian type."""
    if channel.is_string:
        return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
    return st.integers(0, 2**32 - 1).map(lambda seed: _array(channel, seed))


def _array(channel: Channel, seed: int) -> NDArray[np.generic]:
    # Random bytes reach every value of a type, NaNs with payload included; a strategy per element would be slow.
    raw = np.random.default_rng(seed).bytes(channel.value_bytes or 0)
    dtype = channel.type.numpy
    if dtype.kind == "b":
        return (np.frombuffer(raw, np.uint8) > 127).reshape(channel.shape)
    return np.frombuffer(raw, dtype).reshape(channel.shape)


@st.composite
def messages(draw: st.DrawFn, of: Sequence[Channel], *, dh_compression: Compression = Compression.NONE) -> Message:
    """Any message of these channels: values that are there, there without a timestamp, or missing."""
    cells: list[tuple[Value | None, int | None]] = []
    for channel in of:
        if draw(st.integers(0, 3)) == 0:
            cells.append((None, None))
        else:
            cells.append((draw(values(channel)), draw(st.none() | TIMES_NS)))
    pulse_id, time_ns = draw(PULSE_IDS), draw(TIMES_NS)
    frames = encode_message(
        pulse_id=pulse_id, global_timestamp_ns=time_ns, channels=of, values=cells, dh_compression=dh_compression
    )
    return Message(pulse_id=pulse_id, global_timestamp_ns=time_ns, channels=tuple(of), values=tuple(cells), frames=tuple(frames))
