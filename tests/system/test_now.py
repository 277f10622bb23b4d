"""What "now" means: arrival at the buffer; on a plain source the global timestamp, unless that cannot be right."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from sf_bsread_writer.acquire.report import Report
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.testing.beam import assert_holds, beam_message
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, writer_of

pytestmark = pytest.mark.system

HOUR_NS = 3600 * NS_PER_S


class Clocked:
    """Sends pulses stamped by a clock that is wrong by ``offset_ns``, and knows what it has stamped them with."""

    def __init__(self, source: ZmqSource, *, first: int, offset_ns: int) -> None:
        self._source = source
        self._next = first
        self._offset_ns = offset_ns
        self.times_ns: dict[int, int] = {}

    def send(self, count: int, *, made_ns: int | None = None) -> range:
        """So many pulses, made at ``made_ns`` of the right time, by default now."""
        sent = range(self._next, self._next + count)
        for pulse_id in sent:
            self.times_ns[pulse_id] = (time.time_ns() if made_ns is None else made_ns) + self._offset_ns
            self._source.send_frames(beam_message(pulse_id, time_ns=self.times_ns[pulse_id]))
        self._next = sent.stop
        return sent

    def assert_holds(self, path: Path, pulse_ids: range | list[int]) -> None:
        assert_holds(path, pulse_ids, global_ns=self.times_ns.__getitem__)


@pytest.mark.parametrize("offset_ns", [0, HOUR_NS, -HOUR_NS], ids=["right", "an hour ahead", "an hour behind"])
def test_through_a_buffer_now_is_arrival_whatever_the_source_s_clock_says(feed: Feed, writer: Writer, offset_ns: int) -> None:
    clocked = Clocked(feed.source, first=feed.next_pulse_id, offset_ns=offset_ns)
    before = clocked.send(20)
    feed.buffer.wait_until_it_holds(newest=before[-1])
    before_ns = time.time_ns()
    writer.put("/start_now")
    sent = clocked.send(30)
    feed.buffer.wait_until_it_holds(newest=sent[-1])
    writer.put("/stop_now")
    after_ns = time.time_ns()
    feed.next_pulse_id = clocked.send(20).stop
    report = writer.ended()
    clocked.assert_holds(writer.path, sent)
    assert report.start_timestamp_ns is not None
    assert report.stop_timestamp_ns is not None
    assert before_ns <= report.start_timestamp_ns <= report.stop_timestamp_ns <= after_ns


@dataclass(frozen=True)
class Direct:
    """A plain source, and a writer on it that stays for one acquisition after the other."""

    source: ZmqSource
    writer: Writer

    def start_now(self, path: Path) -> None:
        self.writer.put("/start_now", {"output_file": str(path)})

    def stopped(self) -> Report:
        """What became of the acquisition, once its file is closed."""
        self.writer.wait_until_waiting()
        return msgspec.convert(self.writer.get("/report"), Report)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    folder = tmp_path_factory.mktemp("direct")
    with ZmqSource() as source, writer_of(source.address, "/dev/null", "--output_root", folder.parent) as writer:
        yield Direct(source, writer)


@pytest.mark.parametrize("offset_ns", [HOUR_NS, -HOUR_NS], ids=["an hour ahead", "an hour behind"])
def test_on_a_plain_source_with_a_wrong_clock_now_is_the_receipt(direct: Direct, tmp_path: Path, offset_ns: int) -> None:
    clocked = Clocked(direct.source, first=1, offset_ns=offset_ns)
    clocked.send(10)
    direct.start_now(tmp_path / "run.h5")
    sent = clocked.send(30)
    direct.writer.wait_for(last_pulse_id=sent[-1])
    rows = direct.writer.get("/statistics")["statistics"]["rows"]
    direct.writer.put("/stop_now")
    clocked.send(10)
    assert direct.stopped().outcome == "complete"
    # What was sent before the start may still have been under way; all of it that came later is written, in any case.
    assert 30 <= rows <= 40
    clocked.assert_holds(tmp_path / "run.h5", range(sent.stop - rows, sent.stop))


def test_on_a_plain_source_with_a_right_clock_now_is_the_global_timestamp(direct: Direct, tmp_path: Path) -> None:
    """Late messages fall on the right side, too: they were made before the start, or before the stop."""
    clocked = Clocked(direct.source, first=1001, offset_ns=0)
    before_ns = time.time_ns()
    direct.start_now(tmp_path / "run.h5")
    clocked.send(10, made_ns=before_ns)
    sent = clocked.send(20)
    direct.writer.wait_for(last_pulse_id=sent[-1], rows=20)
    before_ns = time.time_ns()
    direct.writer.put("/stop_now")
    late = clocked.send(10, made_ns=before_ns)
    clocked.send(10)
    report = direct.stopped()
    clocked.assert_holds(tmp_path / "run.h5", [*sent, *late])
    assert (report.outcome, report.missing_pulses) == ("complete", 0)


def test_on_a_plain_source_that_has_fallen_silent_stop_now_needs_no_further_message(direct: Direct, tmp_path: Path) -> None:
    clocked = Clocked(direct.source, first=2001, offset_ns=0)
    direct.start_now(tmp_path / "run.h5")
    sent = clocked.send(10)
    direct.writer.wait_for(rows=10)
    direct.writer.put("/stop_now")
    assert direct.stopped().outcome == "complete"
    clocked.assert_holds(tmp_path / "run.h5", sent)
