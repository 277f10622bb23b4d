"""Everything that senders are known to do, sent frame by frame through the real buffer and the real writer into a file."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - h5py reads lz4 and bitshuffle by it
import numpy as np
import pytest
import zmq

from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import Compression, ValueType
from sf_bsread_writer.testing.chain import Writer, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.messages import message_of, time_of
from sf_bsread_writer.testing.oddities import (
    DROPPED_BY_THE_BUFFER,
    DROPPED_BY_THE_WRITER,
    LARGE,
    MISSING,
    ODDITIES,
    OWN_TIME_AFTER_NS,
    REPEATED,
    Frames,
    Oddity,
    data_frame,
    main_frame,
    time_frame,
)

pytestmark = [pytest.mark.system, pytest.mark.peer]

KEPT = [oddity for oddity in ODDITIES if oddity.fate == "kept"]
CHECKED = [oddity for oddity in KEPT if oddity.has_channel]
FIRST_PULSE = 2


def pulse_of(oddity: Oddity) -> int:
    """The pulse id that an oddity gets; the next one is a good message's."""
    return FIRST_PULSE + 2 * ODDITIES.index(oddity)


LAST_PULSE = pulse_of(ODDITIES[-1]) + 1


def stream(oddities: Sequence[Oddity]) -> Iterator[tuple[Frames, bool]]:
    """All messages, and whether the buffer keeps them: one without a pulse id, then good ones and oddities by turns."""
    yield [main_frame(0, pulse_id=...), data_frame({"name": "no pulse id"}), bytes(8), b""], True
    yield message_of(1, {"GOOD": 1.0}), True
    for oddity in oddities:
        pulse_id = pulse_of(oddity)
        yield oddity.frames(pulse_id), oddity.fate != "dropped by the buffer"
        yield message_of(pulse_id + 1, {"GOOD": pulse_id + 1.0}), True


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What an acquisition left behind."""

    file: h5py.File
    report: dict[str, Any]
    exit_code: int
    writer_log: str
    buffer_log: str = ""
    forwarded: Sequence[Frames] = ()
    rows: dict[int, int]

    def row(self, oddity: Oddity) -> int:
        return self.rows[pulse_of(oddity)]


def taken(writer: Writer, **more: Any) -> Taken:
    """Waits for the writer's end and opens its file."""
    exit_code = writer.program.wait_for_exit()
    file = h5py.File(writer.path)
    report = json.loads(file["report"][()])
    rows = {pulse_id: row for row, pulse_id in enumerate(file["stream/pulse_id"][:].tolist())}
    return Taken(file=file, report=report, exit_code=exit_code, writer_log=writer.program.output, rows=rows, **more)


