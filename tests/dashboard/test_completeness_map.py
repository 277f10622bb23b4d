"""The map of channels and pulses shows what is missing, and pulses that never came, and says it in words."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from sf_bsread_writer.testing.beam import beam_values
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Buffer, ZmqSource, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard

pytestmark = pytest.mark.system

CAME = [*range(1, 51), *range(61, 101)]
NOT_DUE, COMPLETE, SOME_MISSING, ALL_MISSING, GAP = range(5)

_SHOWN = """() => {
    const {channels, parts, stream, states, namesWidth, rowHeight} = document.getElementById('completeness').shown;
    return {channels, parts, stream: [...stream], states: [...states], namesWidth, rowHeight};
}"""

_COLOURS = """places => {
    const canvas = document.querySelector('#completeness-map canvas');
    const {data, width} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const scale = canvas.width / canvas.clientWidth;
    const first = ({x, y}) => 4 * (Math.floor(y * scale) * width + Math.floor(x * scale));
    return places.map(first).map(place => [...data.slice(place, place + 4)]);
}"""


@pytest.fixture(scope="module")
def gapped() -> Iterator[Buffer]:
    """Pulses 1 to 100 of `beam`, of which 51 to 60 never came."""
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer:
        source.send_beam(CAME)
        buffer.wait_until_it_holds(newest=100)
        yield buffer


@pytest.fixture(scope="module")
def opened(gapped: Buffer, shared_watch: Watch) -> Dashboard:
    page = Dashboard(shared_watch.open(f"{gapped.url}/"))
    page.page.locator("#completeness").scroll_into_view_if_needed()
    page.page.wait_for_selector("#completeness[data-drawn]")
    return page


@pytest.fixture
def page(opened: Dashboard, finished: None) -> Dashboard:
    return opened


def test_each_pulse_of_each_channel_has_the_state_that_it_has_in_the_stream(page: Dashboard) -> None:
    shown = page.page.evaluate(_SHOWN)
    assert shown["parts"] == 100  # one pulse each
    assert shown["stream"] == [COMPLETE if pulse_id in CAME else GAP for pulse_id in range(1, 101)]
    assert shown["channels"][0] == {"name": "SOMETIMES", "due": 90, "missing": sum(pulse_id % 3 == 0 for pulse_id in CAME)}
    for row, channel in enumerate(shown["channels"]):
        expected = [
            GAP if pulse_id not in CAME else COMPLETE if beam_values(pulse_id)[channel["name"]] is not None else ALL_MISSING
            for pulse_id in range(1, 101)
        ]
        assert shown["states"][row * 100 : (row + 1) * 100] == expected, channel["name"]
    assert len(shown["channels"]) == 6


def test_each_state_has_a_colour_of_its_own_on_the_canvas(page: Dashboard) -> None:
    at = place_of(page)
    cells = {COMPLETE: at(1, 50), ALL_MISSING: at(1, 48), GAP: at(1, 55), "stream": at(0, 50), "hole": at(0, 55)}
    colours = dict(zip(cells, page.page.evaluate(_COLOURS, list(cells.values())), strict=True))
    assert colours["stream"] == colours[COMPLETE]
    assert colours["hole"] == colours[GAP]
    assert len({tuple(colours[state]) for state in (COMPLETE, ALL_MISSING, GAP)}) == 3
    assert {opacity for *_, opacity in colours.values()} == {255}


def test_pointing_at_the_map_says_which_channel_which_pulse_and_what_is_the_matter(page: Dashboard) -> None:
    at, canvas = place_of(page), page.page.locator("#completeness-map canvas")
    for row, pulse_id, said in (
        (1, 48, "SOMETIMES · pulse 48 · all missing"),
        (1, 50, "SOMETIMES · pulse 50 · complete"),
        (2, 100, "SCALAR · pulse 100 · complete"),
        (0, 55, "all channels · pulse 55 · gap: pulses that never came"),
    ):
        canvas.hover(position=at(row, pulse_id))
        page.shows("completeness-here", said)
    canvas.click(position=at(1, 48))
    page.wait_for_plot("SOMETIMES", "trend")


def test_it_is_said_in_words_too_and_follows_the_search(page: Dashboard) -> None:
    page.shows(
        "completeness-text",
        "The last 90 messages, pulses 1 – 100: 10 pulses never came; 5 of 6 channels complete. "
        "Most is missing of SOMETIMES 29 of 90.",
    )
    page.search("scal")
    page.shows(
        "completeness-text",
        "The last 90 messages, pulses 1 – 100: 10 pulses never came; 1 of 1 channel found complete.",
    )
    assert [channel["name"] for channel in page.page.evaluate(_SHOWN)["channels"]] == ["SCALAR"]
    expect(page.page.locator("#completeness-legend li")).to_have_count(5)


def place_of(page: Dashboard) -> Callable[[int, int], dict[str, float]]:
    """The middle of a cell, by row (0 is the stream) and pulse id, in CSS pixels from the canvas' corner."""
    shown = page.page.evaluate(_SHOWN)
    width = page.page.locator("#completeness-map canvas").evaluate("it => it.clientWidth") - shown["namesWidth"]

    def place(row: int, pulse_id: int) -> dict[str, float]:
        x = shown["namesWidth"] + (pulse_id - 0.5) * width / shown["parts"]
        return {"x": x, "y": (row + 0.5) * shown["rowHeight"]}

    return place
