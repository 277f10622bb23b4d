"""What a file must hold, worked out message by message and value by value, and what a file does hold.

The model knows nothing of layouts, chunks and shared datasets: it decodes every frame by itself and follows the rules of
``docs/reference/file.md`` as they are written there. Both sides come out as the same plain dictionaries.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters that compressed chunks need
import numpy as np

from sf_bsread_writer.errors import MessageError
from sf_bsread_writer.message.compression import decompress, is_missing_payload
from sf_bsread_writer.message.decode import decode_string, decode_timestamp, decode_value
from sf_bsread_writer.message.headers import Channel, parse_data_header, parse_main_header
from sf_bsread_writer.message.types import ValueType

Content = tuple[str, tuple[int, ...], bytes]
"""A dataset: its dtype (byte order left out), shape and bytes (little-endian; strings as JSON would be, one per line)."""


@dataclass(slots=True)
class _Values:
    """One dataset of values in the making."""

    spec: tuple[ValueType, tuple[int, ...]]
    rows: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.generic]] | str] = field(default_factory=dict)


@dataclass(slots=True)
class _Channel:
    """One channel in the making; ``times`` and ``pulse_ids`` have an entry for each row with a value."""

    first_row: int
    values: list[_Values] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    pulse_ids: dict[int, int] = field(default_factory=dict)
    damaged: int = 0


class FileModel:
    """Takes whole messages as frames; `content` is what the file of them must hold."""

    def __init__(self) -> None:
        self.channels: dict[tuple[str, int], _Channel] = {}
        self._stream: list[tuple[int, int, int]] = []

    def add(self, frames: Sequence[bytes], arrival_ns: int) -> None:
        """One message as the next row."""
        main = parse_main_header(frames[0])
        header = parse_data_header(frames[1], main.dh_compression)
        row = len(self._stream)
        self._stream.append((main.pulse_id, main.global_timestamp_ns, arrival_ns))
        seen: Counter[str] = Counter()
        for channel, payload, time in zip(header.channels, frames[2::2], frames[3::2], strict=True):
            seen[channel.name] += 1
            kept = self.channels.setdefault((channel.name, seen[channel.name]), _Channel(row))
            value = _value_of(kept, channel, payload, time)
            if value is None:
                continue
            kept.pulse_ids[row] = main.pulse_id
            kept.times[row] = _time_of(kept, channel, time, main.global_timestamp_ns)
            spec = channel.type, channel.shape
            if not kept.values or kept.values[-1].spec != spec:
                kept.values.append(_Values(spec))
            kept.values[-1].rows[row] = value

    def content(self, rows: int) -> dict[str, Content]:
        """Every dataset of ``/data`` and ``/stream`` by path, if the file is trimmed to its first ``rows`` rows.

        The path of a channel is its name; a name that stands twice in a header is followed by its number.
        """
        datasets = {
            f"stream/{name}": _numbers({row: values[place] for row, values in enumerate(self._stream[:rows])}, rows, np.int64)
            for place, name in enumerate(("pulse_id", "global_timestamp", "arrival_timestamp"))
        }
        for (name, occurrence), channel in self.channels.items():
            if channel.first_row < rows:
                path = f"data/{name}" if occurrence == 1 else f"data/{name}({occurrence})"
                datasets |= {f"{path}/{dataset}": content for dataset, content in _channel_content(channel, rows).items()}
        return datasets


def file_content(path: Path) -> dict[str, Content]:
    """Every dataset of ``/data`` and ``/stream`` of a file, by path; hard links count as datasets of their own."""
    with h5py.File(path) as file:
        return content_of(file)


def content_of(file: h5py.File) -> dict[str, Content]:
    """The same of an open file."""
    datasets = {f"stream/{name}": _read(dataset) for name, dataset in file["stream"].items()}
    for channel, group in file["data"].items():
        for name, dataset in group.items():
            datasets[f"data/{channel}/{name}"] = _read(dataset)
    return datasets


def _value_of(
    kept: _Channel, channel: Channel, payload: bytes, time: bytes
) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | str | None:
    if channel.value_bytes == 0:
        return None
    if is_missing_payload(channel.compression, payload):
        return "" if channel.is_string and time else None
    try:
        if channel.is_string:
            text, was_damaged = decode_string(decompress(channel.compression, payload, expected_bytes=None, item_bytes=1))
            kept.damaged += was_damaged
            return text
        return decode_value(channel, payload)
    except MessageError:
        kept.damaged += 1
        return None


def _time_of(kept: _Channel, channel: Channel, time: bytes, default_ns: int) -> int:
    try:
        return decode_timestamp(channel, time, default_ns)
    except MessageError:
        kept.damaged += 1
        return default_ns


def _channel_content(channel: _Channel, rows: int) -> dict[str, Content]:
    content = {
        "pulse_id": _numbers(channel.pulse_ids, rows, np.int64),
        "is_data_present": _numbers(dict.fromkeys(channel.pulse_ids, 1), rows, np.uint8),
    }
    kept = [values for values in channel.values if min(values.rows) < rows]
    for number, values in enumerate(kept, 1):
        is_latest = number == len(kept)
        content["data" if is_latest else f"data({number})"] = _data(values, rows if is_latest else max(values.rows) + 1)
    if kept:
        content["timestamp"] = _numbers(channel.times, rows, np.int64)
    return content


def _numbers(by_row: Mapping[int, int], rows: int, dtype: type[np.generic]) -> Content:
    numbers = np.zeros(rows, dtype)
    for row, number in by_row.items():
        if row < rows:
            numbers[row] = number
    return numbers.dtype.name, numbers.shape, numbers.tobytes()


def _data(values: _Values, rows: int) -> Content:
    kind, shape = values.spec
    if kind is ValueType.STRING:
        texts = [str(values.rows.get(row, "")) for row in range(rows)]
        return "string", (rows,), "\n".join(map(repr, texts)).encode()
    data = np.zeros((rows, *(shape or (1,))), kind.numpy)
    for row, value in values.rows.items():
        if row < rows:
            data[row] = value
    return data.dtype.name, data.shape, data.tobytes()


def _read(dataset: h5py.Dataset) -> Content:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return "string", dataset.shape, "\n".join(map(repr, dataset.asstr()[:])).encode()
    values = dataset[:]
    return values.dtype.name, values.shape, values.astype(values.dtype.newbyteorder("<")).tobytes()
