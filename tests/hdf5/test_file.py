"""The rules of the file, one by one, as a reader with h5py sees them."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the filters
import numpy as np
import pytest

from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.errors import MessageError, OutputError
from sf_bsread_writer.hdf5 import file as file_module
from sf_bsread_writer.hdf5.file import FileOptions, FileSummary, PulseFile
from sf_bsread_writer.message.compression import compress
from sf_bsread_writer.message.encode import Value, encode_message
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.message.walk import MAX_LAYOUTS
from sf_bsread_writer.testing.messages import message_of, run_of, time_of

A = Channel(name="SARES11-LSCP10-FNS:CH1:VAL_GET", type=ValueType.FLOAT64)
B = Channel(name="B", type=ValueType.FLOAT64)
WAVEFORM = Channel(name="W", type=ValueType.INT32, shape=(10,))
IMAGE = Channel(name="SARES20-CAMS142-M4:FPICTURE", type=ValueType.UINT16, shape=(150, 250))
TEXT = Channel(name="T", type=ValueType.STRING)


def write(path: Path | None, messages: Sequence[Sequence[bytes]], *, rows: int | None = None, batch: int = 7) -> FileSummary:
    """A finished file of these messages, trimmed to ``rows``; message i arrived at i seconds."""
    file, run = PulseFile(path), run_of(messages)
    for start in range(0, len(run), batch):
        which = np.arange(start, min(len(run), start + batch))
        file.write(run, which, which.astype(np.int64) * 1_000_000_000)
    summary = file.finish(len(messages) if rows is None else rows)
    file.seal(None, {}, "{}")
    return summary


def messages_of(
    channels: Sequence[Channel], values: Sequence[Mapping[str, Value | None]], *, first: int = 100
) -> list[list[bytes]]:
    return [message_of(first + index, each, channels=channels) for index, each in enumerate(values)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run_000041.BSREAD.h5"


# Shapes and values


def test_every_kind_of_channel_has_its_shape_and_values(path: Path) -> None:
    values = [
        {A.name: i + 0.5, "W": np.arange(10, dtype="i4") + i, IMAGE.name: np.full((150, 250), i, "u2"), "T": f"text {i}"}
        for i in range(20)
    ]
    write(path, messages_of((A, WAVEFORM, IMAGE, TEXT), values))
    with h5py.File(path) as file:
        data = file["data"]
        assert ((20, 1), np.dtype("<f8")) == (data[A.name]["data"].shape, data[A.name]["data"].dtype)
        assert [[i + 0.5] for i in range(20)] == data[A.name]["data"][:].tolist()
        assert ((20, 10), np.dtype("<i4")) == (data["W/data"].shape, data["W/data"].dtype)
        assert np.array_equal([value["W"] for value in values], data["W/data"][:])
        assert ((20, 150, 250), np.dtype("<u2")) == (data[IMAGE.name]["data"].shape, data[IMAGE.name]["data"].dtype)
        assert np.array_equal([value[IMAGE.name] for value in values], data[IMAGE.name]["data"][:])
        assert (data["T/data"].shape, h5py.check_string_dtype(data["T/data"].dtype).encoding) == ((20,), "utf-8")
        assert [f"text {i}" for i in range(20)] == data["T/data"].asstr()[:].tolist()


def test_columns_beside_the_values(path: Path) -> None:
    write(path, messages_of((A, B), [{A.name: 1.0, "B": 2.0}] * 5))
    with h5py.File(path) as file:
        group = file["data/B"]
        assert (np.dtype("<i8"), [100, 101, 102, 103, 104]) == (group["pulse_id"].dtype, group["pulse_id"][:].tolist())
        assert (np.dtype("u1"), [1] * 5) == (group["is_data_present"].dtype, group["is_data_present"][:].tolist())
        assert (np.dtype("<i8"), [time_of(i) + 1 for i in range(100, 105)]) == (
            group["timestamp"].dtype,
            group["timestamp"][:].tolist(),
        )


def test_stream_has_one_row_per_message_and_always_the_true_id(path: Path) -> None:
    write(path, messages_of((A,), [{A.name: None}, {A.name: 1.0}, {A.name: None}]))
    with h5py.File(path) as file:
        assert file["stream/pulse_id"][:].tolist() == [100, 101, 102]
        assert [time_of(i) for i in (100, 101, 102)] == file["stream/global_timestamp"][:].tolist()
        assert file["stream/arrival_timestamp"][:].tolist() == [0, 1_000_000_000, 2_000_000_000]
        assert file[f"data/{A.name}/pulse_id"][:].tolist() == [0, 101, 0]


@pytest.mark.parametrize("kind", [kind for kind in ValueType if kind is not ValueType.STRING])
@pytest.mark.parametrize("big_endian", [False, True])
def test_numbers_of_every_type_are_stored_little_endian(path: Path, kind: ValueType, big_endian: bool) -> None:
    scalar = Channel(name="s", type=kind, big_endian=big_endian)
    array = Channel(name="a", type=kind, shape=(3,), big_endian=big_endian)
    value = np.array([1, 0, 1], kind.numpy)
    write(path, messages_of((scalar, array), [{"s": value[i], "a": value} for i in range(3)]))
    with h5py.File(path) as file:
        assert (kind.numpy, [[1], [0], [1]]) == (file["data/s/data"].dtype, file["data/s/data"][:].astype(int).tolist())
        assert (kind.numpy, [[1, 0, 1]] * 3) == (file["data/a/data"].dtype, file["data/a/data"][:].astype(int).tolist())


def test_any_byte_but_zero_is_true(path: Path) -> None:
    channels = [Channel(name="s", type=ValueType.BOOL), Channel(name="a", type=ValueType.BOOL, shape=(3,))]
    channels.append(Channel(name="i", type=ValueType.BOOL, shape=(300, 300)))
    frames = message_of(1, {"s": True, "a": [True] * 3, "i": np.ones((300, 300), bool)}, channels=channels)
    frames[2], frames[4], frames[6] = b"\x80", b"\x02\x00\xff", bytes([0, 7]) * 45000
    write(path, [frames])
    with h5py.File(path) as file:
        assert file["data/s/data"][:].view("u1").tolist() == [[1]]
        assert file["data/a/data"][:].view("u1").tolist() == [[1, 0, 1]]
        assert file["data/i/data"][0, 0].view("u1").tolist() == [0, 1] * 150


def test_a_timestamp_left_out_is_the_global_one(path: Path) -> None:
    frames = encode_message(pulse_id=7, global_timestamp_ns=1234, channels=[A, TEXT], values=[(1.0, None), ("x", None)])
    write(path, [frames])
    with h5py.File(path) as file:
        assert file[f"data/{A.name}/timestamp"][:].tolist() == [1234]
        assert file["data/T/timestamp"][:].tolist() == [1234]


def test_strings_end_at_a_nul_and_keep_what_can_be_read(path: Path) -> None:
    frames = [message_of(i, {"T": "x"}, channels=[TEXT]) for i in range(3)]
    frames[0][2], frames[1][2] = b"padded\0\0rest", b"bro\xffken"
    summary = write(path, frames)
    with h5py.File(path) as file:
        assert file["data/T/data"].asstr()[:].tolist() == ["padded", "bro\N{REPLACEMENT CHARACTER}ken", "x"]
    assert (summary.channels[0].rows_present, summary.channels[0].damaged) == (3, 1)


def test_an_empty_string_is_a_value_if_it_has_a_timestamp(path: Path) -> None:
    write(path, messages_of((TEXT,), [{"T": ""}, {"T": None}]))
    with h5py.File(path) as file:
        assert file["data/T/is_data_present"][:].tolist() == [1, 0]
        assert file["data/T/data"].asstr()[:].tolist() == ["", ""]


# Missing values


def test_where_a_value_is_missing_everything_is_zero(path: Path) -> None:
    values = [{A.name: 1.0, "W": None, "T": None}, {A.name: None, "W": np.ones(10, "i4"), "T": "there"}]
    write(path, messages_of((A, WAVEFORM, TEXT), values))
    with h5py.File(path) as file:
        for name, missing, zero in ((A.name, 1, [0.0]), ("W", 0, [0] * 10), ("T", 0, b"")):
            group = file["data"][name]
            assert tuple(group[column][missing] for column in ("pulse_id", "is_data_present", "timestamp")) == (0, 0, 0)
            assert group["is_data_present"][1 - missing] == 1
            value = group["data"][missing]
            assert zero == (value if isinstance(value, bytes) else value.tolist())


@pytest.mark.parametrize("shape", [(), (0,), (0, 5)])
def test_a_channel_that_never_had_a_value_has_no_data(path: Path, shape: tuple[int, ...]) -> None:
    b = Channel(name="B", type=ValueType.FLOAT64, shape=shape)  # without elements it cannot have any
    write(path, messages_of((A, b), [{A.name: 1.0, "B": None}] * 3))
    with h5py.File(path) as file:
        assert sorted(file["data/B"]) == ["is_data_present", "pulse_id"]
        assert file["data/B/pulse_id"][:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("channel", [A, WAVEFORM, IMAGE, TEXT], ids=["scalar", "waveform", "image", "text"])
def test_a_channel_that_comes_later_has_zeros_before(path: Path, channel: Channel) -> None:
    value: Value = "late" if channel.is_string else np.ones(channel.shape, channel.type.numpy)
    absent = [message_of(i, {"B": 1.0}, channels=(B,)) for i in range(1030)]
    empty = [message_of(1030 + i, {"B": 1.0, channel.name: None}, channels=(B, channel)) for i in range(3)]
    there = [message_of(1033 + i, {"B": 1.0, channel.name: value}, channels=(B, channel)) for i in range(2)]
    write(path, absent + empty + there, batch=200)
    with h5py.File(path) as file:
        group = file["data"][channel.name]
        assert {name: len(dataset) for name, dataset in group.items()} == {
            "data": 1035,
            "pulse_id": 1035,
            "is_data_present": 1035,
            "timestamp": 1035,
        }
        assert group["pulse_id"][:].tolist() == [0] * 1033 + [1033, 1034]
        if channel.is_string:
            assert group["data"].asstr()[:].tolist() == [""] * 1033 + ["late"] * 2
        else:
            assert not group["data"][:1033].any()
            assert group["data"][1033:].all()


def test_a_channel_that_disappears_is_missing_from_there_on(path: Path) -> None:
    write(path, messages_of((A, B), [{A.name: 1.0, "B": 2.0}] * 2) + messages_of((A,), [{A.name: 1.0}] * 2, first=102))
    with h5py.File(path) as file:
        assert file["data/B/pulse_id"][:].tolist() == [100, 101, 0, 0]
        assert file["data/B/data"][:].tolist() == [[2.0], [2.0], [0.0], [0.0]]


def test_a_value_of_the_wrong_size_is_missing_and_counted(path: Path) -> None:
    frames = messages_of((A, WAVEFORM), [{A.name: 1.0, "W": np.ones(10, "i4")}] * 3)
    frames[1][2], frames[1][4] = b"1234567", bytes(41)
    summary = write(path, frames)
    assert [(each.rows_present, each.damaged) for each in summary.channels] == [(2, 1), (2, 1)]
    with h5py.File(path) as file:
        assert file["data/W/is_data_present"][:].tolist() == [1, 0, 1]
        assert file[f"data/{A.name}/data"][:].tolist() == [[1.0], [0.0], [1.0]]


# Changes of type, shape, compression, byte order


def test_after_a_change_of_type_or_shape_the_old_values_have_a_number(path: Path) -> None:
    kinds = [ValueType.FLOAT64, ValueType.INT32, ValueType.STRING]
    messages = []
    for number, kind in enumerate(kinds):
        value: Value = "text" if kind is ValueType.STRING else 1 + number
        channel = Channel(name="C", type=kind)
        messages += messages_of((channel,), [{"C": value}] * 3, first=len(messages))
        messages += messages_of((channel,), [{"C": None}], first=len(messages))
    summary = write(path, messages)
    with h5py.File(path) as file:
        group = file["data/C"]
        assert group["data(1)"][:].tolist() == [[1.0]] * 3
        assert group["data(2)"][:].tolist() == [[0]] * 4 + [[2]] * 3
        assert group["data"].asstr()[:].tolist() == [""] * 8 + ["text"] * 3 + [""]
        assert group["pulse_id"][:].tolist() == [0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10, 0]
        assert len(group["timestamp"]) == 12
    assert summary.channels[0].datasets == ("data(1)", "data(2)", "data")
    assert (summary.channels[0].type, summary.channels[0].shape) == ("string", ())


def test_a_change_of_shape_alone_is_a_change(path: Path) -> None:
    small, large = (Channel(name="I", type=ValueType.UINT16, shape=shape) for shape in ((150, 250), (200, 250)))
    first = messages_of((small,), [{"I": np.full((150, 250), 1)}] * 2)
    write(path, first + messages_of((large,), [{"I": np.full((200, 250), 2)}] * 2, first=102))
    with h5py.File(path) as file:
        assert (file["data/I/data(1)"].shape, file["data/I/data"].shape) == ((2, 150, 250), (4, 200, 250))
        assert file["data/I/data"][:, 0, 0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("shape", [(), (5,), (400,), (200, 250)], ids=str)
@pytest.mark.parametrize("first", [(kind, order) for kind in Compression for order in (False, True)], ids=str)
def test_a_change_of_compression_or_byte_order_is_none(
    path: Path, shape: tuple[int, ...], first: tuple[Compression, bool]
) -> None:
    ways = [first, *((kind, order) for kind in Compression for order in (False, True))]
    messages, expected = [], []
    for compression, big_endian in ways:
        channel = Channel(name="C", type=ValueType.UINT16, shape=shape, compression=compression, big_endian=big_endian)
        value = np.full(shape, 0x0102 + len(messages), "u2")
        messages += messages_of((channel,), [{"C": value}], first=len(messages))
        expected.append(value)
    write(path, messages)
    with h5py.File(path) as file:
        assert sorted(file["data/C"]) == ["data", "is_data_present", "pulse_id", "timestamp"]
        assert np.array_equal(expected, file["data/C/data"][:].reshape(len(ways), *shape))


@pytest.mark.parametrize(("compression", "number"), [(Compression.BITSHUFFLE_LZ4, 32008), (Compression.LZ4, 32004)])
def test_compressed_values_are_chunks_as_they_came(path: Path, compression: Compression, number: int) -> None:
    channel = Channel(name="I", type=ValueType.UINT16, shape=(150, 250), compression=compression, big_endian=True)
    image = np.arange(37500, dtype="u2").reshape(150, 250)
    frames = messages_of((channel,), [{"I": image}, {"I": None}, {"I": image}])
    write(path, frames)
    with h5py.File(path) as file:
        dataset = file["data/I/data"]
        assert number == dataset.id.get_create_plist().get_filter(0)[0]
        assert np.array_equal([image, np.zeros_like(image), image], dataset[:])
        mask, chunk = dataset.id.read_direct_chunk((2, 0, 0))
        skipped = 0 if compression is Compression.BITSHUFFLE_LZ4 else 4
        assert (mask, bytes(chunk).endswith(frames[2][2][skipped:])) == (0, True)


def test_a_payload_that_says_it_holds_nothing_is_missing(path: Path) -> None:
    channels = [
        Channel(name=f"{kind.value}{n}", type=ValueType.UINT16, shape=(n,), compression=kind)
        for kind in (Compression.LZ4, Compression.BITSHUFFLE_LZ4)
        for n in (2, 2000)
    ]
    frames = messages_of(channels, [{channel.name: np.ones(channel.shape) for channel in channels}] * 3)
    for place in (2, 4, 6, 8):
        frames[1][place] = bytes(12)
    summary = write(path, frames)
    assert [(each.rows_present, each.damaged) for each in summary.channels] == [(2, 0)] * 4
    with h5py.File(path) as file:
        for channel in channels:
            assert file["data"][channel.name]["pulse_id"][:].tolist() == [100, 0, 102]
            assert file["data"][channel.name]["timestamp"][1] == 0
            assert not file["data"][channel.name]["data"][1].any()


def test_a_damaged_payload_is_missing_and_counted(path: Path) -> None:
    channel = Channel(name="I", type=ValueType.UINT16, shape=(150, 250), compression=Compression.BITSHUFFLE_LZ4)
    frames = messages_of((channel,), [{"I": np.ones((150, 250))}] * 3)
    frames[0][2] = compress(Compression.BITSHUFFLE_LZ4, bytes(7000), item_bytes=2)
    frames[2][2] = frames[2][2][:40]
    summary = write(path, frames)
    assert (summary.channels[0].rows_present, summary.channels[0].damaged) == (1, 2)
    with h5py.File(path) as file:
        assert file["data/I/is_data_present"][:].tolist() == [0, 1, 0]
        assert file["data/I/data"][:].sum((1, 2)).tolist() == [0, 37500, 0]


# Trimming


def test_rows_beyond_the_end_are_taken_back(path: Path) -> None:
    other = Channel(name="B", type=ValueType.INT32)
    new = Channel(name="N", type=ValueType.FLOAT64)
    messages = messages_of((A, B), [{A.name: 1.0, "B": 2.0}] * 3)
    messages += messages_of((A, other, new), [{A.name: 3.0, "B": 4, "N": 5.0}] * 3, first=103)
    summary = write(path, messages, rows=3)
    assert (3, [A.name, "B"]) == (summary.rows, [each.name for each in summary.channels])
    assert [each.datasets for each in summary.channels] == [("data",), ("data",)]
    assert [each.rows_present for each in summary.channels] == [3, 3]
    with h5py.File(path) as file:
        assert sorted([A.name, "B"]) == sorted(file["data"])
        assert (np.dtype("<f8"), [[2.0]] * 3) == (file["data/B/data"].dtype, file["data/B/data"][:].tolist())
        assert file["stream/pulse_id"][:].tolist() == [100, 101, 102]


def test_an_acquisition_without_rows_gives_a_valid_file(path: Path) -> None:
    for messages, rows in (([], 0), (messages_of((A,), [{A.name: 1.0}]), 0)):
        file = PulseFile(path, options=FileOptions(overwrite=True))
        if messages:
            file.write(run_of(messages), np.arange(1), np.zeros(1, np.int64))
        assert (file.finish(rows).channels, file.rows - len(messages)) == ((), 0)
        file.seal(None, {}, "{}")
        with h5py.File(path) as finished:
            assert (finished["stream/pulse_id"].shape, list(finished["data"])) == ((0,), [])


# Names and sharing


def test_names_that_hdf5_cannot_hold_get_safe_ones_and_keep_their_own(path: Path) -> None:
    names = ["a/b", "..", "", "a_b", "twice", "twice", "nul\0", "\N{GREEK SMALL LETTER MU}"]
    channels = [Channel(name=name, type=ValueType.INT32) for name in names]
    frames = encode_message(pulse_id=1, global_timestamp_ns=1, channels=channels, values=[(i, None) for i in range(len(names))])
    summary = write(path, [frames])
    assert names == [each.name for each in summary.channels]
    with h5py.File(path) as file:
        found = {name: (group["data"][0, 0], group.attrs.get("channel")) for name, group in file["data"].items()}
    assert found == {
        "a_b": (0, "a/b"),
        "__": (1, ".."),
        "_": (2, ""),
        "a_b(2)": (3, "a_b"),
        "twice": (4, None),
        "twice(2)": (5, "twice"),
        "nul_": (6, "nul\N{REPLACEMENT CHARACTER}"),
        "\N{GREEK SMALL LETTER MU}": (7, None),
    }


def test_equal_columns_are_stored_once(path: Path) -> None:
    channels = [Channel(name=f"C{i}", type=ValueType.FLOAT64) for i in range(30)]
    values = [{f"C{i}": 1.0 if i % 10 or row % 10 == 0 else None for i in range(30)} for row in range(40)]
    write(path, messages_of(channels, values))
    with h5py.File(path) as file:
        for name in ("pulse_id", "is_data_present"):
            addresses = {i: h5py.h5o.get_info(file[f"data/C{i}/{name}"].id).addr for i in range(30)}
            assert {addresses[0], addresses[1]} == set(addresses.values())
            assert [i % 10 == 0 for i in range(30)] == [addresses[i] == addresses[0] for i in range(30)]


def test_columns_that_part_after_a_flush_keep_what_was_common(path: Path) -> None:
    file = PulseFile(path)
    messages = messages_of((A, B), [{A.name: 1.0, "B": 1.0 if row != 1030 else None} for row in range(1040)], first=1)
    run = run_of(messages)
    for start in range(0, 1040, 10):
        file.write(run, np.arange(start, start + 10), np.zeros(10, np.int64))
        file.flush()
    file.finish(1040)
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        assert list(range(1, 1041)) == finished[f"data/{A.name}/pulse_id"][:].tolist()
        assert [row + 1 if row != 1030 else 0 for row in range(1040)] == finished["data/B/pulse_id"][:].tolist()


# Parameters and report


def test_parameters_are_fixed_strings_and_the_report_is_text(path: Path) -> None:
    file = PulseFile(path)
    file.finish(0)
    file.seal(None, {"general/user": "p12345", "general/process": "Zürich", "channels": ["A"]}, '{"outcome": "complete"}')
    with h5py.File(path) as finished:
        general = finished["general"]
        assert (general["user"][()], general["user"].dtype.kind) == (b"p12345", "S")
        assert (
            general["process"].asstr()[()],
            h5py.check_string_dtype(general["user"].dtype).length and None,
        ) == ("Zürich", None)
        assert [general[name][()] for name in ("created", "instrument")] == [b"not given", b"not given"]
        assert json.loads(general["channels"][()]) == ["A"]
        assert json.loads(finished["report"].asstr()[()]) == {"outcome": "complete"}


def test_axis_0_can_grow_and_old_readers_can_read(path: Path) -> None:
    write(path, messages_of((A, WAVEFORM, TEXT), [{A.name: 1.0, "W": np.ones(10), "T": "t"}] * 6))
    assert path.read_bytes()[8] == 0  # version of the superblock: the oldest there is
    with h5py.File(path) as file:
        for dataset in (file[f"data/{A.name}/data"], file["data/W/data"], file["data/T/data"], file["stream/pulse_id"]):
            assert (None, *dataset.shape[1:]) == dataset.maxshape


@pytest.mark.skipif(shutil.which("h5ls") is None, reason="h5ls is not installed")
def test_h5ls_shows_it(path: Path) -> None:
    write(path, messages_of((A, IMAGE), [{A.name: 1.0, IMAGE.name: np.ones((150, 250))}] * 6))
    shown = subprocess.run(["h5ls", "-r", str(path)], capture_output=True, text=True, check=True).stdout
    assert "Dataset {6/Inf, 150, 250}" in shown
    assert "Dataset {6/Inf, 1}" in shown


def test_layouts_that_never_come_again_do_not_fill_the_memory(path: Path) -> None:
    file, count = PulseFile(path), 3 * MAX_LAYOUTS
    for i in range(count):
        run = run_of([message_of(i, {"T": "x" * i, f"C{i}": 1.0})])
        file.write(run, np.arange(1), np.zeros(1, np.int64))
        assert max(len(file._table._plans), len(file._table._bindings)) <= MAX_LAYOUTS
    file.finish(count)
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        assert [len(text) for text in finished["data/T/data"].asstr()[:]] == list(range(count))


# The file's life


def test_it_has_its_name_only_when_it_is_complete(path: Path) -> None:
    file = PulseFile(path.parent / "new" / "folder" / path.name)
    final = path.parent / "new" / "folder" / path.name
    assert [f"{path.name}.partial", f"{path.name}.partial.journal"] == sorted(os.listdir(final.parent))
    file.finish(0)
    assert not final.exists()
    assert file.seal(None, {}, "{}") is None
    assert [path.name] == os.listdir(final.parent)


def test_another_final_name_may_be_given(path: Path, tmp_path: Path) -> None:
    file = PulseFile(path)
    file.finish(0)
    file.seal(tmp_path / "elsewhere" / "other.h5", {}, "{}")
    assert os.listdir(tmp_path) == ["elsewhere"]


def test_earlier_files_are_moved_aside(path: Path) -> None:
    path.write_text("first")
    path.with_name(path.name + ".1").write_text("older")
    file = PulseFile(path)
    file.finish(0)
    assert path.with_name(path.name + ".2") == file.seal(None, {}, "{}")
    assert tuple(path.with_name(f"{path.name}.{n}").read_text() for n in (2, 1)) == ("first", "older")


def test_earlier_files_are_replaced_if_that_is_wanted(path: Path) -> None:
    path.write_text("first")
    file = PulseFile(path, options=FileOptions(overwrite=True))
    file.finish(0)
    assert file.seal(None, {}, "{}") is None
    assert [path.name] == os.listdir(path.parent)
    assert h5py.is_hdf5(path)


def test_what_a_crash_left_behind_is_never_destroyed(path: Path) -> None:
    path.with_name(path.name + ".partial").write_text("precious")
    PulseFile(path).abandon()
    assert path.with_name(path.name + ".partial.1").read_text() == "precious"


def test_two_writers_cannot_write_the_same_file(path: Path) -> None:
    first = PulseFile(path)
    with pytest.raises(OutputError, match="another writer") as caught:
        PulseFile(path)
    assert caught.value.errno == errno.EBUSY
    first.finish(0)
    first.seal(None, {}, "{}")
    assert h5py.is_hdf5(path)


def test_two_writers_cannot_write_the_same_file_where_hdf5_does_not_lock(path: Path) -> None:
    # HDF5 looks at the variable once in a process, so both writers are new ones.
    script = f"""if True:
        from pathlib import Path
        from sf_bsread_writer.hdf5.file import PulseFile
        first = PulseFile(Path({str(path)!r}))
        try:
            PulseFile(Path({str(path)!r}))
        except OSError as error:
            print(error.errno)
        first.finish(0)
        first.seal(None, {{}}, "{{}}")
    """
    environment = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout == f"{errno.EBUSY}\n"
    assert os.listdir(path.parent) == [path.name]
    assert h5py.is_hdf5(path)


def test_an_earlier_file_keeps_its_name_until_the_new_one_is_complete(path: Path) -> None:
    path.write_text("first")
    file = PulseFile(path)
    file.finish(0)
    aside = path.with_name(path.name + ".1")
    assert file.aside_for(None) == aside
    assert path.read_text() == "first"
    assert file.seal(None, {}, "{}") == aside
    assert aside.read_text() == "first"


def test_an_abandoned_file_leaves_nothing(path: Path) -> None:
    file = PulseFile(path)
    file.write(run_of(messages_of((A,), [{A.name: 1.0}])), np.arange(1), np.zeros(1, np.int64))
    file.abandon()
    assert os.listdir(path.parent) == []


def test_no_room_is_left_reserved_in_a_finished_file(path: Path) -> None:
    write(path, messages_of((A,), [{A.name: 1.0}] * 20))
    found = path.stat()
    assert found.st_blocks * 512 <= found.st_size + 65536


@pytest.mark.parametrize(
    ("name", "number", "advice"),
    [
        ("a_file/run.h5", errno.ENOTDIR, "not a folder"),
        ("a_folder", errno.EISDIR, "it is a folder"),
        ("x" * 300, errno.ENAMETOOLONG, "shorter"),
    ],
)
def test_impossible_places_are_refused_with_advice(tmp_path: Path, name: str, number: int, advice: str) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "a_folder").mkdir()
    with pytest.raises(OutputError, match=advice) as caught:
        PulseFile(tmp_path / name)
    assert (number, True) == (caught.value.errno, name in str(caught.value))


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What a full disk is like, without one; SIGXFSZ is ignored by Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_whose_beginning_does_not_fit_is_not_begun(path: Path) -> None:
    # HDF5 cannot close a file that it could not begin, and takes the process along when it ends.
    with file_size_limit(1000), pytest.raises(OutputError, match="file sizes") as caught:
        PulseFile(path)
    assert (caught.value.errno, list(path.parent.iterdir())) == (errno.EFBIG, [])


def test_when_nothing_more_fits_the_file_is_finished_with_what_it_has(path: Path) -> None:
    run = run_of(messages_of((A, IMAGE, TEXT), [{A.name: 1.0, IMAGE.name: np.ones((150, 250)), "T": "t"}] * 10, first=1))
    with file_size_limit(10_000_000):
        file = PulseFile(path)
        with pytest.raises(OutputError, match="file sizes") as caught:  # noqa: PT012 - which one it is cannot be told
            for _ in range(20):
                file.write(run, np.arange(10), np.zeros(10, np.int64))
                file.flush()
        with pytest.raises(OutputError):
            file.write(run, np.arange(10), np.zeros(10, np.int64))
        assert (errno.EFBIG, file.rows) == (caught.value.errno, file.finish(file.rows).rows)
        file.seal(None, {}, '{"outcome": "failed"}')
    with h5py.File(path) as finished:
        assert 20 <= file.rows < 200
        assert file.rows * 37500 == finished[f"data/{IMAGE.name}/data"][:].sum()
        assert list(range(1, 11)) * (file.rows // 10) == finished[f"data/{A.name}/pulse_id"][:].tolist()
        assert json.loads(finished["report"].asstr()[()]) == {"outcome": "failed"}


def test_room_that_rows_taken_back_had_is_counted(path: Path) -> None:
    summaries = [
        write(path.with_name(f"{rows}.h5"), messages_of((IMAGE,), [{IMAGE.name: np.ones((150, 250))}] * 30), rows=rows)
        for rows in (30, 10)
    ]
    assert [summary.dead_bytes // 75_000 for summary in summaries] == [0, 20]
    sizes = [path.with_name(f"{rows}.h5").stat().st_size for rows in (30, 10)]
    assert sizes[1] > sizes[0] - 75_000


WRITE_AND_DIE = """
import os, signal, sys
import numpy as np
from pathlib import Path
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.testing.messages import message_of, run_of
run = run_of([message_of(1 + i, {"A": float(i), "T": f"t{i}"}) for i in range(100)])
file = PulseFile(Path(sys.argv[1]))
for start in range(0, 60, 20):
    file.write(run, np.arange(start, start + 20), np.zeros(20, np.int64))
