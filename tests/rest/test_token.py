"""The file with the secret."""

import os
from pathlib import Path

import pytest

from sf_bsread_writer.errors import ExitCode, SetupError
from sf_bsread_writer.rest.token import read_token
from sf_bsread_writer.testing.programs import running

TOKEN = "abcdefghijklmnop"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="ascii")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_its_owner_and_a_group_may_read_it(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert read_token(file) == TOKEN


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o644, 0o666, 0o777])
def test_one_that_others_may_read_or_change_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(SetupError, match=f"others may read or change the token file {file}: chmod it to 600"):
        read_token(file)


def test_a_link_is_followed_to_what_counts(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_token(link) == TOKEN
    file.chmod(0o644)
    with pytest.raises(SetupError, match="others may read"):
        read_token(link)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"short", b"two words here 12345", b"two\nlines-0123456789", b"\xff" * 20, b"a" * 15]
)
def test_what_is_no_token_is_refused_and_not_shown(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(SetupError, match="at least 16") as caught:
        read_token(file)
    assert content.strip() == b"" or content.decode("ascii", "replace") not in str(caught.value)


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, complaint in [(pipe, "not a regular file"), (tmp_path, "not a regular file"), (tmp_path / "no", "No such file")]:
        with pytest.raises(SetupError, match=complaint):
            read_token(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_one_that_belongs_to_somebody_else_is_refused(file: Path) -> None:
    os.chown(file, 54321, 0)
    with pytest.raises(SetupError, match="belongs to user id 54321"):
        read_token(file)


@pytest.mark.system
def test_a_writer_does_not_start_with_an_unusable_one(file: Path) -> None:
    file.chmod(0o644)
    with running("writer", "tcp://127.0.0.1:1", "/dev/null", -1, 0, "--token_file", file) as writer:
        assert writer.wait_for_exit() == ExitCode.SETUP
        assert f"[ERROR] Cannot start: others may read or change the token file {file}" in writer.output
        assert TOKEN not in writer.output
