"""What a killed writer leaves becomes a valid file, at whatever moment it was killed."""

import errno
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.inspect import inspect_file
from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.place import journal_path, partial_path
from sf_bsread_writer.hdf5.recover import Leftover, LeftRows, final_path, is_closed
from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.file_model import FileModel, file_content
from sf_bsread_writer.testing.kills import Recorder, recorded
from sf_bsread_writer.testing.messages import message_of, run_of

MEMORY = Path("/dev/shm")
STRIDE = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 3
"""Which of some 500 moments are tried, beside those at which the journal changes."""

NOTES = b'{"what": "the writer knew"}'
FIRST = 100
CHANGE = 8
"""The row from which on the data header is another one."""
EARLY = (
    Channel(name="SCALAR", type=ValueType.FLOAT64),
    Channel(name="SLOW", type=ValueType.INT32),
    Channel(name="TEXT", type=ValueType.STRING),
    Channel(name="WAVE", type=ValueType.INT16, shape=(300,)),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(150, 250)),
    Channel(name="NEVER", type=ValueType.FLOAT32),
    Channel(name="a/b", type=ValueType.BOOL),
)
LATE = (*EARLY[1:-1], Channel(name="NEW", type=ValueType.UINT8), Channel(name="SCALAR", type=ValueType.FLOAT32, shape=(3,)))


def values_of(pulse_id: int) -> dict[str, Value | None]:
    """Channels that part, come and go, and one that changes."""
    return {
        "SCALAR": pulse_id / 2 if pulse_id < FIRST + CHANGE else np.full(3, pulse_id, np.float32),
        "SLOW": pulse_id if pulse_id % 3 else None,
        "TEXT": "µ" * (pulse_id % 50) if pulse_id % 7 else None,
        "WAVE": np.full(300, pulse_id, np.int16) if pulse_id < FIRST + 4 or pulse_id % 5 else None,
        "IMAGE": np.full((150, 250), pulse_id, np.uint16) if pulse_id % 4 == 0 else None,
        "NEVER": None,
        **({"a/b": True} if pulse_id < FIRST + CHANGE else {"NEW": 7}),
    }


def frames_of(rows: int) -> list[list[bytes]]:
    ids = range(FIRST, FIRST + rows)
    return [message_of(pulse, values_of(pulse), channels=EARLY if pulse < FIRST + CHANGE else LATE) for pulse in ids]


def written(path: Path, rows: Sequence[int], *, notes: bytes = NOTES) -> PulseFile:
    """A file that is being written, with a flush whenever it has so many rows."""
    file, run, begin = PulseFile(path), run_of(frames_of(rows[-1])), 0
    for end in rows:
        which = np.arange(begin, end)
        file.write(run, which, which.astype(np.int64))
        file.flush(notes)
        begin = end
    return file


def expected_content(rows: int) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    model = FileModel()
    for row, frames in enumerate(frames_of(rows)):
        model.add(frames, row)
    content = model.content(rows)
    return {path.replace("a/b", "a_b"): found for path, found in content.items()}


def told_nothing(done: int, total: int) -> None:
    assert done <= total


def recovered(path: Path, *, without_journal: bool = False, last: int | None = None) -> tuple[Path, LeftRows | None]:
    """The recovered file, and what was left if it was not closed before."""
    final = final_path(path)
    with Leftover(path, without_journal=without_journal) as leftover:
        left = None if leftover.was_closed else leftover.complete(told_nothing, last=last)
        leftover.seal(final, None if left is None else ({"general/user": "somebody"}, '{"rows": 0}'))
    assert not journal_path(path).exists()
    return final, left


def killed(path: Path, rows: Sequence[int], folder: str = "killed") -> Path:
    """What is left under its partial name if its writer is killed after the last flush: a copy."""
    file = written(path, rows)
    left = path.parent / folder / partial_path(path).name
    left.parent.mkdir()
    for source, target in ((partial_path(path), left), (journal_path(partial_path(path)), journal_path(left))):
        target.write_bytes(source.read_bytes())
    file.abandon()
    return left


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder for hundreds of files, where nothing waits for a disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        yield Path(folder)


def states(path: Path) -> tuple[Recorder, list[int]]:
    """All that a writer does to its files, marked with the number of its last commit, and how many rows each commit has."""
    path.parent.mkdir()
    rows = [0]
    with recorded(path.parent) as recorder:
        file, run = PulseFile(path), run_of(frames_of(13))
        for end in (5, 11, 13):
            which = np.arange(rows[-1], end)
            file.write(run, which, which.astype(np.int64))
            file.flush(NOTES)
            recorder.mark(len(rows))
            rows.append(end)
        file.finish(12)
        recorder.mark(len(rows))
        rows.append(12)
        file.seal(None, {}, "{}")
    return recorder, rows