def pull(address: str, count: int) -> list[Frames]:
    """The first messages that a libzmq PULL gets there."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.setsockopt(zmq.RCVTIMEO, 10_000)
        socket.connect(address)
        return [socket.recv_multipart() for _ in range(count)]


@pytest.fixture(scope="module")
def by_buffer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """All oddities, through buffer and writer."""
    path = tmp_path_factory.mktemp("oddities") / "run.h5"
    messages = list(stream(ODDITIES))
    with ZmqSource() as source, buffer_of(source.address, "-b", 10_000, "--analyzer") as buffer:
        for frames, _ in messages:
            source.send_frames(frames)
        buffer.wait_until_it_holds(newest=LAST_PULSE)
        forwarded = pull(buffer.address, sum(kept for _, kept in messages))
        with writer_of(buffer.address, path) as writer:
            writer.put("/start_pulse_id/0")
            writer.put(f"/stop_pulse_id/{LAST_PULSE}")
            writer.program.wait_for_exit()
        buffer.program.end()
        result = taken(writer, buffer_log=buffer.program.output, forwarded=forwarded)
    with result.file:
        yield result


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """The same without a buffer between, and without the large ones."""
    path = tmp_path_factory.mktemp("direct") / "run.h5"
    with ZmqSource() as source, writer_of(source.address, path) as writer:
        writer.put("/start_pulse_id/0")
        writer.put(f"/stop_pulse_id/{LAST_PULSE}")
        for frames, _ in stream([oddity for oddity in ODDITIES if oddity not in LARGE]):
            source.send_frames(frames)
        writer.program.wait_for_exit()
        result = taken(writer)
    with result.file:
        yield result


def test_the_buffer_forwards_every_byte_and_drops_only_what_has_no_usable_main_header(by_buffer: Taken) -> None:
    expected = [frames for frames, kept in stream(ODDITIES) if kept]
    assert len(expected) == len(by_buffer.forwarded)
    for sent, forwarded in zip(expected, by_buffer.forwarded, strict=True):
        assert sent == forwarded


def test_every_good_message_is_kept_whatever_came_before_it(by_buffer: Taken) -> None:
    good = [1, *(pulse_of(oddity) + 1 for oddity in ODDITIES)]
    rows = [by_buffer.rows[pulse_id] for pulse_id in good]
    channel = by_buffer.file["data/GOOD"]
    assert good == channel["data"][:, 0][rows].tolist() == channel["pulse_id"][:][rows].tolist()
    assert int(channel["is_data_present"][:].sum()) == len(good)


def test_exactly_the_good_and_the_odd_but_usable_messages_have_a_row(by_buffer: Taken) -> None:
    expected = {0, 1, *(pulse_of(oddity) for oddity in KEPT), *(pulse_of(oddity) + 1 for oddity in ODDITIES)}
    assert sorted(expected) == list(by_buffer.rows)


def test_the_report_names_exactly_the_pulses_that_were_dropped(by_buffer: Taken) -> None:
    missing = [pulse_of(oddity) for oddity in ODDITIES if oddity.fate != "kept"]
    assert [{"first": pulse_id, "last": pulse_id} for pulse_id in missing] == by_buffer.report["missing"]
    assert (by_buffer.report["outcome"], by_buffer.exit_code) == ("incomplete", 5)


def test_a_message_without_a_pulse_id_is_pulse_0(by_buffer: Taken) -> None:
    channel = by_buffer.file["data/no pulse id"]
    assert (by_buffer.rows[0], channel["pulse_id"][0], channel["is_data_present"][0]) == (0, 0, 1)


@pytest.mark.parametrize("oddity", CHECKED, ids=lambda oddity: oddity.what)
def test_an_odd_message_is_kept_value_by_value(by_buffer: Taken, oddity: Oddity) -> None:
    check_values(by_buffer, oddity)


@pytest.mark.parametrize("oddity", [oddity for oddity in CHECKED if oddity not in LARGE], ids=lambda oddity: oddity.what)
def test_a_writer_without_a_buffer_keeps_the_same(direct: Taken, oddity: Oddity) -> None:
    check_values(direct, oddity)


def check_values(taken: Taken, oddity: Oddity) -> None:
    channel, row = taken.file["data"][oddity.what], taken.row(oddity)
    (reported,) = [entry for entry in taken.report["channels"] if entry["name"] == oddity.what]
    present = oddity.value is not MISSING
    assert np.flatnonzero(channel["is_data_present"][:]).tolist() == [row] * present
    assert channel["pulse_id"][row] == pulse_of(oddity) * present
    assert (reported["present"], reported["missing"]) == (int(present), len(taken.rows) - present)
    assert reported["damaged"] == oddity.damaged
    if not present:
        assert "data" not in channel
        return
    if isinstance(oddity.value, str):
        assert channel["data"].asstr()[row] == oddity.value
    else:
        stored = channel["data"][row]
        np.testing.assert_array_equal(stored if np.ndim(oddity.value) else stored[0], oddity.value, strict=False)
    time_ns = (
        taken.file["stream/global_timestamp"][row] if oddity.time == "global" else time_of(pulse_of(oddity)) + OWN_TIME_AFTER_NS
    )
    assert channel["timestamp"][row] == time_ns


def test_the_global_timestamp_is_the_sender_s_whatever_it_calls_the_seconds(by_buffer: Taken) -> None:
    times = by_buffer.file["stream/global_timestamp"]
    odd = {oddity.what: int(times[by_buffer.row(oddity)]) for oddity in KEPT}
    assert odd["epoch instead of sec"] == 1_700_000_123_000_000_005
    assert odd["no global timestamp"] == odd["global timestamp null"] == 0


def test_a_message_without_channels_is_a_row_of_missing_values(by_buffer: Taken) -> None:
    for oddity in KEPT:
        if oddity.what.startswith("channels "):
            assert by_buffer.file["data/GOOD/is_data_present"][by_buffer.row(oddity)] == 0


def test_4000_channels_are_kept_each_with_its_value(by_buffer: Taken) -> None:
    row = by_buffer.row(LARGE[0])
    data = by_buffer.file["data"]
    assert [float(index) for index in range(4000)] == [data[f"MANY:{index}/data"][row, 0] for index in range(4000)]
    assert data["MANY:3999/is_data_present"][:].sum() == data["MANY:0/is_data_present"][row] == 1


def counts(oddities: Sequence[Oddity]) -> dict[str, int]:
    return dict(Counter(oddity.kind for oddity in oddities))


def test_the_buffer_counts_what_it_drops_by_kind(by_buffer: Taken) -> None:
    told = re.search(r"dropped: (.*?);", by_buffer.buffer_log)
    assert told is not None
    found = {kind: int(count) for count, kind in re.findall(r"(\d+) × ([^,]+)", told[1])}
    assert counts(DROPPED_BY_THE_BUFFER) == found


@pytest.mark.parametrize("kind", counts(DROPPED_BY_THE_BUFFER))
def test_the_buffer_says_once_for_each_kind_why_it_drops(by_buffer: Taken, kind: str) -> None:
    check_log(by_buffer.buffer_log, DROPPED_BY_THE_BUFFER, kind)


@pytest.mark.parametrize("kind", counts(DROPPED_BY_THE_WRITER))
def test_the_writer_says_once_for_each_kind_why_it_drops(by_buffer: Taken, kind: str) -> None:
    check_log(by_buffer.writer_log, DROPPED_BY_THE_WRITER, kind)


def check_log(log: str, oddities: Sequence[Oddity], kind: str) -> None:
    first = next(oddity for oddity in oddities if oddity.kind == kind)
    lines = [line for line in log.splitlines() if line.startswith("[WARNING] Dropped ") and f"({kind})" in line]
    assert len(lines) == 1, log
    assert first.says in lines[0]


def test_the_report_counts_what_the_writer_drops_by_kind(by_buffer: Taken) -> None:
    assert counts(DROPPED_BY_THE_WRITER) == by_buffer.report["dropped"]
    assert counts(REPEATED) == {kind: by_buffer.report[kind] for kind in ("duplicates", "out_of_order")}


def test_without_a_buffer_the_report_counts_everything(direct: Taken) -> None:
    assert counts([*DROPPED_BY_THE_BUFFER, *DROPPED_BY_THE_WRITER]) == direct.report["dropped"]


def test_the_log_says_what_the_report_says(by_buffer: Taken) -> None:
    report = by_buffer.report
    for kind, count in report["dropped"].items():
        assert f"messages dropped ({kind}): {count}" in by_buffer.writer_log
    assert f"Missing: {report['missing_pulses']} pulses" in by_buffer.writer_log
    damaged = sum(oddity.damaged for oddity in ODDITIES)
    assert f"Damaged: {damaged} values, of the channels 'timestamp of 8 bytes', 'value too short', " in by_buffer.writer_log


# All types -------------------------------------------------------------------------------------------------------------------

SHAPES = {"scalar": (), "waveform": (300,), "image": (48, 64)}
"""NumPy order. Of the waveforms some have less than the 2 KiB from which a value is stored compressed as it came, some more."""

ALL_TYPES = [
    Channel(
        name=f"{kind.wire} {'big' if big_endian else 'little'} {compression.value} {shape}",
        type=kind,
        shape=SHAPES[shape],
        big_endian=big_endian,
        compression=compression,
    )
    for kind, big_endian, compression, shape in product(ValueType, (False, True), Compression, SHAPES)
    if kind is not ValueType.STRING or shape == "scalar"
]
TYPED_PULSES = range(1, 6)
EMPTY_PULSE = 3


def typed_value(channel: Channel, pulse_id: int) -> Any:
    """Any value of this channel, the same at each call."""
    if channel.is_string:
        return f"{channel.name}: {'µ' * pulse_id}"
    raw = np.random.default_rng(pulse_id).bytes(channel.value_bytes or 0)
    if channel.type is ValueType.BOOL:
        return (np.frombuffer(raw, np.uint8) > 127).reshape(channel.shape)
    return np.frombuffer(raw, channel.type.numpy).reshape(channel.shape)


def typed_message(pulse_id: int) -> Frames:
    is_empty = pulse_id == EMPTY_PULSE
    values = {channel.name: None if is_empty else typed_value(channel, pulse_id) for channel in ALL_TYPES}
    return message_of(pulse_id, values, channels=ALL_TYPES)


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    """Every type in both byte orders, in each compression, as scalar, waveform and image."""
    messages = {pulse_id: typed_message(pulse_id) for pulse_id in TYPED_PULSES}
    with acquired(messages, tmp_path_factory.mktemp("typed") / "run.h5") as result:
        yield result


@contextmanager
def acquired(messages: Mapping[int, Frames], path: Path, parameters: object = None) -> Iterator[Taken]:
    """Sends the messages through buffer and writer into a file; all of them are asked for."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 10_000) as buffer:
        for frames in messages.values():
            source.send_frames(frames)
        buffer.wait_until_it_holds(newest=max(messages))
        with writer_of(buffer.address, path) as writer:
            if parameters is not None:
                writer.request("POST", "/parameters", parameters)
            writer.put(f"/start_pulse_id/{min(messages)}")
            writer.put(f"/stop_pulse_id/{max(messages)}")
            writer.program.wait_for_exit()
    result = taken(writer)
    assert (result.exit_code, list(result.rows)) == (0, list(messages)), result.writer_log
    with result.file:
        yield result


