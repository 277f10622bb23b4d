"""``python -m bench.report``: writes the tables of the last run into ``docs/reference/performance.md``, between its marks.

What stands outside the marks is written by people: how it was measured, the profiles, what follows from them.
"""

import sys
from collections.abc import Sequence

import msgspec

from bench.__main__ import NAMES
from bench.harness import RESULTS, Result, Table, promise_rows
from bench.parties import ROOT

PAGE = ROOT / "docs" / "reference" / "performance.md"
BEGIN = "<!-- figures: python -m bench.report -->"
END = "<!-- end of figures -->"


def main() -> int:
    """1 if no benchmark has left results."""
    results = [read(name) for name in NAMES if (RESULTS / f"{name}.json").exists()]
    if not results:
        sys.stderr.write(f"no results in {RESULTS}; run `make bench` first\n")
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{figures(results)}\n{END}{after}")
    return 0


def read(name: str) -> Result:
    """The last result of this benchmark."""
    return msgspec.json.decode((RESULTS / f"{name}.json").read_bytes(), type=Result)


def figures(results: Sequence[Result]) -> str:
    """Promises, machine, and every table, as Markdown."""
    parts = ["## Promises\n", _markdown(*promise_rows([each for result in results for each in result.promises]))]
    parts += ["## Machine\n", _markdown(["", ""], [[key, value] for key, value in _machine(results).items()])]
    for result in results:
        load = result.machine["load before"]
        parts.append(f"## `make bench-{result.name}`\n\nTaken {result.taken}, in {result.seconds:.0f} s; load before: {load}.\n")
        parts += [_titled(table) for table in result.tables]
        parts += [f"{note}\n" for note in result.notes]
    return "\n".join(parts)


def _machine(results: Sequence[Result]) -> dict[str, str]:
    return {key: value for key, value in results[-1].machine.items() if key != "load before"}


def _titled(table: Table) -> str:
    return f"**{table.title}**\n\n{_markdown(table.columns, table.rows)}"


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    rule = ["---", *("---:" for _ in columns[1:])] if len(columns) > 2 else ["---"] * len(columns)
    return "\n".join(f"| {' | '.join(row)} |" for row in [columns, rule, *cells]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
