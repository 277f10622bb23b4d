"""Values that a page of numbers and pictures easily shows wrongly, or not at all."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Buffer, ZmqSource, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard

pytestmark = pytest.mark.system

LONG = 1_764_000_000_000_000_001  # ns since 1970: a number in JavaScript has no such one
NAN_IMAGE = np.full((4, 6), np.nan, np.float32)
HOLED_IMAGE = np.where(np.arange(24).reshape(4, 6) < 3, np.nan, 1).astype(np.float32)


def values(pulse_id: int) -> dict[str, Value | None]:
    return {
        "TIME": np.int64(LONG + pulse_id),
        "TIMES": np.array([LONG, LONG + 1], np.int64),
        "NAN": float("nan"),
        "NAN-IMAGE": NAN_IMAGE,
        "HOLED-IMAGE": HOLED_IMAGE,
        "CONSTANT-IMAGE": np.full((4, 6), 7, np.uint16),
        "LONG-IMAGE": np.arange(2000, dtype=np.uint16).reshape(4, 500),
    }


@pytest.fixture(scope="module")
def buffer() -> Iterator[Buffer]:
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "-b", 60, "--memory_limit", "256M") as buffer:
        for pulse_id in (1001, 1002, 1003, 1, 2):  # the counter began anew
            source.send(pulse_id, values(pulse_id))
        buffer.wait_until_it_holds(newest=2)
        yield buffer


@pytest.fixture(scope="module")
def opened(buffer: Buffer, shared_watch: Watch) -> Dashboard:
    return Dashboard(shared_watch.open(f"{buffer.url}/"))


@pytest.fixture
def page(opened: Dashboard, finished: None) -> Dashboard:
    """One page that goes from plot to plot."""
    return opened


def test_an_integer_keeps_all_its_digits(page: Dashboard) -> None:
    page.open("TIME", "trend")
    expect(page.cell("TIME", "last_value")).to_have_text(str(LONG + 2))
    expect(page.page.locator("#plot-more")).to_contain_text(f"{LONG + 2} at pulse 2 ")
    expect(page.page.locator("#plot-more")).to_contain_text("drawn to 16 digits")
    page.open("TIMES", "trace")
    expect(page.cell("TIMES", "last_value")).to_have_text(f"[{LONG}, {LONG + 1}]")
    assert page.plot()["y"] == [float(LONG), float(LONG + 1)]


def test_pulse_ids_that_began_anew_have_an_axis_of_their_own(page: Dashboard) -> None:
    page.open("TIME", "trend")
    assert page.plot()["x"] == [1, 2]
    expect(page.page.locator("#plot-more")).to_contain_text("since pulse 1, where the pulse ids began anew")
    page.shows("held", "1001 – 2")
    expect(page.page.locator("#held-more")).to_contain_text("pulse ids began anew")


def test_what_is_no_number_is_not_taken_for_missing(page: Dashboard) -> None:
    page.open("NAN", "trend")
    expect(page.cell("NAN", "last_value")).to_have_text("no number")
    expect(page.cell("NAN", "missing_percent")).to_have_text("0 %")
    expect(page.page.locator("#plot-more")).to_contain_text("5 without a value that is a number")
    page.open("NAN-IMAGE", "image")
    expect(page.page.locator("#plot-more")).to_contain_text("no pixel is a number")
    page.open("HOLED-IMAGE", "image")
    expect(page.page.locator("#plot-more")).to_contain_text("1 … 1 · mean 1 · 3 pixels without a number")


def test_an_image_of_one_value_has_a_histogram(page: Dashboard) -> None:
    page.open("CONSTANT-IMAGE", "image")
    bars = page.plot("histogram")
    assert (bars["x"], bars["y"]) == ([7], [24])


def test_an_image_that_is_much_longer_than_wide_is_stretched(page: Dashboard) -> None:
    page.open("LONG-IMAGE", "image")
    expect(page.page.locator("#plot-more")).to_contain_text("stretched")
    assert page.page.evaluate("() => document.getElementById('plot')._fullLayout.yaxis.scaleanchor") is None
    page.open("CONSTANT-IMAGE", "image")
    assert page.page.evaluate("() => document.getElementById('plot')._fullLayout.yaxis.scaleanchor") == "x"


def test_channels_may_be_opened_faster_than_they_are_drawn(page: Dashboard) -> None:
    page.page.evaluate("""async () => {
        for (let turn = 0; turn < 12; turn++) {
            location.hash = "#channel=" + ["TIMES", "CONSTANT-IMAGE", "TIME"][turn % 3];
            const drawn = document.getElementById("plot");
            const end = performance.now() + 40 * turn;
            while (performance.now() < end && drawn.data === undefined) await new Promise(requestAnimationFrame);
        }
    }""")
    page.wait_for_plot("TIME", "trend")
    assert page.plot()["x"] == [1, 2]
