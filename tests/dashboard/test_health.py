"""Whether pulses are safe, in words: what the page makes of what it knows. The worst thing comes first."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from sf_bsread_writer.testing.browser import watched
from sf_bsread_writer.testing.chain import Feed

pytestmark = pytest.mark.system

RING: dict[str, Any] = {
    "messages": 6000,
    "max_messages": 6000,
    "oldest_age_s": 60.04,
    "newest_age_s": 0.01,
    "evicted_by_memory": 0,
}
SEEN: dict[str, Any] = {
    "link": {"reachable": True},
    "connected": True,
    "clients": [],
    "lostRecently": {"total": 0, "clients": []},
    "dropped": 0,
    "why": "",
    "gaps": 0,
}
SLOW: dict[str, Any] = {"name": "DAQ", "lag_messages": 5500, "lag_s": 55.2, "falling": True}


def seen(ring: dict[str, Any] | None = None, *, lost: int = 0, rate_hz: float = 100.0, **changes: object) -> dict[str, Any]:
    """What the page knows of a buffer that is well and full, but for the changes."""
    statistics = {"ring": RING | (ring or {}), "rate_hz": rate_hz, "clients": {"lost_messages": lost}}
    return {"statistics": statistics, **SEEN, **changes}


LOSING = {"total": 7, "clients": [{"name": "DAQ", "lost": 5}, {"name": "archiver", "lost": 2}]}
EMPTY = {"messages": 0, "oldest_age_s": None, "newest_age_s": None}
MEMORY = {"messages": 2972, "oldest_age_s": 29.99, "evicted_by_memory": 9}


@pytest.fixture(scope="module")
def call(browser: Browser, beam: Feed) -> Iterator[Callable[..., Any]]:
    """Calls a function of one of the page's modules."""
    with watched(browser) as watch:
        page = watch.open(f"{beam.buffer.url}/")
        code = "([module, name, ...given]) => import(`/page/${module}.js`).then((all) => all[name](...given))"
        yield lambda module, name, *given: page.evaluate(code, [module, name, *given])
        assert watch.unexpected == []


@pytest.mark.parametrize(
    ("known", "level", "text"),
    [
        (seen(), "good", "All pulses of the last 60 s are held. 0 lost."),
        (seen({"oldest_age_s": 9.98}), "good", "All pulses of the last 9.9 s are held. 0 lost."),
        (seen(lost=1234), "good", "All pulses of the last 60 s are held. 1,234 lost."),
        (seen({"messages": 12, "oldest_age_s": 0.1}), "good", "All pulses that came are held: 12 in 0.1 s. 0 lost."),
        (
            seen(MEMORY),
            "good",
            "All pulses of the last 29 s are held. 0 lost. The memory is full before 6,000 messages are reached.",
        ),
        (seen(gaps=1), "warn", "All pulses of the last 60 s are held. 0 lost. But 1 pulse of the last 1,000 never came."),
        (
            seen(gaps=44_244),
            "warn",
            "All pulses of the last 60 s are held. 0 lost. But 44,244 pulses never came: their ids jump.",
        ),
        (
            seen(clients=[SLOW | {"lag_messages": 6005}]),
            "bad",
            "DAQ is overtaken: 5 pulses that it has not read are no longer held.",
        ),
        (seen(clients=[SLOW]), "warn", "DAQ is 55 s behind and falls further back: soon it loses pulses."),
        (seen(clients=[SLOW | {"falling": False}]), "good", "All pulses of the last 60 s are held. 0 lost."),
        (seen({"messages": 5501}, clients=[SLOW]), "good", "All pulses that came are held: 5,501 in 60 s. 0 lost."),
        (seen(EMPTY), "warn", "Connected to the source; no pulse has arrived yet."),
        (seen(dropped=2, why="damaged 2"), "bad", "2 messages could not be kept within the last minute: damaged 2."),
        (
            seen(lostRecently=LOSING, clients=[SLOW], gaps=3),
            "bad",
            "A client loses pulses: DAQ 5, archiver 2 within the last minute.",
        ),
        (seen(lostRecently={"total": 7, "clients": []}), "bad", "A client loses pulses: 7 within the last minute."),
        (
            seen({"newest_age_s": 3.1}, lostRecently=LOSING),
            "bad",
            "Nothing has arrived for 3.1 s, though the source is connected.",
        ),
        (seen({"newest_age_s": 40}, rate_hz=0.1), "good", "All pulses of the last 60 s are held. 0 lost."),
        (seen({"newest_age_s": 61}, rate_hz=0.0), "bad", "Nothing has arrived for 61 s, though the source is connected."),
        (seen(EMPTY, connected=False), "bad", "No source: nothing has arrived yet."),
        (
            seen({"newest_age_s": 754}, connected=False),
            "bad",
            "No source: nothing has arrived for 12 min 34 s. 6,000 pulses can still be read.",
        ),
        (SEEN | {"statistics": None}, "unknown", "Asking the buffer …"),
    ],
)
def test_the_worst_that_is_known_is_said(call: Callable[..., Any], known: dict[str, Any], level: str, text: str) -> None:
    health = call("health", "healthOf", known)
    assert (health["level"], health["text"]) == (level, text)


def test_channels_that_lack_values_are_counted_and_the_worst_named(call: Callable[..., Any]) -> None:
    shares = {"A": 0.0, "B": 0.05, "C": 99.96, "D": None, "E": 7.0}
    channels = [{"name": name, "missing_percent": share} for name, share in shares.items()]
    assert call("health", "lacking", channels) == "3 of 5 channels lack values: C >99.9 %, E 7 %, …"
    assert call("health", "lacking", channels[:2]) == "1 of 2 channels lacks values: B <0.1 %."
    assert call("health", "lacking", channels[:1]) == ""


@pytest.mark.parametrize(
    ("function", "given", "shown"),
    [
        ("value", 0.1 + 0.2, "0.3"),
        ("value", -1.5e-7, "-1.5e-7"),
        ("value", 31215590323, "31215590323"),
        ("value", 31215590323.5, "3.122e+10"),
        ("value", 1e-300, "1e-300"),
        ("value", 1234567.891, "1234568"),
        ("value", True, "true"),
        ("value", "<b>", "<b>"),
        ("value", None, "–"),
        ("value", [1, 2.5, None], "[1, 2.5, –]"),
        ("value", list(range(9)), "[0, 1, 2, 3, 4, 5, 6, 7, …]"),
        ("bytes", 0, "0 B"),
        ("bytes", 1536, "1.5 KiB"),
        ("bytes", 2.14e9, "1.99 GiB"),
        ("duration", 0.234, "0.23 s"),
        ("duration", 119.4, "119 s"),
        ("duration", 7260, "2 h 1 min"),
        ("rate", 100.04, "100.0"),
        ("rate", 0.123, "0.12"),
        ("percent", 0, "0 %"),
    ],
)
def test_numbers_are_shown_as_people_read_them(call: Callable[..., Any], function: str, given: object, shown: str) -> None:
    assert call("format", function, given) == shown
