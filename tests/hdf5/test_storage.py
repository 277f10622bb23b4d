"""Whatever is written and read, a killed process leaves the last commit, and a living one sees all it has written."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.hdf5.journal import Journal
from sf_bsread_writer.hdf5.storage import Storage

MEMORY = Path("/dev/shm")
WRITES = st.tuples(st.just("write"), st.integers(0, 200), st.binary(min_size=1, max_size=60))
STEPS = st.one_of(WRITES, WRITES, st.tuples(st.just("truncate"), st.integers(0, 250)), st.just(("commit",)))


def storage_of(folder: Path) -> Storage:
    descriptor = os.open(folder / "file", os.O_RDWR | os.O_CREAT)
    return Storage(descriptor, Journal(folder / "journal", size=0))


def all_of(storage: Storage) -> bytes:
    storage.seek(0)
    return storage.read(storage.size)


@given(st.lists(STEPS, max_size=30))
def test_a_kill_leaves_the_last_commit(steps: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = Path(name)
        storage = storage_of(folder)
        now, committed = bytearray(), b""
        for step in steps:
            match step:
                case ("write", int(start), bytes(data)):
                    _write(storage, now, start, data)
                case ("truncate", int(size)):
                    storage.truncate(size)
                    grown = size - len(now)
                    del now[size:]
                    _write(storage, now, size, bytes(max(0, grown)))
                case ("commit",):
                    storage.commit(b"notes")
                    committed = bytes(now)
        assert all_of(storage) == now
        storage.close()
        with (folder / "file").open("r+b") as left:
            Journal(folder / "journal", size=None).restore(left.fileno())
        assert (folder / "file").read_bytes() == committed


def _write(storage: Storage, now: bytearray, start: int, data: bytes) -> None:
    """What lies between is written too: it may be anything, and HDF5 reads nothing that it has not written."""
    first = min(start, len(now))
    data = bytes(start - first) + data
    storage.seek(first)
    storage.write(memoryview(data))
    now[first : first + len(data)] = data


def test_a_chunk_over_its_earlier_version_goes_straight_into_the_file(tmp_path: Path) -> None:
    storage, chunk = storage_of(tmp_path), np.array([1, 2, 0, 0], np.uint8)
    storage.write(memoryview(chunk))
    storage.commit()
    chunk[2] = 3
    storage.replaces = chunk
    storage.seek(0)
    storage.write(memoryview(np.array([9], np.uint8)))  # something else meanwhile
    assert (tmp_path / "file").read_bytes() == b"\1\2\0\0"
    assert storage.take_place() == 0
    storage.seek(4)
    storage.replaces = chunk
    storage.write(memoryview(chunk))
    assert storage.take_place() == 0  # new: nothing is replaced
    storage.commit()
    storage.replaces = chunk
    storage.seek(4)
    storage.write(memoryview(chunk))
    assert storage.take_place() == 4
    storage.replace(4, chunk[::-1].copy())
    assert (tmp_path / "file").read_bytes()[4:8] == b"\0\3\2\1"
    storage.close()


def test_the_first_error_of_the_system_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_of(tmp_path)
    for number in (errno.ENOSPC, errno.EIO):

        def failing(*unused: object, number: int = number) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "pwrite", failing)
        with pytest.raises(OSError, match=os.strerror(number)):
            storage.write(memoryview(b"x"))
    assert storage.error is not None
    assert storage.error.errno == errno.ENOSPC
    storage.close()


def test_a_commit_that_the_journal_has_no_room_for_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = storage_of(tmp_path)
    storage.write(memoryview(b"before"))
    storage.commit()
    storage.seek(0)
    storage.write(memoryview(b"behind"))
    pwritev, calls = os.pwritev, []

    def full_once(descriptor: int, pieces: list[bytes], place: int) -> int:
        calls.append(place)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwritev(descriptor, pieces, place)

    monkeypatch.setattr(os, "pwritev", full_once)
    storage.commit(b"notes")
    assert (tmp_path / "file").read_bytes() == b"behind"
    assert storage.journal.last is not None
    assert (storage.journal.last.usable, storage.journal.notes) == (True, b"notes")
    assert "could not be recovered" in caplog.text
    storage.close()


def test_a_large_piece_that_changes_nothing_need_not_wait(tmp_path: Path) -> None:
    storage, chunk = storage_of(tmp_path), bytes(range(256)) * 32
    storage.write(memoryview(chunk))
    storage.commit()
    for data, waits in ((chunk, 0), (chunk[::-1], 1), (chunk, 2)):  # the last one undoes what waits
        storage.seek(0)
        storage.write(memoryview(data))
        assert (all_of(storage), len(storage._waiting.all())) == (data, min(waits, 1))
