"""One browser for all tests of the pages, and for each test a context that nothing may go wrong in."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from sf_bsread_writer.testing.browser import HEIGHT, NOT_CHECKED, WIDTH, Watch, chromium, keep_picture, started_browser

Open = Callable[[str], Page]


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
def watch(browser: Browser, look: dict[str, object], request: pytest.FixtureRequest) -> Iterator[Watch]:
    """Opens pages; at the end it takes their pictures, and nothing unexpected may have happened in any of them."""
    context = browser.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, "reduced_motion": "reduce"} | look)
    try:
        watch = Watch(context)
        yield watch
        name = f"{request.node.path.stem.removeprefix('test_')}-{request.node.name.removeprefix('test_')}"
        for number, page in enumerate(context.pages):
            keep_picture(page, f"{name}-{number}" if number else name)
        assert watch.unexpected == []
    finally:
        context.close()
