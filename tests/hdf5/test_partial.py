"""The name of a file while it is written, against other writers and whoever clears up."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.partial import Partial
from sf_bsread_writer.hdf5.place import make_way

ROWS = "rows" * 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.h5.partial"


@pytest.fixture
def final(tmp_path: Path) -> Path:
    return tmp_path / "run.h5"


@pytest.fixture
def partial(path: Path) -> Iterator[Partial]:
    with path.open("x+") as file:
        made = Partial(path, file.fileno())
        file.write(ROWS)
    yield made
    made.release()


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_gets_its_final_name(partial: Partial, final: Path) -> None:
    assert partial.give_final_name(final, overwrite=False) is None
    assert contents(final.parent) == {"run.h5": ROWS}


def test_another_writer_is_refused_while_the_file_is_held(partial: Partial, path: Path, final: Path) -> None:
    with pytest.raises(OutputError, match="another writer is writing this file"):
        make_way(final)
    assert partial.has_name
    partial.release()
    assert make_way(final) == path
    assert contents(path.parent) == {"run.h5.partial.1": ROWS}


def test_who_loses_the_race_for_a_name_finds_out(path: Path) -> None:
    with path.open("x") as file, path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # held while it is moved aside
        with pytest.raises(OutputError, match="another writer"):
            Partial(path, file.fileno())
        path.rename(path.with_name("aside"))
        fcntl.flock(other, fcntl.LOCK_UN)
        with pytest.raises(OutputError, match="another writer"):
            Partial(path, file.fileno())


def test_a_removed_file_is_copied(partial: Partial, path: Path, final: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.unlink()
    assert not partial.has_name
    caplog.set_level("INFO")
    partial.give_final_name(final, overwrite=False)
    assert contents(final.parent) == {"run.h5": ROWS}
    assert caplog.messages == [f"{path} was removed while it was written: all of it is copied to {path}"]


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_file_whose_name_another_one_has_leaves_that_alone(
    partial: Partial, path: Path, final: Path, is_removed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    aside = path.with_name("elsewhere.h5")
    path.unlink() if is_removed else path.rename(aside)
    path.write_text("another writer's")
    assert not partial.has_name
    partial.delete()
    assert partial.give_final_name(final, overwrite=False) is None
    expected = {"run.h5": ROWS, "run.h5.partial": "another writer's"}
    assert contents(final.parent) == (expected if is_removed else expected | {"elsewhere.h5": ROWS})
    (line,) = caplog.messages
    assert line.startswith(f"{path} was {'removed' if is_removed else 'renamed'} while it was written: ")


def test_an_earlier_file_goes_where_it_was_said_to_go(partial: Partial, final: Path) -> None:
    final.write_text("first")
    aside = final.with_name("run.h5.7")
    assert partial.give_final_name(final, overwrite=False, aside=aside) == aside
    assert contents(final.parent) == {"run.h5": ROWS, "run.h5.7": "first"}


def test_an_aside_name_that_was_taken_meanwhile_is_left_alone(partial: Partial, final: Path) -> None:
    final.write_text("first")
    aside = final.with_name("run.h5.1")
    aside.write_text("precious")
    assert partial.give_final_name(final, overwrite=False, aside=aside) == final.with_name("run.h5.2")
    assert contents(final.parent) == {"run.h5": ROWS, "run.h5.1": "precious", "run.h5.2": "first"}


def test_a_file_that_cannot_get_its_name_keeps_the_partial_one(partial: Partial, path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="give the finished file its name"):
        partial.give_final_name(tmp_path / "file" / "run.h5", overwrite=False)
    assert path.read_text() == ROWS


def test_an_earlier_file_is_put_back_if_the_new_one_cannot_have_its_name(
    partial: Partial, path: Path, final: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final.write_text("first")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self == path:
            raise OSError(5, os.strerror(5))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match="give the finished file its name"):
        partial.give_final_name(final, overwrite=False)
    assert contents(final.parent) == {"run.h5": "first", "run.h5.partial": ROWS}
