"""schemathesis holds REST against its own OpenAPI document: what it allows, what it forbids, and what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.rest import parse
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.chain import ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.serving import serving

pytestmark = pytest.mark.system

ENDS_THE_PROCESS = "^/(stop|kill)$"


def findings(url: str, folder: Path, *selection: str) -> str:
    """What schemathesis says, if it has anything to complain of."""
    command = [
        *(Path(sys.executable).with_name("st"), "run", f"{url}/openapi.json", *selection),
        *("--phases", "coverage,fuzzing", "--max-examples", "20", "--request-timeout", "10"),
        *("--exclude-path", "/events"),  # which does not end
        # legacy paths answer with 200 whatever is wrong; see testing/contract.py for what is expected of them instead
        *("--exclude-checks", "negative_data_rejection"),
        *("--generation-database", "none", "--no-color", "--continue-on-failure"),
    ]
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "sf_bsread_writer.testing.contract",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=50, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_a_real_writer_keeps_what_its_document_says(tmp_path: Path) -> None:
    with writer_of("tcp://127.0.0.1:1", "/dev/null", "--stall_timeout", 600, connected=False) as writer:
        writer.put("/start_now", {"output_file": "/dev/null"})  # so that it stays, whatever it is told to stop
        assert findings(writer.url, tmp_path, "--exclude-path-regex", ENDS_THE_PROCESS) == ""
        assert writer.get("/status")["state"] == "ok"
        assert "Traceback" not in writer.program.output


def test_a_real_buffer_keeps_what_its_document_says(tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer:
        for pulse_id in range(1, 21):
            source.send(pulse_id, {"A": 1.0, "W": np.arange(10), "V": np.zeros((3, 4))})
        buffer.wait_until_it_holds(newest=20)
        assert findings(buffer.url, tmp_path) == ""
        assert buffer.get("/status")["messages"] == 20
        assert "Traceback" not in buffer.program.output


def test_so_do_its_captures(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "--capture_root", root) as buffer:  # an empty ring
        assert findings(buffer.url, tmp_path, "--include-path-regex", "^/captures") == ""
        assert buffer.get("/captures") == {"root": str(root), "captures": []}
        assert "Traceback" not in buffer.program.output


def test_so_do_the_paths_that_end_it(tmp_path: Path) -> None:
    with serving(FakeAcquisition()) as url:
        assert findings(url, tmp_path, "--include-path-regex", ENDS_THE_PROCESS) == ""


def test_what_it_forbids_and_takes_all_the_same_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "pulse_id", lambda text: 5)
    with serving(FakeAcquisition()) as url:
        found = findings(url, tmp_path, "--include-path-regex", "^/start_pulse_id/")
    assert "taken, though the document does not allow it" in found
