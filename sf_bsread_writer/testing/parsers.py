"""All command line parsers there are."""

import argparse

from sf_bsread_writer import buffer, cli, writer
from sf_bsread_writer.commandline import Parser


def parsers() -> dict[str, Parser]:
    """By what is typed for them, ``sf_bsread check`` for example."""
    tools = cli.parser()
    found = {"sf_bsread_buffer": buffer.parser(), "sf_bsread_writer": writer.parser(), "sf_bsread": tools}
    for action in tools._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {f"sf_bsread {name}": parser for name, parser in action.choices.items()}
    return found
