"""The conda recipe and the systemd unit say what pyproject.toml and the programs say."""

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

import sf_bsread_writer
from sf_bsread_writer import buffer

ROOT = Path(__file__).parents[2]


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def recipe() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((ROOT / "conda-recipe" / "meta.yaml").read_text(encoding="utf-8"))
    return tree


def test_versions_are_one() -> None:
    assert recipe()["package"]["version"] == project()["version"] == sf_bsread_writer.__version__


def test_recipe_requires_what_the_project_requires() -> None:
    of_project = [re.sub(r"(?=[<>=])", " ", text, count=1) for text in project()["dependencies"]]
    assert recipe()["requirements"]["run"] == [f"python {project()['requires-python']}", *of_project]


def test_recipe_has_the_programs_of_the_project() -> None:
    assert recipe()["build"]["entry_points"] == [f"{name} = {target}" for name, target in project()["scripts"].items()]


def test_recipe_tries_every_program() -> None:
    assert recipe()["test"]["commands"] == [f"{name} --help" for name in project()["scripts"]]


def test_unit_with_the_example_settings_is_a_command_line_that_the_buffer_takes() -> None:
    folder = ROOT / "deploy" / "systemd"
    pairs = (line.partition("=") for line in (folder / "example.env").read_text(encoding="utf-8").splitlines())
    settings = {name: value for name, _, value in pairs if not name.startswith("#")}
    unit = (folder / "sf_bsread_buffer@.service").read_text(encoding="utf-8")
    command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    assert command is not None
    program, *arguments = re.sub(r"\$\{?(\w+)\}?", lambda match: settings[match[1]], command[1]).split()
    assert Path(program).name == "sf_bsread_buffer"
    config = buffer.config_from(buffer.parser().parse_args(arguments))
    assert (str(config.source), config.port, config.buffer_length) == (settings["STREAM"], int(settings["OUTPUT_PORT"]), 6000)
