"""Several readers of one buffer: every one gets every pulse, at its own pace, and none is held up by another."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import BALLAST_BYTES, Feed, ZmqSource, buffer_of, writer_of, writers_on
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

pytestmark = pytest.mark.system


def test_two_writers_beside_a_reader_that_stands_still_get_every_pulse_each(tmp_path: Path) -> None:
    """Eight of them are in ``test_main_job.py``."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 1000) as buffer, ExitStack() as stack:
        stack.enter_context(Reader(parse_address(buffer.address)))  # connected, and never reads
        feed = Feed(source, buffer)
        feed.send_ballast()
        writers = writers_on(buffer.address, [tmp_path / "one.h5", tmp_path / "two.h5"], stack)
        for writer in writers:
            writer.put("/start_now")
        sent = feed.send(300)
        for writer in writers:
            writer.put("/stop_now")
        for writer in writers:
            report = writer.ended()
            assert_holds(writer.path, sent)
            assert (report.rows, report.lost_in_buffer) == (300, 0)


def test_who_stands_still_is_overtaken_and_goes_on_at_the_oldest_with_whole_messages(tmp_path: Path) -> None:
    """The ring is far shorter than what it misses; a writer beside it loses nothing."""
    ballast = np.zeros(BALLAST_BYTES // 100, np.uint8)
    with (
        ZmqSource() as source,
        buffer_of(source.address, "-b", 50) as buffer,
        Reader(parse_address(buffer.address)) as still,
        writer_of(buffer.address, tmp_path / "run.h5") as writer,
    ):
        writer.put("/start_pulse_id/1")
        for first in range(1, 200, 10):
            for pulse_id in range(first, first + 10):
                source.send(pulse_id, {"A": float(pulse_id), "BALLAST": ballast})
            writer.wait_for(rows=first + 9)  # it keeps up, in a ring of 50
        writer.put("/stop_pulse_id/200")
        report = writer.ended()
        assert (report.outcome, report.rows, report.lost_in_buffer) == ("complete", 200, 0)
        seen: list[int] = []
        while not seen or seen[-1] != 200:
            message = still.next()
            assert isinstance(message, list)
            assert message[4] == ballast.tobytes()
            seen.append(int(np.frombuffer(message[2], "<f8")[0]))
        assert seen == sorted(set(seen))
        assert len(seen) < 200
        assert (seen[0], seen[-50:]) == (1, list(range(151, 201)))
        name = f"tcp://127.0.0.1:{still.socket.getsockname()[1]}"
        still.close()
        counts = buffer.program.wait_for_line(rf"[Cc]lient {name} left, .*: (\d+) messages, \d+ bytes sent, (\d+) lost")
        assert [int(number) for number in counts.groups()] == [len(seen), 200 - len(seen)]
