"""``python -m soak [--minutes M] [--seed N]``: the whole chain under faults; ends with 0 if nothing is wrong, else with 1."""

import argparse
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.machine import describe
from soak.run import KILLED_S, Options, Soak
from soak.stream import SIZES
from soak.verdict import Verdict, show, write


def main() -> int:
    """Runs one soak, shows its table, and leaves ``result.json``."""
    options = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    options.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    options.add_argument(
        "--seed", type=int, help="makes the same choices as the run that printed it (default: another each time)"
    )
    options.add_argument("--size", choices=SIZES, default="full", help="of the messages (default full: 300 scalars and a camera)")
    options.add_argument("--writers", type=int, default=3, help="acquisitions at a time (default 3)")
    options.add_argument("--seconds", type=float, default=8.0, help="of an acquisition, about (default 8)")
    options.add_argument("--fault_s", type=float, default=6.0, help="seconds between faults, about (default 6)")
    options.add_argument(
        "--killed_s", type=float, default=KILLED_S, help=f"seconds that a killed writer may lose (default {KILLED_S:g})"
    )
    options.add_argument(
        "--output", type=Path, default=Path("soak-output"), help="folder (default soak-output); files stay if wrong"
    )
    options.add_argument(
        "--line_s", type=float, default=30.0, help="seconds between lines where there is no terminal (default 30)"
    )
    given = options.parse_args()
    seed = secrets.randbelow(1 << 31) if given.seed is None else given.seed
    folder = given.output.resolve() / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    console = Console() if sys.stdout.isatty() else Console(width=140)
    console.print(f"soak of {given.minutes:g} minutes, seed {seed}, in {folder}", highlight=False)
    verdict = Verdict(seed=seed, machine=describe(folder))
    soak = Soak(
        Options(
            folder=folder,
            seed=seed,
            size=given.size,
            minutes=given.minutes,
            writers=given.writers,
            seconds=given.seconds,
            fault_s=given.fault_s,
            killed_s=given.killed_s,
        ),
        verdict,
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: soak.ends.set())
    try:
        with console.status("starting …") as status:
            soak.run(status.update if console.is_terminal else _lines(console, given.line_s))
    except Exception as error:
        verdict.wrong.append(f"cut short by {type(error).__name__}: {error}")
        raise
    finally:
        show(verdict, console)
        write(verdict, folder / "result.json")
    return 1 if verdict.problems else 0


def _lines(console: Console, line_s: float) -> Callable[[str], None]:
    last_s = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= line_s:
            last_s = time.monotonic()
            console.print(text, highlight=False, soft_wrap=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
