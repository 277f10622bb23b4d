"""GET /report: proper status codes."""

import logging

import httpx
import msgspec
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.testing.acquisition import FakeAcquisition, sample_report


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