file.flush()
file.write(run, np.arange(60, 100), np.zeros(40, np.int64))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_flushed_survives_a_kill(path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=False, timeout=50)
    assert ended.returncode == -signal.SIGKILL
    with h5py.File(path.with_name(path.name + ".partial")) as file:
        assert list(range(1, 61)) == file["stream/pulse_id"][:60].tolist()
        assert list(range(1, 61)) == file["data/A/pulse_id"][:60].tolist()
        assert [[float(i)] for i in range(60)] == file["data/A/data"][:60].tolist()
        assert [f"t{i}" for i in range(60)] == file["data/T/data"].asstr()[:60].tolist()


# What is handed over


def test_messages_that_cannot_be_assigned_are_refused_and_nothing_is_written(path: Path) -> None:
    messages = messages_of((A,), [{A.name: 1.0}] * 3)
    messages[1] = messages[1][:-2]
    file = PulseFile(path)
    with pytest.raises(MessageError, match="2 frames"):
        file.write(run_of(messages), np.arange(3), np.zeros(3, np.int64))
    assert file.rows == 0
    file.write(run_of(messages), np.array([0, 2]), np.zeros(2, np.int64))
    assert file.finish(2).rows == 2
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        assert finished[f"data/{A.name}/pulse_id"][:].tolist() == [100, 102]