def test_all_types_byte_orders_compressions_and_shapes_are_there(typed: Taken) -> None:
    assert len(ALL_TYPES) == 11 * 2 * 3 * 3 + 2 * 3 == len(typed.file["data"])
    assert all(entry["damaged"] == 0 for entry in typed.report["channels"])


@pytest.mark.parametrize("channel", ALL_TYPES, ids=lambda channel: channel.name)
def test_values_of_every_kind_are_kept_bit_by_bit(typed: Taken, channel: Channel) -> None:
    group = typed.file["data"][channel.name]
    data = group["data"]
    assert data.shape == (len(TYPED_PULSES), *(() if channel.is_string else channel.shape or (1,)))
    assert data.maxshape[0] is None
    for row, pulse_id in enumerate(TYPED_PULSES):
        present = pulse_id != EMPTY_PULSE
        expected = typed_value(channel, pulse_id) if present else np.zeros(channel.shape, np.int8)
        if channel.is_string:
            assert data.asstr()[row] == (expected if present else "")
        else:
            stored = data[row].astype(channel.type.numpy)
            assert stored.tobytes() == np.asarray(expected).astype(channel.type.numpy).tobytes()
        time_ns = time_of(pulse_id) + ALL_TYPES.index(channel)
        found = (group["pulse_id"][row], group["is_data_present"][row], group["timestamp"][row])
        assert found == (pulse_id * present, present, time_ns * present)


