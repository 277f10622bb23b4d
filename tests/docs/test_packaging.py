"""The conda recipe and the systemd unit say what pyproject.toml and the programs say."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import sf_bsread_writer
from sf_bsread_writer import buffer, writer
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.notify import LONGEST_INTERVAL_S

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


def arguments_of(unit: str, example: str) -> tuple[str, list[str], dict[str, str]]:
    """Program and arguments that a unit starts with the example settings, and those settings."""
    folder = ROOT / "deploy" / "systemd"
    pairs = (line.partition("=") for line in (folder / example).read_text(encoding="utf-8").splitlines())
    settings = {name: value for name, _, value in pairs if not name.startswith("#")}
    command = re.search(r"^ExecStart=(.*)$", (folder / unit).read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None
    program, *arguments = re.sub(r"\$\{?(\w+)\}?", lambda match: settings[match[1]], command[1]).split()
    return Path(program).name, arguments, settings


def test_unit_with_the_example_settings_is_a_command_line_that_the_buffer_takes() -> None:
    program, arguments, settings = arguments_of("sf_bsread_buffer@.service", "example.env")
    assert program == "sf_bsread_buffer"
    config = buffer.config_from(buffer.parser().parse_args(arguments))
    assert (str(config.source), config.port, config.buffer_length) == (settings["STREAM"], int(settings["OUTPUT_PORT"]), 6000)


def test_unit_with_the_example_settings_is_a_command_line_that_the_writer_takes() -> None:
    program, arguments, settings = arguments_of("sf_bsread_writer@.service", "example-writer.env")
    assert program == "sf_bsread_writer"
    config = writer.parse_config(arguments)
    assert (str(config.stream), config.rest_port) == (settings["STREAM"], int(settings["REST_PORT"]))
    assert (config.output_file, config.output_root, config.user_id) == ("/dev/null", Path(settings["OUTPUT_ROOT"]), -1)
    assert config.token_file == Path("%d/token")


@pytest.mark.parametrize("unit", sorted((ROOT / "deploy" / "systemd").glob("*.service")), ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_the_unit_and_little_exposed(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    text = re.sub(r"/opt/sf_bsread_writer/bin/\w+", "/bin/true", unit.read_text(encoding="utf-8"))
    instance = tmp_path / unit.name.replace("@", "@instance")
    instance.write_text(text, encoding="utf-8")
    for arguments in (["verify", "--man=no"], ["security", "--offline=yes", "--threshold=20"]):
        done = subprocess.run([analyze, *arguments, str(instance)], capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_stuck_service_is_restarted_and_one_that_is_told_to_stop_has_time() -> None:
    for unit in (ROOT / "deploy" / "systemd").glob("*.service"):
        settings = dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE))
        assert settings["Type"] == "notify"
        assert float(settings["WatchdogSec"]) > 2 * LONGEST_INTERVAL_S
        assert settings["RestartPreventExitStatus"] == str(int(ExitCode.USAGE))


def test_every_file_of_the_dashboard_is_part_of_the_package() -> None:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]
    package = ROOT / "sf_bsread_writer"
    packed = {path for pattern in table["sf_bsread_writer"] for path in package.glob(pattern)}
    assert packed >= set((package / "dashboard").iterdir())