def test_killed_at_any_moment_all_that_was_flushed_is_recovered(memory: Path) -> None:
    recorder, rows = states(memory / "writing" / "run.h5")
    expected = {count: expected_content(count) for count in rows}
    seen, journal = set(), b""
    for number, (commit, files) in enumerate(recorder.moments()):
        if number % STRIDE and files.get("run.h5.partial.journal", b"") == journal:
            continue
        journal = files.get("run.h5.partial.journal", b"")
        for name, content in files.items():
            (memory / name).write_bytes(content)
        final, _ = recovered(memory / "run.h5.partial")
        with h5py.File(final) as file:
            found = len(file["stream/pulse_id"])
        # A commit counts from somewhere within its flush on.
        assert found in rows[commit : commit + 2], number
        assert file_content(final) == expected[found], number
        assert inspect_file(final).problems == (), number
        seen.add(found)
        final.unlink()
    assert seen == set(rows)


def test_recovering_can_be_killed_at_any_moment_too_and_done_again(memory: Path) -> None:
    recorder, _ = states(memory / "writing" / "run.h5")
    *_, (_, files) = (moment for moment in recorder.moments() if moment[0] == 2)  # the last one before the third flush is done
    (memory / "recovering").mkdir()
    for name, content in files.items():
        (memory / "recovering" / name).write_bytes(content)
    with recorded(memory / "recovering") as recorder:
        final, _ = recovered(memory / "recovering" / "run.h5.partial")
    expected = file_content(final)
    assert expected == expected_content(13)
    for number, (_, changed) in enumerate(recorder.moments(files)):
        for name, content in changed.items():
            (memory / name).write_bytes(content)
        final, _ = recovered(memory / "run.h5.partial")
        assert file_content(final) == expected, number
        final.unlink()


def test_what_was_left_gets_its_name_parameters_and_report(path: Path) -> None:
    left = killed(path, [4, 6])
    with Leftover(left) as leftover:
        assert (leftover.notes, leftover.was_closed) == (NOTES, False)
        found = leftover.complete(told_nothing)
        leftover.seal(final_path(left), ({"general/user": "somebody"}, "{}"))
    assert os.listdir(left.parent) == ["run.h5"]
    assert (found.pulse_ids.tolist(), found.cut) == ([100, 101, 102, 103, 104, 105], 0)
    assert [(channel.name, channel.group, channel.rows_present, channel.datasets) for channel in found.channels] == [
        ("IMAGE", "IMAGE", 2, ("data",)),
        ("NEVER", "NEVER", 0, ()),
        ("SCALAR", "SCALAR", 6, ("data",)),
        ("SLOW", "SLOW", 4, ("data",)),
        ("TEXT", "TEXT", 5, ("data",)),
        ("WAVE", "WAVE", 5, ("data",)),
        ("a/b", "a_b", 6, ("data",)),
    ]
    with h5py.File(left.parent / "run.h5") as file:
        assert (file["general/user"][()], file["general/process"][()], file["report"][()]) == (b"somebody", b"not given", b"{}")
        assert file_content(left.parent / "run.h5") == expected_content(6)


def test_a_channel_that_changed_has_all_its_datasets(path: Path) -> None:
    _, found = recovered(killed(path, [CHANGE + 2]))
    assert found is not None
    assert {channel.name: channel.datasets for channel in found.channels}["SCALAR"] == ("data(1)", "data")


def test_rows_behind_the_stop_are_taken_back(path: Path) -> None:
    final, found = recovered(killed(path, [13]), last=FIRST + 10)
    assert found is not None
    assert (len(found.pulse_ids), found.cut) == (11, 2)
    assert file_content(final) == expected_content(11)


def test_one_that_was_killed_before_it_had_written_anything_becomes_an_empty_file(path: Path) -> None:
    partial_path(path).touch()
    final, found = recovered(partial_path(path))
    assert found is not None
    assert (found.channels, len(found.pulse_ids), inspect_file(final).problems) == ((), 0, ())


@pytest.mark.parametrize("has_journal", [True, False])
def test_one_that_was_killed_on_its_way_to_its_name_gets_only_that(path: Path, has_journal: bool) -> None:
    file = PulseFile(path)
    file.finish(0)
    file.seal(None, {}, '{"outcome": "complete"}')
    before = path.read_bytes()
    path.rename(partial_path(path))
    if has_journal:
        Journal(journal_path(partial_path(path)), size=len(before)).close()
    assert recovered(partial_path(path)) == (path, None)
    assert path.read_bytes() == before


