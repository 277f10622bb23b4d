"""A journal keeps a commit until the next one is whole."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.journal import SLOT_BYTES, Commit, Journal, make_changes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    return path


def restored(journal: Path, file: Path) -> bytes:
    with file.open("r+b") as opened:
        Journal(journal, size=None).restore(opened.fileno())
    return file.read_bytes()


def test_changes_are_made_in_their_order_and_the_file_gets_its_size(tmp_path: Path, file: Path) -> None:
    journal = Journal(tmp_path / "journal", size=10)
    journal.commit(8, [(1, b"abc"), (4, b"d"), (2, b"X"), (6, b"")], b"notes")
    assert Journal(journal.path, size=None).last == Commit(number=2, size=8, notes=b"notes")
    assert restored(journal.path, file) == b"0aXcd567"
    assert restored(journal.path, file) == b"0aXcd567"  # again


def test_what_was_begun_after_a_commit_does_not_count(tmp_path: Path, file: Path) -> None:
    journal = Journal(tmp_path / "journal", size=10)
    journal.commit(10, [(0, b"first")], b"1")
    before = journal.path.read_bytes()
    journal.commit(10, [(0, b"second")], b"2")
    after = journal.path.read_bytes()
    (tmp_path / "torn").write_bytes(before[: 2 * SLOT_BYTES] + after[2 * SLOT_BYTES :])  # the commit itself is not written yet
    assert Journal(tmp_path / "torn", size=None).notes == b"1"
    file.write_bytes(b"first56789")  # made before the second commit began
    assert restored(tmp_path / "torn", file) == b"first56789"
    assert restored(journal.path, file) == b"second6789"


@pytest.mark.parametrize("place", [0, 20, 27, 40])
def test_a_damaged_slot_is_passed_over(tmp_path: Path, place: int) -> None:
    journal = Journal(tmp_path / "journal", size=10)
    journal.commit(11, [], b"the notes of two")
    content = bytearray(journal.path.read_bytes())
    content[place] ^= 1  # the even numbers are in the first slot
    journal.path.write_bytes(content)
    assert Journal(journal.path, size=None).last == Commit(number=1, size=10)
    journal.path.write_bytes(bytes(len(content)))
    assert Journal(journal.path, size=None).last is None


def test_notes_that_are_too_long_are_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", size=10)
    journal.commit(10, [], bytes(SLOT_BYTES))
    assert Journal(journal.path, size=None).last == Commit(number=2, size=10)


def test_a_journal_without_room_says_so_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal", size=10)

    def full(*unused: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(OSError, match="No space left"):
        journal.commit(12, [(0, b"x")], b"")
    assert Journal(journal.path, size=None).last == Commit(number=2, size=12, usable=False)


def test_a_file_that_is_too_short_is_not_touched(tmp_path: Path, file: Path) -> None:
    journal = Journal(tmp_path / "journal", size=10)
    journal.commit(20, [(0, b"x")], b"")
    with pytest.raises(OutputError, match="is not the journal of this file"):
        restored(journal.path, file)
    assert file.read_bytes() == b"0123456789"


def test_many_small_changes_go_into_the_file(file: Path) -> None:
    with file.open("r+b") as opened:
        make_changes(opened.fileno(), [(place, bytes([place % 256])) for place in range(3000)])
    assert file.read_bytes() == bytes(place % 256 for place in range(3000))


def test_a_journal_goes_when_it_is_deleted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", size=0)
    journal.delete()
    journal.delete()
    assert list(tmp_path.iterdir()) == []
