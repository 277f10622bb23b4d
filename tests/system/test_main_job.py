"""The main job with the real programs: source → buffer → writer, driven by REST → file."""

from pathlib import Path

import pytest

from sf_bsread_writer.testing.beam import assert_holds, beam_message
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of

pytestmark = pytest.mark.system

BEFORE, AFTER = 50, 50
"""Pulses that the buffer has when the writer is asked, and pulses that come later."""

PROMPTLY_S = 5.0
"""Generous to a busy machine, and far less than any timeout after which a writer would end without having to."""

RANGES = {
    "in the past": (10, 40),
    "in the future": (60, 90),
    "on both sides of now": (20, 80),
    "up to the newest pulse": (30, 49),
    "from the next pulse": (50, 70),
    "one pulse in the past": (33, 33),
    "the stream's last pulse": (99, 99),
    "all there is": (0, 99),
}


@pytest.mark.parametrize(("start", "stop"), RANGES.values(), ids=RANGES)
def test_exactly_the_pulses_asked_for_are_written_wherever_now_is(feed: Feed, writer: Writer, start: int, stop: int) -> None:
    past = feed.send(BEFORE)
    first, last = past[0] + start, past[0] + stop
    writer.put(f"/start_pulse_id/{first}")
    writer.put(f"/stop_pulse_id/{last}")
    if stop >= BEFORE:
        feed.send(AFTER)
    # With "all there is" no message comes after the last one asked for: the writer must not wait for any.
    report = writer.ended(within_s=PROMPTLY_S)
    assert_holds(writer.path, range(first, last + 1))
    assert (report.outcome, report.rows, report.missing, report.evicted_before_start) == ("complete", stop - start + 1, (), 0)
    assert [entry.name for entry in writer.path.parent.iterdir()] == ["run.h5"]


def test_a_range_may_be_asked_for_before_buffer_source_and_first_message_are_there(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "new" / "folders" / "run.h5"
    with writer_of(f"tcp://127.0.0.1:{free_port}", path, connected=False) as writer:
        writer.put("/start_pulse_id/3")
        writer.put("/stop_pulse_id/7")
        with ZmqSource() as source, buffer_of(source.address, "-o", free_port):
            writer.program.wait_for_line("Connected to the buffer")
            assert writer.status == "writing"
            for pulse_id in range(1, 11):
                source.send_frames(beam_message(pulse_id))
            writer.ended(within_s=PROMPTLY_S)
    assert_holds(path, range(3, 8))
