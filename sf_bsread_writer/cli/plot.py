"""``sf_bsread plot``: channels of a file along the pulses, as a picture or a page."""

import argparse
from pathlib import Path

from sf_bsread_writer.commandline import examples
from sf_bsread_writer.errors import ExitCode, UsageError

SUFFIXES = (".png", ".svg", ".pdf", ".html")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "plot",
        help="draw channels of a file",
        description="Draws channels of a finished file, one below the other: numbers along the pulse ids, waveforms as a map of "
        "pulse id and element, of images the last one. Needs matplotlib: pip install 'sf-bsread-writer[plot]'.",
        epilog=examples(
            "sf_bsread plot run.h5 SAROP21-CVME-PBPS2:INTENSITY -o intensity.png",
            "sf_bsread plot run.h5 'SAR*:INTENSITY' SAROP21-CAMERA:FPICTURE -o run.html",
        ),
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a finished file")
    parser.add_argument(
        "channels", nargs="+", metavar="CHANNEL", help="name of a channel; * and ? as in a shell; several can be given"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="PLOT",
        help=f"what to write, by its end one of {' '.join(SUFFIXES)}; a plot of that name is replaced. The page needs no network",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Writes the plot."""
    if args.output.suffix not in SUFFIXES:
        raise UsageError(f"--output {args.output} is not the name of a plot; let it end with one of {' '.join(SUFFIXES)}")
    try:
        from sf_bsread_writer.cli.drawing import draw
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise UsageError("plots need matplotlib, which is not installed: pip install 'sf-bsread-writer[plot]'") from None
    from sf_bsread_writer.hdf5.series import read_series

    draw(read_series(args.file, args.channels), title=args.file.name, target=args.output)
    return ExitCode.COMPLETE