# Rules of the file -----------------------------------------------------------------------------------------------------------

Description = dict[str, object]
FLOAT: Description = {"type": "float64"}
INT16: Description = {"type": "int16"}
TEXT: Description = {"type": "string"}
STRANGE_NAMES = {
    # name in the stream, number among those of the same name: its group
    ("a/b", 1): "a_b",
    ("a_b", 1): "a_b(2)",
    ("/", 1): "_",
    (".", 1): "_(2)",
    ("", 1): "_(3)",
    ("..", 1): "__",
    ("TWICE", 1): "TWICE",
    ("TWICE", 2): "TWICE(2)",
    ("SWISS-FEL:Ü 1 [µm]", 1): "SWISS-FEL:Ü 1 [µm]",
    ("n\0l", 1): "n_l",
    ("x" * 300, 1): "x" * 255,
    ("data", 1): "data",
}


def odd_header(*channels: tuple[str, Description]) -> bytes:
    return data_frame(*({"name": name} | description for name, description in channels))


def scripted(pulse_id: int, header: bytes, *values: bytes | None) -> Frames:
    """A message of these value frames; None is a missing value."""
    frames = [main_frame(pulse_id), header]
    for value in values:
        frames += [b"", b""] if value is None else [value, time_frame(pulse_id)]
    return frames


