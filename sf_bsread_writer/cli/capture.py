"""``sf_bsread capture``: saves what just happened, as far back as a buffer holds it.

Only the options are here; what they do is in `capturing`, which is imported when it is needed.
"""

import argparse
import time
from pathlib import Path

from sf_bsread_writer.commandline import duration, examples

DEFAULT_BUFFER = "tcp://127.0.0.1:8082"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "capture",
        help="save what just happened to a file",
        description="Writes what arrived at a buffer in the last seconds, or pulses that it holds, to one file, with a writer "
        "that runs here, as you, until the file is closed. Ctrl-C closes it with what it has. Ends with the writer's exit code, "
        "with 5 if the buffer no longer holds all that was asked for, and with 3 if nothing can be had.",
        epilog=examples(
            "sf_bsread capture --last 30s interesting.h5",
            "sf_bsread capture --last 2min --buffer tcp://buffer:8082 interesting.h5 && sf_bsread check interesting.h5",
            "sf_bsread capture --start_pulse_id 31213694400 --stop_pulse_id 31213700399 run.h5",
        ),
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="HDF5 file to write; missing folders are created")
    parser.add_argument(
        "--last", type=duration, metavar="TIME", help="how far back to begin: 30s, 500ms, 2min, 1h, or a number of seconds"
    )
    parser.add_argument("--start_pulse_id", type=int, metavar="ID", help="first pulse, instead of --last")
    parser.add_argument("--stop_pulse_id", type=int, metavar="ID", help="last pulse; it may be still to come")
    parser.add_argument(
        "--buffer", default=DEFAULT_BUFFER, metavar="ADDRESS", help=f"the buffer: tcp://host:port; default {DEFAULT_BUFFER}"
    )
    parser.add_argument("--strict", action="store_true", help="write nothing if the buffer no longer holds all of it")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file; default: move it aside to NAME.1")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes it; see the description for the exit codes."""
    begun_s = time.monotonic()  # what is loaded now takes a good part of a second
    from sf_bsread_writer.cli.capturing import capture

    return capture(args, begun_s=begun_s)
