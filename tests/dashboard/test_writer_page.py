"""The writer's page from before the start until its writer has gone, each writer a real one."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import httpx
import pytest
from playwright.sync_api import Page, expect

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Feed, Writer, ZmqSource, buffer_of, writer_of

GONE = "net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)"
"""What Chromium says by itself of a writer that it asks in vain."""


@pytest.fixture(scope="module")
def feed() -> Iterator[Feed]:
    """A buffer that holds all that the tests send."""
    with ZmqSource() as source, buffer_of(source.address, "-b", 2000, "--memory_limit", "64M") as buffer:
        feed = Feed(source, buffer, next_pulse_id=7000)
        feed.send(20)
        yield feed


@pytest.fixture
def writer(feed: Feed, tmp_path: Path) -> Iterator[Writer]:
    with writer_of(feed.buffer.address, tmp_path / "run_000042.BSREAD.h5") as writer:
        yield writer


@pytest.fixture
def page(writer: Writer, watch: Watch) -> Page:
    return watch.open(f"{writer.url}/")


def shows(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    """Returns when the element of this id has this text, or one that the pattern is found in."""
    expect(page.locator(f"#{name}")).to_have_text(text)


@contextmanager
def asks_in_vain(page: Page, watch: Watch) -> Iterator[None]:
    """Until the block has ended, and the page has asked a writer that is gone by then."""
    watch.expect(GONE)
    with page.expect_event("requestfailed", lambda request: bool(re.search(GONE, request.failure or ""))):
        yield


def report_on(page: Page) -> dict[str, str]:
    expect(page.locator("#report")).to_be_visible()
    rows = page.locator("#report-rows tr")
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows.all()}


def ranges_on(page: Page) -> list[str]:
    return page.locator("#missing-ranges li").all_inner_texts()


def test_before_the_start_it_shows_what_can_be_had_and_commands_that_work(
    feed: Feed, writer: Writer, page: Page, watch: Watch
) -> None:
    shows(page, "state", "waiting")
    shows(page, "health-text", "Connected, and waiting for a start.")
    sent = feed.send(10)
    shows(page, "held", re.compile(rf"^The buffer at {feed.buffer.address} holds [\d,]+ pulses, \d+ – {sent[-1]}\.$"))
    shows(page, "commands", re.compile(rf"/start_pulse_id/{sent[-1]}\n"))
    urls = re.findall(r"^curl -X PUT (\S+)$", page.locator("#commands").inner_text(), re.MULTILINE)
    assert [url.rpartition(str(writer.url))[2] for url in urls] == [f"/start_pulse_id/{sent[-1]}", "/stop_now"]
    with asks_in_vain(page, watch):
        assert [httpx.put(url).text for url in urls] == ["", ""]
    assert writer.ended().rows == 1


def test_it_follows_an_acquisition_to_its_end_and_keeps_what_it_knew(
    feed: Feed, writer: Writer, page: Page, watch: Watch
) -> None:
    first, before = feed.next_pulse_id, feed.send(30)
    feed.next_pulse_id += 5
    after = feed.send(15)
    writer.put(f"/stop_pulse_id/{first + 199}")
    writer.put(f"/start_pulse_id/{first}")
    shows(page, "rows", "45 of 195")
    shows(page, "rows-more", f"newest {after[-1]}")
    shows(page, "state", "writing")
    shows(page, "share", "23 %")
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_have_attribute("aria-valuenow", "23")
    expect(page.locator("#before")).to_be_hidden()
    expect(page.locator("#report")).to_be_hidden()
    shows(page, "missing-text", "5 pulses:")
    assert ranges_on(page) == [f"{before[-1] + 1} – {after[0] - 1}"]
    shows(page, "health-text", re.compile(r"^Writing: 45 pulses(, .* left)?\. 5 pulses missing\.$"))
    expect(page.locator("#health")).to_have_attribute("data-level", "warn")
    shows(page, "file", str(writer.path))
    feed.send(100)
    shows(page, "rows", "145 of 195")
    expect(bar).to_have_attribute("aria-valuenow", "74")
    with asks_in_vain(page, watch):
        feed.send(50)
    size = writer.ended(ExitCode.INCOMPLETE).file_bytes
    shows(page, "state", "ended")
    shows(page, "health-text", "Incomplete: 5 pulses are missing. The writer has ended.")
    shows(page, "rows", "195 of 195")
    assert ranges_on(page) == [f"{before[-1] + 1} – {after[0] - 1}"]
    report = report_on(page)
    assert (report["Outcome"], report["Asked for"]) == ("incomplete", f"{first} – {first + 199}")
    assert (report["Written"], report["File"]) == (f"195 pulses, {first} – {first + 199}", str(writer.path))
    shows(page, "size", f"{size / 1024:.0f} KiB")


def test_a_writer_that_stays_shows_each_acquisition_anew_and_names_are_only_text(feed: Feed, writer: Writer, page: Page) -> None:
    sent = feed.send(10)
    name = "<img src=x onerror=alert(1)>.h5"
    for path in (f"/stop_pulse_id/{sent[4]}", f"/start_pulse_id/{sent[0]}"):
        writer.put(path, {"output_file": name})
    shows(page, "health-text", "Complete: every pulse asked for is in the file. The writer waits for another start.")
    expect(page.locator("#health")).to_have_attribute("data-level", "good")
    shows(page, "state", "waiting")
    shows(page, "missing-text", "None.")
    shows(page, "name", name)
    assert report_on(page)["File"] == str(writer.path.with_name(name))
    assert page.locator("img").count() == 0
    writer.put(f"/start_pulse_id/{sent[2]}", {"output_file": "second.h5"})
    shows(page, "name", "second.h5")
    shows(page, "rows", "8")
    shows(page, "share", "until it is told to stop")
    assert page.get_attribute("#progress", "aria-valuenow") is None
    expect(page.locator("#report")).to_be_hidden()
    writer.put(f"/stop_pulse_id/{sent[-1]}")
    shows(page, "missing-text", "None.")
    assert report_on(page)["Written"] == f"8 pulses, {sent[2]} – {sent[-1]}"
    with h5py.File(writer.path.with_name("second.h5")) as file:
        assert len(file["stream/pulse_id"]) == 8


def test_a_writer_that_is_killed_is_told_and_the_next_one_on_its_port_is_shown(
    feed: Feed, writer: Writer, page: Page, watch: Watch, tmp_path: Path
) -> None:
    sent = feed.send(10)
    writer.put(f"/start_pulse_id/{sent[0]}")
    shows(page, "rows", "10")
    watch.expect(GONE)
    writer.program.end(signal.SIGKILL)
    shows(page, "state", "unreachable")
    shows(
        page,
        "health-text",
        re.compile(r"^The writer cannot be reached since \d\d:\d\d:\d\d\. What is shown here is what it told last"),
    )
    shows(page, "rows", "10")
    port = int(writer.url.rpartition(":")[2])
    with writer_of(feed.buffer.address, tmp_path / "next.h5", rest_port=port) as successor:
        shows(page, "state", "waiting")
        shows(page, "held", re.compile(rf"– {sent[-1]}\.$"))
        successor.put(f"/start_pulse_id/{sent[5]}")
        shows(page, "rows", "5")
        shows(page, "missing-text", "None so far.")


def test_without_a_stream_it_says_what_it_waits_for(watch: Watch, free_port: int) -> None:
    with writer_of(f"tcp://127.0.0.1:{free_port}", "/dev/null", connected=False) as writer:
        page = watch.open(f"{writer.url}/")
        shows(page, "health-text", "Waiting for a start, and not connected to the stream: trying again …")
        shows(page, "held", f"Not connected to tcp://127.0.0.1:{free_port}: trying again.")
        shows(page, "commands", re.compile(r"/start_now\n"))
        page.close()  # before the writer is gone that it would go on asking


@pytest.mark.parametrize("look", [{"color_scheme": "dark", "viewport": {"width": 360, "height": 740}}], ids=["dark and narrow"])
def test_it_is_readable_in_the_dark_on_a_narrow_screen_and_by_a_screen_reader(page: Page) -> None:
    shows(page, "held", re.compile("holds"))
    assert page.get_attribute("html", "data-theme") == "dark"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    names = [page.get_by_role("heading", level=level).all_inner_texts() for level in (1, 2)]
    assert len(names[0]) == 1
    assert names[1] == ["Progress", "The acquisition", "Before the start", "Missing pulses"]
    expect(page.get_by_role("status")).to_have_text("Connected, and waiting for a start.")
    expect(page.get_by_role("main")).to_match_aria_snapshot(
        """
        - main:
          - region "Progress":
            - progressbar "Progress"
          - region "The acquisition":
            - term: State
            - definition: waiting
          - region "Before the start":
            - region "Commands"
          - region "Missing pulses"
        """
    )
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.get_attribute("html", "data-theme") == "light"