def f8(value: float) -> bytes:
    return np.float64(value).tobytes()


def i2(*values: int) -> bytes:
    return np.array(values, "<i2").tobytes()


def scripted_messages() -> dict[int, Frames]:
    """Eight pulses, in which channels come late, never, change, vanish and come back."""
    first = odd_header(("A", FLOAT), ("LATE", FLOAT), ("NEVER", FLOAT), ("CHANGES", INT16), ("TEXT", TEXT), ("VANISHES", FLOAT))
    array = odd_header(("RENAMED", FLOAT), ("A", FLOAT), ("CHANGES", INT16 | {"shape": [3]}), ("TEXT", TEXT))
    other = odd_header(("A", FLOAT), ("CHANGES", FLOAT), ("TEXT", INT16))
    strange = odd_header(*((name, FLOAT) for name, _ in STRANGE_NAMES))
    return {
        11: scripted(11, first, f8(1), None, None, i2(10), b"one", f8(100)),
        12: scripted(12, first, None, None, None, i2(20), None, f8(200)),
        13: scripted(13, first, f8(3), f8(33), None, None, b"three", None),
        14: scripted(14, array, f8(44), f8(4), i2(40, 41, 42), b"four"),
        15: scripted(15, array, f8(55), f8(5), i2(50, 51, 52), None),
        16: scripted(16, other, f8(6), f8(60.5), i2(600)),
        17: scripted(17, first, f8(7), None, None, i2(70), b"seven", f8(700)),
        18: scripted(18, strange, *(f8(index) for index in range(len(STRANGE_NAMES)))),
    }


PARAMETERS = {
    "general/created": "2026-01-01 12:00:00",
    "general/user": "p12345",
    "general/process": "überprüft",
    "general/instrument": "Bernina",
    "general/sample": 'a "long" one',
    "channels": ["A", "B"],
}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taken]:
    with acquired(scripted_messages(), tmp_path_factory.mktemp("rules") / "run.h5", PARAMETERS) as result:
        yield result


PRESENT = {
    "A": [11, 0, 13, 14, 15, 16, 17, 0],
    "LATE": [0, 0, 13, 0, 0, 0, 0, 0],
    "NEVER": [0] * 8,
    "CHANGES": [11, 12, 0, 14, 15, 16, 17, 0],
    "TEXT": [11, 0, 13, 14, 0, 16, 17, 0],
    "VANISHES": [11, 12, 0, 0, 0, 0, 17, 0],
    "RENAMED": [0, 0, 0, 14, 15, 0, 0, 0],
}


@pytest.mark.parametrize("name", PRESENT)
def test_each_channel_has_a_row_for_each_message_with_pulse_id_0_where_it_has_no_value(ruled: Taken, name: str) -> None:
    group = ruled.file["data"][name]
    assert group["pulse_id"][:].tolist() == PRESENT[name]
    assert group["is_data_present"][:].tolist() == [int(pulse_id > 0) for pulse_id in PRESENT[name]]
    times = [time_of(pulse_id) + OWN_TIME_AFTER_NS if pulse_id else 0 for pulse_id in PRESENT[name]]
    if any(PRESENT[name]):
        assert group["timestamp"][:].tolist() == times
    for member in group.values():
        assert member.maxshape[0] is None


