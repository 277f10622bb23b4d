"""The tutorials, followed: their commands do what they say, and the programs print what they show."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sf_bsread_writer.testing.chain import holdings
from sf_bsread_writer.testing.programs import Program, running, wait_until

pytestmark = pytest.mark.system

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
PORTS = ("9999", "8082", "8083", "8084")

Read = Callable[[str], dict[str, list[str]]]


def blocks(text: str) -> dict[str, list[str]]:
    """Contents of the fenced blocks by language, "" where none is named."""
    found: dict[str, list[str]] = {}
    for language, content in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found.setdefault(language, []).append(content)
    return found


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Gives the blocks of a tutorial, with free ports and a folder of the test's own."""

    def read_page(name: str) -> dict[str, list[str]]:
        text = (TUTORIALS / name).read_text(encoding="utf-8").replace("/tmp/", f"{tmp_path}/")
        with_sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]  # all at once: each another port
        for port, one in zip(PORTS, with_sockets, strict=True):
            text = re.sub(rf"\b{port}\b", str(one.getsockname()[1]), text)
            one.close()
        return blocks(text)

    return read_page


def arguments(found: dict[str, list[str]], program: str) -> list[str]:
    """Of the first command line in a tutorial that starts with this."""
    line = next(line for block in found["sh"] for line in block.splitlines() if line.startswith(f"{program} "))
    return shlex.split(line.removeprefix(program))


def printed_by(*command: str, codes: tuple[int, ...] = (0,)) -> list[str]:
    """Lines of both outputs of a command that finds our programs as a terminal does that the virtual environment is active in."""
    found_first = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, env=found_first, timeout=30, check=False, **pipes)
    assert done.returncode in codes, done.stdout
    return done.stdout.splitlines()


def without_numbers(lines: list[str]) -> list[str]:
    return [re.sub(r"\d+(\.\d+)?", "N", line) for line in lines if line]


def wait_for_pulse(pulse_id: int, buffer: Program) -> str:
    """Address of the buffer, which has it then."""
    address = "tcp://127.0.0.1:" + buffer.wait_for_line(r"serves port (\d+)")[1]
    wait_until(lambda: (holdings(address).newest_pulse_id or 0) >= pulse_id, f"pulse {pulse_id} has come")
    return address


def test_the_first_tutorial_leads_to_its_file(read: Read, tmp_path: Path) -> None:
    # A source that sends the first 1200 pulses at once instead of in twelve seconds.
    found = read("first-file.md")
    requests = [shlex.split(line) for block in found["sh"] for line in block.splitlines() if line.startswith("curl")]
    connected, reported, printed = (block.splitlines() for block in found[""])
    at_once = ["--rate", 0, "--messages", 1200, "--wait_for_client"]

    with (
        running("cli/__main__", "simulate", *arguments(found, "sf_bsread simulate"), *at_once) as source,
        running("buffer", *arguments(found, "sf_bsread_buffer")),
        running("writer", *arguments(found, "sf_bsread_writer")) as acquisition,
    ):
        assert source.wait_for_exit() == 0
        acquisition.wait_for_line(f"^{re.escape(connected[0])}$")
        acquisition.wait_for_line(r"Connected to the buffer at \S+, which holds \d+ messages, pulses \d+\.\.\d+$")
        answers = [subprocess.run([*request, "-s"], check=True, capture_output=True, text=True).stdout for request in requests]
        assert acquisition.wait_for_exit() == 0

    assert re.fullmatch(r"\[INFO\] Connected to the buffer at \S+, which holds \d+ messages, pulses \d+\.\.\d+", connected[1])
    assert answers == [found["json"][0].strip(), "", ""]
    *outcome, size = reported
    assert [line for line in outcome if line not in acquisition.lines] == []
    assert without_numbers([size])[0] in without_numbers(acquisition.lines)
    assert printed_by("sf_bsread", "check", *arguments(found, "sf_bsread check"))[-1] == "as asked for"
    assert printed_by(sys.executable, "-c", found["python"][0]) == printed


def test_the_detector_of_the_tutorial_gets_the_pictures_of_its_images(read: Read, tmp_path: Path) -> None:
    # Images at 100 Hz instead of 25.
    found = read("camera-and-detector.md")
    detector, reader = found["python"]
    said, printed = (block.splitlines() for block in found[""])

    with (
        running("cli/__main__", "simulate", *arguments(found, "sf_bsread simulate"), "--rate", 400),
        running("buffer", *arguments(found, "sf_bsread_buffer")) as buffer,
    ):
        wait_for_pulse(1, buffer)
        lines = printed_by(sys.executable, "-uc", detector)

    assert [line for line in lines if line in said] == said
    assert printed_by(sys.executable, "-c", reader) == printed
    assert printed_by("sf_bsread", "check", *arguments(found, "sf_bsread check"))[-1] == "as asked for"
    plot = arguments(found, "sf_bsread plot")
    printed_by("sf_bsread", "plot", *plot)
    assert Path(plot[-1]).read_bytes().startswith(b"\x89PNG")


def test_what_just_happened_is_in_the_files_of_the_tutorial(read: Read, tmp_path: Path) -> None:
    # It has happened in the last half second, so that nobody has to wait for ten.
    found = read("what-just-happened.md")
    commands = [re.sub(r"\b10(?=s |\})", "0.5", block).strip() for block in found["sh"]]
    last, everything = (shlex.split(line) for line in commands if line.startswith("sf_bsread capture"))
    post, get = (shlex.split(line) for line in commands if line.startswith("curl"))
    complete, in_part = (without_numbers(block.splitlines()) for block in found[""])
    assert "--buffer" not in last  # the default, which is not free here

    with (
        running("cli/__main__", "simulate", *arguments(found, "sf_bsread simulate")),
        running("buffer", *arguments(found, "sf_bsread_buffer")) as buffer,
    ):
        address = wait_for_pulse(1, buffer)
        seen_s = time.monotonic()
        wait_until(lambda: time.monotonic() > seen_s + 0.5, "the ring goes back as far as will be asked for")
        assert without_numbers(printed_by(*last, "--buffer", address)) == complete
        assert without_numbers(printed_by(*everything, "--buffer", address, codes=(5,))) == in_part
        started = json.loads(printed_by(*post, "-s")[0])
        wait_until(lambda: json.loads(printed_by(*get, "-s")[0])["captures"][0]["state"] == "finished", "it is written")
        finished = json.loads(printed_by(*get, "-s")[0])["captures"][0]

    assert (finished["outcome"], finished["file"], started["complete"]) == ("complete", started["file"], True)
    captured = sorted(map(str, (tmp_path / "captures").iterdir()))
    assert captured == [finished["file"]]
    assert printed_by("sf_bsread", "check", last[-1], everything[-1], *captured).count("as asked for") == 3
