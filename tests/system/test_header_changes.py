"""A data header that changes in the middle of an acquisition: type, shape, channels that come, go, are renamed, and come back."""

from collections.abc import Mapping

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.testing.chain import Feed, Writer
from sf_bsread_writer.testing.messages import channels_of, time_of

pytestmark = pytest.mark.system

ROWS = 10
"""Messages with each header."""


def values_at(pulse_id: int, epoch: int) -> Mapping[str, Value]:
    """What is sent while the header is that of this epoch; the last one's is the first one's again."""
    number = np.float64(pulse_id) if epoch in (0, 3) else np.int32(pulse_id)
    wave = np.full(5 if epoch == 1 else 3, pulse_id, np.int32)
    text = f"pulse {pulse_id}"
    match epoch:
        case 0 | 3:
            return {"NUMBER": number, "WAVE": wave, "TEXT": text}
        case 1:
            return {"TEXT": text, "NEW": np.uint8(pulse_id % 200), "WAVE": wave, "NUMBER": number}
        case _:
            return {"NUMBER": number, "RENAMED": wave, "TEXT": text}


def test_every_header_s_values_are_kept_in_datasets_of_their_own(feed: Feed, writer: Writer) -> None:
    first = feed.next_pulse_id
    ids = np.arange(first, first + 4 * ROWS)
    for pulse_id in ids.tolist():
        values = values_at(pulse_id, (pulse_id - first) // ROWS)
        channels = channels_of(values)
        own_times = [(values[channel.name], time_of(pulse_id)) for channel in channels]
        # Some senders' hash is late after a change, or never changes: it must not be relied on.
        frames = encode_message(
            pulse_id=pulse_id, global_timestamp_ns=time_of(pulse_id), channels=channels, values=own_times, hash="0" * 32
        )
        feed.source.send_frames(frames)
    feed.next_pulse_id = first + 4 * ROWS
    writer.put(f"/start_pulse_id/{first}")
    writer.put(f"/stop_pulse_id/{ids[-1]}")
    report = writer.ended()

    def rows_of(dtype: type[np.generic], shape: int, *epochs: int) -> NDArray[np.generic]:
        """Pulse ids in the rows of these epochs, zeros before, and nothing behind the last one."""
        data = np.zeros((ROWS * (1 + max(epochs)), shape), dtype)
        for epoch in epochs:
            rows = slice(ROWS * epoch, ROWS * (1 + epoch))
            data[rows] = ids[rows, None]
        return data

    whole = 4 * ROWS
    new = np.zeros((whole, 1), np.uint8)
    new[ROWS : 2 * ROWS, 0] = ids[ROWS : 2 * ROWS] % 200
    renamed = np.zeros((whole, 3), np.int32)
    renamed[: 3 * ROWS] = rows_of(np.int32, 3, 2)
    f8, i4 = np.float64, np.int32
    expected = {
        "NUMBER": {
            "data(1)": rows_of(f8, 1, 0),
            "data(2)": rows_of(i4, 1, 1, 2),
            "data": rows_of(f8, 1, 3),
        },
        "WAVE": {"data(1)": rows_of(i4, 3, 0), "data(2)": rows_of(i4, 5, 1), "data": rows_of(i4, 3, 3)},
        "NEW": {"data": new},
        "RENAMED": {"data": renamed},
    }
    epochs_of = {"NUMBER": (0, 1, 2, 3), "WAVE": (0, 1, 3), "NEW": (1,), "RENAMED": (2,), "TEXT": (0, 1, 2, 3)}
    told = {channel.name: channel for channel in report.channels}
    with h5py.File(writer.path) as file:
        assert set(file["data"]) == set(epochs_of) == set(told)
        for name, datasets in expected.items():
            assert set(file["data"][name]) == {"pulse_id", "is_data_present", "timestamp", *datasets}
            assert sorted(told[name].datasets) == sorted(datasets)
            for dataset, values in datasets.items():
                np.testing.assert_array_equal(file["data"][name][dataset][:], values, err_msg=f"{name}/{dataset}", strict=True)
        assert file["data/TEXT/data"].asstr()[:].tolist() == [f"pulse {pulse_id}" for pulse_id in ids.tolist()]
        for name, epochs in epochs_of.items():
            present = np.isin(np.arange(whole) // ROWS, epochs)
            assert file["data"][name]["is_data_present"][:].tolist() == present.tolist(), name
            assert file["data"][name]["pulse_id"][:].tolist() == np.where(present, ids, 0).tolist(), name
            assert told[name].present == ROWS * len(epochs)


def test_headers_that_take_turns_and_headers_that_never_come_back_keep_every_value(feed: Feed, writer: Writer) -> None:
    """Two for 100 pulses, then a new one with each of 100 more; each has a channel of its own beside the common one."""
    first = feed.next_pulse_id
    ids = np.arange(first, first + 200)
    names = [f"TURN:{n % 2}" if n < 100 else f"NEW:{n}" for n in range(200)]
    for pulse_id, name in zip(ids.tolist(), names, strict=True):
        feed.source.send(pulse_id, {"COMMON": np.float64(pulse_id), name: np.int32(pulse_id)})
    feed.next_pulse_id = first + 200
    writer.put(f"/start_pulse_id/{first}")
    writer.put(f"/stop_pulse_id/{ids[-1]}")
    report = writer.ended()
    assert (report.rows, report.missing_pulses, report.dropped) == (200, 0, {})
    with h5py.File(writer.path) as file:
        assert set(file["data"]) == {"COMMON", *names}
        np.testing.assert_array_equal(file["data/COMMON/data"][:, 0], ids)
        for name in set(names):
            rows = [row for row, each in enumerate(names) if each == name]
            expected = np.zeros(200, np.int64)
            expected[rows] = ids[rows]
            group = file["data"][name]
            np.testing.assert_array_equal(group["pulse_id"][:], expected, err_msg=name)
            assert group["data"][:, 0][: rows[-1] + 1].tolist() == expected[: rows[-1] + 1].tolist(), name
