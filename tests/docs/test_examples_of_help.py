"""Every help text ends with examples, and they are command lines that the programs take."""

import re
import shlex

import pytest

from sf_bsread_writer.testing.parsers import parsers

PARSERS = parsers()


@pytest.mark.parametrize("name", PARSERS)
def test_help_ends_with_examples_that_the_program_takes(name: str) -> None:
    lines = re.findall(r"^  (.*)$", PARSERS[name].format_help().rpartition("\nexample")[2], re.MULTILINE)
    commands = [command for line in lines for command in re.split(r" && | \| | > ", line) if command.startswith("sf_bsread")]
    assert any(command.startswith(f"{name} ") for command in commands)
    for command in commands:
        program, *arguments = shlex.split(command, comments=True)
        PARSERS[program].parse_args(arguments)
