"""The main job with the real programs: source → buffer → writer, driven by REST → file."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of, writers_on
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

pytestmark = pytest.mark.system

BEFORE, AFTER = 50, 50
"""Pulses that the buffer has when the writers are asked, and pulses that come later."""

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


@dataclass(frozen=True)
class Asked:
    """What one of the writers was asked for, and the writer."""

    pulse_ids: range
    writer: Writer


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Asked]]:
    """Eight writers on one buffer at once, one for each range; and a reader that stands still: connected, it never reads."""
    folder = tmp_path_factory.mktemp("ranges")
    with ZmqSource() as source, buffer_of(source.address, "-b", 1000) as buffer, ExitStack() as stack:
        stack.enter_context(Reader(parse_address(buffer.address)))
        feed = Feed(source, buffer)
        feed.send_ballast()
        writers = writers_on(buffer.address, [folder / name / "run.h5" for name in RANGES], stack)
        past = feed.send(BEFORE)
        ranges = [range(past[0] + start, past[0] + stop + 1) for start, stop in RANGES.values()]
        for pulse_ids, writer in zip(ranges, writers, strict=True):
            writer.put(f"/start_pulse_id/{pulse_ids[0]}")
            writer.put(f"/stop_pulse_id/{pulse_ids[-1]}")
        feed.send(AFTER)
        # For "all there is" no message comes after the last one asked for: a writer must not wait for any.
        yield {name: Asked(*pair) for name, pair in zip(RANGES, zip(ranges, writers, strict=True), strict=True)}


@pytest.mark.parametrize("name", RANGES)
def test_each_of_eight_writers_writes_exactly_the_pulses_it_was_asked_for(asked: dict[str, Asked], name: str) -> None:
    writer, pulse_ids = asked[name].writer, asked[name].pulse_ids
    report = writer.ended()
    assert_holds(writer.path, pulse_ids)
    assert (report.outcome, report.rows, report.missing) == ("complete", len(pulse_ids), ())
    assert (report.evicted_before_start, report.lost_in_buffer) == (0, 0)
    assert [entry.name for entry in writer.path.parent.iterdir()] == ["run.h5"]


def test_a_range_may_be_asked_for_before_buffer_source_and_first_message_are_there(tmp_path: Path, free_port: int) -> None:
    path = tmp_path / "new" / "folders" / "run.h5"
    with writer_of(f"tcp://127.0.0.1:{free_port}", path, connected=False) as writer:
        writer.put("/start_pulse_id/3")
        writer.put("/stop_pulse_id/7")
        with ZmqSource() as source, buffer_of(source.address, "-o", free_port):
            writer.program.wait_for_line("Connected to the buffer")
            assert writer.status == "writing"
            source.send_beam(range(1, 11))
            writer.ended()
    assert_holds(path, range(3, 8))
