"""What the top of the buffer's page says, by numbers that the buffer says too, and that it follows what happens."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Buffer, Feed, ZmqSource, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard
from sf_bsread_writer.testing.programs import wait_until
from sf_bsread_writer.testing.wire import Reader
from sf_bsread_writer.zmtp.address import parse_address

pytestmark = pytest.mark.system

Chain = Callable[..., Feed]
Visit = Callable[[str], Dashboard]


def test_it_shows_where_the_stream_comes_from_and_what_is_held(beam: Feed, page: Dashboard) -> None:
    last = beam.next_pulse_id - 1
    page.shows("state", "connected")
    page.shows("source", beam.source.address)
    page.shows("held", f"{last - 59} – {last}")
    page.shows("held-seconds", re.compile(r"^[\d.]+ (s|min \d+ s)$"))
    page.shows("held-more", " · 60 of 60 messages")
    page.shows("rate", re.compile(r"^[\d.]+ Hz$"))
    page.shows("memory", re.compile(r"^[\d.]+ [KMG]?i?B$"))
    page.shows("memory-more", re.compile(r"^[<\d.]+ % of 256 MiB$"))
    page.shows("client-count", "0")
    page.shows("clients", "Nobody reads at the moment.")


def test_new_pulses_appear_by_themselves_everywhere(beam: Feed, page: Dashboard) -> None:
    page.open("SCALAR", "trend")
    page.wait_for_pulse_in_plot(beam.next_pulse_id - 1)
    (last,) = beam.send(1)
    page.shows("held", f"{last - 59} – {last}")
    expect(page.cell("SCALAR", "last_pulse_id")).to_have_text(str(last))
    expect(page.cell("SCALAR", "last_value")).to_have_text(f"{last / 2:g}")
    page.wait_for_pulse_in_plot(last)
    assert page.plot()["x"][-1] == last


def test_it_says_in_words_that_all_is_held_while_pulses_come(beam: Feed, page: Dashboard) -> None:
    says_while_pulses_come(page, beam, r"All pulses of the last [\d.]+ (s|min \d+ s) are held\. 0 lost\.")
    expect(page.page.locator("#health")).to_have_attribute("data-level", re.compile("good|bad"))  # once they stop, nothing comes
    page.shows("health-text", re.compile(r"^Nothing has arrived for [\d.]+ s, though the source is connected\.$"))
    expect(page.page.locator("#health")).to_have_attribute("data-level", "bad")


def says_while_pulses_come(page: Dashboard, feed: Feed, pattern: str) -> None:
    """Returns when the line at the top is this; a pulse is sent whenever the page has shown the one before."""

    def said() -> bool:
        page.shows("held", re.compile(rf"– {feed.send(1)[-1]}$"))
        return re.fullmatch(pattern, page.page.inner_text("#health-text")) is not None

    wait_until(said, pattern)


def test_a_page_that_nobody_looks_at_asks_for_nothing(beam: Feed, visit: Visit) -> None:
    page = visit(beam.buffer.url)
    page.page.clock.install()
    page.page.reload()
    page.open("SCALAR", "trend")
    asked: list[str] = []
    turn = "state => { Object.defineProperty(document, 'visibilityState', {value: state, configurable: true});"
    turn += "document.dispatchEvent(new Event('visibilitychange')) }"
    page.page.evaluate(turn, "hidden")
    page.page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.page.clock.fast_forward(60_000)
    page.page.evaluate("0")  # what it would have asked for has been seen by then
    assert asked == []
    with page.page.expect_request("**/trend?*"):
        page.page.evaluate(turn, "visible")


def test_an_empty_ring_is_shown_as_such(chain: Chain, visit: Visit) -> None:
    empty = chain()
    page = visit(empty.buffer.url)
    page.shows("state", "connected")
    page.shows("held", "none")
    page.shows("health-text", "Connected to the source; no pulse has arrived yet.")
    empty.send(2)
    page.shows("held", "1 – 2")


def test_pulses_that_never_came_are_said_at_the_top(chain: Chain, visit: Visit) -> None:
    feed = chain("-b", 10_000)
    feed.send(3)
    feed.next_pulse_id += 2
    feed.send(1)
    page = visit(feed.buffer.url)
    says_while_pulses_come(page, feed, r"All .* held.*\. 0 lost\. But 2 pulses of the last 1,000 never came\.")


def test_a_client_that_does_not_read_is_shown_with_its_lag_and_then_with_what_it_has_lost(chain: Chain, visit: Visit) -> None:
    feed = chain("-b", 10)
    source, buffer = feed.source, feed.buffer
    with standing_still(buffer) as client:
        feed.send_ballast()
        feed.send(8)
        page = visit(buffer.url)
        row = page.page.locator("#clients tr")
        expect(row).to_contain_text(re.compile(r"DAQ for detector 3.*8 messages, [\d.]+ s"))
        for pulse_id in range(10, 50):
            source.send(pulse_id, {"BALLAST": np.zeros(1 << 20, np.uint8)})
        buffer.wait_until_it_holds(newest=49)
        while not (seen := client.next()) or json.loads(seen[0])["pulse_id"] < 49:
            pass
        lost = buffer.get("/clients")[0]["lost_messages"]
        assert lost > 0
        expect(row).to_contain_text(f"▲ {lost}")
        page.shows("client-more", f"{lost} messages lost")
        page.shows("health-text", f"A client loses pulses: DAQ for detector 3 {lost} within the last minute.")
    page.shows("clients", "Nobody reads at the moment.")


@contextmanager
def standing_still(buffer: Buffer) -> Iterator[Reader]:
    """A client that is connected and reads nothing unless told to."""
    with ThreadPoolExecutor(1) as elsewhere:  # where no event loop runs
        reader = elsewhere.submit(Reader, parse_address(buffer.address), X_Name="DAQ for detector 3").result()
    with reader:
        yield reader


def test_a_source_that_vanishes_is_told_of_and_so_is_its_return(chain: Chain, visit: Visit) -> None:
    feed = chain()
    feed.send(20)
    page = visit(feed.buffer.url)
    page.shows("state", "connected")
    feed.source.close()
    page.shows("state", "no source")
    page.shows("health-text", re.compile(r"^No source: .* [\d.]+ s\. 20 pulses can still be read\.$"))
    page.shows("held", "1 – 20")
    with ZmqSource(port=feed.source.port) as returned:
        page.shows("state", "connected")
        returned.send(21)
        page.shows("held", "1 – 21")


def test_a_buffer_that_vanishes_is_told_of_and_the_page_recovers_with_it(visit: Visit, watch: Watch, free_port: int) -> None:
    with ZmqSource() as source:
        options = ("--rest_port", free_port, "--memory_limit", "64M")
        with buffer_of(source.address, *options) as buffer:
            source.send_range(1, 20)
            buffer.wait_until_it_holds(newest=20)
            page = visit(buffer.url)
            page.open("A", "trend")
            with page.page.expect_event("requestfailed"):  # it goes on asking
                buffer.program.end()
        page.shows("state", "buffer unreachable")
        watch.expect("ERR_CONNECTION_REFUSED")
        page.shows("health-text", re.compile(r"^Buffer unreachable since \d\d:\d\d:\d\d: "))
        page.shows("held", "1 – 20")
        with buffer_of(source.address, *options) as buffer:
            source.send_range(101, 110)
            page.shows("state", "connected")
            buffer.wait_until_it_holds(newest=110)
            page.shows("held", "101 – 110")
            page.page.wait_for_function("() => document.getElementById('plot').data[0].x[0] === 101")
            assert page.plot()["x"] == list(range(101, 111))
            page.page.close()
