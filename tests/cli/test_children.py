"""Programs started by a subcommand end with it, whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sf_bsread_writer.cli.children import Child, Children
from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.testing.programs import Program, wait_until

pytestmark = pytest.mark.system

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER
FAILING = "print('one')\nprint('two')\nraise SystemExit(5)\n"
PARENT = """
import sys
from pathlib import Path
from sf_bsread_writer.cli.children import Children
with Children(Path(sys.argv[1])) as children:
    for name in ("a", "b"):
        child = children.start(name, "sleeper")
        child.wait("readiness", child.first_line, timeout_s=20)
        print(child.process_id, flush=True)
    children.start("c", "sleeper").wait_for_exit(timeout_s=60)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Makes a module that children can run, and returns its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return make


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def started(children: Children, module: str) -> Child:
    child = children.start("child", module)
    assert child.wait("readiness", child.first_line, timeout_s=20) == "ready"
    return child


def test_children_end_with_the_block(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    with Children(tmp_path) as children:
        child = started(children, program("sleeper", SLEEPER))
        assert child.exit_code is None
    assert child.exit_code == -signal.SIGTERM


def test_children_end_when_the_block_fails(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    module, children = program("sleeper", SLEEPER), Children(tmp_path)

    def fail() -> None:
        with children:
            found.append(started(children, module))
            raise ZeroDivisionError

    found: list[Child] = []
    with pytest.raises(ZeroDivisionError):
        fail()
    child = found[0]
    assert child.exit_code == -signal.SIGTERM


def test_child_that_ignores_sigterm_is_killed(
    tmp_path: Path, program: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sf_bsread_writer.cli.children._PATIENCE_S", 0.1)
    with Children(tmp_path) as children:
        child = started(children, program("deaf", DEAF))
    assert child.exit_code == -signal.SIGKILL


def test_child_that_ends_early_is_told_with_its_last_lines(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    with Children(tmp_path) as children:
        child = children.start("child", program("failing", FAILING))
        with pytest.raises(SetupError, match=r"child ended with code 5 before the flood; .* ends: one / two"):
            child.wait("the flood", lambda: None, timeout_s=20)


def test_what_does_not_happen_in_time_is_told(tmp_path: Path, program: Callable[[str, str], str]) -> None:
    with Children(tmp_path) as children:
        child = started(children, program("sleeper", SLEEPER))
        with pytest.raises(SetupError, match=r"the flood did not happen within 0 s; .* ends: ready"):
            child.wait("the flood", lambda: None, timeout_s=0)
        with pytest.raises(SetupError, match=r"child did not end within 0 s; .* ends: ready"):
            child.wait_for_exit(timeout_s=0)


def test_handlers_of_signals_are_put_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with Children(tmp_path):
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_to_the_parent_ends_the_children(
    tmp_path: Path, program: Callable[[str, str], str], number: signal.Signals
) -> None:
    program("sleeper", SLEEPER)
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    parent = Program(process, "parent")
    try:
        wait_until(lambda: len(parent.lines) == 2, "both children run")
        ids = [int(line) for line in parent.lines]
        assert [is_alive(process_id) for process_id in ids] == [True, True]
        parent.end(number)
        assert "KeyboardInterrupt" in parent.output
        assert [is_alive(process_id) for process_id in ids] == [False, False]
    finally:
        parent.end()
        assert process.stdout is not None
        process.stdout.close()