def test_memory_of_a_run_may_be_used_again_at_once(path: Path) -> None:
    values = {A.name: 1.0, "W": np.ones(10), "T": "text", IMAGE.name: np.ones((150, 250))}
    run, file = run_of(messages_of((A, WAVEFORM, TEXT, IMAGE), [values] * 2)), PulseFile(path)
    file.write(run, np.arange(2), np.zeros(2, np.int64))
    run.data[:] = 0xFF
    file.finish(2)
    file.seal(None, {}, "{}")
    with h5py.File(path) as finished:
        assert [
            finished["data"][name]["data"][1].flat[0] if name != "T" else finished["data/T/data"][1]
            for name in (A.name, "W", "T", IMAGE.name)
        ] == [1.0, 1, b"text", 1]


def test_a_dry_run_counts_the_same_and_writes_nothing(tmp_path: Path) -> None:
    packed = Channel(name="P", type=ValueType.UINT16, shape=(40,), compression=Compression.LZ4)
    values = [{A.name: 1.0 if row % 3 else None, "T": "t", "P": np.ones(40)} for row in range(30)]
    messages = messages_of((A, TEXT, packed), values)
    messages[5][6] = bytes(12)
    messages[6][2] = b"short"
    real, dry = write(tmp_path / "real.h5", messages), write(None, messages)
    assert [(each.name, each.rows_present) for each in real.channels] == [(each.name, each.rows_present) for each in dry.channels]
    assert (real.channels[0].damaged, real.rows, 0) == (dry.channels[0].damaged, dry.rows, dry.bytes)
    assert os.listdir(tmp_path) == ["real.h5"]


