"""The main job with the real programs: source → buffer → writer, driven by REST → file."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from sf_bsread_writer.testing.chain import Buffer, ZmqSource, buffer_of, writer_of

pytestmark = pytest.mark.system


@pytest.fixture
def source() -> Iterator[ZmqSource]:
    with ZmqSource() as source:
        yield source


@pytest.fixture
def buffer(source: ZmqSource) -> Iterator[Buffer]:
    with buffer_of(source.address, "-b", 1000) as buffer:
        yield buffer


def pulses(path: Path) -> list[int]:
    """Pulse ids of the file, checked against the values of the default channel."""
    with h5py.File(path) as file:
        ids: list[int] = file["stream/pulse_id"][:].tolist()
        assert ids == file["data/A/data"][:, 0].tolist() == file["data/A/pulse_id"][:].tolist()
        assert file["data/A/is_data_present"][:].tolist() == [1] * len(ids)
    return ids


def test_a_range_wholly_in_the_past(source: ZmqSource, buffer: Buffer, tmp_path: Path) -> None:
    source.send_range(1, 100)
    buffer.wait_until_it_holds(newest=100)
    path = tmp_path / "new" / "run.h5"
    with writer_of(buffer.address, path) as writer:
        writer.put("/start_pulse_id/20")
        writer.put("/stop_pulse_id/80")
        assert writer.program.wait_for_exit() == 0
    assert pulses(path) == list(range(20, 81))
    assert [entry.name for entry in path.parent.iterdir()] == ["run.h5"]
