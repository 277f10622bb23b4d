"""``sf_bsread check``: says what is in a finished file, and whether it is what was asked for."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sf_bsread_writer.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from sf_bsread_writer.hdf5.inspect import ChannelFindings, FileFindings, Gaps
    from sf_bsread_writer.model import PulseRange

MAX_SHOWN_RANGES = 5
"""Ranges in a cell of the table; ``--json`` has more."""

MAX_WIDTH = 250


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "check",
        help="say what is in a file, and whether it is what was asked for",
        description="Says for each channel how many values a finished file has and which pulses are missing. Ends with 0 if "
        "every pulse is there once and in order and the file keeps its own rules, 5 if not, 4 if the file cannot be read.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a finished file")
    parser.add_argument(
        "--range",
        dest="wanted",
        metavar="A:B",
        help="pulses that were asked for, both inclusive; without it a gap is no fault, since nobody knows what was asked for",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what it finds; see the description for the exit codes."""
    import msgspec

    from sf_bsread_writer.hdf5.inspect import inspect_file

    wanted = None if args.wanted is None else parse_range(args.wanted)
    findings = inspect_file(args.file, wanted)
    if args.json:
        document = {**msgspec.to_builtins(findings), "is_as_asked": findings.is_as_asked}
        print(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        _show(findings)
    return ExitCode.COMPLETE if findings.is_as_asked else ExitCode.INCOMPLETE


def parse_range(text: str) -> "PulseRange":
    """``100:599`` as pulses 100..599, both inclusive; raises `UsageError`."""
    from sf_bsread_writer.model import PulseRange

    first, colon, last = text.partition(":")
    try:
        if colon:
            return PulseRange(int(first), int(last))
    except ValueError as error:
        raise UsageError(f"--range {text!r}: {error}; it looks like 100:599, both inclusive") from None
    raise UsageError(f"--range {text!r} has no colon; it looks like 100:599, both inclusive")


def _show(findings: "FileFindings") -> None:
    from rich.console import Console

    # A pipe has no width; the usual 80 columns would cut the names of channels.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else MAX_WIDTH)
    console.print(_table(findings.channels))
    for line in summary_lines(findings):
        console.print(line, markup=False, soft_wrap=True)


def _table(channels: "Sequence[ChannelFindings]") -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("channel", "type", "shape"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "present", "missing"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("missing pulses", "duplicates", "order"):
        table.add_column(heading, overflow="fold")
    for channel in channels:
        rows = channel.rows
        cells = (
            channel.name,
            channel.type or "never had a value",
            "" if channel.shape is None else "×".join(map(str, channel.shape)) or "scalar",
            str(rows.rows),
            str(rows.present),
            str(rows.missing.pulses),
            ranges_text(rows.missing),
            str(rows.duplicates or ""),
            f"{rows.out_of_order} too late" if rows.out_of_order else "ascending",
        )
        table.add_row(*map(escape, cells))
    return table


def summary_lines(findings: "FileFindings") -> list[str]:
    """What is to be said about the file as a whole; the last line is the verdict."""
    rows = findings.rows
    lines = [f"{findings.path}: {rows.rows} rows, {len(findings.channels)} channels, pulses {findings.first} to {findings.last}"]
    if findings.outcome is not None:
        lines.append(f"its own report says: {findings.outcome}")
    if findings.wanted is not None:
        every = f", every {findings.step}." if findings.step > 1 else ""
        lines.append(f"asked for: {findings.wanted}{every}; missing: {rows.missing.pulses} {ranges_text(rows.missing)}".rstrip())
        lines += [f"{findings.unwanted} rows are of pulses that were not asked for"] if findings.unwanted else []
    lines += [f"{rows.duplicates} rows have a pulse id that was there already"] if rows.duplicates else []
    lines += [f"{rows.out_of_order} rows have a pulse id lower than one before"] if rows.out_of_order else []
    lines += findings.problems
    verdict = "in good order" if findings.wanted is None else "as asked for"
    return [*lines, verdict if findings.is_as_asked else f"NOT {verdict}"]


def ranges_text(gaps: "Gaps") -> str:
    """The first ranges, and how many pulses there are beyond them."""
    shown = gaps.ranges[:MAX_SHOWN_RANGES]
    text = ", ".join(map(str, shown))
    more = len(gaps.ranges) - len(shown)
    return f"{text}, … ({more} ranges more)" if more > 0 else text
