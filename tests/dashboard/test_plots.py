"""What plotly has been given to draw for each kind of channel is what was sent."""

import numpy as np
import pytest
from playwright.sync_api import expect

from sf_bsread_writer.testing.beam import beam_values
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Feed
from sf_bsread_writer.testing.dashboard import Dashboard

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def opened(beam: Feed, shared_watch: Watch) -> Dashboard:
    return Dashboard(shared_watch.open(f"{beam.buffer.url}/"))


@pytest.fixture
def page(opened: Dashboard, finished: None) -> Dashboard:
    """One page that goes from plot to plot."""
    return opened


def held(beam: Feed) -> range:
    return range(beam.next_pulse_id - 60, beam.next_pulse_id)


def test_a_number_is_drawn_as_its_trend_over_all_that_is_held(beam: Feed, page: Dashboard) -> None:
    page.open("SCALAR", "trend")
    drawn = page.plot()
    assert (drawn["x"], drawn["y"]) == (list(held(beam)), [pulse_id / 2 for pulse_id in held(beam)])


def test_the_trend_goes_on_with_what_comes_and_forgets_what_the_ring_has_let_go(beam: Feed, page: Dashboard) -> None:
    page.open("SCALAR", "trend")
    for _ in range(2):
        page.wait_for_pulse_in_plot(beam.send(7)[-1])
        page.page.wait_for_function("first => document.getElementById('plot').data[0].x[0] === first", arg=held(beam)[0])
        assert page.plot()["x"] == list(held(beam))


def test_values_that_are_missing_leave_holes_in_the_trend(beam: Feed, page: Dashboard) -> None:
    page.open("SOMETIMES", "trend")
    drawn = page.plot()
    assert dict(zip(drawn["x"], drawn["y"], strict=True)) == {n: beam_values(n)["SOMETIMES"] for n in held(beam)}
    expect(page.page.locator("#plot-more")).to_contain_text("20 without a value")
    assert page.cell("SOMETIMES", "missing_percent").inner_text() == "▲ 33 %"


def test_a_truth_value_is_drawn_as_a_step_between_two_levels(beam: Feed, page: Dashboard) -> None:
    page.open("FLAG", "trend")
    drawn = page.plot()
    assert (drawn["x"], drawn["y"]) == (list(held(beam)), [n % 2 for n in held(beam)])
    assert drawn["line"]["shape"] == "hv"


def test_a_waveform_is_drawn_index_by_index_and_follows_the_newest(beam: Feed, page: Dashboard) -> None:
    page.open("WAVE:FORM-1", "trace")
    (last,) = beam.send(1)
    page.wait_for_pulse_in_plot(last)
    drawn = page.plot()
    assert (drawn["x"], drawn["y"]) == (list(range(8)), list(range(last, last + 8)))


def test_an_image_is_drawn_row_by_row_and_its_histogram_counts_all_pixels(beam: Feed, page: Dashboard) -> None:
    page.open("IMAGE", "image")
    expected = np.asarray(beam_values(beam.next_pulse_id - 1)["IMAGE"])
    drawn = page.plot()
    np.testing.assert_array_equal(drawn["z"], expected)
    assert (drawn["x0"], drawn["dx"], drawn["y0"], drawn["dy"]) == (0, 1, 0, 1)
    bars = page.plot("histogram")
    counted = {x: y for x, y in zip(bars["x"], bars["y"], strict=True) if y}
    assert sum(counted.values()) == 24
    assert expected.min() <= min(counted) <= max(counted) <= expected.max()


def test_colours_span_the_middle_of_the_values_until_they_are_fixed_and_stay_then(beam: Feed, page: Dashboard) -> None:
    page.open("IMAGE", "image")
    image = np.asarray(beam_values(beam.next_pulse_id - 1)["IMAGE"])
    low, high = np.percentile(image, [1, 99])
    drawn = page.plot()
    assert image.min() <= drawn["zmin"] <= low + 1
    assert high - 1 <= drawn["zmax"] <= image.max()
    field = {name: page.page.locator(f"#scale-{name}") for name in ("low", "high")}
    assert float(field["low"].input_value()) == pytest.approx(drawn["zmin"])

    field["low"].fill("3")
    field["high"].fill("4000")
    expect(page.page.locator("#autoscale")).not_to_be_checked()
    page.page.select_option("#colours", "Greys")
    page.wait_for_new_drawing()
    beam.send(1)
    page.wait_for_pulse_in_plot(beam.next_pulse_id - 1)
    fixed = page.plot()
    assert (fixed["zmin"], fixed["zmax"], fixed["colorscale"]) == (3, 4000, "Greys")

    page.page.check("#autoscale")
    page.wait_for_new_drawing()
    assert page.plot()["zmax"] < 4000


def test_a_text_is_shown_as_it_is(beam: Feed, page: Dashboard) -> None:
    page.open("TEXT", "text")
    page.shows("plot", str(beam_values(beam.next_pulse_id - 1)["TEXT"] or "(empty)"))
    beam.send(5 - beam.next_pulse_id % 5)  # a pulse with a text, then
    page.shows("plot", f"pulse {beam.next_pulse_id - 1} µ")


def test_a_paused_plot_stays_as_it_is_and_goes_on_when_told(beam: Feed, page: Dashboard) -> None:
    page.open("SCALAR", "trend")
    before = page.plot()["x"]
    page.page.click("#pause")
    expect(page.page.locator("#plot-more")).to_contain_text("Paused")
    (last,) = beam.send(1)
    expect(page.cell("SCALAR", "last_pulse_id")).to_have_text(str(last))  # the page has looked again, the plot has not
    assert page.plot()["x"] == before
    page.page.click("#pause")
    page.wait_for_pulse_in_plot(last)


def test_a_link_to_a_channel_opens_it_and_going_back_closes_it(beam: Feed, page: Dashboard) -> None:
    page.page.click("#close")
    page.shows("plot-title", "No channel open")
    page.open("WAVE:FORM-1", "trace")
    link = page.page.url
    page.page.go_back()
    page.shows("plot-title", "No channel open")
    page.page.goto(link)
    page.wait_for_plot("WAVE:FORM-1", "trace")
    page.page.reload()
    page.wait_for_plot("WAVE:FORM-1", "trace")
