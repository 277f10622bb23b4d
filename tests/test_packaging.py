"""The programs run as plain scripts from a checkout, and nothing in the package's folder gets in the way of that."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest

import sf_bsread_writer

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sf_bsread_writer.__file__).parent
SCRIPTS = ["buffer.py", "writer.py", "cli/__main__.py"]


def names_in(folder: Path) -> set[str]:
    """What ``import name`` would find in this folder."""
    return {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}


def required_distributions() -> set[str]:
    """Names (lower case, hyphens) of everything that installing the package without extras brings along."""
    found: set[str] = set()
    todo = ["sf-bsread-writer"]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another platform or Python version
        found.add(name)
        todo += [re.split(r"[^\w.-]", text)[0] for text in requirements if "extra ==" not in text]
    return found


def dependency_modules() -> set[str]:
    required = required_distributions() - {"sf-bsread-writer"}
    owners = {
        module: {re.sub(r"[-_.]+", "-", name).lower() for name in names} for module, names in packages_distributions().items()
    }
    return {module for module, names in owners.items() if names & required}


def test_no_module_is_named_as_one_of_the_standard_library() -> None:
    # A plain script has its own folder first on sys.path: its neighbours are found before everything else.
    assert names_in(PACKAGE) & set(sys.stdlib_module_names) == set()


def test_no_module_is_named_as_one_of_a_dependency() -> None:
    modules = dependency_modules()
    assert {"numpy", "h5py", "litestar", "anyio"} <= modules  # the list is what it is meant to be
    assert names_in(PACKAGE) & modules == set()


def test_scripts_are_those_of_the_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {
        "sf_bsread": "sf_bsread_writer.cli:main",
        "sf_bsread_buffer": "sf_bsread_writer.startup:buffer",
        "sf_bsread_writer": "sf_bsread_writer.startup:writer",
    }


def test_modules_that_call_themselves_pure_are_held_to_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    held = next(contract["source_modules"] for contract in contracts if contract["id"] == "pure")
    pure = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bPure\b", ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
    )
    assert sorted(held) == pure


@pytest.mark.system
@pytest.mark.parametrize("script", SCRIPTS)
def test_program_runs_as_a_plain_script_from_a_checkout(script: str, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        [sys.executable, str(PACKAGE / script), "--help"],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: sf_bsread")


@pytest.mark.system
def test_make_says_clearly_that_a_python_is_too_old(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.10.4 && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run(
        ["make", f"PYTHON={old}", "test"], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert result.returncode != 0
    assert "needs Python 3.11 or later" in result.stderr
    assert "Python 3.10.4" in result.stderr
    assert not (tmp_path / ".venv").exists()
