import json
from collections import Counter
from pathlib import Path

from rich.console import Console

from soak.ledger import EVICTED, NEVER_SENT, Account
from soak.verdict import Verdict, show, write
from soak.watch import Findings

FINDINGS = Findings(
    lives=2,
    largest_bytes=100 << 20,
    limit_bytes=200 << 20,
    growth_bytes=1 << 19,
    most_descriptors=20,
    descriptors_at_first=9,
    descriptors_at_last=9,
)


def verdict_of(*, wrong: list[str]) -> Verdict:
    verdict = Verdict(seed=7, values=1000, sent=500, seconds=60.0, findings=FINDINGS)
    verdict.add("past range", Account(asked=30, written=20, explained=Counter({EVICTED: 10})), [], 600)
    verdict.add("past range", Account(asked=10, written=10), [], 200)
    verdict.add("killed", Account(asked=9, written=4, explained=Counter({NEVER_SENT: 4}), unexplained=[17]), wrong, 100)
    verdict.fault("buffer is killed")
    return verdict


def test_json_and_tables_have_every_sum(tmp_path: Path) -> None:
    verdict = verdict_of(wrong=[])
    write(verdict, tmp_path / "result.json")
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["total"] == {"asked": 49, "written": 34, "explained": {EVICTED: 10, NEVER_SENT: 4}, "unexplained": 1}
    assert found["kinds"]["past range"] == {
        "acquisitions": 2,
        "asked": 40,
        "written": 30,
        "explained": {EVICTED: 10},
        "unexplained": 0,
    }
    assert (found["faults"], found["well"], found["seed"]) == ({"buffer is killed": 1}, True, 7)
    assert found["buffer"]["growth_bytes"] == 1 << 19
    console = Console(width=120, record=True)
    with console.capture() as shown:
        show(verdict, console)
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.get().splitlines()]
    assert ["all", "3", "49", "34", "14", "1"] in rows
    assert ["past range", "2", "40", "30", "10", "0"] in rows
    assert "seed 7: all is well" in shown.get()


def test_one_wrong_sentence_is_enough(tmp_path: Path) -> None:
    verdict = verdict_of(wrong=["00001-killed: a value differs"])
    verdict.fault("source restarts", "nothing flows any more")
    assert verdict.problems == ["00001-killed: a value differs", "source restarts: nothing flows any more"]
    write(verdict, tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["well"] is False
    console = Console(width=120)
    with console.capture() as shown:
        show(verdict, console)
    assert "wrong: 00001-killed: a value differs" in shown.get()
    assert "seed 7: NOT WELL" in shown.get()
