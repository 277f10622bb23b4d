"""The steps by which people have always tried the two programs out by hand, typed as they type them."""

import shutil
import signal
import socket
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import bsread
import pytest

from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.testing.beam import assert_holds, beam_values
from sf_bsread_writer.testing.messages import time_of
from sf_bsread_writer.testing.programs import PACKAGE, PROMPTLY_S, Program, started

pytestmark = [pytest.mark.system, pytest.mark.peer]


def typed(command: str, folder: Path) -> AbstractContextManager[Program]:
    """A command line as it is typed in a shell in the checkout, with PYTHONPATH=$(pwd)."""
    words = [sys.executable if word == "python" else word for word in command.split()]
    return started(words, name=command, folder=folder, environment={"PYTHONPATH": str(folder)})


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_start_now_and_stop_now_with_curl_leave_a_file_and_no_process(tmp_path: Path) -> None:
    source_port, buffer_port, rest_port = free_ports(3)
    rest = f"http://127.0.0.1:{rest_port}"
    (tmp_path / PACKAGE.name).symlink_to(PACKAGE)  # as good as a checkout, and works.h5 does not land in the real one
    sender = bsread.Sender(port=source_port, address="tcp://127.0.0.1")
    sender.open()

    def send(first: int, last: int) -> None:
        for pulse_id in range(first, last + 1):
            stamp = divmod(time_of(pulse_id), NS_PER_S)
            sender.send(timestamp=stamp, pulse_id=pulse_id, data=beam_values(pulse_id))

    buffer_line = f"python {PACKAGE.name}/buffer.py tcp://127.0.0.1:{source_port} -o {buffer_port} -b 100 --log_level DEBUG"
    writer_line = f"python {PACKAGE.name}/writer.py tcp://127.0.0.1:{buffer_port} works.h5 -1 {rest_port} --log_level DEBUG"
    with closing(sender), typed(buffer_line, tmp_path) as buffer, typed(writer_line, tmp_path) as writer:
        writer.wait_for_line("REST on")
        writer.wait_for_line("Connected to the buffer")
        send(1, 20)
        buffer.wait_for_line(r"^\[DEBUG\] [Pp]ulse 20 ")
        assert curl(f"{rest}/status") == '{"state":"ok","status":"waiting"}'
        assert curl("-X", "PUT", f"{rest}/start_now") == ""
        assert curl(f"{rest}/status") == '{"state":"ok","status":"writing"}'
        send(21, 50)
        buffer.wait_for_line(r"^\[DEBUG\] [Pp]ulse 50 ")
        assert curl("-X", "PUT", f"{rest}/stop_now") == ""
        assert writer.wait_for_exit(timeout_s=PROMPTLY_S) == 0
        assert_holds(tmp_path / "works.h5", range(21, 51), own_time_step_ns=0)
        assert sum(line.startswith("[DEBUG] Pulse ") and line.endswith(" to the file") for line in writer.lines) == 30
        assert buffer.end(signal.SIGINT) == 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"works.h5", PACKAGE.name}