# A place that is not the one it was


def below(root: Path) -> FileOptions:
    """Options of files that have to lie below this folder when it comes to it."""
    return FileOptions(check_place=Destination(os.devnull, root=root).check)


@pytest.mark.parametrize("moment", ["before", "while it is created"])
def test_a_folder_that_has_become_a_link_gets_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "new").mkdir(parents=True)
    outside.mkdir()

    def swap(*unused: object, **unused_too: object) -> None:
        (root / "new").rmdir()
        (root / "new").symlink_to(outside)

    if moment == "before":
        swap()
    else:
        monkeypatch.setattr(file_module, "try_room", swap)
    descriptors = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OutputError, match=f"leads to '{outside}/run.h5' by now"):
        PulseFile(root / "new" / "run.h5", options=below(root))
    assert list(outside.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) == descriptors


def test_a_folder_that_becomes_a_link_while_it_is_written_does_not_get_the_file(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    file = PulseFile(root / "new" / "run.h5", options=below(root))
    file.write(run_of(messages_of((A,), [{A.name: 1.0}])), np.arange(1), np.zeros(1, np.int64))
    (root / "new").rename(root / "old")
    (root / "new").symlink_to(outside)
    file.finish(1)
    with pytest.raises(OutputError, match=f"leads to '{outside}/run.h5' by now"):
        file.seal(None, {}, "{}")
    assert list(outside.iterdir()) == []
    with h5py.File(root / "old" / "run.h5.partial") as left:
        assert left[f"data/{A.name}/data"][:].tolist() == [[1.0]]
