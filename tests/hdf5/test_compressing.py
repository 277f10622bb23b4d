"""Values that come uncompressed and are compressed on their way into the file."""

import logging
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5 import compressing
from sf_bsread_writer.hdf5.channels import Column
from sf_bsread_writer.hdf5.chunks import UNFILTERED, Chunk
from sf_bsread_writer.hdf5.compressing import CompressingSink
from sf_bsread_writer.hdf5.datasets import FILTERS, Datasets
from sf_bsread_writer.hdf5.file import FileOptions, FileSummary, PulseFile
from sf_bsread_writer.hdf5.layout import dataset_layout
from sf_bsread_writer.message.compression import compress, decompress
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.ring.segment import Segment, SegmentPool
from sf_bsread_writer.testing.messages import message_of, run_of
from sf_bsread_writer.testing.programs import wait_until

NONE, LZ4, BITSHUFFLE = Compression.NONE, Compression.LZ4, Compression.BITSHUFFLE_LZ4
USED = [LZ4, BITSHUFFLE]
SHAPE = (257, 259)
"""66563 elements, which no block and no group of 8 divides."""

CAMERA = Channel(name="CAM:FPICTURE", type=ValueType.UINT16, shape=SHAPE)
NUMBERS = [kind for kind in ValueType if kind is not ValueType.STRING]


def image(number: int, kind: ValueType = ValueType.UINT16) -> np.ndarray:
    """A picture that can be told from all others, and compresses."""
    values = (np.arange(np.prod(SHAPE)) // 40 + 37 * number) % 101
    return (values % 2 if kind is ValueType.BOOL else values).astype(kind.numpy).reshape(SHAPE)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 65536, SHAPE).astype("<u2")


def write(
    path: Path, messages: Sequence[Sequence[bytes]], compression: Compression, *, rows: int | None = None, batch: int = 3
) -> FileSummary:
    file, run, memory = PulseFile(path, options=FileOptions(compression=compression)), run_of(messages), a_segment()
    for start in range(0, len(run), batch):
        which = np.arange(start, min(len(run), start + batch))
        file.write(run, which, np.zeros(len(which), np.int64), memory)
    summary = file.finish(len(messages) if rows is None else rows)
    file.seal(None, {}, "{}")
    return summary


def messages_of(images: Sequence[np.ndarray | None], channel: Channel = CAMERA, *, first: int = 100) -> list[list[bytes]]:
    return [message_of(first + row, {channel.name: value}, channels=[channel]) for row, value in enumerate(images)]


def a_segment() -> Segment:
    segment = SegmentPool(1, 1).take()
    assert segment is not None
    return segment


def filters_of(dataset: h5py.Dataset) -> list[int]:
    creation = dataset.id.get_create_plist()
    return [creation.get_filter(number)[0] for number in range(creation.get_nfilters())]


def masks_of(dataset: h5py.Dataset) -> list[int]:
    return [dataset.id.get_chunk_info(number).filter_mask for number in range(dataset.id.get_num_chunks())]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


# What a reader finds


@pytest.mark.parametrize("compression", USED)
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("kind", NUMBERS)
def test_images_of_every_type_are_read_as_they_were_sent(
    path: Path, kind: ValueType, big_endian: bool, compression: Compression
) -> None:
    channel = Channel(name="C", type=kind, shape=SHAPE, big_endian=big_endian)
    images = [image(number, kind) for number in range(3)]
    write(path, messages_of(images, channel), compression)
    with h5py.File(path) as file:
        data = file["data/C/data"]
        assert (kind.numpy, [FILTERS[compression][0]], [0] * 3) == (data.dtype, filters_of(data), masks_of(data))
        assert data.id.get_storage_size() < 3 * image(0, kind).nbytes / 2
        np.testing.assert_array_equal(images, data[:])


def test_missing_values_stay_missing(path: Path) -> None:
    write(path, messages_of([image(0), None, None, image(3)]), BITSHUFFLE)
    with h5py.File(path) as file:
        group = file[f"data/{CAMERA.name}"]
        assert group["is_data_present"][:].tolist() == [1, 0, 0, 1]
        np.testing.assert_array_equal([image(0), 0 * image(0), 0 * image(0), image(3)], group["data"][:])


def test_scalars_and_small_arrays_stay_as_they_are(path: Path) -> None:
    values = {"S": 1.5, "W": np.zeros(8191), "B": np.zeros(8192)}
    write(path, [message_of(row, values) for row in range(3)], BITSHUFFLE)
    with h5py.File(path) as file:
        assert {name: filters_of(file["data"][name]["data"]) for name in values} == {"S": [], "W": [], "B": [32008]}


@pytest.mark.parametrize("compression", USED)
def test_what_does_not_get_smaller_is_stored_as_it_is(path: Path, compression: Compression) -> None:
    write(path, messages_of([noise(0), image(1), noise(2)]), compression)
    with h5py.File(path) as file:
        data = file[f"data/{CAMERA.name}/data"]
        assert masks_of(data) == [UNFILTERED, 0, UNFILTERED]
        np.testing.assert_array_equal([noise(0), image(1), noise(2)], data[:])


