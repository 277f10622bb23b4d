"""The whole way: bytes of a changed stream through the inlet into a file, which is read back."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
from h5py import h5f

from fuzz.target import Input, Target, pieces
from fuzz.targets.streams import Change, change_of, let_in
from sf_bsread_writer.acquire.recording import Recording
from sf_bsread_writer.acquire.selection import Selection
from sf_bsread_writer.errors import MessageError, PeerError
from sf_bsread_writer.hdf5.channels import Channels
from sf_bsread_writer.hdf5.chunks import chunk_of
from sf_bsread_writer.hdf5.datasets import Datasets
from sf_bsread_writer.hdf5.file import FILE_FORMAT
from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.layout import Keeping, dataset_layout
from sf_bsread_writer.hdf5.presence import Presence
from sf_bsread_writer.hdf5.storage import Storage
from sf_bsread_writer.hdf5.table import Table
from sf_bsread_writer.message.compression import is_missing_payload
from sf_bsread_writer.message.decode import decode_value
from sf_bsread_writer.message.headers import parse_data_header, parse_main_header
from sf_bsread_writer.message.layout import Run
from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.memory import limits_within
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.testing.file_model import FileModel, content_of
from sf_bsread_writer.testing.plain import read_plainly

MEMORY = Path("/dev/shm")
_POOL_BYTES, _SEGMENT_BYTES = 1 << 22, 1 << 16


def file(data: bytes) -> None:
    """The file holds what a reading of the changed bytes, frame by frame and value by value, gives, and nothing else."""
    change = Change(Input(data))
    change.check()
    model, opaque = _expected(change.sent)
    storage = Storage(os.memfd_create("fuzz"), _journal())
    with h5py.File(storage, "w", **FILE_FORMAT) as output:
        table = _write(change, output, storage)
        _compare(output, table, model, opaque)
    storage.close()


def _journal() -> Journal:
    """Of this process, without a name."""
    with tempfile.NamedTemporaryFile(dir=MEMORY if MEMORY.is_dir() else None) as named:
        return Journal(Path(named.name), size=0)


Opaque = dict[tuple[str, int], dict[int, bytes]]
"""Payloads that are a chunk by their lengths, and nothing that can be read: by channel and occurrence, and row."""


def _expected(sent: bytes) -> tuple[FileModel, Opaque]:
    model, opaque, row = FileModel(), Opaque(), 0
    for kind, *frames in read_plainly(sent, limits_within(_POOL_BYTES, _SEGMENT_BYTES)).items:
        if kind != "message" or not _is_usable(frames):  # type: ignore[arg-type]
            continue
        model.add(frames, 7 * row)  # type: ignore[arg-type]
        for key, payload in _opaque(frames):  # type: ignore[arg-type]
            opaque.setdefault(key, {})[row] = payload
        row += 1
    return model, opaque


def _is_usable(frames: Sequence[bytes]) -> bool:
    try:
        header = parse_data_header(frames[1], parse_main_header(frames[0]).dh_compression)
    except MessageError:
        return False
    return len(frames) == 2 + 2 * len(header.channels)


def _opaque(frames: Sequence[bytes]) -> list[tuple[tuple[str, int], bytes]]:
    header = parse_data_header(frames[1], parse_main_header(frames[0]).dh_compression)
    found, names = [], list[str]()
    for channel, payload in zip(header.channels, frames[2::2], strict=True):
        names.append(channel.name)
        if is_missing_payload(channel.compression, payload) or channel.is_string or not channel.value_bytes:
            continue
        layout = dataset_layout(channel)
        if layout.keeping is not Keeping.CHUNKS or channel.compression is Compression.NONE:
            continue
        try:
            decode_value(channel, payload)
        except MessageError:
            try:
                chunk_of(layout, channel, payload)
            except MessageError:
                continue
            found.append(((channel.name, names.count(channel.name)), payload))
    return found


def _write(change: Change, output: h5py.File, storage: Storage) -> Table:
    """As `PulseFile` does it, but in memory: reserving room on a disk takes longer than all else."""
    channels, presence = Channels(), Presence()
    datasets = Datasets(output, channels, presence, storage)
    table, recording = Table(datasets, channels, presence), Recording(Selection(), stream="fuzz", started_ns=0)
    inlet = Inlet(SegmentPool(_POOL_BYTES, _SEGMENT_BYTES), limits_within(_POOL_BYTES, _SEGMENT_BYTES))
    with suppress(PeerError):
        for event in let_in(inlet, pieces(change.sent, change.seed)):
            if isinstance(event, Arrived):
                _take(table, recording, event.run)
                table.drain()
                if change.seed & 1:
                    datasets.complete()
                    h5f.flush(output.id)
                    storage.commit()
    inlet.close()
    recording.report(outcome="running", reason="", output_file="", file_bytes=0, now_ns=0)
    table.drain()
    table.trim(table.rows)
    for column in table.stream_columns:
        datasets.dataset(column)
    datasets.complete()
    datasets.close_rows(table.rows)
    return table


def _take(table: Table, recording: Recording, run: Run) -> None:
    rows = recording.take(run, run.global_timestamps_ns).rows
    usable = [index for index in range(len(run)) if recording.why_unusable(run, index) is None]
    assert set(rows.tolist()) <= set(usable)
    every = np.array(usable, np.intp)  # those out of order too: the file does not ask
    if len(every):
        assert table.needed_bytes(run, every) > 0
        table.add(run, every, 7 * (table.rows + np.arange(len(every))))


def _compare(output: h5py.File, table: Table, model: FileModel, opaque: Opaque) -> None:
    assert [name for name, _ in model.channels] == [channel.name for channel in table.channels.all]
    groups: dict[str, str] = {}  # the model names them by channels; in the file some have another name
    for (key, channel), found in zip(model.channels.items(), table.channels.all, strict=True):
        hidden = opaque.get(key, {})
        present = int(table.presence.rows_present[table.presence.class_of[found.number]])
        assert (channel.damaged - len(hidden), len(channel.pulse_ids) + len(hidden)) == (found.damaged, present), key
        groups[f"data/{key[0]}" if key[1] == 1 else f"data/{key[0]}({key[1]})"] = found.group
        if hidden:
            _check_hidden(output[found.group], hidden)
            del output[found.group]
    expected = {}
    for path, content in model.content(table.rows).items():
        group, _, name = path.rpartition("/")
        group = groups.get(group, group)
        if group in output:
            expected[f"{group}/{name}"] = content
    actual = content_of(output)
    assert sorted(expected) == sorted(actual)
    for path, content in expected.items():
        assert content == actual[path], path


def _check_hidden(group: h5py.Group, rows: dict[int, bytes]) -> None:
    """What cannot be read is there as it came, in its own row."""
    datasets = [dataset for name, dataset in group.items() if name.startswith("data")]
    for row, payload in rows.items():
        assert group["is_data_present"][row] == 1
        found = [
            dataset.id.read_direct_chunk((row, *(0,) * (dataset.ndim - 1)))[1] for dataset in datasets if _has_chunk(dataset, row)
        ]
        assert any(chunk in (payload, payload[:12]) or chunk[16:] == payload[4:] for chunk in found)


def _has_chunk(dataset: h5py.Dataset, row: int) -> bool:
    if dataset.chunks[0] != 1 or row >= len(dataset):
        return False
    return dataset.id.get_chunk_info_by_coord((row, *(0,) * (dataset.ndim - 1))).byte_offset is not None


TARGETS = {"file": Target(run=file, make=change_of, share=2)}
