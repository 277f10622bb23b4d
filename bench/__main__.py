"""``python -m bench [--quick] [--long] [NAME …]``: runs these benchmarks, or all; see `bench.harness`."""

import argparse
import importlib
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from bench.harness import RESULTS, Result, Sheet, show_promises
from bench.machine import describe

NAMES = ("limits", "relay", "writer", "start", "memory", "reading", "store")


def main() -> int:
    """0 if all ran, whatever the figures are."""
    # Whoever ends this ends what it has started: without this, nothing would be unwound.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default all")
    options.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, the figures mean nothing")
    options.add_argument("--long", action="store_true", help="memory: 10 minutes instead of one")
    given = options.parse_args()
    unknown = set(given.names) - set(NAMES)
    if unknown:
        options.error(f"there is no benchmark {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    for name in given.names or NAMES:
        run_one(name, quick=given.quick, long=given.long)
    return 0


def run_one(name: str, *, quick: bool, long: bool) -> None:
    """Runs one and leaves its JSON; quick runs leave none, so that nobody takes them for figures."""
    console = Console()
    console.rule(f"[bold]{name}")
    sheet = Sheet(quick=quick, long=long)
    machine = describe(Path(tempfile.gettempdir()))
    began_s = time.monotonic()
    try:
        importlib.import_module(f"bench.{name}").run(sheet)
    except BaseException as error:
        sheet.note(f"Cut short by {type(error).__name__}: {error}")
        raise
    finally:  # what was measured until then is as good as ever
        _finish(name, sheet, machine, time.monotonic() - began_s)


def _finish(name: str, sheet: Sheet, machine: dict[str, str], seconds: float) -> None:
    console = Console()
    show_promises(sheet.promises)
    console.print(f"  {name}: {seconds:.0f} s")
    if sheet.quick or not sheet.tables:
        return
    result = Result(
        name=name,
        machine=machine,
        taken=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=seconds,
        tables=sheet.tables,
        promises=sheet.promises,
        notes=sheet.notes,
        rounds=sheet.rounds,
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1))


if __name__ == "__main__":
    sys.exit(main())
