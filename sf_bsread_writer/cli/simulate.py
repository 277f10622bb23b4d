"""``sf_bsread simulate``: a bsread source of made-up channels, for trying things out, for tests and for benchmarks.

Only the options are here; what they do is in `serving`, which is imported when it is needed.
"""

import argparse
from typing import Any

from sf_bsread_writer.commandline import examples

CHANNEL_HELP = (
    "a channel, name:type[:shape][:key=value…], several times for several; shape is 2048 for a waveform, 1280x1024 for an image; "
    "keys: modulo, offset, compression=none|lz4|bitshuffle_lz4, byte_order=little|big, pattern=ramp|sine|noise|spot, missing=0…1"
)


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "simulate",
        help="serve a made-up bsread stream",
        description="Serves a made-up bsread stream; every client gets every message. Values follow from channel and pulse id "
        "alone, so that a reader can be checked against them. Pulse numbers count from 0 at the first pulse.",
        epilog=examples(
            "sf_bsread simulate --port 9999",
            "sf_bsread simulate --port 9999 --camera 1280x1024:compression=bitshuffle_lz4 --scalars 200 --gap 500:519",
            "sf_bsread simulate --channel SAROP21:WAVE:float32:2048:pattern=sine:modulo=10 --rate 0 --messages 1000",
        ),
    )
    _add_channel_options(parser.add_argument_group("channels (default: --preset demo)"))
    _add_stream_options(parser.add_argument_group("the stream"))
    _add_fault_options(parser.add_argument_group("what goes wrong"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until all messages are sent or Ctrl-C; the address is the first word of the first line printed."""
    from sf_bsread_writer.cli.serving import run

    return run(args)


def _add_channel_options(group: Any) -> None:
    group.add_argument("--channel", metavar="SPEC", action="append", default=[], help=CHANNEL_HELP)
    group.add_argument(
        "--scalars", metavar="N[:type][:key=value…]", help="so many scalar channels, float64 unless told otherwise"
    )
    group.add_argument("--camera", metavar="WxH[:key=value…]", help="a uint16 camera of this width and height")
    group.add_argument("--preset", metavar="NAME", help="a ready-made set: demo (a small beamline) or types (one scalar of each)")
    group.add_argument(
        "--dh_compression", choices=("none", "lz4", "bitshuffle_lz4"), default="none", help="of the data header (default none)"
    )


def _add_stream_options(group: Any) -> None:
    group.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1; 0.0.0.0 for all)")
    group.add_argument("--port", type=int, default=0, help="port to listen on (default 0: a free one, printed)")
    group.add_argument("--mode", choices=("push", "pub"), default="push", help="kind of socket (default push)")
    group.add_argument(
        "--rate", metavar="HZ", type=float, default=100.0, help="pulses a second (default 100; 0: as fast as possible)"
    )
    group.add_argument(
        "--first_pulse_id",
        metavar="ID",
        type=int,
        help="pulse id of the first pulse (default: from the clock, as a machine that has run at 100 Hz since 2017-01-01 UTC)",
    )
    group.add_argument("--messages", metavar="N", type=int, help="end after so many messages (default: go on until Ctrl-C)")
    group.add_argument(
        "--wait_for_client", metavar="N", nargs="?", type=int, const=1, default=0, help="begin once a client (or N) is there"
    )
    group.add_argument(
        "--when_full",
        choices=("block", "drop"),
        help="if a client's queue is full: wait for it, or leave whole messages out for it (default drop; with --rate 0 block)",
    )
    group.add_argument("--queue", metavar="N", type=int, default=1000, help="messages that wait for each client (default 1000)")
    group.add_argument(
        "--interval", metavar="S", type=float, default=10.0, help="seconds between statistics (default 10; 0: none)"
    )


def _add_fault_options(group: Any) -> None:
    group.add_argument(
        "--missing", metavar="FRACTION", type=float, default=0.0, help="share of values that are absent, 0…1 (default 0)"
    )
    group.add_argument(
        "--gap", metavar="A:B", action="append", default=[], help="no messages for pulse numbers A to B, both included"
    )
    group.add_argument("--duplicate", metavar="N", type=int, default=0, help="send every N-th pulse twice (default 0: none)")
    group.add_argument("--step_back", metavar="N:BY", help="from pulse number N on, pulse ids are smaller by BY")
    group.add_argument(
        "--change_header_at",
        metavar="N",
        type=int,
        help="from pulse number N on, the first waveform is one element longer and there is one more channel, SIM:ADDED",
    )
    group.add_argument(
        "--clock_offset", metavar="S", type=float, default=0.0, help="by how many seconds the source's clock is wrong (default 0)"
    )
    group.add_argument("--seed", type=int, default=0, help="of --missing (default 0); the same seed gives the same stream")
