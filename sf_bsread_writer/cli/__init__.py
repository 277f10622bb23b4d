"""The program ``sf_bsread``: the tools around buffer and writer, one module for each subcommand.

A subcommand is a module in `SUBCOMMANDS` with ``add_parser(subparsers) -> None`` and ``run(args) -> int`` (the exit code).
Its heavy imports stand inside ``run``, so that ``--help`` and a mistyped option are answered at once.
"""

import os
import sys
from collections.abc import Sequence

from sf_bsread_writer import __version__, logs
from sf_bsread_writer.cli import capture, check, completion, demo, plot, recover, simulate, top
from sf_bsread_writer.commandline import Parser, examples
from sf_bsread_writer.errors import BsreadWriterError, ExitCode

SUBCOMMANDS = (simulate, demo, top, capture, check, plot, recover, completion)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns the exit code of the process (see `ExitCode`).

    Ctrl-C ends with ``ExitCode.INTERRUPTED``, not with a shell's 130: a script that starts several of our programs
    then has one table of exit codes to look at, and 130 would also be what it sees of a program that caught nothing.
    """
    args = parser().parse_args(argv)
    logs.configure("WARNING")
    try:
        code: int = args.run(args)
        sys.stdout.flush()  # here, so that a reader that has gone is noticed while it can still be handled
    except BsreadWriterError as error:
        print(f"sf_bsread {args.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # `sf_bsread … | head` has read what it wanted. The interpreter flushes once more when it ends, and must not fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.COMPLETE
    return code


def parser() -> Parser:
    """The command line, with all subcommands."""
    result = Parser(
        prog="sf_bsread",
        description="Tools around sf_bsread_buffer and sf_bsread_writer.",
        epilog=examples(
            "sf_bsread demo            # new here? the whole road in half a minute",
            "sf_bsread check run.h5    # is everything in it that was asked for?",
        ),
    )
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = result.add_subparsers(dest="command", metavar="command", required=True)
    for module in SUBCOMMANDS:
        module.add_parser(subparsers)
    return result
