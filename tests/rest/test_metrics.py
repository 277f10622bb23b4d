"""Metrics of writer and buffer: their numbers, and what Prometheus' own tool says of their names."""

import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sf_bsread_writer import __version__
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.chain import ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.serving import serving


def samples_of(url: str) -> Mapping[str, float]:
    """By name, with labels in braces."""
    answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + (str(list(sample.labels.values())) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def complaints_of(url: str) -> str:
    """What promtool has to say of the names, types, help texts and units."""
    if shutil.which("promtool") is None:
        pytest.skip("NOT CHECKED: promtool is missing; Debian has it in the package prometheus")
    text = httpx.get(f"{url}/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=20, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("process_")]
    return "\n".join(ours)


def test_a_writer_without_an_acquisition_is_waiting_and_says_no_pulse_ids() -> None:
    with serving(FakeAcquisition()) as url:
        samples = samples_of(url)
    assert samples[f"sf_bsread_writer_info['{__version__}']"] == 1
    assert (samples["sf_bsread_writer_writing"], samples["sf_bsread_writer_rows"]) == (0, 0)
    assert "sf_bsread_writer_last_pulse_id" not in samples
    assert samples["process_resident_memory_bytes"] > 1e7


def test_a_failing_program_fails_the_scrape() -> None:
    acquisition = FakeAcquisition()
    acquisition.failure = RuntimeError("broken")
    with serving(acquisition) as url:
        assert httpx.get(f"{url}/metrics").status_code == 500


@pytest.mark.system
def test_numbers_of_buffer_and_writer_are_those_of_the_moment_and_their_names_are_good(tmp_path: Path) -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "--rest_port", 0, "-b", 50, "--memory_limit", "64M") as buffer,
        writer_of(buffer.address, tmp_path / "a.h5") as writer,
    ):
        begun_s = time.time()
        source.send_range(101, 160)
        buffer.wait_until_it_holds(newest=160)
        writer.put("/start_pulse_id/121")
        wait_until(lambda: samples_of(writer.url)["sf_bsread_writer_rows"] >= 39, "rows are counted")
        written = samples_of(writer.url)
        assert (written["sf_bsread_writer_writing"], written["sf_bsread_writer_start_pulse_id"]) == (1, 121)
        assert written["sf_bsread_writer_missing_pulses"] == 0
        assert "sf_bsread_writer_stop_pulse_id" not in written
        name = f"sf_bsread_writer:{writer.url.rpartition(':')[2]}"
        wait_until(lambda: samples_of(buffer.url)[f"sf_bsread_buffer_client_lag_messages['{name}']"] == 0, "all is sent")
        held = samples_of(buffer.url)
        assert held[f"sf_bsread_buffer_info['{source.address}', '{__version__}']"] == 1
        assert held["sf_bsread_buffer_received_messages_total"] == 60
        assert (held["sf_bsread_buffer_messages"], held["sf_bsread_buffer_oldest_pulse_id"]) == (50, 111)
        oldest_s, newest_s = (held[f"sf_bsread_buffer_{which}_message_timestamp_seconds"] for which in ("oldest", "newest"))
        assert begun_s - 1 < oldest_s <= newest_s < time.time() + 1
        assert held["sf_bsread_buffer_clients"] == 1
        assert held["sf_bsread_buffer_refused_clients_total['too many']"] == 0
        writer.put("/stop_pulse_id/160")
        writer.ended()
        assert complaints_of(buffer.url) == ""


def test_names_of_the_writers_metrics_are_good() -> None:
    with serving(FakeAcquisition()) as url:
        assert complaints_of(url) == ""
