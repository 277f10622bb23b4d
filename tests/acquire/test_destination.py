"""Which output files REST may ask for."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.acquire.destination import Destination
from sf_bsread_writer.errors import ExitCode, OutputError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the command line's output file; beside it there is one that is none of the writer's business."""
    (tmp_path / "other").mkdir()
    (tmp_path / "data").mkdir()
    return tmp_path.resolve() / "data"


@pytest.fixture
def destination(folder: Path) -> Destination:
    return Destination(str(folder / "run_1.h5"))


def test_without_a_wish_the_command_lines_file_is_written(destination: Destination, folder: Path) -> None:
    assert destination.resolve(None) == folder / "run_1.h5"


def test_a_relative_command_line_starts_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    destination = Destination("p1/run_1.h5")
    monkeypatch.chdir("/")
    assert destination.resolve(None) == folder / "p1/run_1.h5"
    assert destination.resolve("run_2.h5") == folder / "p1/run_2.h5"


@pytest.mark.parametrize("name", ["/dev/null", "//dev/null", "///dev//./null", "/dev/../dev/null"])
def test_dev_null_is_a_dry_run_on_the_command_line_and_by_rest(destination: Destination, name: str) -> None:
    assert Destination(name).default is None
    assert Destination(name).resolve(None) is None
    assert Destination(name).resolve(name) is None
    assert destination.resolve(name) is None


def test_a_link_to_dev_null_is_a_dry_run(destination: Destination, folder: Path) -> None:
    (folder / "null.h5").symlink_to("/dev/null")
    assert destination.resolve("null.h5") is None
    assert Destination(str(folder / "null.h5")).default is None


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ("run_2.h5", "run_2.h5"),
        ("./run_2.h5", "run_2.h5"),
        ("new/deep/run_2.h5", "new/deep/run_2.h5"),
        ("new/../run_2.h5", "run_2.h5"),
        ("../data/run_2.h5", "run_2.h5"),
        ("..h5", "..h5"),
        ("run 2 ä\n.h5", "run 2 ä\n.h5"),
    ],
)
def test_relative_paths_start_in_the_folder_of_the_command_lines_file(
    destination: Destination, folder: Path, wish: str, expected: str
) -> None:
    assert destination.resolve(wish) == folder / expected


def test_absolute_paths_below_the_folder_are_allowed(destination: Destination, folder: Path) -> None:
    assert destination.resolve(f"/{folder}//new/../run_2.h5") == folder / "run_2.h5"


@pytest.mark.parametrize(
    "wish",
    [
        "../run.h5",
        "new/../../other/run.h5",
        "../data2/run.h5",
        "../data",
        "/run.h5",
        "/etc/passwd",
        "/dev/zero",
        "//etc/x",
        "~/../../x",
    ],
)
def test_paths_outside_are_refused_with_path_and_root(destination: Destination, folder: Path, wish: str) -> None:
    with pytest.raises(UsageError, match=r"not allowed.*--output_root") as caught:
        destination.resolve(wish)
    assert repr(wish) in str(caught.value)
    assert repr(str(folder)) in str(caught.value)


def test_links_that_lead_outside_are_refused_whether_file_or_folder(destination: Destination, folder: Path) -> None:
    (folder / "away").symlink_to("../other")
    (folder / "run_2.h5").symlink_to(folder.parent / "other" / "run.h5")
    for wish in ("away/run.h5", "away/new/run.h5", "run_2.h5"):
        with pytest.raises(UsageError, match="not allowed") as caught:
            destination.resolve(wish)
        assert str(folder.parent / "other") in str(caught.value)


def test_links_that_stay_inside_are_followed(destination: Destination, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "here").symlink_to("deep")
    assert destination.resolve("here/run.h5") == folder / "deep/run.h5"
    assert destination.resolve("here/../run.h5") == folder / "run.h5"


