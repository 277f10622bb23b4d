"""One browser for all tests of the pages, one chain for those that need no other, and a watch over each page."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sf_bsread_writer.testing.browser import NOT_CHECKED, Watch, chromium, started_browser, watched
from sf_bsread_writer.testing.chain import Feed, ZmqSource, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        pytest.skip(NOT_CHECKED)
    with started_browser(executable) as started:
        yield started


@pytest.fixture
def look() -> dict[str, object]:
    """How the browser looks at the pages: options of its context, which a test may set by a parameter."""
    return {}


@pytest.fixture
def chain() -> Iterator[Callable[..., Feed]]:
    """Starts a source and a buffer with REST and these options, of which the page is shown; it ends after the page."""
    with ExitStack() as stack:

        def start(*options: object) -> Feed:
            source = stack.enter_context(ZmqSource())
            arguments = ("--rest_port", 0, "--memory_limit", "256M", *options)
            return Feed(source, stack.enter_context(buffer_of(source.address, *arguments)))

        yield start


@pytest.fixture
def watch(
    browser: Browser, look: dict[str, object], chain: Callable[..., Feed], request: pytest.FixtureRequest
) -> Iterator[Watch]:
    """Opens pages; at the end it takes their pictures, and nothing unexpected may have happened in any of them."""
    with watched(browser, **look) as watch:
        yield watch
        watch.finish(request.node.nodeid)


@pytest.fixture(scope="module")
def shared_watch(browser: Browser) -> Iterator[Watch]:
    """Opens a page for all tests of a module, which use it one after the other, as a person does: it takes a second to load."""
    with watched(browser) as watch:
        yield watch


@pytest.fixture
def finished(shared_watch: Watch, request: pytest.FixtureRequest) -> Iterator[None]:
    """At the end of a test on the shared page, its picture is taken, and nothing unexpected may have happened."""
    yield
    shared_watch.finish(request.node.nodeid)


@pytest.fixture
def visit(watch: Watch) -> Callable[[str], Dashboard]:
    """Opens the page of the buffer whose REST is at this URL."""
    return lambda url: Dashboard(watch.open(f"{url}/"))


@pytest.fixture(scope="package")
def capture_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the buffer of `beam` may write captures."""
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="package")
def beam(capture_root: Path) -> Iterator[Feed]:
    """A buffer that holds 60 pulses; those of a test come behind those of the tests before."""
    options = ("--rest_port", 0, "-b", 60, "--memory_limit", "256M", "--capture_root", capture_root)
    with ZmqSource() as source, buffer_of(source.address, *options) as buffer:
        feed = Feed(source, buffer)
        feed.send(90)
        yield feed


@pytest.fixture
def page(beam: Feed, visit: Callable[[str], Dashboard]) -> Dashboard:
    """The page of `beam`."""
    return visit(beam.buffer.url)
