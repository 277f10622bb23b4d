"""What `make test` installs besides Python packages, and that it never stands in the way."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INSTALL = "install -y -qq --no-install-recommends"


class MakePrograms:
    """`make programs` on a machine that has nothing but what it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked"
        self.asked.touch()

    def has(self, name: str, script: str = "") -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def has_apt(self, *, code: int = 0) -> None:
        self.has("apt-get", f'echo "$@" >> {self.asked}; exit {code}')

    def run(self, *, user_id: int = 0) -> tuple[str, list[str]]:
        """What it prints, and what apt-get was asked to do."""
        self.has("id", f"echo {user_id}")
        make = shutil.which("make")
        assert make is not None
        done = subprocess.run(
            [make, "-s", "-C", ROOT, "--no-print-directory", "programs"],
            check=True,
            env={"PATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stderr == ""
        return done.stdout, self.asked.read_text().splitlines()


@pytest.fixture
def make_programs(tmp_path: Path) -> MakePrograms:
    return MakePrograms(tmp_path)


def test_root_of_a_debian_gets_what_is_missing(make_programs: MakePrograms) -> None:
    make_programs.has_apt()
    printed, asked = make_programs.run()
    assert asked == ["update -qq", f"{INSTALL} chromium prometheus"]
    assert "NOT CHECKED" not in printed


def test_only_what_is_missing(make_programs: MakePrograms) -> None:
    make_programs.has_apt()
    make_programs.has("google-chrome")
    make_programs.has("prometheus")
    assert make_programs.run()[1] == ["update -qq", f"{INSTALL} prometheus"]
    make_programs.has("promtool")
    assert make_programs.run() == ("", ["update -qq", f"{INSTALL} prometheus"])


@pytest.mark.parametrize(("has_apt", "user_id", "asked"), [(True, 1000, []), (False, 0, []), (True, 0, ["update -qq"])])
def test_where_nothing_can_be_installed_it_says_what_is_skipped_and_goes_on(
    make_programs: MakePrograms, has_apt: bool, user_id: int, asked: list[str]
) -> None:
    if has_apt:
        make_programs.has_apt(code=100)
    printed, seen = make_programs.run(user_id=user_id)
    assert seen == asked
    assert printed.splitlines()[-1].startswith("NOT CHECKED: tests that start programs of the packages chromium prometheus")
