"""The page can be used in the light and in the dark, on a narrow screen, by keys, and by who listens to it."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from sf_bsread_writer.testing.dashboard import Dashboard

pytestmark = pytest.mark.system

LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA, for text of any size."""

# Each visible text and how its colour stands out from what is behind it, as WCAG counts it; plotly's own drawings left out.
_CONTRASTS = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([red, green, blue]) => [red, green, blue]
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = element => {
        for (let at = element; at !== null; at = at.parentElement) {
            const colour = numbers(getComputedStyle(at).backgroundColor);
            if (colour[3] === undefined || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.data.trim() || element.closest('svg, script, noscript')) continue;
        if (!element.checkVisibility({visibilityProperty: true})) continue;
        const [one, other] = [light(numbers(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
        found.push([node.data.trim(), (one + 0.05) / (other + 0.05)]);
    }
    return found;
}"""


def contrasts(page: Dashboard) -> dict[str, float]:
    found: list[tuple[str, float]] = page.page.evaluate(_CONTRASTS)
    return dict(found)


def brightness(page: Dashboard) -> int:
    colour = page.page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


@pytest.mark.parametrize(
    ("look", "least", "most"),
    [({"color_scheme": "light"}, 600, 765), ({"color_scheme": "dark"}, 0, 150)],
    ids=["light", "dark"],
)
def test_it_follows_the_look_that_a_person_prefers_and_all_texts_stand_out(page: Dashboard, least: int, most: int) -> None:
    page.open("IMAGE", "image")
    page.search("")
    page.shows("channel-count", "6 channels")
    assert least <= brightness(page) <= most
    found = contrasts(page)
    assert {"Channels", "IMAGE", "connected", "Save", "Nobody reads at the moment."} <= found.keys()
    assert {text: ratio for text, ratio in found.items() if ratio < LEAST_CONTRAST} == {}


def test_the_look_that_was_chosen_is_remembered(page: Dashboard) -> None:
    assert brightness(page) > 600
    page.page.click("#theme")
    assert brightness(page) < 150
    page.page.reload()
    page.shows("state", "connected")
    assert brightness(page) < 150


def test_it_is_printed_as_paper_is(page: Dashboard) -> None:
    page.page.click("#theme")
    page.page.evaluate(
        "() => addEventListener('beforeprint', () => { document.title = getComputedStyle(document.body).backgroundColor })"
    )
    page.page.pdf()
    printed = page.page.title()
    assert sum(map(int, re.findall(r"\d+", printed)[:3])) > 600
    assert brightness(page) < 150


@pytest.mark.parametrize("look", [{"viewport": {"width": 360, "height": 640}}], ids=["narrow"])
def test_a_narrow_screen_needs_no_scrolling_sideways(page: Dashboard) -> None:
    for channel, kind in (("SCALAR", "trend"), ("IMAGE", "image")):
        page.open(channel, kind)
        width, screen = page.page.evaluate("() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width <= screen == 360
        box = page.page.locator("#plot").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_who_listens_finds_one_heading_landmarks_and_a_name_for_all_that_can_be_used(page: Dashboard) -> None:
    page.open("IMAGE", "image")
    for role, count in (("banner", 1), ("main", 1), ("contentinfo", 1), ("alert", 1)):
        expect(page.page.get_by_role(role, include_hidden=True)).to_have_count(count)  # type: ignore[arg-type]
    levels = page.page.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(it => Number(it.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip([0, *levels], levels, strict=False))
    assert page.page.get_attribute("html", "lang") == "en"
    assert page.page.title().endswith("sf_bsread buffer")
    nameless = [node for node in tree(page) if node["role"] in USED and not node["name"]]
    assert nameless == []
    for name, said in (("plot", "IMAGE"), ("histogram", "Histogram of 24 values from ")):
        assert f' "{said}' in page.page.locator(f"#{name}").aria_snapshot().splitlines()[0]
    assert {"Search channels by a part of their names", "Pause", "Low", "High", "Save"} <= {node["name"] for node in tree(page)}


USED = {"button", "textbox", "searchbox", "spinbutton", "checkbox", "combobox", "link", "grid", "region"}


def tree(page: Dashboard) -> list[dict[str, str]]:
    """What Chromium tells a screen reader: the roles and names of all that it does not pass over."""
    session = page.page.context.new_cdp_session(page.page)
    nodes: list[dict[str, Any]] = session.send("Accessibility.getFullAXTree")["nodes"]
    return [
        {"role": node["role"]["value"], "name": node.get("name", {}).get("value", "")} for node in nodes if not node["ignored"]
    ]


def test_ids_are_there_once_and_what_they_are_referred_to_by_is_there(page: Dashboard) -> None:
    page.open("IMAGE", "image")
    twice, missing, tabs = page.page.evaluate("""() => {
        const ids = [...document.querySelectorAll('[id]')].map(it => it.id).filter(id => id);
        const names = ['aria-labelledby', 'aria-describedby', 'aria-controls', 'aria-activedescendant', 'for'];
        const asked = names.flatMap(
            name => [...document.querySelectorAll(`[${name}]`)].flatMap(it => it.getAttribute(name).split(' ')));
        return [
            ids.filter((id, place) => ids.indexOf(id) !== place),
            asked.filter(id => document.getElementById(id) === null),
            [...document.querySelectorAll('[tabindex]')].filter(it => it.tabIndex > 0).length,
        ];
    }""")
    assert (twice, missing, tabs) == ([], [], 0)


def test_the_tab_key_reaches_all_that_can_be_used_and_each_shows_that_it_has_the_focus(page: Dashboard) -> None:
    page.open("IMAGE", "image")
    page.page.reload()  # it goes on from where the click was, or from what was scrolled to, as the browser thinks right
    page.wait_for_plot("IMAGE", "image")
    reached: list[tuple[str, str]] = []
    while len(reached) < 100:
        page.page.keyboard.press("Tab")
        name, outline = page.page.evaluate("""() => {
            const it = document.activeElement;
            const style = getComputedStyle(it);
            const name = it === document.body ? 'BODY' : it.id || it.title || it.innerText;
            return [name, `${style.outlineStyle} ${style.outlineWidth}`];
        }""")
        if name == "BODY":  # between the last and the first
            continue
        if reached and name == reached[0][0]:
            break
        reached.append((name, outline))
    wanted = ["theme", "channel-search", "channels", "pause", "close", "colours", "autoscale", "scale-low", "scale-high"]
    wanted += ["capture-seconds", "capture-file", "capture-strict", "capture-button"]
    names = [name for name, _ in reached if name in wanted]
    first = names.index(wanted[0])
    assert names[first:] + names[:first] == wanted
    assert [name for name, outline in reached if outline.startswith("none") or outline.endswith(" 0px")] == []
