"""What is found in files that are right, and in those that are not."""

import json
from collections.abc import Callable
from itertools import cycle, pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.coverage import Coverage
from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.inspect import Gaps, gaps_in, inspect_file
from sf_bsread_writer.message.due import EVERY, Due
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.model import PulseRange
from sf_bsread_writer.testing.messages import message_of, run_of

CHANNELS = (
    Channel(name="A", type=ValueType.FLOAT64),
    Channel(name="slow/one", type=ValueType.INT16, shape=(150, 250)),
    Channel(name="T", type=ValueType.STRING),
    Channel(name="never", type=ValueType.INT32),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


def write(path: Path, pulse_ids: list[int], report: str = "{}") -> None:
    """A file of these pulses; the slow channel has a value at every fifth pulse id."""
    image = np.ones((150, 250), "i2")
    values = [{"A": 1.0, "slow/one": image if pulse % 5 == 0 else None, "T": "t"} for pulse in pulse_ids]
    file = PulseFile(path)
    messages = [message_of(pulse, value, channels=CHANNELS) for pulse, value in zip(pulse_ids, values, strict=True)]
    file.write(run_of(messages), np.arange(len(pulse_ids)), np.zeros(len(pulse_ids), np.int64))
    file.finish(len(pulse_ids))
    file.seal(None, {}, report)


def test_a_complete_file_is_as_asked(path: Path) -> None:
    write(path, list(range(100, 120)), '{"outcome": "complete"}')
    findings = inspect_file(path, PulseRange(100, 119))
    assert findings.is_as_asked
    assert (
        findings.rows.rows,
        findings.first,
        findings.last,
        findings.step,
        findings.outcome,
    ) == (20, 100, 119, 1, "complete")


def test_channels_are_described(path: Path) -> None:
    write(path, list(range(100, 112)))
    channels = {channel.name: channel for channel in inspect_file(path).channels}
    assert {name: (channel.type, channel.shape) for name, channel in channels.items()} == {
        "A": ("float64", ()),
        "slow/one": ("int16", (150, 250)),
        "T": ("string", ()),
        "never": (None, None),
    }
    assert [channels[name].rows.present for name in ("A", "slow/one", "T", "never")] == [12, 3, 12, 0]
    assert (PulseRange(101, 104), PulseRange(106, 109), PulseRange(111, 111)) == channels["slow/one"].rows.missing.ranges
    assert [channels[name].rows.missing.pulses for name in ("slow/one", "never")] == [9, 12]


def test_missing_and_unwanted_pulses_are_named(path: Path) -> None:
    write(path, [98, 99, 100, 101, 104, 105])
    findings = inspect_file(path, PulseRange(100, 107))
    assert Gaps(pulses=4, ranges=(PulseRange(102, 103), PulseRange(106, 107))) == findings.rows.missing
    assert (findings.unwanted, findings.is_as_asked) == (2, False)


def test_gaps_are_no_fault_when_nobody_asked_for_anything(path: Path) -> None:
    write(path, [98, 99, 104])
    assert inspect_file(path).is_as_asked


@pytest.mark.parametrize(
    ("pulse_ids", "duplicates", "out_of_order"), [([1, 2, 2, 3], 1, 0), ([1, 3, 2], 0, 1), ([5, 1, 5, 2], 1, 2)]
)
def test_repeated_and_late_pulses_are_counted(path: Path, pulse_ids: list[int], duplicates: int, out_of_order: int) -> None:
    write(path, pulse_ids)
    findings = inspect_file(path)
    assert (duplicates, out_of_order, False) == (findings.rows.duplicates, findings.rows.out_of_order, findings.is_as_asked)


def test_the_report_tells_which_pulses_were_due(path: Path) -> None:
    write(path, [100, 110, 130], due_json((100, [(10, 0)])))
    findings = inspect_file(path, PulseRange(95, 149))
    assert Gaps(pulses=2, ranges=(PulseRange(120, 120), PulseRange(140, 140))) == findings.rows.missing
    assert findings.step == 10


def due_json(*changes: tuple[int, list[tuple[int, int]]]) -> str:
    """A report that tells from which pulse id on which rules, (modulo, offset), were in force."""
    due = [
        {"first_pulse_id": first, "rules": [{"modulo": modulo, "offset": offset} for modulo, offset in rules]}
        for first, rules in changes
    ]
    return json.dumps({"due": due})


def test_channels_of_several_rates_and_a_changed_rate_are_judged_as_the_report_tells(path: Path) -> None:
    write(path, [100, 104, 108, 110, 112, 115, 116, 118], due_json((100, [(4, 0), (10, 0)]), (115, [(1, 0)])))
    findings = inspect_file(path, PulseRange(97, 118))
    assert (Gaps(pulses=1, ranges=(PulseRange(117, 117),)), 1) == (findings.rows.missing, findings.step)


@pytest.mark.parametrize("due", [None, 3, [], [{}], [{"first_pulse_id": 1, "rules": [{"modulo": 0, "offset": 0}]}]])
def test_a_report_that_tells_nothing_of_use_makes_every_pulse_due(path: Path, due: object) -> None:
    write(path, [100, 102], json.dumps({"due": due}))
    assert inspect_file(path, PulseRange(100, 102)).rows.missing.pulses == 1


def _other_length(file: h5py.File) -> None:
    file["data/A/data"].resize(3, 0)


def _id_without_value(file: h5py.File) -> None:
    file["data/never/pulse_id"][2] = 102


def _other_id(file: h5py.File) -> None:
    file["data/A/pulse_id"][2] = 7


def _no_flags(file: h5py.File) -> None:
    del file["data/A/is_data_present"]


def _no_values(file: h5py.File) -> None:
    del file["data/A/data"]


def _no_data(file: h5py.File) -> None:
    del file["data"]


def _short(file: h5py.File) -> None:
    file["stream/pulse_id"].resize(9, 0)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_other_length, "A: data has 3 rows, pulse_id has 10"),
        (_id_without_value, "never: 1 rows without a value have a pulse id"),
        (_other_id, "A: has pulse ids that are not those of the messages"),
        (_no_flags, "A: needs pulse_id and is_data_present"),
        (_no_values, "A: 10 rows say that there is a value, but there is no data"),
        (_no_data, "there is no group /data"),
        (_short, "A: has 10 rows, the file has 9"),
    ],
)
def test_broken_rules_are_told(path: Path, damage: Callable[[h5py.File], None], text: str) -> None:
    write(path, list(range(100, 110)))
    with h5py.File(path, "r+") as file:
        damage(file)
    findings = inspect_file(path)
    assert any(problem.startswith(text) for problem in findings.problems), findings.problems
    assert not findings.is_as_asked


