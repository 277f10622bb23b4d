"""``python -m fuzz [--inputs N] [--seed N] [--processes N] [TARGET …]``: exit code 1 if anything was found."""

import argparse
import sys
from datetime import datetime

from rich.console import Console
from rich.table import Table

from fuzz.corpus import CORPUS
from fuzz.run import Limits, run
from fuzz.targets import RISKY, TARGETS

EVERY = {**TARGETS, **RISKY}


def main() -> int:
    """0 if no input was a finding."""
    options = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    options.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(EVERY)}; default all but {', '.join(RISKY)}"
    )
    options.add_argument("--inputs", type=int, default=1_000_000, help="how many; default a million")
    options.add_argument("--seed", type=int, help="the same one gives the same inputs; default another each day")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--seconds", type=float, default=Limits().seconds, help="for each input at most")
    given = options.parse_args()
    targets = {name: target for name, target in EVERY.items() if name in given.targets} or TARGETS
    unknown = set(given.targets) - set(targets)
    if unknown:
        options.error(f"there is no target {', '.join(sorted(unknown))}; known: {', '.join(EVERY)}")
    seed = int(datetime.now().strftime("%Y%m%d")) if given.seed is None else given.seed
    console = Console()
    console.print(f"{given.inputs} inputs, --seed {seed}")
    outcome = run(
        targets,
        inputs=given.inputs,
        seed=seed,
        processes=given.processes,
        limits=Limits(seconds=given.seconds),
        corpus=CORPUS if targets.keys() <= TARGETS.keys() else None,  # the tests run it in their own process
        tell=lambda text: console.print(text, markup=False, highlight=False),
    )
    table = Table("target", "inputs", "findings")
    for name, count in outcome.inputs.items():
        table.add_row(name, str(count), str(sum(finding.target == name for finding in outcome.findings)))
    console.print(table, f"{outcome.inputs.total()} inputs in {outcome.seconds:.0f} s: {len(outcome.findings)} findings")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(main())
