"""``sf_bsread demo``: the real programs end to end; every value in the file is the one that the source specifies."""

import os
import re
import signal
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 - registers the camera's filter
import httpx
import numpy as np
import pytest

from sf_bsread_writer.cli.demonstration import demonstrate
from sf_bsread_writer.errors import ExitCode, UsageError
from sf_bsread_writer.simulator.channels import preset
from sf_bsread_writer.simulator.values import value_at
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system


def children_of(process_id: int) -> list[int]:
    """Process ids, from the system's own list."""
    try:
        text = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    return [int(word) for word in text.split()]


def is_alive(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


def test_file_of_the_demonstration_holds_exactly_the_pulses_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with running("cli/__main__", "demo", "--seconds", 0.3, "--output", folder) as program:
        assert program.wait_for_exit(timeout_s=40) == ExitCode.COMPLETE, program.output
    first, last = (int(text) for text in re.findall(r"PUT /st\w+_pulse_id/(\d+)", program.output))
    pulse_ids = np.arange(first, last + 1)
    assert len(pulse_ids) == 30
    with h5py.File(folder / "demo.BSREAD.h5") as file:
        assert np.array_equal(file["stream/pulse_id"][:], pulse_ids)
        for simulated in preset("demo"):
            group, channel = file["data"][simulated.channel.name], simulated.channel
            present = (pulse_ids - channel.offset) % channel.modulo == 0
            assert np.array_equal(group["is_data_present"][:], present), channel.name
            assert np.array_equal(group["pulse_id"][:], np.where(present, pulse_ids, 0)), channel.name
            stored = group["data"].asstr()[:] if channel.is_string else group["data"][:]
            expected = np.array([value_at(simulated, int(pulse_id)) for pulse_id in pulse_ids[present]])
            assert np.array_equal(stored[present], expected.reshape(stored[present].shape)), channel.name
    assert "complete" in program.output
    assert str(folder / "demo.BSREAD.h5") in program.output
    assert re.search(r"It has \d+ MB and may be deleted", program.lines[-1])
    buffer_log = (folder / "buffer.log").read_text(encoding="utf-8")
    assert len(re.findall(r"Client .*sf_bsread demo", buffer_log)) <= 2, buffer_log  # comes once, goes once


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demonstration_that_is_interrupted_leaves_nothing_running(tmp_path: Path, number: int) -> None:
    (tmp_path / "demo.BSREAD.h5").write_text("the file of an earlier demonstration")
    with running("cli/__main__", "demo", "--seconds", 300, "--output", tmp_path) as program:
        program.wait_for_line("Nobody has asked")
        wait_until(lambda: len(children_of(program.process.pid)) == 2, "source and buffer run")
        children = children_of(program.process.pid)
        assert program.end(number) == ExitCode.INTERRUPTED
        assert program.lines[-1] == "ended; all that was started is stopped"
        assert (tmp_path / "demo.BSREAD.h5").read_text() == "the file of an earlier demonstration"
        assert [process_id for process_id in children if is_alive(process_id)] == []
    assert "Traceback" not in program.output


def test_demonstration_that_stays_has_a_dashboard_until_it_is_ended(tmp_path: Path) -> None:
    with running("cli/__main__", "demo", "--seconds", 0.1, "--output", tmp_path, "--stay") as program:
        page = program.wait_for_line("dashboard: (.*)", timeout_s=40)[1]
        assert httpx.get(f"{page}/status").json()["state"] == "connected"
        assert "<html" in httpx.get(page).text
        assert httpx.get(f"{page}/captures").json()["root"] == str(tmp_path)
        assert program.end(signal.SIGINT) == ExitCode.COMPLETE
    assert "may be deleted" in program.lines[-1]


def test_program_that_dies_ends_the_demonstration_with_its_last_words(tmp_path: Path) -> None:
    with running("cli/__main__", "demo", "--seconds", 300, "--output", tmp_path) as program:
        program.wait_for_line("Nobody has asked")
        wait_until(lambda: len(children_of(program.process.pid)) == 2, "source and buffer run")
        source, buffer = children_of(program.process.pid)
        os.kill(buffer, signal.SIGTERM)
        assert program.wait_for_exit() == ExitCode.SETUP
        assert not is_alive(source)
    assert "sf_bsread demo: buffer ended" in program.lines[-1]


@pytest.mark.parametrize("seconds", [0.0, -1.0, 601.0, float("nan")])
def test_impossible_length_is_refused(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        demonstrate(seconds=seconds, folder=tmp_path)
