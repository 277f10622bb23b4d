"""GET /report: proper status codes."""

import logging
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from sf_bsread_writer.acquire import receive
from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.testing.acquisition import FakeAcquisition, sample_report
from sf_bsread_writer.testing.chain import ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.programs import wait_until


def test_before_any_acquisition_there_is_no_report_and_the_answer_says_so(client: httpx.Client) -> None:
    response = client.get("/report")
    assert response.status_code == 404
    assert "no acquisition has been started" in response.json()["detail"]


def test_the_report_arrives_whole(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    acquisition.last_report = sample_report()
    response = client.get("/report")
    assert response.status_code == 200
    assert msgspec.json.decode(response.content, type=Report) == sample_report()


def test_the_report_may_be_as_long_as_thousands_of_channels_make_it(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    acquisition.last_report = sample_report(channels=5000)
    assert len(client.get("/report").json()["channels"]) == 5000


@pytest.mark.system
def test_a_waiting_writer_tells_what_its_buffer_holds_by_now_and_that_it_has_gone(tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_of(source.address, "-b", 10) as buffer:
        source.send_range(1, 5)
        buffer.wait_until_it_holds(newest=5)
        with writer_of(buffer.address, tmp_path / "run.h5") as writer:
            seen: dict[str, Any] = writer.get("/stream")
            assert seen == {
                "address": buffer.address,
                "connected": True,
                "is_buffer": True,
                "messages": 5,
                "oldest_pulse_id": 1,
                "newest_pulse_id": 5,
            }
            source.send_range(6, 15)
            buffer.wait_until_it_holds(newest=15)
            wait_until(lambda: writer.get("/stream")["newest_pulse_id"] == 15, "what is held now", timeout_s=10 * receive.LOOK_S)
            assert (writer.get("/stream")["oldest_pulse_id"], writer.get("/stream")["messages"]) == (6, 10)
            writer.put("/start_pulse_id/6")
            writer.wait_for(rows=10)  # nothing of that has moved where an acquisition begins
            buffer.program.end()
            wait_until(lambda: not writer.get("/stream")["connected"], "it has gone")
            assert writer.get("/stream")["messages"] is None


def test_an_unexpected_error_is_a_500_with_class_and_text_and_its_traceback_is_logged(
    client: httpx.Client, acquisition: FakeAcquisition, caplog: pytest.LogCaptureFixture
) -> None:
    acquisition.failure = ZeroDivisionError("division by nought")
    response = client.get("/report")
    assert response.status_code == 500
    assert response.json()["detail"] == "ZeroDivisionError: division by nought"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None


def test_a_wrong_method_is_not_allowed(client: httpx.Client) -> None:
    assert client.put("/report").status_code == 405