def test_a_living_writer_keeps_its_file(path: Path) -> None:
    file = written(path, [4])
    before = partial_path(path).read_bytes()
    with pytest.raises(OutputError, match="another writer is writing this file") as caught:
        Leftover(partial_path(path))
    assert (caught.value.errno, partial_path(path).read_bytes()) == (errno.EBUSY, before)
    file.finish(4)
    file.seal(None, {}, "{}")
    assert file_content(path) == expected_content(4)


def test_a_file_that_was_closed_is_known(path: Path) -> None:
    file = PulseFile(path)
    assert not is_closed(partial_path(path))
    file.finish(0)
    file.seal(None, {}, "{}")
    assert is_closed(path)


def test_names(tmp_path: Path) -> None:
    assert final_path(tmp_path / "run.h5.partial") == tmp_path / "run.h5"
    assert final_path(tmp_path / "run.h5.partial.12") == tmp_path / "run.h5"
    assert final_path(tmp_path / "other.h5") == tmp_path / "other.h5"
    (tmp_path / "run.h5").touch()
    assert final_path(tmp_path / "run.h5.partial.1") == tmp_path / "run.h5.1"


def test_without_its_journal_a_file_is_only_taken_if_that_is_wanted(path: Path) -> None:
    left = killed(path, [4, 6])
    journal_path(left).unlink()
    before = left.read_bytes()
    with pytest.raises(OutputError, match=r"has no journal.*--without_journal"):
        Leftover(left)
    assert (left.read_bytes(), os.listdir(left.parent)) == (before, [left.name])
    final, _ = recovered(left, without_journal=True)
    assert file_content(final) == expected_content(6)


def test_rows_that_are_not_in_every_column_of_the_stream_are_cut(path: Path) -> None:
    left = killed(path, [6])
    with h5py.File(left, "r+") as file:
        file["stream/arrival_timestamp"].resize((5,))
    journal_path(left).unlink()
    final, found = recovered(left, without_journal=True)
    assert found is not None
    assert found.cut == 1
    assert file_content(final) == expected_content(5)


def test_a_journal_that_had_no_room_is_not_trusted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(path, [4])
    before = {kept: kept.read_bytes() for kept in (partial_path(path), journal_path(partial_path(path)))}
    file.abandon()
    for kept, content in before.items():
        kept.write_bytes(content)
    journal = Journal(journal_path(partial_path(path)), size=None)
    pwritev = os.pwritev

    def full(descriptor: int, *arguments: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="No space left"):
        journal.commit(1000, [(0, b"torn")], b"")
    monkeypatch.setattr(os, "pwritev", pwritev)
    with pytest.raises(OutputError, match="the disk was full"):
        Leftover(partial_path(path))
    assert partial_path(path).read_bytes() == before[partial_path(path)]


def test_what_is_no_file_of_a_writer_is_refused_and_left_alone(path: Path) -> None:
    left = killed(path, [4])
    journal = journal_path(left).read_bytes()
    for content, why in ((b"text" * 1000, "is cut off"), (left.read_bytes()[:3000], "is cut off")):
        left.write_bytes(content)
        with pytest.raises(OutputError, match=why):
            Leftover(left)
        assert (left.read_bytes(), journal_path(left).read_bytes()) == (content, journal)
    other = path.with_name("text.h5")
    other.write_text("text")
    for wanted in (False, True):
        with pytest.raises(OutputError, match="not an HDF5 file"):
            Leftover(other, without_journal=wanted)
    with pytest.raises(OutputError, match="No such file"):
        Leftover(path.with_name("gone.h5"))
    assert sorted(os.listdir(path.parent)) == ["killed", "text.h5"]


def test_an_index_that_points_beyond_all_files_is_damage_like_any_other(path: Path) -> None:
    left = killed(path, [4])
    content = bytearray(left.read_bytes())
    content[48:56] = (1 << 63).to_bytes(8, "little")  # where HDF5's superblock says that its driver's information is
    left.write_bytes(content)
    journal_path(left).unlink()
    with pytest.raises(OutputError, match="cannot recover"):
        Leftover(left, without_journal=True)
    assert left.read_bytes() == content


def test_a_full_disk_leaves_everything_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = killed(path, [4, 6])
    before = {kept: kept.read_bytes() for kept in left.parent.iterdir()}
    pwrite = os.pwrite

    def full(descriptor: int, data: bytes, place: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OutputError, match="No space left") as caught, Leftover(left) as leftover:  # noqa: PT012 - one of them
        leftover.complete(told_nothing)
        monkeypatch.setattr(os, "pwrite", full)
        leftover.seal(final_path(left), ({}, "{}"))
    monkeypatch.setattr(os, "pwrite", pwrite)
    assert caught.value.errno == errno.ENOSPC
    assert {kept: kept.read_bytes()[: len(before[kept])] for kept in left.parent.iterdir()} == before
    final, _ = recovered(left)
    assert file_content(final) == expected_content(6)
