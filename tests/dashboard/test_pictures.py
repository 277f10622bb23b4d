"""The pictures of the documentation, of a stream at 100 Hz; ``make screenshots`` puts them where the documentation has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from sf_bsread_writer.testing.browser import HEIGHT, WIDTH, Watch, keep_small_picture
from sf_bsread_writer.testing.chain import Buffer, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system

MOST_BYTES = 300_000
HELD = 300
GAP = (150, 157)  # in pulse numbers of the simulator: seen in the map

MONITORS = [f"SIM-BPM{n:02}:{what}:float64:pattern=sine" for n in range(1, 41) for what in ("X", "Y", "CHARGE")]
CHANNELS = [
    "SIM-CAMERA:FPICTURE:uint16:320x240:compression=bitshuffle_lz4:modulo=2:missing=0.1",
    "SIM-DIGITIZER:WAVEFORM:float32:2048:missing=0.03",
    "SIM-GAS-MONITOR:PULSE-ENERGY:float64:pattern=sine",
    "SIM-EVENTS:SHUTTER-OPEN:bool",
    "SIM-STAGE:STATE:string",
    "SIM-STAGE:TEMPERATURE:float32:modulo=10:pattern=noise:missing=0.3",
    *MONITORS,
]


@pytest.fixture(scope="module")
def beamline() -> Iterator[Buffer]:
    """Holds the last pulses of a small beamline, some of which never came."""
    channels = [argument for channel in CHANNELS for argument in ("--channel", channel)]
    options = ("--rate", 100, "--gap", f"{GAP[0]}:{GAP[1]}", "--wait_for_client", *channels)
    with running("cli/__main__", "simulate", *options) as source:
        address = source.wait_for_line(r"(tcp://127\.0\.0\.1:\d+)")[1]
        with buffer_of(address, "--rest_port", 0, "-b", 6000, "--memory_limit", "256M") as buffer:
            wait_until(lambda: buffer.get("/status")["messages"] >= HELD, f"{HELD} pulses are held")
            yield buffer


def test_the_buffer_at_a_glance(beamline: Buffer, watch: Watch) -> None:
    page = Dashboard(watch.open(f"{beamline.url}/#channel=SIM-GAS-MONITOR%3APULSE-ENERGY"))
    page.wait_for_plot("SIM-GAS-MONITOR:PULSE-ENERGY", "trend")
    page.shows("channel-count", f"{len(CHANNELS)} channels")
    expect(page.page.locator("#health")).to_have_attribute("data-kind", "gaps")
    assert_fit_for_the_documentation(keep_small_picture(page.page, "dashboard-overview"))


@pytest.mark.parametrize("look", [{"color_scheme": "dark"}], ids=["dark"])
def test_an_image_and_what_is_missing(beamline: Buffer, watch: Watch) -> None:
    page = Dashboard(watch.open(f"{beamline.url}/#channel=SIM-CAMERA%3AFPICTURE"))
    page.wait_for_plot("SIM-CAMERA:FPICTURE", "image")
    page.page.evaluate("() => scrollTo(0, document.getElementById('plot-panel').offsetTop - 12)")
    page.page.wait_for_selector("#completeness[data-drawn]")
    assert_fit_for_the_documentation(keep_small_picture(page.page, "dashboard-image"))


def assert_fit_for_the_documentation(path: Path) -> None:
    with Image.open(path) as picture:
        assert (picture.size, picture.mode) == ((WIDTH, HEIGHT), "P")
    assert path.stat().st_size < MOST_BYTES
