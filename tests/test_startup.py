"""Signals that come while the programs are still being loaded."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sf_bsread_writer import startup
from sf_bsread_writer.errors import EarlyEndError, ExitCode
from sf_bsread_writer.testing.programs import Program, running, wait_until

ARGUMENTS = {"buffer": ["tcp://127.0.0.1:1", "-o", 0], "writer": ["tcp://127.0.0.1:1", "/dev/null", -1, 0]}


def catches(program: Program, number: signal.Signals) -> Callable[[], bool]:
    """Whether the process has a handler of its own for this signal."""

    def looked_up() -> bool:
        status = Path(f"/proc/{program.process.pid}/status").read_text(encoding="ascii")
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (number - 1) & 1)

    return looked_up


@pytest.mark.system
@pytest.mark.parametrize("number", startup.SIGNALS)
@pytest.mark.parametrize("name", ["buffer", "writer"])
def test_a_signal_while_a_program_is_loaded_ends_it_with_a_code_of_the_table_and_one_line(
    name: str, number: signal.Signals
) -> None:
    with running(name, *ARGUMENTS[name]) as program:
        wait_until(catches(program, signal.SIGTERM), "a handler for SIGTERM")  # SIGINT has one of Python's own from the start
        wait_until(catches(program, signal.SIGINT), "a handler for SIGINT")
        assert program.end(number) == ExitCode.INTERRUPTED
        assert program.output == f"[ERROR] Cannot start: {number.name} came before it was ready"


def test_a_signal_between_loading_and_the_loop_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def life() -> None:
        startup.hand_over(asyncio.get_running_loop(), lambda: None)

    asyncio.run(life())
    monkeypatch.setattr(startup, "_came", [signal.SIGTERM])
    with pytest.raises(EarlyEndError, match="SIGTERM came before it was ready"):
        asyncio.run(life())


def test_a_signal_behind_the_end_does_not_change_the_exit_code() -> None:
    program = """
import os, signal, sys, types
from sf_bsread_writer import startup
sys.modules["program"] = types.SimpleNamespace(main=lambda: 5)
code = startup.run("program")
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGTERM)
sys.exit(code)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=20).returncode == 5
