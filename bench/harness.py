"""How every benchmark measures and what it leaves behind.

Strategy: what is compared takes turns, in one run on one machine, after rounds that do not count. A figure is the median of its
rounds; a ratio is the median of the ratios of each round, so that a machine that becomes slower meanwhile spoils neither.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table as RichTable

RESULTS = Path(__file__).parent / "results"

Measured = Mapping[str, float]
"""Quantities of one round by name; the unit is part of the name."""


class Rounds:
    """What some cases measured, round by round."""

    def __init__(self, measured: Mapping[str, Sequence[Measured]]) -> None:
        self.measured = measured

    def median(self, case: str, quantity: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.all(case, quantity))

    def all(self, case: str, quantity: str) -> list[float]:
        """Every round, in order."""
        return [each[quantity] for each in self.measured[case]]

    def ratio(self, case: str, peer: str, quantity: str, peer_quantity: str | None = None) -> float:
        """The median of case / peer, round by round."""
        pairs = zip(self.all(case, quantity), self.all(peer, peer_quantity or quantity), strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def spread(self, case: str, quantity: str) -> float:
        """(largest - smallest) / median: how far to trust it."""
        values = self.all(case, quantity)
        return (max(values) - min(values)) / statistics.median(values)


def take_turns(cases: Mapping[str, Callable[[], Measured]], *, rounds: int, warm_up: int = 1) -> Rounds:
    """Calls all cases once in each round, in order; the first ``warm_up`` rounds are thrown away."""
    measured: dict[str, list[Measured]] = {name: [] for name in cases}
    for number in range(warm_up + rounds):
        for name, case in cases.items():
            result = case()
            if number >= warm_up:
                measured[name].append(result)
    return Rounds(measured)


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """For people: cells are text already."""

    title: str
    columns: list[str]
    rows: list[list[str]]


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that was promised, and what came out; ``measured`` is None if this machine could not tell."""

    promise: str
    sense: Literal["≥", "≤"]
    limit: float
    unit: str
    measured: float | None

    @property
    def holds(self) -> bool | None:
        """None if it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.sense == "≥" else self.measured <= self.limit


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a benchmark leaves in ``results/NAME.json``. ``rounds`` has every single measurement by table, case and quantity."""

    name: str
    machine: dict[str, str]
    taken: str
    seconds: float
    tables: list[Table]
    promises: list[Promise]
    notes: list[str]
    rounds: dict[str, dict[str, list[dict[str, float]]]]


@dataclass(slots=True)
class Sheet:
    """What a benchmark fills in while it runs. ``quick`` asks for sizes that only show that it works."""

    quick: bool = False
    long: bool = False
    tables: list[Table] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)

    def size(self, full: int, quick: int) -> int:
        """The one or the other."""
        return quick if self.quick else full

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], rounds: Rounds | None = None) -> None:
        """Shows a table at once and keeps it."""
        table = Table(title=title, columns=list(columns), rows=[list(row) for row in rows])
        self.tables.append(table)
        if rounds is not None:
            self.rounds[title] = {case: [dict(each) for each in all_] for case, all_ in rounds.measured.items()}
        show(table)

    def promise(self, promise: str, sense: Literal["≥", "≤"], limit: float, measured: float | None, unit: str = "") -> None:
        """Notes a promise and its figure."""
        self.promises.append(Promise(promise=promise, sense=sense, limit=limit, unit=unit, measured=measured))

    def note(self, text: str) -> None:
        """A sentence under the tables."""
        self.notes.append(text)
        Console().print(f"  {text}", highlight=False)


def show(table: Table) -> None:
    """On the terminal."""
    shown = RichTable(title=table.title, title_justify="left", title_style="bold")
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    Console().print(shown)


def show_promises(promises: Sequence[Promise]) -> None:
    """On the terminal, if there are any."""
    if promises:
        columns, rows = promise_rows(promises)
        show(Table(title="promises", columns=columns, rows=rows))


def promise_rows(promises: Sequence[Promise]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of a table of promises."""
    words = {True: "holds", False: "**missed**", None: "not measured"}
    rows = [
        [
            each.promise,
            f"{each.sense} {each.limit:,g} {each.unit}".strip(),
            "–" if each.measured is None else f"{figure(each.measured)} {each.unit}".strip(),
            words[each.holds],
        ]
        for each in promises
    ]
    return ["promise", "figure", "measured", ""], rows


def figure(value: float) -> str:
    """Three digits that count, thousands apart: ``12,345``, ``123``, ``12.3``, ``1.23``, ``0.123``."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3g}"
