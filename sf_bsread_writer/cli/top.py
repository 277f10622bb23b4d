"""``sf_bsread top``: a live stream as a table, at a terminal.

Only the options are here; what they do is in `watching`, which is imported when it is needed.
"""

import argparse

from sf_bsread_writer.commandline import examples, positive_seconds


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "top",
        help="show a live stream as a table",
        description="Connects to a buffer or a source as one more client, takes the live stream, and shows each second its rate, "
        "gaps and latency, what the buffer holds, its clients and how far they are behind, and the rate and last value of each "
        "channel. On a terminal, q or Ctrl-C ends "
        "it; elsewhere it prints a table each second.",
        epilog=examples(
            "sf_bsread top tcp://buffer:8082",
            "sf_bsread top tcp://buffer:8082 --channel 'SAROP21-*' --channel '*:INTENSITY'",
            "sf_bsread top tcp://buffer:8082 --once | grep CAMERA",
        ),
    )
    parser.add_argument("address", metavar="ADDRESS", help="the buffer, or a bsread source: tcp://host:port")
    parser.add_argument(
        "--channel",
        metavar="PATTERN",
        action="append",
        default=[],
        help="show only channels of such a name; * and ? as in a shell; several times for several; default: all",
    )
    parser.add_argument("--once", action="store_true", help="print one table, of one --interval, and end")
    parser.add_argument("--seconds", metavar="S", type=positive_seconds, help="end after so long; default: never")
    parser.add_argument(
        "--interval", metavar="S", type=positive_seconds, default=1.0, help="seconds between tables, and of each; default 1"
    )
    parser.add_argument(
        "--mode",
        choices=("auto", "pull"),
        default="auto",
        help="pull takes messages from a PUSH source, which then go to none of its other clients; auto (default) refuses that",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Shows it until it is told to end."""
    from sf_bsread_writer.cli.watching import watch

    return watch(args)
