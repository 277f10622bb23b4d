"""``sf_bsread completion``: what a shell needs to complete the command lines of all programs with the Tab key.

The script holds all options and asks no program when the key is pressed: starting one takes longer than a person waits.
"""

import argparse
from importlib import import_module
from pathlib import Path
from typing import Any

from sf_bsread_writer.commandline import Parser, examples
from sf_bsread_writer.errors import ExitCode

PROGRAMS = {
    "sf_bsread": "sf_bsread_writer.cli",
    "sf_bsread_buffer": "sf_bsread_writer.buffer",
    "sf_bsread_writer": "sf_bsread_writer.writer",
}
SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "completion",
        help="print what a shell needs to complete commands with the Tab key",
        description="Prints a script with which a shell completes subcommands, options and file names of one program with the "
        "Tab key. Print it again after an update.",
        epilog=examples(
            "sf_bsread completion bash > ~/.local/share/bash-completion/completions/sf_bsread",
            "sf_bsread completion bash sf_bsread_writer > ~/.local/share/bash-completion/completions/sf_bsread_writer",
            "sf_bsread completion zsh > ~/.zfunc/_sf_bsread                     # a folder in $fpath",
            "sf_bsread completion fish > ~/.config/fish/completions/sf_bsread.fish",
        ),
    )
    parser.add_argument("shell", choices=SHELLS, metavar="shell", help="bash, zsh or fish")
    parser.add_argument(
        "program",
        nargs="?",
        choices=tuple(PROGRAMS),
        default="sf_bsread",
        metavar="program",
        help="whose command line: sf_bsread (default), sf_bsread_buffer or sf_bsread_writer",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the script."""
    import shtab

    parser: Parser = import_module(PROGRAMS[args.program]).parser()
    _prepare(parser, file=shtab.FILE, folder=shtab.DIRECTORY)
    print(shtab.complete(parser, args.shell, root_prefix=args.program))
    return ExitCode.COMPLETE


def _prepare(parser: argparse.ArgumentParser, *, file: Any, folder: Any) -> None:
    """Where a path is wanted, the shell offers files, or folders only; beside a subcommand, its help in short."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for short in action._choices_actions:  # a line of zsh and fish has no room for a whole description
                action.choices[short.dest].description = short.help
            for each in action.choices.values():
                _prepare(each, file=file, folder=folder)
        elif action.type is Path or action.dest == "output_file":
            action.complete = folder if action.metavar == "DIR" else file  # type: ignore[attr-defined]
