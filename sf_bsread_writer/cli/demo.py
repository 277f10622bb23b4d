"""``sf_bsread demo``: source, buffer and writer on this machine, and an acquisition of pulses that are already in the past.

Only the options are here; what happens is in `demonstration`, which is imported when it is needed.
"""

import argparse
from pathlib import Path

from sf_bsread_writer.commandline import examples


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "demo",
        help="show the whole road on this machine: source, buffer, writer, file",
        description="Starts a simulated source, sf_bsread_buffer and sf_bsread_writer on free ports, asks for pulses that are "
        "already in the past, and shows what is in the file. Ends all that it started. The exit code is 0 only if every pulse is "
        "in the file.",
        epilog=examples(
            "sf_bsread demo --seconds 10 --output /tmp/demo && sf_bsread check /tmp/demo/*.h5",
            "sf_bsread demo --stay    # then look at the buffer's dashboard with a browser",
        ),
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=float,
        default=3.0,
        help="how many seconds of pulses to ask for (default 3, about 70 MB each)",
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("demo-output"), help="folder of file and logs (default demo-output)"
    )
    parser.add_argument(
        "--stay", action="store_true", help="leave source and buffer running, with the buffer's dashboard, until Ctrl-C"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Shows it; the exit code is 0 only if every pulse is in the file."""
    from sf_bsread_writer.cli.demonstration import demonstrate

    return demonstrate(seconds=args.seconds, folder=args.output, stays=args.stay)
