"""The command line reference has exactly the arguments of the programs' ``--help``."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sf_bsread_writer.testing.parsers import parsers

pytestmark = pytest.mark.system

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
MODULES = {
    "sf_bsread_buffer": "sf_bsread_writer.buffer",
    "sf_bsread_writer": "sf_bsread_writer.writer",
    "sf_bsread": "sf_bsread_writer.cli",
}

PARSERS = parsers()

OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


def help_of(program: str, *subcommand: str) -> str:
    start = "import importlib, sys; sys.exit(importlib.import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    command = [sys.executable, "-c", start, MODULES[program], *subcommand, "--help"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30).stdout


def arguments_in_help(text: str) -> set[str]:
    """Options in all their spellings, and positional arguments, of an argparse help text."""
    options = re.findall(r"^  (-\S.*?)(?:   *.*)?$", text, re.MULTILINE)
    positional = text.partition("positional arguments:\n")[2].partition("\n\n")[0]
    return {name for line in options for name in OPTION.findall(line)} | set(re.findall(r"^  (\w+)", positional, re.MULTILINE))


def section_of(heading: str) -> str:
    section = re.search(
        rf"^(#+) {re.escape(heading)}\n(.*?)(?=^##? |^### |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert section is not None, f"no section '{heading}'"
    return section[2]


def arguments_in_page(heading: str) -> set[str]:
    """What stands in backquotes in the first cells of the tables below a heading."""
    cells = re.findall(r"^\| (`.*?) \|", section_of(heading), re.MULTILINE)
    return {name for cell in cells for code in re.findall(r"`([^`]*)`", cell) for name in OPTION.findall(code) or [code]}


def subcommands() -> list[str]:
    return re.findall(r"^    (\w+)(?:  |$)", help_of("sf_bsread"), re.MULTILINE)


@pytest.mark.parametrize("program", ["sf_bsread_buffer", "sf_bsread_writer"])
def test_page_has_the_arguments_of_the_program(program: str) -> None:
    assert arguments_in_page(program) == arguments_in_help(help_of(program))


def test_page_has_the_arguments_of_every_subcommand() -> None:
    names = subcommands()
    assert names != []
    expected = {f"sf_bsread {name}": arguments_in_help(help_of("sf_bsread", name)) for name in names}
    assert {heading: arguments_in_page(heading) for heading in expected} == expected


def test_page_has_no_subcommand_that_the_program_has_not() -> None:
    described = re.findall(r"^#+ sf_bsread (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(described) == sorted(subcommands())


def as_written(default: object) -> str:
    """As the page writes it: 300 for 300.0, 256M for 268435456."""
    if isinstance(default, int | float):
        return f"{default >> 20}M" if isinstance(default, int) and default and default % (1 << 20) == 0 else f"{default:g}"
    return str(default)


@pytest.mark.parametrize("name", PARSERS)
def test_page_has_the_defaults_and_the_choices_of_the_code(name: str) -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \| (.*) \|$", section_of(name), re.MULTILINE)
    shown = {option: (default, meaning) for options, default, meaning in rows for option in OPTION.findall(options)}
    for action in PARSERS[name]._actions:
        for option in action.option_strings:
            if action.default not in (None, False, [], argparse.SUPPRESS):
                assert shown[option][0] == as_written(action.default), option
            for choice in action.choices or ():
                assert str(choice) in re.findall(r"[\w.-]+", " ".join(shown[option])), option