def test_files_without_a_stream_are_judged_by_their_channels(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, ids in (("A", [1, 2, 0, 4]), ("B", [0, 2, 3, 0])):
            file[f"data/{name}/pulse_id"] = np.array(ids)
            file[f"data/{name}/is_data_present"] = np.array(ids, bool).astype("u1")
            file[f"data/{name}/data"] = np.ones((4, 1))
    findings = inspect_file(path, PulseRange(1, 4))
    assert (findings.is_as_asked, findings.first, findings.last) == (True, 1, 4)
    assert [(PulseRange(3, 3),), (PulseRange(1, 1), PulseRange(4, 4))] == [each.rows.missing.ranges for each in findings.channels]


@pytest.mark.parametrize("content", [None, b"", b"not HDF5"])
def test_what_cannot_be_read_is_an_output_error(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(OutputError, match=r"cannot read .*run\.h5"):
        inspect_file(path)


def test_pulses_that_cannot_be_are_not_missing() -> None:
    assert gaps_in(np.array([1]), PulseRange(-5, 10**20)).ranges == (PulseRange(0, 0), PulseRange(2, 2**63 - 2))
    assert gaps_in(np.array([], np.int64), PulseRange(-5, -1)).pulses == 0


RULES = st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 10]), st.integers(0, 9)), min_size=1, max_size=3).map(tuple).map(Due)


@given(st.sets(st.integers(0, 60)), RULES, st.integers(-20, 60), st.integers(0, 40))
def test_gaps_are_the_due_pulses_that_are_not_there(chosen: set[int], due: Due, first: int, length: int) -> None:
    wanted = PulseRange(first, first + length)
    there = sorted(pulse for pulse in chosen if first <= pulse <= wanted.last)
    asked = np.arange(max(first, 0), wanted.last + 1)
    expected = [pulse for pulse in asked[due.contains(asked)].tolist() if pulse not in there]
    gaps = gaps_in(np.array(there, np.int64), wanted, [(30, due)])
    assert len(expected) == gaps.pulses
    assert expected == [
        pulse
        for gap in gaps.ranges
        for pulse in np.arange(gap.first, gap.last + 1)[due.contains(np.arange(gap.first, gap.last + 1))].tolist()
    ]


@given(
    st.sets(st.integers(0, 120), min_size=1),
    st.lists(st.tuples(st.integers(0, 60), RULES), min_size=1, max_size=4),
    st.integers(0, 9),
)
def test_a_file_is_judged_as_its_writer_judged_it(chosen: set[int], changes: list[tuple[int, Due]], around: int) -> None:
    ids = sorted(chosen)
    coverage = Coverage()
    edges = sorted({0, len(ids), *(min(row, len(ids)) for row, _ in changes)})
    for (begin, end), (_, due) in zip(pairwise(edges), cycle(changes), strict=False):
        coverage.add(np.array(ids[begin:end], np.int64), due)
    first, last = max(ids[0] - around, 0), ids[-1] + around
    gaps = gaps_in(np.array(ids, np.int64), PulseRange(first, last), [(change.first, change.due) for change in coverage.changes])

    assert coverage.count_missing(first=first, last=last, otherwise=EVERY) == gaps.pulses
    assert coverage.missing(first=first, last=last, otherwise=EVERY, limit=1000) == gaps.ranges