@pytest.mark.parametrize("came", USED)
def test_what_comes_compressed_is_not_touched(path: Path, came: Compression) -> None:
    channel = Channel(name="C", type=ValueType.UINT16, shape=SHAPE, compression=came)
    write(path, messages_of([image(0)], channel), BITSHUFFLE if came is LZ4 else LZ4)
    payload = compress(came, image(0).tobytes(), item_bytes=2)
    with h5py.File(path) as file:
        mask, chunk = file["data/C/data"].id.read_direct_chunk((0, 0, 0))
        assert (0, [FILTERS[came][0]]) == (mask, filters_of(file["data/C/data"]))
        assert chunk.endswith(payload[4:])


def test_a_channel_may_be_compressed_by_its_source_from_time_to_time(path: Path) -> None:
    packed = Channel(name=CAMERA.name, type=CAMERA.type, shape=SHAPE, compression=BITSHUFFLE)
    swapped = Channel(name=CAMERA.name, type=CAMERA.type, shape=SHAPE, big_endian=True)
    images = [image(number) for number in range(12)]
    messages = [messages_of([each], (packed, CAMERA, swapped)[row % 3], first=row)[0] for row, each in enumerate(images)]
    assert write(path, messages, BITSHUFFLE).channels[0].datasets == ("data",)
    with h5py.File(path) as file:
        data = file[f"data/{CAMERA.name}/data"]
        assert masks_of(data) == [0] * 12
        np.testing.assert_array_equal(images, data[:])


def test_images_of_another_shape_begin_another_dataset(path: Path) -> None:
    larger = Channel(name=CAMERA.name, type=CAMERA.type, shape=(300, 400))
    messages = messages_of([image(number) for number in range(5)])
    messages += messages_of([np.full((300, 400), 7)] * 2, larger, first=200)
    write(path, messages, BITSHUFFLE, batch=7)
    with h5py.File(path) as file:
        np.testing.assert_array_equal([image(number) for number in range(5)], file[f"data/{CAMERA.name}/data(1)"][:])
        assert file[f"data/{CAMERA.name}/data"][5:].tolist() == np.full((2, 300, 400), 7).tolist()


@pytest.mark.parametrize("rows", [0, 2, 5])
def test_a_stop_in_the_past_takes_images_back(path: Path, rows: int) -> None:
    images = [image(number) for number in range(8)]
    messages = [message_of(row, {CAMERA.name: images[row], "A": row}) for row in range(8)]
    assert write(path, messages, BITSHUFFLE, rows=rows).rows == rows
    with h5py.File(path) as file:
        assert list(range(rows)) == file["stream/pulse_id"][:].tolist()
        if rows:
            np.testing.assert_array_equal(images[:rows], file[f"data/{CAMERA.name}/data"][:])


def test_what_was_flushed_can_be_read(path: Path) -> None:
    file, run = PulseFile(path, options=FileOptions(compression=BITSHUFFLE)), run_of(messages_of([image(0), image(1)]))
    file.write(run, np.arange(2), np.zeros(2, np.int64), a_segment())
    file.flush()
    survives = path.with_name("what a kill would leave.h5")
    shutil.copy(path.with_name("run.h5.partial"), survives)
    file.abandon()
    with h5py.File(survives) as partial:
        np.testing.assert_array_equal([image(0), image(1)], partial[f"data/{CAMERA.name}/data"][:])


# What it takes and gives back


