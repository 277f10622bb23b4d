"""The values that simulated channels have, as functions of the pulse id alone. Pure.

Whoever receives a stream can therefore say what should have come, without having seen it sent: `value_at`. Scalars of many
channels and pulses are made at once (`scalars_at`). All else (waveforms, images, text, and whatever is compressed) repeats after
`period` pulses, so that it can be prepared before the stream starts. Periods are primes, hence foreign to 2, 5, 10 and 100:
a value that ends up in a row of another pulse, off by one of the usual amounts, is a wrong one.

Patterns
--------
ramp : pulse id plus a number of the channel's own, plus the element's index; wrapped to integer types, modulo 2**20 in float32
sine : amplitude 100, in unsigned types around 100; of the pulse id (period 100) or travelling through a waveform
noise : looks random; [0, 1) for floats and the whole range of integers
spot : images only; a bright spot on a circle over 4 bits of noise
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.simulator.channels import Pattern, SimulatedChannel
from sf_bsread_writer.simulator.hashing import hash64

PREPARED_BYTES = 64 << 20
"""What the prepared values of one channel may take; a camera of 20 MB then repeats after 3 pulses."""

STATES = ("ready", "moving to 12 µm", "moving to 13 µm", "at target", "homing", "ERROR: limit switch", "")
"""What string channels say, one after the other; the last one is an empty string, which is not a missing one."""


def salt(name: str) -> int:
    """A number below a million that tells channels apart; also by how many ns its timestamps are later than the global one."""
    return zlib.crc32(name.encode()) % 999_983


def period(simulated: SimulatedChannel) -> int | None:
    """After how many pulses a channel's values repeat; None for uncompressed scalars, which follow the pulse id itself."""
    channel = simulated.channel
    if channel.is_string:
        return len(STATES)
    if not channel.shape and channel.compression is Compression.NONE:
        return None
    fits = PREPARED_BYTES // (channel.value_bytes or 1)
    return next((prime for prime in (31, 13, 7) if prime <= fits), 3)


def value_at(simulated: SimulatedChannel, pulse_id: int) -> NDArray[Any] | str:
    """What the channel says at this pulse: text, or an array in NumPy order and little-endian byte order, ``()`` for a scalar."""
    channel, repeats_after = simulated.channel, period(simulated)
    phase = pulse_id if repeats_after is None else pulse_id % repeats_after
    if channel.is_string:
        return STATES[(phase + salt(channel.name)) % len(STATES)]
    if not channel.shape:
        return scalars_at([channel], simulated.pattern, np.array([phase], np.int64))[0, 0, ...]
    return _array(simulated, phase, repeats_after or 1)


def scalars_at(channels: Sequence[Channel], pattern: Pattern, pulse_ids: NDArray[np.int64]) -> NDArray[Any]:
    """Values of scalar channels of one type, shape ``(pulses, channels)``, little-endian."""
    salts = np.array([salt(channel.name) for channel in channels], np.int64)
    return scalar_formula(pattern, channels[0].type.numpy, salts, pulse_ids)


def scalar_formula(
    pattern: Pattern, dtype: np.dtype[np.generic], salts: NDArray[np.int64], pulse_ids: NDArray[np.int64]
) -> NDArray[Any]:
    """As `scalars_at`, for callers on the hot path that have the salts at hand."""
    if pattern is Pattern.RAMP:
        return _wrapped(pulse_ids[:, None] + salts, dtype)
    if pattern is Pattern.SINE:
        return _swinging(np.sin((2 * np.pi / 100) * ((pulse_ids[:, None] + salts) % 100)), dtype)
    return _random(hash64(pulse_ids[:, None], salts), dtype)


def _array(simulated: SimulatedChannel, phase: int, repeats_after: int) -> NDArray[Any]:
    channel, own = simulated.channel, salt(simulated.channel.name)
    dtype, shape = channel.type.numpy, channel.shape
    if simulated.pattern is Pattern.SPOT:
        return _spot(shape, dtype, own, phase / repeats_after)
    index = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    if simulated.pattern is Pattern.RAMP:
        return _wrapped(index + (phase + own), dtype)
    if simulated.pattern is Pattern.SINE:
        return _swinging(np.sin(2 * np.pi * (3 * index / index.size + phase / repeats_after)), dtype)
    return _random(hash64(index, np.array([phase * 1_000_003 + own])), dtype)


def _spot(shape: tuple[int, ...], dtype: np.dtype[np.generic], own: int, turn: float) -> NDArray[Any]:
    """A Gaussian spot at ``turn`` (0…1) of its circle, at most 120 bright so that it fits every type."""
    height, width = shape
    y = np.arange(height, dtype=np.float32) - height * (0.5 + 0.25 * np.sin(2 * np.pi * turn))
    x = np.arange(width, dtype=np.float32) - width * (0.5 + 0.25 * np.cos(2 * np.pi * turn))
    radius = max(min(height, width) / 12, 1.0)
    bright = np.outer(np.exp(-((y / radius) ** 2)), 100 * np.exp(-((x / radius) ** 2))).astype(np.int16)
    # A short piece of noise over and over: hashing every pixel takes 0.1 s for each picture of a megapixel.
    noise = hash64(np.arange(10_007), np.array([own + round(turn * 1000)])) & np.uint64(15)
    bright += np.resize(noise.astype(np.int16), shape)
    return (bright > 50).astype(dtype) if dtype.kind == "b" else bright.astype(dtype)


def _wrapped(numbers: NDArray[np.int64], dtype: np.dtype[np.generic]) -> NDArray[Any]:
    """Whole numbers in ``dtype``: modulo the range of integers, parity for bool, exact in both float types."""
    if dtype.kind == "b":
        return (numbers & 1).astype(dtype)
    if dtype == np.dtype("<f4"):
        return (numbers % (1 << 20)).astype(dtype)
    return numbers.astype(dtype)


def _swinging(between_minus_1_and_1: NDArray[np.float64], dtype: np.dtype[np.generic]) -> NDArray[Any]:
    if dtype.kind == "b":
        return (between_minus_1_and_1 > 0).astype(dtype)
    return (100 * between_minus_1_and_1 + (100 if dtype.kind == "u" else 0)).astype(dtype)


def _random(bits: NDArray[np.uint64], dtype: np.dtype[np.generic]) -> NDArray[Any]:
    if dtype.kind == "f":
        return ((bits >> np.uint64(40)) * 2.0**-24).astype(dtype)
    return (bits >> np.uint64(63)).astype(dtype) if dtype.kind == "b" else bits.astype(dtype)
