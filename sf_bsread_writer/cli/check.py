"""``sf_bsread check``: says what is in finished files, and whether it is what was asked for."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sf_bsread_writer.cli.columns import printable, shape_text, table
from sf_bsread_writer.commandline import examples
from sf_bsread_writer.errors import ExitCode, OutputError, UsageError

if TYPE_CHECKING:
    from sf_bsread_writer.hdf5.inspect import ChannelFindings, FileFindings, Gaps
    from sf_bsread_writer.model import PulseRange

MAX_RANGES_CHARACTERS = 40
"""For missing ranges in a line, of which at least one is shown; ``--json`` has more."""

MAX_NAMES = 3
"""Channels named that miss the same pulses; ``--json`` has all."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "check",
        help="say what is in files, and whether it is what was asked for",
        description="Says for each channel how many values a finished file has and which pulses are missing. Ends with 0 if "
        "every pulse that was asked for is there once and in order and the file keeps its own rules, 5 if not, 4 if a file "
        "cannot be read. What was asked for stands in the file's report: a file without one ends with 5.",
        epilog=examples(
            "sf_bsread check run.h5 --range 31213694400:31213700399",
            "sf_bsread check run_*.h5 --html runs.html",
        ),
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a finished file")
    parser.add_argument(
        "--range",
        dest="wanted",
        metavar="A:B",
        help="pulses that have to be in the file, both inclusive, whatever its report says (default: what the report says)",
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON, one document for each file")
    parser.add_argument(
        "--html",
        type=Path,
        metavar="PAGE",
        help="write also a page, NAME.html, that needs no network: with what is missing where along the pulses, rates, figures "
        "and a small picture of each channel; a page of that name is replaced",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what it finds; see the description for the exit codes. A file that cannot be read does not hide the others."""
    wanted = None if args.wanted is None else parse_range(args.wanted)
    if args.html is not None and args.html.suffix not in (".html", ".htm"):
        raise UsageError(f"--html {args.html} is not the name of a page; give for example report.html")
    sections: list[str] | None = None if args.html is None else []
    codes = [_check(path, wanted, sections, as_json=args.json) for path in args.files]
    if sections is not None:
        _write_page(args.html, sections)
    return next((code for code in (ExitCode.OUTPUT, ExitCode.INCOMPLETE) if code in codes), ExitCode.COMPLETE)


def _check(path: Path, wanted: "PulseRange | None", sections: list[str] | None, *, as_json: bool) -> ExitCode:
    """Looks at one file; what belongs on the page is added to ``sections``, if there is to be one."""
    import msgspec

    from sf_bsread_writer.hdf5.inspect import inspect_file

    try:
        findings = inspect_file(path, wanted)
    except OutputError as error:
        sys.stdout.flush()
        print(f"sf_bsread check: {error}", file=sys.stderr)
        if sections is not None:
            from sf_bsread_writer.cli.page import unread

            sections.append(unread(str(path), str(error)))
        return ExitCode.OUTPUT
    # Without a range it is the file's own report that knows whether all is there: for "start now" nothing else does.
    is_as_asked = findings.is_as_asked and (wanted is not None or findings.outcome == "complete")
    if as_json:
        document: dict[str, Any] = {**msgspec.to_builtins(findings), "is_as_asked": is_as_asked}
        print(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        print("\n".join([*table_lines(findings.channels), *summary_lines(findings, is_as_asked=is_as_asked)]))
    if sections is not None:
        sections.append(_section(path, findings, is_as_asked=is_as_asked))
    return ExitCode.COMPLETE if is_as_asked else ExitCode.INCOMPLETE


def _section(path: Path, findings: "FileFindings", *, is_as_asked: bool) -> str:
    from sf_bsread_writer.cli.page import section
    from sf_bsread_writer.hdf5.preview import preview_file

    lines = [*_missing_lines(findings.channels), *summary_lines(findings, is_as_asked=is_as_asked)]
    return section(str(path), lines, findings.channels, preview_file(path, findings), is_as_asked=is_as_asked)


def _write_page(path: Path, sections: Sequence[str]) -> None:
    from sf_bsread_writer.cli.page import page
    from sf_bsread_writer.hdf5.place import output_error

    try:
        path.write_text(page(sections), encoding="utf-8", errors="replace")
    except OSError as error:
        raise output_error(error, "write", path) from error


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


def table_lines(channels: "Sequence[ChannelFindings]") -> list[str]:
    """A line for each channel, with columns for what is wrong only if anything is; then which pulses are missing.

    Nothing is wrapped or cut, however narrow the terminal is: names, types and shapes are there to be copied.
    """
    columns = [
        ["channel", *(printable(channel.name) for channel in channels)],
        ["type", *(channel.type or "no value ever" for channel in channels)],
        ["shape", *(shape_text(channel.shape) for channel in channels)],
    ]
    numbers = [
        ["rows", *(channel.rows.rows for channel in channels)],
        ["present", *(channel.rows.present for channel in channels)],
        *(
            [heading, *counts]
            for heading, counts in (
                ("missing", [channel.rows.missing.pulses for channel in channels]),
                ("duplicates", [channel.rows.duplicates for channel in channels]),
                ("too late", [channel.rows.out_of_order for channel in channels]),
            )
            if any(counts)
        ),
    ]
    return table(columns, numbers) + _missing_lines(channels)


def _missing_lines(channels: "Sequence[ChannelFindings]") -> list[str]:
    """What each channel misses; channels that miss the same share a line."""
    names: dict[Gaps, list[str]] = {}
    for channel in channels:
        if channel.rows.missing.pulses:
            names.setdefault(channel.rows.missing, []).append(printable(channel.name))
    return [
        f"{_names_text(sharing)} {'misses' if len(sharing) == 1 else 'miss'} {gaps.pulses}: {ranges_text(gaps)}"
        for gaps, sharing in names.items()
    ]


def summary_lines(findings: "FileFindings", *, is_as_asked: bool) -> list[str]:
    """What is to be said about the file as a whole; the last line is the verdict."""
    rows = findings.rows
    pulses = "no pulses" if findings.first is None else f"pulses {findings.first} to {findings.last}"
    lines = [f"{findings.path}: {_count(rows.rows, 'row')}, {_count(len(findings.channels), 'channel')}, {pulses}"]
    if findings.outcome is not None:
        lines.append(f"its own report says: {findings.outcome}")
    else:
        lines.append(
            "has no report: it was never closed, or another program wrote it; "
            "`sf_bsread recover` completes what a killed writer left"
        )
    if findings.wanted is not None:
        every = f", every {findings.step}." if findings.step > 1 else ""
        missing = f"missing {rows.missing.pulses}: {ranges_text(rows.missing)}" if rows.missing.pulses else "none missing"
        lines.append(f"asked for: {findings.wanted}{every}; {missing}")
        lines += [f"rows of pulses that were not asked for: {findings.unwanted}"] if findings.unwanted else []
    lines += [f"rows with a pulse id that was there already: {rows.duplicates}"] if rows.duplicates else []
    lines += [f"rows with a pulse id lower than one before: {rows.out_of_order}"] if rows.out_of_order else []
    lines += findings.problems
    if is_as_asked:
        return [*lines, "as asked for"]
    if findings.is_as_asked and findings.outcome is None:
        return [*lines, "NOT known to be complete; --range A:B says which pulses have to be there"]
    return [*lines, "NOT as asked for"]


def ranges_text(gaps: "Gaps") -> str:
    """The first ranges, and how many there are if those are not all."""
    texts = list(map(str, gaps.ranges))
    shown = len(texts)
    while shown > 1 and len(", ".join(texts[:shown])) > MAX_RANGES_CHARACTERS:
        shown -= 1
    return ", ".join(texts[:shown]) + (f", … {len(texts)} ranges" if shown < len(texts) else "")


def _names_text(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:MAX_NAMES])} and {more} more"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
