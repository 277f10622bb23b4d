"""A soak of a few seconds: everything is there, and Ctrl-C ends it as its own end does."""

import json
import re
import signal
import sys
from pathlib import Path

import pytest

from sf_bsread_writer.testing.programs import PACKAGE, Program, started, wait_until

pytestmark = pytest.mark.system

ENOUGH = 9
"""Acquisitions; with this seed killed writers are among the first, and the second fault kills the buffer."""

SEED = 47
DEADLINE_S = 90.0


def is_enough(program: Program) -> bool:
    told = re.findall(r"(\d+) acquisitions,", program.output)
    return bool(told) and int(told[-1]) >= ENOUGH and "last: buffer is killed" in program.output


@pytest.mark.timeout(150)
def test_nothing_is_unexplained(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "soak", "--size", "small", "--seconds", "1.5", "--fault_s", "2", "--seed", str(SEED)]
    # The machine may be busy with other tests: how soon a writer flushes is measured elsewhere.
    command += ["--line_s", "0.2", "--killed_s", "60", "--output", str(tmp_path)]
    with started(command, name="soak", folder=PACKAGE.parent, own_group=True) as program:
        wait_until(lambda: is_enough(program), f"{ENOUGH} acquisitions, and a buffer that is killed", timeout_s=DEADLINE_S)
        program.process.send_signal(signal.SIGINT)
        code = program.wait_for_exit(timeout_s=DEADLINE_S)
    (result,) = tmp_path.glob("*/result.json")
    found = json.loads(result.read_text())
    assert found["problems"] == [], program.output
    assert (code, found["well"], found["interrupted"], found["seed"]) == (0, True, True, SEED)
    total = found["total"]
    assert total["asked"] == total["written"] + sum(total["explained"].values()) + total["unexplained"]
    assert total["unexplained"] == 0
    assert total["written"] > 500
    assert found["values_compared"] > 1000 * total["written"] // 2
    assert found["kinds"]["killed"]["written"] > 0
    assert found["faults"]["buffer is killed"] >= 1
    assert "all is well" in program.output
    assert list(tmp_path.glob("*/*.h5*")) == []
