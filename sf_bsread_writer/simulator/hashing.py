"""Numbers that look random and follow from their position alone. Pure.

A generator with a state would give another stream for another batch size; a hash of pulse and channel does not.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def hash64(a: NDArray[np.int64], b: NDArray[np.int64], seed: int = 0) -> NDArray[np.uint64]:
    """64 well mixed bits for every pair of ``a`` and ``b``, which are broadcast together."""
    x: NDArray[Any] = a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + b.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03)
    x = x + np.uint64((seed * 0x2545F4914F6CDD1D + 0x632BE59BD9B4E019) % 2**64)
    # The finaliser of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed


def uniform(a: NDArray[np.int64], b: NDArray[np.int64], seed: int = 0) -> NDArray[np.float64]:
    """A number in [0, 1) for every pair of ``a`` and ``b``, which are broadcast together."""
    return (hash64(a, b, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
