"""What most tests of the main job share: one source and one buffer, and a writer for each test."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of

AHEAD = 2  # as many as there are cores where this has to be quick


@pytest.fixture(scope="session")
def feed() -> Iterator[Feed]:
    """Pulse ids go on from test to test, as in a machine that runs; nothing that a test has sent is evicted."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 100_000) as buffer:
        feed = Feed(source, buffer)
        feed.send(1)  # the connection is there when the first test begins
        yield feed


@pytest.fixture(scope="session")
def next_writer(feed: Feed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Writer]]:
    """Gives a new writer on the shared buffer at each call; those after it are being started meanwhile, to save time."""
    with ExitStack() as writers, ThreadPoolExecutor(AHEAD) as starter:

        def start() -> Writer:
            path = tmp_path_factory.mktemp("writer") / "run.h5"
            return writers.enter_context(writer_of(feed.buffer.address, path))

        ahead = deque(starter.submit(start) for _ in range(AHEAD))

        def take() -> Writer:
            ahead.append(starter.submit(start))
            return ahead.popleft().result()

        yield take


@pytest.fixture
def writer(next_writer: Callable[[], Writer]) -> Iterator[Writer]:
    """A writer on the shared buffer, waiting for its start."""
    writer = next_writer()
    yield writer
    writer.program.end()
