"""A stream whose values follow from the pulse id alone, and a check that a file holds exactly some of its pulses.

The check never decodes a message: what must be in the file is worked out with NumPy from the pulse ids.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.messages import time_of

CHANNELS = (
    Channel(name="SCALAR", type=ValueType.FLOAT64),
    Channel(name="WAVE:FORM-1", type=ValueType.INT32, shape=(8,)),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(4, 6)),
    Channel(name="TEXT", type=ValueType.STRING),
    Channel(name="FLAG", type=ValueType.BOOL),
    Channel(name="SOMETIMES", type=ValueType.INT64),
)
OWN_TIME_STEP_NS = 1_000
"""The n-th channel's own timestamp is so much times n later than the message's."""


def beam_values(pulse_id: int) -> dict[str, Value | None]:
    """What the channels say at this pulse; ``SOMETIMES`` has no value at every third, ``TEXT`` is empty at every fifth."""
    return {
        "SCALAR": pulse_id / 2,
        "WAVE:FORM-1": np.arange(8, dtype=np.int32) + np.int32(pulse_id),
        "IMAGE": (7 * pulse_id + np.arange(24).reshape(4, 6)).astype(np.uint16),
        "TEXT": f"pulse {pulse_id} µ" if pulse_id % 5 else "",
        "FLAG": pulse_id % 2 == 1,
        "SOMETIMES": -pulse_id if pulse_id % 3 else None,
    }


def beam_message(pulse_id: int, *, time_ns: int | None = None) -> list[bytes]:
    """The frames of this pulse's message; ``time_ns`` is the global timestamp, by default that of `time_of`."""
    global_ns = time_of(pulse_id) if time_ns is None else time_ns
    values = beam_values(pulse_id)
    return encode_message(
        pulse_id=pulse_id,
        global_timestamp_ns=global_ns,
        channels=CHANNELS,
        values=[(values[channel.name], global_ns + n * OWN_TIME_STEP_NS) for n, channel in enumerate(CHANNELS)],
    )


def assert_holds(
    path: Path,
    pulse_ids: Sequence[int],
    *,
    global_ns: Callable[[int], int] = time_of,
    own_time_step_ns: int = OWN_TIME_STEP_NS,
) -> None:
    """Every value of every dataset is that of these pulses, in this order, and there is no other dataset."""
    ids = np.array(pulse_ids, np.int64)
    times_ns = np.array([global_ns(pulse_id) for pulse_id in pulse_ids], np.int64)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["stream/pulse_id"][:], ids)
        np.testing.assert_array_equal(file["stream/global_timestamp"][:], times_ns)
        arrivals_ns = file["stream/arrival_timestamp"][:]
        assert arrivals_ns.shape == ids.shape
        assert (np.diff(arrivals_ns) >= 0).all()
        assert sorted(file["data"]) == sorted(channel.name for channel in CHANNELS)
        for n, channel in enumerate(CHANNELS):
            present: NDArray[np.bool_] = ids % 3 != 0 if channel.name == "SOMETIMES" else np.ones_like(ids, bool)
            _assert_channel(file["data"][channel.name], channel, ids, present, times_ns + n * own_time_step_ns)


def _assert_channel(
    group: Mapping[str, h5py.Dataset],
    channel: Channel,
    ids: NDArray[np.int64],
    present: NDArray[np.bool_],
    times_ns: NDArray[np.int64],
) -> None:
    seen = {"data", "timestamp"} if present.any() else set()
    assert set(group) == {"pulse_id", "is_data_present"} | seen, channel.name
    np.testing.assert_array_equal(group["is_data_present"][:], present, strict=False, err_msg=channel.name)
    np.testing.assert_array_equal(group["pulse_id"][:], np.where(present, ids, 0), err_msg=channel.name)
    if not seen:
        return
    np.testing.assert_array_equal(group["timestamp"][:], np.where(present, times_ns, 0), err_msg=channel.name)
    if channel.is_string:
        assert group["data"].asstr()[:].tolist() == [beam_values(pulse_id)[channel.name] for pulse_id in ids.tolist()]
        return
    expected = _expected(channel.name, ids)
    expected[~present] = 0
    np.testing.assert_array_equal(group["data"][:], expected, err_msg=channel.name, strict=True)
    assert group["data"].maxshape[0] is None, channel.name


def _expected(name: str, ids: NDArray[np.int64]) -> NDArray[Any]:
    rows = ids[:, None]
    expected: dict[str, NDArray[Any]] = {
        "SCALAR": rows / 2,
        "WAVE:FORM-1": (rows + np.arange(8)).astype(np.int32),
        "IMAGE": (7 * rows[:, None] + np.arange(24).reshape(4, 6)).astype(np.uint16),
        "FLAG": rows % 2 == 1,
        "SOMETIMES": -rows,
    }
    return expected[name]
