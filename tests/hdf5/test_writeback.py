"""Written bytes are on their way to the disk before the end."""

import os
import threading
from pathlib import Path

import pytest

from sf_bsread_writer.hdf5.writeback import WriteBack


def writebacks() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("writeback")]


def test_nothing_is_left_after_close(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with (tmp_path / "x").open("wb") as file:
        file.write(bytes(1 << 20))
        file.flush()
        writeback = WriteBack(file.fileno())
        writeback.send(1 << 20)
        writeback.send(1 << 20)
        writeback.close()
        writeback.close()
    assert writebacks() == []
    assert len(before) == len(os.listdir("/proc/self/fd"))


def test_there_is_no_thread_before_anything_is_sent(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        writeback = WriteBack(file.fileno())
        writeback.send(0)
        assert writebacks() == []
        writeback.close()


def test_the_file_need_not_be_open_any_more(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        writeback = WriteBack(file.fileno())
    writeback.send(1)
    writeback.close()
    with pytest.raises(RuntimeError):
        writeback.send(2)
