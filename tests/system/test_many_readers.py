"""Several readers of one buffer: every one gets every pulse, at its own pace, and none is held up by another."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

pytestmark = pytest.mark.system

PROMPTLY_S = 5.0
BALLAST_BYTES = 12 << 20
"""More than the sockets between the buffer and a reader that does not read can take."""


def writers_on(address: str, folder: Path, count: int, stack: ExitStack) -> list[Writer]:
    """So many writers, started at the same time."""
    with ThreadPoolExecutor(count) as pool:
        contexts = [writer_of(address, folder / f"{number}.h5") for number in range(count)]
        return list(pool.map(stack.enter_context, contexts))


@pytest.mark.parametrize("count", [2, 8])
def test_each_of_several_writers_gets_its_whole_range_though_one_reader_stands_still(count: int, tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_of(source.address, "-b", 1000) as buffer, ExitStack() as stack:
        stack.enter_context(Reader(parse_address(buffer.address)))  # connected, and never reads
        feed = Feed(source, buffer)
        source.send(feed.next_pulse_id, {"BALLAST": np.zeros(BALLAST_BYTES, np.uint8)})
        feed.next_pulse_id += 1
        writers = writers_on(buffer.address, tmp_path, count, stack)
        sent = feed.send(200)
        ranges = [range(sent[0] + 10 * number, sent[-1] + 100 - 10 * number) for number in range(count)]
        for writer, wanted in zip(writers, ranges, strict=True):
            writer.put(f"/start_pulse_id/{wanted[0]}")
            writer.put(f"/stop_pulse_id/{wanted[-1]}")
        feed.send(100)
        for writer, wanted in zip(writers, ranges, strict=True):
            report = writer.ended(within_s=PROMPTLY_S)
            assert_holds(writer.path, wanted)
            assert (report.rows, report.lost_in_buffer) == (len(wanted), 0)


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
        report = writer.ended(within_s=PROMPTLY_S)
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
