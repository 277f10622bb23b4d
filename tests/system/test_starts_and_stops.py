"""Starts and stops as several detectors send them: repeated, changed, late, in either order, and of either kind."""

import pytest

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, Writer, report_in
from sf_bsread_writer.testing.programs import PROMPTLY_S

pytestmark = pytest.mark.system


def test_a_late_stop_takes_back_what_was_written_behind_it(feed: Feed, writer: Writer) -> None:
    sent = feed.send(50)
    writer.put(f"/start_pulse_id/{sent[0]}")
    writer.wait_for(rows=50)
    writer.put(f"/stop_pulse_id/{sent[30]}")
    report = writer.ended()
    assert_holds(writer.path, sent[:31])
    assert (report.rows, report.trimmed, report.last_pulse_id) == (31, 19, sent[30])
    assert {channel.name: channel.present for channel in report.channels}["SCALAR"] == 31


def test_a_stop_before_the_start_is_refused_whichever_comes_first_and_changes_nothing(feed: Feed, writer: Writer) -> None:
    sent = feed.send(40)
    writer.put(f"/stop_pulse_id/{sent[5]}")
    text = writer.error_of("PUT", f"/start_pulse_id/{sent[20]}")
    assert str(sent[5]) in text
    assert str(sent[20]) in text
    assert writer.status == "waiting"
    writer.put(f"/stop_pulse_id/{sent[0] + 45}")
    writer.put(f"/start_pulse_id/{sent[20]}")
    writer.wait_for(rows=20)
    text = writer.error_of("PUT", f"/stop_pulse_id/{sent[19]}")
    assert str(sent[19]) in text
    assert str(sent[20]) in text
    assert writer.status == "writing"
    sent = range(sent.start, feed.send(10).stop)
    writer.ended()
    assert_holds(writer.path, sent[20:46])


def test_every_detector_may_send_the_same_start_and_stop_with_two_slashes_too(feed: Feed, writer: Writer) -> None:
    sent = feed.send(20)
    for path in (f"//start_pulse_id/{sent[3]}", f"/start_pulse_id/{sent[3]}", f"/start_pulse_id//{sent[3]}"):
        writer.put(path)
    writer.wait_for(rows=17)
    writer.put(f"//start_pulse_id/{sent[3]}")
    for path in (f"//stop_pulse_id/{sent[19] + 5}", f"/stop_pulse_id/{sent[19] + 5}"):
        writer.put(path)
        writer.put(f"/start_pulse_id/{sent[3]}")
    sent = range(sent.start, feed.send(10).stop)
    writer.ended()
    assert_holds(writer.path, sent[3:25])


def test_a_changed_stop_moves_the_end(feed: Feed, writer: Writer) -> None:
    sent = feed.send(20)
    writer.put(f"/start_pulse_id/{sent[0]}")
    writer.put(f"/stop_pulse_id/{sent[0] + 25}")
    writer.put(f"/stop_pulse_id/{sent[0] + 60}")
    sent = range(sent.start, feed.send(20).stop)
    writer.wait_for(rows=40)
    assert writer.status == "writing"
    writer.put(f"/stop_pulse_id/{sent[0] + 45}")
    sent = range(sent.start, feed.send(20).stop)
    writer.ended()
    assert_holds(writer.path, sent[:46])


def test_a_changed_start_begins_anew_and_keeps_what_was_written_aside(feed: Feed, writer: Writer) -> None:
    sent = feed.send(50)
    for start in (25, 10, 40):
        writer.put(f"/start_pulse_id/{sent[start]}")
        writer.wait_for(rows=50 - start, start_pulse_id=sent[start])
    writer.put(f"/stop_pulse_id/{sent[49]}")
    report = writer.ended()
    files = {25: writer.path.with_name("run.h5.1"), 10: writer.path.with_name("run.h5.2"), 40: writer.path}
    assert set(writer.path.parent.iterdir()) == set(files.values())
    assert report.moved_aside == str(files[10])
    for start, path in files.items():
        assert_holds(path, sent[start:])


def test_start_pulse_id_goes_with_stop_now_and_the_last_stop_wins(feed: Feed, writer: Writer) -> None:
    sent = feed.send(30)
    writer.put(f"/start_pulse_id/{sent[12]}")
    writer.put(f"/stop_pulse_id/{sent[29] + 1000}")
    writer.put("/stop_now")
    report = writer.ended()
    feed.send(5)
    assert_holds(writer.path, sent[12:])
    assert (report.start_pulse_id, report.stop_pulse_id) == (sent[12], None)
    assert report.stop_timestamp_ns is not None


def test_start_now_goes_with_a_stop_pulse_id(feed: Feed, writer: Writer) -> None:
    feed.send(10)
    writer.put("/start_now")
    sent = feed.send(10)
    writer.put(f"/stop_pulse_id/{sent[9] + 7}")
    sent = range(sent.start, feed.send(20).stop)
    report = writer.ended()
    assert_holds(writer.path, sent[:17])
    assert (report.start_pulse_id, report.stop_pulse_id) == (None, sent[16])
    assert report.start_timestamp_ns is not None


def test_a_start_behind_its_stop_in_time_writes_nothing_and_says_so(feed: Feed, writer: Writer) -> None:
    """start_now with a stop pulse that is past: no pulse can fit, and the next message shows it."""
    sent = feed.send(10)
    writer.put("/start_now")
    writer.put(f"/stop_pulse_id/{sent[5]}")
    feed.send(5)
    report = writer.ended(ExitCode.INCOMPLETE)
    assert (report.outcome, report.rows, report.reason) == ("incomplete", 0, "no pulse arrived")


def test_a_writer_that_was_given_files_stays_and_writes_one_after_the_other(feed: Feed, writer: Writer) -> None:
    folder = writer.path.parent
    reports = {}
    for name in ("one.h5", "two.h5", "one.h5"):
        feed.send(5)
        assert writer.status == "waiting"
        writer.put("/start_now", {"output_file": str(folder / name)})
        assert writer.status == "writing"
        sent = feed.send(20)
        writer.put("/stop_now", {"output_file": str(folder / name)})
        feed.send(5)
        writer.wait_until_waiting()
        assert_holds(folder / name, sent)
        reports[sent[0]] = writer.get("/report")
    assert [report["outcome"] for report in reports.values()] == ["complete"] * 3
    assert [report["first_pulse_id"] for report in reports.values()] == list(reports)
    assert writer.get("/stop") == {"state": "ok", "status": "waiting"}
    assert writer.program.wait_for_exit(timeout_s=PROMPTLY_S) == 0
    # The name that was asked for twice: the later file has it.
    assert sorted(entry.name for entry in folder.iterdir()) == ["one.h5", "one.h5.1", "two.h5"]
    assert report_in(folder / "one.h5").first_pulse_id == sent[0]
