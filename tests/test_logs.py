"""The log's form, and complaints that do not flood it."""

import logging
import subprocess
import sys

import pytest

from sf_bsread_writer.logs import MOST_REASONS, Complaints


@pytest.fixture
def complaints() -> Complaints:
    return Complaints(logging.getLogger("test"), interval_s=60)


def test_lines_begin_with_their_level_and_go_to_standard_error() -> None:
    code = "import logging; from sf_bsread_writer import logs; logs.configure('INFO'); logging.info('One'); logging.debug('Two')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert (ended.stdout, ended.stderr) == ("", "[INFO] One\n")


def test_a_complaint_is_logged_once_an_interval_and_counted(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    logged = [complaints.add("loss", f"Lost {second}", now_s=second) for second in range(0, 130, 10)]
    assert [second * 10 for second, was_logged in enumerate(logged) if was_logged] == [0, 60, 120]
    assert caplog.messages == [
        "Lost 0",
        "Lost 60 (6 more since the last such line, 7 in all)",
        "Lost 120 (6 more since the last such line, 13 in all)",
    ]
    assert complaints.counts == {"loss": 13}


def test_kinds_are_told_and_counted_apart(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    complaints.add("loss", "Lost", now_s=0, times=3)
    complaints.add("garbage", "Dropped", now_s=1)
    assert caplog.messages == ["Lost", "Dropped"]
    assert complaints.counts == {"loss": 3, "garbage": 1}


def test_another_reason_is_news(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    for second, reason in enumerate(("refused", "refused", "silent", "refused", "silent")):
        complaints.add_reason("unreachable", reason, now_s=second)
    assert caplog.messages == ["refused", "silent"]


def test_ever_new_reasons_are_noise(complaints: Complaints, caplog: pytest.LogCaptureFixture) -> None:
    for second in range(1000):
        complaints.add_reason("unreachable", f"got {second}", now_s=second / 1000)
    assert caplog.messages == [f"got {second}" for second in range(MOST_REASONS + 1)]
    assert len(complaints.counts) == MOST_REASONS + 1