VALUES: dict[str, dict[str, list[Any]]] = {
    "A": {"data": [1, 0, 3, 4, 5, 6, 7, 0]},
    "LATE": {"data": [0, 0, 33, 0, 0, 0, 0, 0]},
    "NEVER": {},
    "CHANGES": {
        "data(1)": [10, 20],
        "data(2)": [[0, 0, 0]] * 3 + [[40, 41, 42], [50, 51, 52]],
        "data(3)": [0, 0, 0, 0, 0, 60.5],
        "data": [0, 0, 0, 0, 0, 0, 70, 0],
    },
    "TEXT": {
        "data(1)": ["one", "", "three", "four"],
        "data(2)": [0, 0, 0, 0, 0, 600],
        "data": ["", "", "", "", "", "", "seven", ""],
    },
    "VANISHES": {"data": [100, 200, 0, 0, 0, 0, 700, 0]},
    "RENAMED": {"data": [0, 0, 0, 44, 55, 0, 0, 0]},
}


@pytest.mark.parametrize("name", VALUES)
def test_values_stand_in_the_rows_and_datasets_that_the_rules_give_them(ruled: Taken, name: str) -> None:
    group = ruled.file["data"][name]
    found = {}
    for dataset in (member for member in group if member.startswith("data")):
        stored = group[dataset]
        if h5py.check_string_dtype(stored.dtype):
            found[dataset] = stored.asstr()[:].tolist()
        else:
            found[dataset] = (stored[:, 0] if stored.shape[1:] == (1,) else stored[:]).tolist()
    assert found == VALUES[name]
    (reported,) = [entry for entry in ruled.report["channels"] if entry["name"] == name]
    assert sorted(reported["datasets"]) == sorted(VALUES[name])


def test_types_are_those_of_their_time(ruled: Taken) -> None:
    group = ruled.file["data/CHANGES"]
    assert {name: group[name].dtype for name in group if name.startswith("data")} == {
        "data(1)": np.dtype("<i2"),
        "data(2)": np.dtype("<i2"),
        "data(3)": np.dtype("<f8"),
        "data": np.dtype("<i2"),
    }


@pytest.mark.parametrize("key", STRANGE_NAMES, ids=lambda key: repr(key[0][:20]))
def test_a_strange_name_becomes_a_group_that_says_what_it_was(ruled: Taken, key: tuple[str, int]) -> None:
    group = ruled.file["data"][STRANGE_NAMES[key]]
    assert group["data"][:, 0].tolist() == [0] * 7 + [list(STRANGE_NAMES).index(key)]
    told = key[0].replace("\0", "\N{REPLACEMENT CHARACTER}")  # no text in HDF5 can hold a NUL
    assert group.attrs.get("channel", STRANGE_NAMES[key]) == told


def test_nothing_else_is_in_the_file(ruled: Taken) -> None:
    assert sorted(ruled.file) == ["data", "general", "report", "stream"]
    assert sorted(ruled.file["data"]) == sorted([*PRESENT, *STRANGE_NAMES.values()])
    assert sorted(ruled.file["stream"]) == ["arrival_timestamp", "global_timestamp", "pulse_id"]
    assert ruled.file["stream/pulse_id"][:].tolist() == list(range(11, 19))
    assert ruled.file["stream/global_timestamp"][:].tolist() == [time_of(pulse_id) for pulse_id in range(11, 19)]


def test_parameters_are_fixed_strings_below_general(ruled: Taken, typed: Taken) -> None:
    expected = {name.removeprefix("general/"): value for name, value in PARAMETERS.items()} | {"channels": '["A", "B"]'}
    assert {name: item[()].decode() for name, item in ruled.file["general"].items()} == expected
    assert {item[()] for item in typed.file["general"].values()} == {b"not given"}
    for name in ("created", "user", "process", "instrument"):
        assert h5py.check_string_dtype(ruled.file["general"][name].dtype).length is not None
        assert name in typed.file["general"]
