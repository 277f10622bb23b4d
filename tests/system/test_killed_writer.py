"""SIGKILL of the writer at random moments: what it leaves is, or becomes, a valid file with all that was older than a second."""

import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pytest

from sf_bsread_writer.cli import main
from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.hdf5.inspect import inspect_file
from sf_bsread_writer.hdf5.place import partial_path
from sf_bsread_writer.message.headers import Channel
from sf_bsread_writer.message.types import ValueType
from sf_bsread_writer.testing.chain import Writer, ZmqSource, buffer_of, report_in, writers_on
from sf_bsread_writer.testing.file_model import FileModel, file_content
from sf_bsread_writer.testing.messages import message_of

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.system, pytest.mark.soak]

KILLS = int(os.environ.get("SOAK_KILLS", "4"))
AT_ONCE = 4
RATE_HZ = 100
LONGEST_S = 3.0
PROMISE_S = 1.0

SCALARS = tuple(Channel(name=f"SCALAR:{number}", type=ValueType.FLOAT64) for number in range(20))
OTHERS = (
    Channel(name="TEXT", type=ValueType.STRING),
    Channel(name="IMAGE", type=ValueType.UINT16, shape=(128, 257)),
    Channel(name="SOMETIMES", type=ValueType.INT64),
)


@lru_cache(maxsize=1_000)
def frames_of(pulse_id: int) -> list[bytes]:
    """The header is another one every 70 pulses: a waveform grows and shrinks, and a channel comes and goes."""
    epoch = pulse_id // 70
    wave = Channel(name="WAVE", type=ValueType.INT32, shape=(100 + epoch % 2,))
    extra = (Channel(name="EXTRA", type=ValueType.UINT8),) if epoch % 3 else ()
    values = {
        **{channel.name: pulse_id / (number + 1) for number, channel in enumerate(SCALARS)},
        "TEXT": f"µ{pulse_id}" * (pulse_id % 20),
        "IMAGE": np.full((128, 257), pulse_id, np.uint16) if pulse_id % 5 else None,
        "SOMETIMES": pulse_id if pulse_id % 3 else None,
        "WAVE": np.full(wave.shape, pulse_id, np.int32),
        **({"EXTRA": pulse_id % 256} if extra else {}),
    }
    return message_of(pulse_id, values, channels=(*SCALARS, *OTHERS, wave, *extra))


@dataclass
class Flow:
    """What a source has sent so far."""

    sent: int = 0


@contextmanager
def flowing(source: ZmqSource) -> Iterator[Flow]:
    """A source that sends pulse after pulse at its rate."""
    flow, ended = Flow(), threading.Event()

    def send() -> None:
        began_s = time.monotonic()
        while not ended.wait(max(0.0, began_s + flow.sent / RATE_HZ - time.monotonic())):
            source.send_frames(frames_of(flow.sent + 1))
            flow.sent += 1

    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(send)
        try:
            yield flow
        finally:
            ended.set()
            sending.result()


@dataclass
class Victim:
    """A writer that is to be killed at a moment, and how many rows it said to have at which times."""

    writer: Writer
    first: int
    kill_s: float
    told: list[tuple[float, int]] = field(default_factory=list)
    rows_owed: int | None = None

    def look(self) -> None:
        """Asks it how far it is, or kills it; it may have ended by itself before that."""
        if time.monotonic() >= self.kill_s:
            self.writer.program.process.kill()
            self.rows_owed = max([rows for told_s, rows in self.told if told_s <= time.monotonic() - PROMISE_S], default=0)
        elif self.writer.program.process.poll() is None:
            try:
                rows = self.writer.get("/statistics")["statistics"]["rows"]
            except AssertionError:  # it has just ended
                return
            self.told.append((time.monotonic(), rows))


def test_a_killed_writer_leaves_all_that_is_older_than_a_second(tmp_path: Path) -> None:
    dice = random.Random()
    left = {"closed": 0, "recovered": 0}
    with ZmqSource() as source, buffer_of(source.address, "-b", 1_000) as buffer, flowing(source) as flow:
        for number in range(0, KILLS, AT_ONCE):
            with ExitStack() as writers:
                paths = [tmp_path / str(each) / "run.h5" for each in range(number, min(KILLS, number + AT_ONCE))]
                victims = [begin(writer, flow, dice) for writer in writers_on(buffer.address, paths, writers)]
                while waiting := [victim for victim in victims if victim.rows_owed is None]:
                    for victim in waiting:
                        victim.look()
                for victim in victims:
                    victim.writer.program.wait_for_exit()
            for victim in victims:
                left[verdict(victim)] += 1
    assert sum(left.values()) == KILLS
    logger.info("Of %d writers killed, %s", KILLS, left)


def begin(writer: Writer, flow: Flow, dice: random.Random) -> Victim:
    """Every other one has a stop, and may be killed when it is closing its file."""
    first = flow.sent + 1
    delay_s = dice.uniform(0, LONGEST_S)
    if dice.random() < 0.5:
        writer.put(f"/stop_pulse_id/{first + round(max(0.0, delay_s + dice.uniform(-0.1, 0.3)) * RATE_HZ)}")
    writer.put(f"/start_pulse_id/{first}")
    return Victim(writer, first, kill_s=time.monotonic() + delay_s)


def verdict(victim: Victim) -> str:
    """Checks what is left of one: every value, and that nothing is missing that it owes."""
    path, how = victim.writer.path, "closed"
    if not path.exists():
        how = "recovered"
        assert main(["recover", str(partial_path(path))]) == ExitCode.COMPLETE
        assert report_in(path).recovered or report_in(path).outcome == "complete"
    with h5py.File(path) as file:
        rows = len(file["stream/pulse_id"])
    assert victim.rows_owed is not None
    assert rows >= victim.rows_owed, victim
    model = FileModel()
    for pulse_id in range(victim.first, victim.first + rows):
        model.add(frames_of(pulse_id), 0)
    expected, found = model.content(rows), file_content(path)
    for content in (expected, found):
        del content["stream/arrival_timestamp"]
    assert expected == found
    assert inspect_file(path).problems == ()
    assert (report_in(path).rows, sorted(os.listdir(path.parent))) == (rows, ["run.h5"])
    return how
