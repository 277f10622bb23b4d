"""What a soak comes to: a table for people, a JSON file for machines, and whether all is well."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from soak.ledger import CAUSES, Account
from soak.watch import MOST_GROWTH_BYTES, Findings

_MOST_SHOWN = 20


@dataclass(slots=True)
class Verdict:
    """Filled in by all threads of a soak. ``wrong`` are sentences; one is too many. ``left_out`` could not be done here.

    ``last_fault`` is the last one of the beamline's.
    """

    seed: int
    accounts: dict[str, Account] = field(default_factory=dict)
    acquisitions: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    last_fault: str = "none yet"
    values: int = 0
    sent: int = 0
    seconds: float = 0.0
    interrupted: bool = False
    wrong: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    findings: Findings | None = None
    machine: Mapping[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: str, account: Account, wrong: list[str], values: int) -> None:
        """Takes one acquisition."""
        with self.lock:
            self.acquisitions[kind] += 1
            self.accounts.setdefault(kind, Account()).add(account)
            self.wrong += wrong
            self.values += values

    def fault(self, name: str, wrong: str | None = None) -> None:
        """Takes one fault, and how it was not survived."""
        with self.lock:
            self.faults[name] += 1
            self.wrong += [] if wrong is None else [f"{name}: {wrong}"]

    @property
    def total(self) -> Account:
        """Of all acquisitions."""
        total = Account()
        for account in self.accounts.values():
            total.add(account)
        return total

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.wrong, *(self.findings.problems if self.findings else [])]

    @property
    def line(self) -> str:
        """How it stands, for a terminal."""
        with self.lock:
            total = self.total
            return (
                f"{sum(self.acquisitions.values())} acquisitions, {sum(self.faults.values())} faults (last: {self.last_fault}); "
                f"pulses asked for {total.asked:,}, written {total.written:,}, explained {sum(total.explained.values()):,}, "
                f"unexplained {len(total.unexplained)}; wrong {len(self.wrong)}"
            )


def show(verdict: Verdict, console: Console) -> None:
    """The tables, and everything that is wrong."""
    console.print(_pulses(verdict))
    console.print(_faults(verdict))
    total = verdict.total
    console.print(f"{verdict.sent:,} pulses sent, {verdict.values:,} values compared, {verdict.seconds:.0f} s", highlight=False)
    if total.explained:
        console.print(
            f"A killed writer lost nothing that it had had for more than {total.killed_age_ns / 1e9:.2f} s", highlight=False
        )
    if verdict.findings is not None:
        console.print(_describe(verdict.findings), highlight=False)
    for text in verdict.left_out:
        console.print(f"Left out here: {text}", highlight=False)
    problems = verdict.problems
    for text in problems[:_MOST_SHOWN]:
        console.print(f"[bold red]wrong:[/] {text}", highlight=False)
    if len(problems) > _MOST_SHOWN:
        console.print(f"… and {len(problems) - _MOST_SHOWN} more, see result.json")
    console.print(f"seed {verdict.seed}: {'[bold red]NOT WELL' if problems else '[bold green]all is well'}", highlight=False)


def write(verdict: Verdict, path: Path) -> None:
    """The same as JSON."""
    total = verdict.total
    findings = verdict.findings
    content = {
        "seed": verdict.seed,
        "well": not verdict.problems,
        "interrupted": verdict.interrupted,
        "seconds": round(verdict.seconds, 1),
        "machine": dict(verdict.machine),
        "pulses_sent": verdict.sent,
        "values_compared": verdict.values,
        "killed_age_s": total.killed_age_ns / 1e9,
        "total": _as_numbers(total),
        "kinds": {
            kind: {"acquisitions": verdict.acquisitions[kind], **_as_numbers(each)} for kind, each in verdict.accounts.items()
        },
        "faults": dict(verdict.faults),
        "buffer": None if findings is None else findings,
        "left_out": verdict.left_out,
        "problems": verdict.problems,
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1))


def _as_numbers(account: Account) -> dict[str, object]:
    return {
        "asked": account.asked,
        "written": account.written,
        "explained": dict(account.explained),
        "unexplained": len(account.unexplained),
    }


def _pulses(verdict: Verdict) -> Table:
    table = Table(title="pulses", title_justify="left")
    for number, name in enumerate(("acquisitions", "", "asked for", "written", "explained", "unexplained")):
        table.add_column(name, justify="left" if number == 0 else "right")
    for kind, account in sorted(verdict.accounts.items()):
        table.add_row(kind, str(verdict.acquisitions[kind]), *_cells(account))
    total = verdict.total
    table.add_section()
    table.add_row("all", str(sum(verdict.acquisitions.values())), *_cells(total))
    table.add_section()
    for cause in CAUSES:
        if total.explained[cause]:
            table.add_row(f"  {cause}", "", "", "", f"{total.explained[cause]:,}", "")
    return table


def _cells(account: Account) -> tuple[str, ...]:
    numbers = (account.asked, account.written, sum(account.explained.values()), len(account.unexplained))
    return tuple(f"{number:,}" for number in numbers)


def _faults(verdict: Verdict) -> Table:
    table = Table(title="faults", title_justify="left")
    table.add_column("what happened")
    table.add_column("times", justify="right")
    for name, times in sorted(verdict.faults.items()):
        table.add_row(name, str(times))
    return table


def _describe(findings: Findings) -> str:
    grew = "too short to tell" if findings.growth_bytes is None else f"{findings.growth_bytes / (1 << 20):+.1f} MiB"
    return (
        f"Buffer: {findings.lives} processes; at most {findings.largest_bytes >> 20} MiB (limit {findings.limit_bytes >> 20}); "
        f"own memory {grew} (limit +{MOST_GROWTH_BYTES >> 20} MiB); at most {findings.most_descriptors} descriptors, without "
        f"clients {findings.descriptors_at_first} at first and {findings.descriptors_at_last} at last"
    )
