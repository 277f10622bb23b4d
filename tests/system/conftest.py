"""What most tests of the main job share: a source and a buffer for all tests of a module, and a writer for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """Pulse ids go on from test to test, as in a machine that runs; nothing that a test has sent is evicted."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 100_000) as buffer:
        feed = Feed(source, buffer)
        feed.send(1)  # the connection is there when the first test begins
        yield feed


@pytest.fixture
def writer(feed: Feed, tmp_path: Path) -> Iterator[Writer]:
    """A writer on the shared buffer, waiting for its start."""
    with writer_of(feed.buffer.address, tmp_path / "run.h5") as writer:
        yield writer