class Gate:
    """Holds the threads that compress until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = threading.Event()
        make_chunk = compressing.make_chunk

        def wait_and_make(*arguments: object) -> object:
            assert self.opened.wait(30)
            return make_chunk(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(compressing, "make_chunk", wait_and_make)


def test_memory_is_held_until_it_is_read_and_no_longer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, memory = Gate(monkeypatch), a_segment()
    file, run = PulseFile(path, options=FileOptions(compression=BITSHUFFLE)), run_of(messages_of([image(0), image(1)]))
    file.write(run, np.arange(2), np.zeros(2, np.int64), memory)
    assert memory.pins == 3
    gate.opened.set()
    wait_until(lambda: memory.pins == 1, "the segment is given back, though nothing is written yet")
    run.data[:] = 0xFF
    file.finish(2)
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        np.testing.assert_array_equal([image(0), image(1)], finished[f"data/{CAMERA.name}/data"][:])


def test_memory_that_cannot_be_held_may_be_used_again_at_once(path: Path) -> None:
    file, run = PulseFile(path, options=FileOptions(compression=LZ4)), run_of(messages_of([image(0), image(1)]))
    file.write(run, np.arange(2), np.zeros(2, np.int64))
    run.data[:] = 0xFF
    file.finish(2)
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        np.testing.assert_array_equal([image(0), image(1)], finished[f"data/{CAMERA.name}/data"][:])


def test_an_abandoned_file_gives_everything_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressing, "_threads", lambda: 2)
    gate, memory = Gate(monkeypatch), a_segment()
    file, run = PulseFile(path, options=FileOptions(compression=LZ4)), run_of(messages_of([image(row) for row in range(6)]))
    file.write(run, np.arange(6), np.zeros(6, np.int64), memory)
    gate.opened.set()
    file.abandon()
    assert (memory.pins, list(path.parent.iterdir())) == (1, [])


class Recorder(Datasets):
    """Takes chunks and remembers them; ``fails`` says how often it does not."""

    def __init__(self, fails: int = 0) -> None:
        self.rows = 0
        self.taken: list[tuple[int, int, bytes]] = []
        self._fails = fails

    def write_chunk(self, column: Column, first_row: int, chunk: Chunk, filter_mask: int = 0) -> None:
        if self._fails:
            self._fails -= 1
            raise OSError("no")
        assert isinstance(chunk, np.ndarray)
        self.taken.append((first_row, filter_mask, chunk.tobytes()))


def image_column(items: int) -> Column:
    channel = Channel(name="C", type=ValueType.UINT16, shape=(items,))
    return Column(group="data/C", name="data", layout=dataset_layout(channel, BITSHUFFLE))


def test_chunks_are_written_in_the_order_in_which_they_came() -> None:
    # Of sizes so different that later ones are ready before earlier ones.
    sizes = [2_000_000, 40_000, 33_000, 500_000, 40_000, 40_000] * 4
    recorder = Recorder()
    sink = CompressingSink(recorder, BITSHUFFLE)
    values = [np.arange(size, dtype="<u2") // (row + 1) for row, size in enumerate(sizes)]
    for row, each in enumerate(values):
        sink.write_chunk(image_column(len(each)), row, each, UNFILTERED)
    sink.finish()
    sink.close()
    assert [(row, 0) for row in range(len(sizes))] == [taken[:2] for taken in recorder.taken]
    for (_, _, chunk), each in zip(recorder.taken, values, strict=True):
        assert decompress(BITSHUFFLE, chunk, expected_bytes=each.nbytes, item_bytes=2) == each.tobytes()


@pytest.mark.parametrize(("size", "most_bytes"), [(100_000, 2 << 20), (8_000_000, 34 << 20)])
def test_memory_for_what_waits_is_limited(size: int, most_bytes: int) -> None:
    recorder = Recorder()
    sink = CompressingSink(recorder, BITSHUFFLE, memory_bytes=2 << 20)
    column, values = image_column(size), np.arange(size, dtype="<u2")
    for row in range(30):
        sink.write_chunk(column, row, values, UNFILTERED)
        assert sink._pool.statistics().allocated_bytes <= max(most_bytes, 2 * (values.nbytes * 1.02 + (1 << 20)))
        assert sink.waiting_bytes <= max(2 << 20, 2 * values.nbytes)
        assert row + 1 - len(recorder.taken) == sink.waiting_bytes // values.nbytes
    sink.finish()
    sink.close()
    assert (len(recorder.taken), sink.waiting_bytes, sink._pool.statistics().used_bytes) == (30, 0, 0)


def test_a_chunk_that_cannot_be_written_stays_and_comes_first_the_next_time() -> None:
    recorder = Recorder(fails=2)
    sink = CompressingSink(recorder, BITSHUFFLE)
    column, values = image_column(40_000), np.zeros(40_000, "<u2")
    sink.write_chunk(column, 0, values, UNFILTERED)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            sink.finish()
    sink.write_chunk(column, 1, values, UNFILTERED)
    sink.finish()
    sink.close()
    assert [row for row, _, _ in recorder.taken] == [0, 1]


# What goes wrong


def test_an_error_of_the_codec_is_named_and_costs_no_value(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> int:
        raise OSError("bitshuffle ends with -81")

    monkeypatch.setattr(compressing, "make_chunk", broken)
    with caplog.at_level(logging.WARNING):
        write(path, messages_of([image(0), image(1)]), BITSHUFFLE)
    (line,) = caplog.messages
    assert f"data/{CAMERA.name}" in line
    assert "bitshuffle ends with -81" in line
    with h5py.File(path) as file:
        assert masks_of(file[f"data/{CAMERA.name}/data"]) == [UNFILTERED] * 2
        np.testing.assert_array_equal([image(0), image(1)], file[f"data/{CAMERA.name}/data"][:])


def test_a_chunk_that_hdf5_cannot_write_is_an_output_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("the disk is gone")

    file, run = PulseFile(path, options=FileOptions(compression=LZ4)), run_of(messages_of([image(0)]))
    file.write(run, np.arange(1), np.zeros(1, np.int64), a_segment())
    monkeypatch.setattr(Datasets, "write_chunk", full)
    with pytest.raises(OutputError, match="the disk is gone"):
        file.flush()
    with pytest.raises(OutputError):
        file.finish(1)
