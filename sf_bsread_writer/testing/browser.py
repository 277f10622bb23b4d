"""A real Chromium, and a watch over all that goes wrong in its pages.

Playwright steers the browser that the machine has: its own download of one would ask a host that a facility does not reach.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image  # comes with matplotlib
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebError, sync_playwright

from sf_bsread_writer.testing.programs import DEADLINE_S

NOT_CHECKED = "NOT CHECKED: chromium is missing; Debian has it in the package chromium"

PICTURES = Path(os.environ.get("SCREENSHOTS") or ".artefacts/screenshots")
"""Where the pictures of pages go to."""

WIDTH, HEIGHT = 1280, 800

TIMEOUT_MS = 1000 * DEADLINE_S

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_INSIDE = ("data", "blob", "about")  # a page's own bytes: nobody is asked for them
_GIVEN_UP = "net::ERR_ABORTED"  # by the page itself, which has left or does not want it any more


def chromium() -> str | None:
    """The browser of this machine, None if it has none."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def started_browser(executable: str) -> Iterator[Browser]:
    """A browser without a window. As long as it runs, its event loop is the running one of this thread: no `asyncio.run`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


def keep_picture(page: Page, name: str) -> Path:
    """Writes what the page looks like now to the folder of pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    path.write_bytes(page.screenshot())  # given the path, playwright would start a thread for it
    return path


def keep_small_picture(page: Page, name: str) -> Path:
    """The same in 256 colours, which takes half the bytes and most of a second."""
    path = keep_picture(page, name)
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return path


class Watch:
    """Notes what goes wrong in the pages of one context: errors and warnings of the console, exceptions, failed requests, and
    each request to another origin than the one that was opened. ``unexpected`` has to be empty at the end.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._origin = ""
        self._found: list[str] = []
        self._expected: list[re.Pattern[str]] = []
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        context.on("requestfailed", self._failed)

    def open(self, url: str) -> Page:
        """A new page of this URL, which has been loaded; from now on its origin is the only one that may be asked."""
        self._origin = _origin_of(url)
        page = self._context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(url)
        return page

    def expect(self, pattern: str) -> None:
        """What this regular expression is found in has to happen, and is fine."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """What has gone wrong, and what was expected to and has not."""
        for page in self._context.pages:
            page.evaluate("0")  # what the browser has said before it answers has been heard by then
        wrong = [line for line in self._found if not any(pattern.search(line) for pattern in self._expected)]
        missed = [p.pattern for p in self._expected if not any(map(p.search, self._found))]
        return wrong + [f"has not happened: {pattern}" for pattern in missed]

    def finish(self, test: str) -> None:
        """Takes a picture of each page, and fails if something unexpected has happened in one. ``test`` is its node id."""
        name = re.sub(r"^.*/(test_)?|(?<=::)test_", "", test).replace(".py::", "-")
        for number, page in enumerate(self._context.pages):
            keep_picture(page, f"{name}-{number}" if number else name)
        unexpected = self.unexpected
        self._expected.clear()
        self._found.clear()
        if unexpected:
            raise AssertionError("\n".join(unexpected))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self._found.append(f"console {message.type}: {message.text} ({message.location['url']})")

    def _error(self, error: WebError) -> None:
        self._found.append(f"exception: {error.error}")

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in _INSIDE and _origin_of(request.url) != self._origin:
            self._found.append(f"asks another host: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _GIVEN_UP:
            self._found.append(f"request failed: {request.failure} ({request.url})")


@contextmanager
def watched(browser: Browser, **look: Any) -> Iterator[Watch]:
    """A watch over pages that share nothing with others; ``look`` are options of playwright's context, as ``color_scheme``."""
    context = browser.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, "reduced_motion": "reduce"} | look)
    try:
        yield Watch(context)
    finally:
        context.close()


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
