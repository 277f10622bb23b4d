"""Many numbers as few that look the same when they are drawn: of each part its lowest and its highest. Pure."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def thin(values: NDArray[Any], valid: NDArray[np.bool_], points: int) -> NDArray[np.intp]:
    """Which of these numbers, at most about ``points`` of them, to draw; ascending. Both of shape (n,).

    All of them if they are not more. Of a part in which none is valid, its first; elsewhere what is not valid is left out.
    """
    count = len(values)
    if count <= points:
        return np.arange(count)
    size = -(-count // max(1, points // 2))
    parts = np.arange(-(-count // size))
    is_valid = _in_parts(valid, len(parts), size)
    first = is_valid.argmax(axis=1)
    table = _in_parts(values, len(parts), size)
    table = np.where(is_valid, table, table[parts, first][:, None])  # so that nothing invalid is lower or higher
    chosen = []
    for extreme in (table.argmin(axis=1), table.argmax(axis=1)):
        chosen.append(parts * size + np.where(is_valid[parts, extreme], extreme, first))
    return np.unique(np.concatenate(chosen))


def plain(values: NDArray[Any], valid: NDArray[np.bool_]) -> list[bool | float | None]:
    """As Python has them, None where they are not valid."""
    return [value if is_valid else None for value, is_valid in zip(values.tolist(), valid.tolist(), strict=True)]


def _in_parts(values: NDArray[Any], parts: int, size: int) -> NDArray[Any]:
    """Shape (parts, size), filled up with zeros."""
    table = np.zeros(parts * size, values.dtype)
    table[: len(values)] = values
    return table.reshape(parts, size)
