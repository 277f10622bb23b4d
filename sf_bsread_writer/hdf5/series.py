"""Values of some channels of a finished file along the pulses, for a plot: never more of them than can be seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that images come with
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.hdf5.inspect import unreadable

MOST_NUMBERS = 100_000
MOST_WAVEFORMS = 400
MOST_CHANNELS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One channel. ``values`` are float64, (pulses,) of numbers, (pulses, elements) of waveforms, (1, height, width) of the last
    image; ``pulse_ids`` ascend as the rows do. ``step``: of how many values one was taken.
    """

    name: str
    pulse_ids: NDArray[np.int64]
    values: NDArray[np.float64]
    step: int


def read_series(path: Path, patterns: Sequence[str]) -> list[Series]:
    """The channels of these names (``*`` and ``?`` as in a shell), in the order of the patterns.

    Raises `UsageError` for a name that nothing fits and for what cannot be plotted, `OutputError` for an unreadable file.
    """
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            data = file.get("data")
            groups = dict(_named(data)) if isinstance(data, h5py.Group) else {}
            names = _chosen(list(groups), patterns)
            return [_read(name, groups[name]) for name in names]
    except UsageError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise unreadable(error, path) from error


def _named(data: h5py.Group) -> Iterator[tuple[str, h5py.Group]]:
    for name, group in data.items():
        if isinstance(group, h5py.Group):
            yield str(group.attrs.get("channel", name)), group


def _chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    chosen: dict[str, None] = {}
    for pattern in patterns:
        found = [pattern] if pattern in names else [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            near = get_close_matches(pattern, names, 3, 0.5)
            raise UsageError(f"no channel {pattern!r} in the file" + (f"; did you mean {' or '.join(near)}?" if near else ""))
        chosen |= dict.fromkeys(found)
    if len(chosen) > MOST_CHANNELS:
        raise UsageError(f"{len(chosen)} channels have such names, and {MOST_CHANNELS} fit into a plot; name fewer")
    return list(chosen)


def _read(name: str, group: h5py.Group) -> Series:
    found = group.get("data")
    if not isinstance(found, h5py.Dataset):
        raise UsageError(f"channel {name!r} has no value in the file")
    if found.dtype.kind not in "iufb":
        raise UsageError(f"channel {name!r} is text, which cannot be plotted")
    older = max((len(group[each]) for each in group if each.startswith("data(")), default=0)  # rows of another type or shape
    present = np.flatnonzero(group["is_data_present"][: len(found)])
    rows = present[present >= older]
    if not len(rows):
        raise UsageError(f"channel {name!r} has no value in the file")
    shape = found.shape[1:]
    if shape in ((), (1,)):
        step = -(-len(rows) // MOST_NUMBERS)
        rows = rows[::step]
        values = found[:].reshape(-1)[rows]
    elif len(shape) == 1:
        step = -(-len(rows) // MOST_WAVEFORMS)
        rows = rows[::step]
        values = np.stack([found[int(row)] for row in rows])
    elif len(shape) == 2:
        rows, step = rows[-1:], len(rows)
        values = found[int(rows[0])][np.newaxis]
    else:
        raise UsageError(f"channel {name!r} has values of {len(shape)} dimensions, which cannot be plotted")
    return Series(
        name=name, pulse_ids=np.asarray(group["pulse_id"][:], np.int64)[rows], values=values.astype(np.float64), step=step
    )
