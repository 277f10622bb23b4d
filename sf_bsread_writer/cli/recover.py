"""``sf_bsread recover``: makes a valid file of what a writer has left that was killed."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sf_bsread_writer.commandline import examples
from sf_bsread_writer.errors import ExitCode, UsageError

TELL_INTERVAL_S = 30.0
"""Between lines where there is no terminal."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the subcommand to ``sf_bsread``."""
    parser = subparsers.add_parser(
        "recover",
        help="make a valid file of what a killed writer has left",
        description="Completes the .partial file of a writer that was killed: everything that was older than a second is in it. "
        "Ends with 0 if the file is valid now, or was already, and 4 if it cannot be, which leaves everything as it was. "
        "Whether all pulses are in it that were asked for says `sf_bsread check`.",
        epilog=examples("sf_bsread recover run.h5.partial && sf_bsread check run.h5"),
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what was left: run.h5.partial, beside it run.h5.partial.journal")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="name of the recovered file, on the same disk (default: FILE without .partial)",
    )
    parser.add_argument(
        "--without_journal",
        action="store_true",
        help="take a file whose journal is lost as it is; if its last flush was cut short, values may be missing without a trace",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints what was done; see the description for the exit codes."""
    import msgspec

    from sf_bsread_writer.acquire.recovery import read_notes, rebuilt
    from sf_bsread_writer.acquire.report import describe
    from sf_bsread_writer.hdf5.recover import Leftover, final_path, is_closed

    path: Path = args.file
    if is_closed(path):
        print(f"{path} is complete already")
        return ExitCode.COMPLETE
    final = args.output or final_path(path)
    if os.path.lexists(final):
        raise UsageError(f"{final} exists already; name another file with --output")
    with Leftover(path, without_journal=args.without_journal) as leftover:
        if leftover.was_closed:
            leftover.seal(final, None)
            print(f"{path} was complete but for its name; it is {final} now")
            return ExitCode.COMPLETE
        if leftover.is_from_before_boot:
            print("The machine was restarted since then: if it had lost its power, values may be missing", file=sys.stderr)
        notes = read_notes(leftover.notes)
        with _progress() as told:
            left = leftover.complete(told, last=notes.report.stop_pulse_id)
        report = rebuilt(notes, left, output_file=str(final.absolute()), file_bytes=leftover.bytes)
        leftover.seal(final, (notes.parameters, msgspec.json.encode(report).decode()))
    print("\n".join(describe(report)))
    return ExitCode.COMPLETE


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, lines elsewhere; what is given is called with how many of how many channels are done."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("channels", total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


class _Lines:
    """A line at the end, and, where that is long in coming, now and then."""

    def __init__(self) -> None:
        self._begun_s = self._told_s = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        from sf_bsread_writer.acquire.progress import clock

        now_s = time.monotonic()
        if done == total:
            print(f"{total} channels completed", file=sys.stderr)
        elif done and now_s - self._told_s >= TELL_INTERVAL_S:
            self._told_s = now_s
            left_s = (now_s - self._begun_s) * (total - done) / done
            print(f"{done} of {total} channels completed, {clock(left_s)} left", file=sys.stderr)
