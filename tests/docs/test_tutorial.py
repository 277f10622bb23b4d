"""The tutorial, followed: its commands do what it says, and the programs print what it shows."""

import contextlib
import io
import re
import shlex
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sf_bsread_writer.testing.programs import running

pytestmark = pytest.mark.system

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "first-file.md"
FILE = "/tmp/run_000001.BSREAD.h5"


def blocks(text: str) -> dict[str, list[str]]:
    """Contents of the fenced blocks by language, "" where none is named."""
    found: dict[str, list[str]] = {}
    for language, content in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.setdefault(language, []).append(content)
    return found


@pytest.fixture
def take_port() -> Callable[[], int]:
    """Free ports, each another one."""
    taken: set[int] = set()

    def take() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in taken:
                taken.add(port)
                return port

    return take


def test_the_tutorial_leads_to_its_file(tmp_path: Path, take_port: Callable[[], int]) -> None:
    # Other ports and another folder, and a source that sends the first 1200 pulses at once instead of in twelve seconds.
    text = PAGE.read_text(encoding="utf-8").replace(FILE, str(tmp_path / Path(FILE).name))
    for port in ("9999", "8082", "8083"):
        text = text.replace(port, str(take_port()))
    found = blocks(text)
    commands = [line for block in found["sh"] for line in block.splitlines()]
    simulate, buffer, writer, checked = (
        shlex.split(next(line for line in commands if line.startswith(program)))[1:]
        for program in ("sf_bsread simulate", "sf_bsread_buffer", "sf_bsread_writer", "sf_bsread check")
    )
    requests = [shlex.split(line) for line in commands if line.startswith("curl")]
    connected, reported, printed = (block.splitlines() for block in found[""])
    at_once = ["--rate", 0, "--messages", 1200, "--wait_for_client"]

    with (
        running("cli/__main__", *simulate, *at_once) as source,
        running("buffer", *buffer),
        running("writer", *writer) as acquisition,
    ):
        assert source.wait_for_exit() == 0
        acquisition.wait_for_line(f"^{re.escape(connected[0])}$")
        acquisition.wait_for_line(r"Connected to the buffer at \S+, which holds \d+ messages, pulses \d+\.\.\d+$")
        answers = [subprocess.run([*request, "-s"], check=True, capture_output=True, text=True).stdout for request in requests]
        assert acquisition.wait_for_exit() == 0

    assert re.fullmatch(r"\[INFO\] Connected to the buffer at \S+, which holds \d+ messages, pulses \d+\.\.\d+", connected[1])
    assert answers == [found["json"][0].strip(), "", ""]
    assert [line for line in reported if line not in acquisition.lines] == []
    with running("cli/__main__", *checked) as check:
        assert check.wait_for_exit() == 0
    assert check.lines[-1] == "as asked for"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(found["python"][0], str(PAGE), "exec"), {})
    assert output.getvalue().splitlines() == printed