def test_links_in_a_circle_are_no_crash(destination: Destination, folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    assert destination.resolve("a/run.h5") == folder / "a/run.h5"


def test_the_root_may_itself_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to("data")
    destination = Destination(str(folder.parent / "link" / "run_1.h5"))
    assert destination.resolve(None) == folder.parent / "link/run_1.h5"
    assert destination.resolve("run_2.h5") == folder / "run_2.h5"
    assert destination.resolve(str(folder / "run_2.h5")) == folder / "run_2.h5"


def test_a_folder_that_becomes_a_link_later_is_seen(destination: Destination, folder: Path) -> None:
    assert destination.resolve("later/run.h5") == folder / "later/run.h5"
    (folder / "later").symlink_to("../other")
    with pytest.raises(UsageError, match="not allowed"):
        destination.resolve("later/run.h5")


@pytest.mark.parametrize("wish", ["", "/", "new/", ".", "..", "new/.", "new/..", "a\0b"])
def test_names_that_no_file_can_have_are_refused(destination: Destination, wish: str) -> None:
    with pytest.raises(UsageError, match="not the name of a file") as caught:
        destination.resolve(wish)
    assert repr(wish) in str(caught.value)
    with pytest.raises(UsageError, match="not the name of a file"):
        Destination(wish)


def test_an_existing_folder_is_no_output_file(destination: Destination, folder: Path) -> None:
    (folder / "deep").mkdir()
    with pytest.raises(UsageError, match="'deep' is a folder"):
        destination.resolve("deep")


def test_another_root_allows_what_lies_below_it_and_nothing_else(folder: Path) -> None:
    destination = Destination(str(folder / "run_1.h5"), root=folder.parent / "other")
    assert destination.resolve(str(folder.parent / "other/run.h5")) == folder.parent / "other/run.h5"
    assert destination.resolve("../other/run.h5") == folder.parent / "other/run.h5"
    with pytest.raises(UsageError, match="not below"):
        destination.resolve("run_2.h5")
    assert destination.resolve(None) == folder / "run_1.h5"


def test_the_root_of_all_allows_everything(folder: Path) -> None:
    assert Destination(str(folder / "run_1.h5"), root=Path("/")).resolve("/somewhere/run.h5") == Path("/somewhere/run.h5")


def test_a_relative_root_starts_in_the_current_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    destination = Destination("/dev/null", root=Path("data"))
    monkeypatch.chdir("/")
    assert destination.resolve("run.h5") == folder / "run.h5"


def test_a_dry_run_without_a_root_allows_no_file_and_says_what_to_do() -> None:
    for wish in ("run.h5", "/tmp/run.h5", "/dev/zero"):
        with pytest.raises(UsageError, match=r"started with /dev/null and without --output_root; .*--output_root FOLDER"):
            Destination("/dev/null").resolve(wish)


@given(st.lists(st.sampled_from(["a", "..", ".", "/", "link", "loop", "~", "ä", " "]), max_size=12).map("".join))
def test_whatever_is_asked_for_is_below_the_root_or_refused(tmp_path_factory: pytest.TempPathFactory, wish: str) -> None:
    top = tmp_path_factory.getbasetemp() / "any"
    root = top / "data"
    if not root.exists():
        root.mkdir(parents=True)
        (root / "link").symlink_to("..")
        (root / "loop").symlink_to("loop")
    try:
        path = Destination(str(root / "run.h5")).resolve(wish)
    except UsageError:
        return
    assert path is not None
    assert Path(os.path.realpath(path)).is_relative_to(root.resolve())
    assert path.name not in ("", ".", "..")


def test_preparing_creates_the_missing_folders_and_may_be_repeated(folder: Path) -> None:
    destination = Destination(str(folder / "new/deep/run.h5"))
    destination.prepare()
    destination.prepare()
    assert list((folder / "new/deep").iterdir()) == []


def test_preparing_finds_out_that_the_output_file_is_a_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match=f"output_file '{folder}' is a folder; add the name of a file"):
        Destination(str(folder)).prepare()


def test_preparing_a_dry_run_creates_nothing(folder: Path) -> None:
    Destination("/dev/null", root=folder / "new").prepare()
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_created_is_an_output_error_that_names_it(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot create the folder .*file/deep") as caught:
        Destination(str(folder / "file/deep/run.h5")).prepare()
    assert caught.value.exit_code == ExitCode.OUTPUT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("name", ["run.h5", "new/run.h5"])
def test_a_folder_without_permission_is_an_output_error(folder: Path, name: str) -> None:
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="Permission denied"):
        Destination(str(folder / name)).prepare()


def test_a_folder_that_becomes_a_link_is_found_out(folder: Path, tmp_path: Path) -> None:
    destination = Destination(str(folder / "run_1.h5"))
    (folder / "new").mkdir()
    path = destination.resolve("new/run.h5")
    assert path is not None
    destination.check(path)
    (folder / "new").rename(folder / "old")
    destination.check(path)  # it would be made again
    (folder / "new").symlink_to(tmp_path)
    with pytest.raises(OutputError, match=f"leads to '{tmp_path}/run.h5' by now"):
        destination.check(path)


def test_the_command_line_s_own_file_stays_below_a_root_that_is_given_with_it(folder: Path, tmp_path: Path) -> None:
    (folder / "root").symlink_to(folder)
    destination = Destination(str(folder / "new/run.h5"), root=folder / "root")
    path = destination.resolve(None)
    assert path is not None
    destination.check(path)
    (folder / "new").symlink_to(tmp_path)
    with pytest.raises(OutputError, match=f"leads to '{tmp_path}/run.h5' by now"):
        destination.check(path)
    behind_link = Destination(str(folder / "new/run.h5"), root=folder)
    behind_link.check(folder / "new/run.h5")  # and always was


def test_the_command_line_s_own_file_may_lie_behind_links(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    destination = Destination(str(folder / "link/run.h5"))
    path = destination.resolve(None)
    assert path == folder / "link/run.h5"
    destination.check(path)
