"""The table of channels: thousands of them cost the page a few rows, names are text whatever they are, and keys do for all."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from sf_bsread_writer.message.encode import Value
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Buffer, Feed, ZmqSource, buffer_of
from sf_bsread_writer.testing.dashboard import Dashboard
from sf_bsread_writer.testing.messages import channels_of, message_of

pytestmark = pytest.mark.system

COUNT = 4000
NAMES = [f"SINEG{n // 100:02}-DBPM{n:04}:X1" for n in range(COUNT)]
SOMETIMES = NAMES[1234]
"""Is missing in the second of three messages."""

MOST_ROWS = 60
"""More than can be seen at once, far less than there are."""

Visit = Callable[[str], Dashboard]


@pytest.fixture(scope="module")
def wide() -> Iterator[Buffer]:
    """A buffer of a stream of 4,000 channels, three messages of it."""
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer:
        for pulse_id in range(1, 4):
            values: dict[str, Value | None] = {name: float(n + pulse_id) for n, name in enumerate(NAMES)}
            channels = channels_of(values)
            if pulse_id == 2:
                values[SOMETIMES] = None
            source.send_frames(message_of(pulse_id, values, channels=channels))
        buffer.wait_until_it_holds(newest=3)
        yield buffer


@pytest.fixture(scope="module")
def opened(wide: Buffer, shared_watch: Watch) -> Dashboard:
    return Dashboard(shared_watch.open(f"{wide.url}/"))


@pytest.fixture
def page(opened: Dashboard, finished: None) -> Dashboard:
    """It shows all channels from the first on, and nothing has the focus."""
    opened.search("")
    opened.page.locator("#channel-search").blur()
    opened.shows("channel-count", "4,000 channels")
    return opened


def test_of_4000_channels_only_those_in_sight_have_rows(page: Dashboard) -> None:
    expect(page.page.locator("#channels")).to_have_attribute("aria-rowcount", "4001")
    assert page.rows() == NAMES[: len(page.rows())]
    assert 10 <= len(page.rows()) <= MOST_ROWS


def test_scrolling_to_the_end_shows_the_last_channel_with_its_value(page: Dashboard) -> None:
    page.page.locator("#channels").evaluate("it => it.scrollTo(0, it.scrollHeight)")
    expect(page.cell(NAMES[-1], "last_value")).to_have_text("4002")
    expect(page.row(NAMES[-1])).to_be_in_viewport()
    assert page.rows() == NAMES[-len(page.rows()) :]
    assert len(page.rows()) <= MOST_ROWS


def test_typing_narrows_the_table_letter_by_letter_and_makes_few_rows_for_each(page: Dashboard) -> None:
    page.page.evaluate("""() => {
        window.added = 0;
        const count = changes => changes.forEach(change => window.added += change.addedNodes.length);
        new MutationObserver(count).observe(document.getElementById('channels'), {childList: true, subtree: true});
    }""")
    for text, found in (("d", 4000), ("dbpm", 4000), ("dbpm12", 100), ("dbpm123", 10), ("dbpm1234", 1), ("dbpm1234z", 0)):
        page.search(text)
        page.shows("channel-count", f"{found:,} of 4,000")
        assert all(text.upper() in name for name in page.rows())
        assert len(page.rows()) == min(found, len(page.rows())) <= MOST_ROWS
    page.search("")
    page.shows("channel-count", "4,000 channels")
    assert page.page.evaluate("() => window.added") <= 10 * MOST_ROWS * 8  # texts of 7 cells, not of thousands


def test_headings_sort_by_name_and_by_what_is_missing(page: Dashboard) -> None:

    def press(column: str) -> None:
        page.page.locator(f"#channels [role=columnheader][data-column={column}] button").click()

    def sorting() -> dict[str, str]:
        cells = page.page.locator("#channels [role=columnheader][aria-sort]").all()
        return {str(cell.get_attribute("data-column")): str(cell.get_attribute("aria-sort")) for cell in cells}

    press("name")
    assert sorting() == {"name": "ascending", "rate_hz": "none", "missing_percent": "none"}
    assert page.rows() == NAMES[: len(page.rows())]
    press("name")
    assert sorting() == {"name": "descending", "rate_hz": "none", "missing_percent": "none"}
    assert page.rows() == NAMES[: -len(page.rows()) - 1 : -1]
    press("missing_percent")
    assert sorting() == {"name": "none", "rate_hz": "none", "missing_percent": "descending"}
    assert page.rows()[:3] == [SOMETIMES, *NAMES[:2]]
    expect(page.cell(SOMETIMES, "missing_percent")).to_have_text("▲ 33 %")
    press("missing_percent")
    press("missing_percent")
    assert set(sorting().values()) == {"none"}
    assert page.rows() == NAMES[: len(page.rows())]


def test_keys_alone_find_open_and_close_a_channel(page: Dashboard) -> None:
    keys = page.page.keyboard
    keys.press("/")
    expect(page.page.locator("#channel-search")).to_be_focused()
    keys.type("dbpm20")
    page.shows("channel-count", "100 of 4,000")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Enter"):
        keys.press(key)
    page.wait_for_plot(NAMES[2001], "trend")
    assert page.plot()["y"] == [2002, 2003, 2004]
    expect(page.row(NAMES[2001])).to_have_attribute("aria-selected", "true")
    for key, place in (("End", 2099), ("Home", 2000), ("PageDown", None)):
        keys.press(key)
        active = page.page.locator("#channels").get_attribute("aria-activedescendant")
        name = page.page.get_attribute(f"#{active}", "data-channel")
        assert place is None or name == NAMES[place]
        expect(page.page.locator(f"#{active}")).to_be_in_viewport()
    keys.press("Escape")
    page.shows("plot-title", "No channel open")


HOSTILE = [
    "<img src=x onerror=\"document.title='pwned'\">",
    "</script><script>document.title='pwned'</script>",
    "\"'><svg onload=document.title='pwned'>",
    "javascript:alert(1)",
    "&lt;b&gt;bold&amp;",
    "__proto__",
    "constructor",
    "..%2f../ ?#&=+%",
    "\u202egnp.exe",
    "Ω " + "x" * 200,
]


def test_names_and_texts_from_anybody_are_text_and_nothing_else(chain: Callable[..., Feed], visit: Visit) -> None:
    feed = chain()
    text = "<b id=gotcha onmouseover=alert(1)>hello</b>"
    values = {name: float(n) for n, name in enumerate(HOSTILE)} | {"<i>TEXT": text}
    for pulse_id in (1, 2):
        feed.source.send(pulse_id, values)
    feed.buffer.wait_until_it_holds(newest=2)
    page = visit(feed.buffer.url)
    page.shows("channel-count", f"{len(values)} channels")
    assert page.rows() == list(values)
    for n, name in enumerate(HOSTILE):
        page.page.evaluate("name => location.hash = '#channel=' + encodeURIComponent(name)", name)
        page.wait_for_plot(name, "trend")
        page.page.wait_for_function("n => document.getElementById('plot').data?.[0].y[0] === n", arg=n)
        assert page.plot()["y"] == [n, n]
    page.open("<i>TEXT", "text")
    page.shows("plot", text)
    made = "img, b, i, script:not([src]), [onerror], [onload], [onmouseover]"
    assert page.page.locator(made).count() == 0
    assert "pwned" not in page.page.title()
