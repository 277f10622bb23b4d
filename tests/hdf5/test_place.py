"""Names and room for the output file."""

import errno
import os
from pathlib import Path

import pytest

from sf_bsread_writer.errors import ExitCode, OutputError
from sf_bsread_writer.hdf5.place import Room, coded_error, make_way, move_aside, output_error


def test_errors_say_what_where_why_and_what_to_do() -> None:
    error = output_error(PermissionError(errno.EACCES, "Permission denied"), "create", Path("/data/run.h5"))
    assert str(error) == (
        "cannot create /data/run.h5: Permission denied; choose another folder, or give the user of this process the permission"
    )
    assert (error.errno, error.exit_code) == (errno.EACCES, ExitCode.OUTPUT)


def test_error_numbers_are_found_in_the_texts_of_hdf5() -> None:
    error = output_error(RuntimeError("Unable to flush (errno = 28, error message = 'No space')"), "write", Path("x"))
    assert (error.errno, "free some space" in str(error)) == (errno.ENOSPC, True)


def test_errors_without_a_number_keep_their_text() -> None:
    error = output_error(RuntimeError("file signature not found"), "read", Path("x"))
    assert (error.errno, str(error)) == (None, "cannot read x: file signature not found")


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EISDIR,
        errno.ENAMETOOLONG,
        errno.EXDEV,
        errno.EIO,
    ],
)
def test_what_users_meet_comes_with_advice(number: int) -> None:
    text = str(coded_error(number, "write", Path("x")))
    assert text.startswith(f"cannot write x: {os.strerror(number)}; ")


def test_folders_are_made(tmp_path: Path) -> None:
    assert make_way(tmp_path / "a" / "b" / "run.h5") == tmp_path / "a" / "b" / "run.h5.partial"
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission"):
        make_way(tmp_path / "closed" / "new" / "run.h5")


def test_moving_aside_takes_the_next_free_number(tmp_path: Path) -> None:
    for expected in ("run.h5.1", "run.h5.2", "run.h5.3"):
        (tmp_path / "run.h5").write_text(expected)
        assert expected == move_aside(tmp_path / "run.h5").name
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["run.h5.1", "run.h5.2", "run.h5.3"]


def test_what_a_killed_writer_left_is_moved_with_its_journal_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("run.h5.partial", "run.h5.partial.journal")
    for name in names:
        (tmp_path / name).write_text(name)
    make_way(tmp_path / "run.h5")
    left = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert left == dict(zip(("run.h5.partial.1", "run.h5.partial.1.journal"), names, strict=True))
    assert caplog.messages == [
        f"A killed writer has left {tmp_path}/run.h5.partial; it is now {tmp_path}/run.h5.partial.1; "
        f"`sf_bsread recover {tmp_path}/run.h5.partial.1` makes a file of it"
    ]


def test_reserved_room_is_taken_from_the_disk_and_not_part_of_the_file(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        room = Room(tmp_path / "x", file.fileno())
        room.ensure(0, 1 << 20)
        found = os.fstat(file.fileno())
        if found.st_blocks == 0:
            pytest.skip("this file system cannot reserve")
        assert (found.st_size, found.st_blocks * 512 >= 1 << 20) == (0, True)


def test_more_than_the_disk_has_is_refused_without_taking_any_of_it(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    with (tmp_path / "x").open("w+b") as file:
        room = Room(tmp_path / "x", file.fileno())
        with pytest.raises(OutputError) as caught:
            room.ensure(0, space.f_blocks * space.f_frsize)
        assert (caught.value.errno, os.fstat(file.fileno()).st_blocks) == (errno.ENOSPC, 0)
        room.ensure(0, 4096)  # what is there can still be had


def test_what_is_to_be_left_free_is_not_taken(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        min_free_bytes = Room(tmp_path / "x", file.fileno()).free_bytes(0) - (1 << 20)
        room = Room(tmp_path / "x", file.fileno(), min_free_bytes=min_free_bytes)
        assert room.free_bytes(0) < 256 << 20  # others are at work on this disk
        with pytest.raises(OutputError, match=r"than [1-9][\d,]*\.\d MB left, which --min_free keeps free; free some") as caught:
            room.ensure(0, 1 << 30)
        assert (caught.value.errno, os.fstat(file.fileno()).st_blocks) == (errno.ENOSPC, 0)


def test_room_that_is_cut_off_with_the_file_s_end_is_reserved_anew(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        room = Room(tmp_path / "x", file.fileno())
        file.truncate(2 << 20)
        room.ensure(2 << 20, 1 << 20)
        room.expect_cut(1 << 20)
        file.truncate(1 << 20)
        assert os.fstat(file.fileno()).st_blocks * 512 < 2 << 20
        room.ensure(1 << 20, 1 << 20)
        if not room.can_reserve:
            pytest.skip("this file system cannot reserve")
        assert os.fstat(file.fileno()).st_blocks * 512 >= 1 << 20


def test_where_nothing_can_be_reserved_or_asked_nothing_is_refused(tmp_path: Path) -> None:
    read, write = os.pipe()  # no file at all
    try:
        Room(tmp_path / "x", write).ensure(0, 1 << 60)
    finally:
        os.close(read)
        os.close(write)
