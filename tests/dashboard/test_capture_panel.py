"""The page saves what just happened: the file is there and holds the pulses, and what is refused is said."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.browser import Watch
from sf_bsread_writer.testing.chain import Feed
from sf_bsread_writer.testing.dashboard import Dashboard

pytestmark = pytest.mark.system

Chain = Callable[..., Feed]
Visit = Callable[[str], Dashboard]


@pytest.fixture(scope="module")
def opened(beam: Feed, shared_watch: Watch) -> Dashboard:
    return Dashboard(shared_watch.open(f"{beam.buffer.url}/"))


@pytest.fixture
def page(opened: Dashboard, finished: None) -> Dashboard:
    return opened


def save(page: Dashboard, *, seconds: str, file: str, strict: bool = False) -> None:
    page.page.fill("#capture-seconds", seconds)
    page.page.fill("#capture-file", file)
    page.page.set_checked("#capture-strict", strict)
    page.page.click("#capture-button")


def test_the_button_makes_a_file_of_what_is_held_and_says_what_is_in_it(beam: Feed, page: Dashboard, capture_root: Path) -> None:
    last = beam.next_pulse_id - 1
    save(page, seconds="3600", file="shift/evening.h5")
    line = page.page.locator("#captures li").filter(has_text="evening.h5")
    expect(line).to_contain_text("finished")
    expect(line).to_contain_text(f"60 rows · pulses {last - 59} – {last}")
    expect(line).to_contain_text("the last 3600 s")  # of which the ring holds less: it says so
    expect(line.get_by_role("button")).to_be_hidden()
    assert_holds(capture_root / "shift" / "evening.h5", range(last - 59, last + 1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seconds": "3600", "file": "run.h5", "strict": True}, r"3600 s.*the ring holds"),
        ({"seconds": "3600", "file": "../run.h5"}, r"\.\./run\.h5"),
        ({"seconds": "3600", "file": "/etc/run.h5"}, r"/etc/run\.h5"),
    ],
    ids=["strict", "above", "elsewhere"],
)
def test_what_is_refused_is_told_in_words_until_it_is_dismissed(
    page: Dashboard, shared_watch: Watch, capture_root: Path, given: dict[str, object], said: str
) -> None:
    before = sorted(capture_root.rglob("*"))
    save(page, **given)
    page.shows("errors", re.compile(said))
    shared_watch.expect("status of 4")
    assert sorted(capture_root.rglob("*")) == before
    page.page.locator("#errors button").click()
    page.shows("errors", "")


def test_without_a_folder_for_captures_there_is_no_button_but_a_reason(chain: Chain, visit: Visit) -> None:
    page = visit(chain().buffer.url)
    page.page.locator("#capture-panel").scroll_into_view_if_needed()
    page.shows("captures-off", re.compile("--capture_root"))
    expect(page.page.locator("#capture-button")).to_be_hidden()


TOKEN = "a-secret-of-at-least-some-length"


def test_a_token_is_asked_for_where_one_is_needed_and_kept_for_the_session(
    chain: Chain, visit: Visit, watch: Watch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    feed = chain("--capture_root", tmp_path / "captures", "--token_file", tmp_path / "token")
    feed.send(3)
    page = visit(feed.buffer.url)
    save(page, seconds="60", file="first.h5")
    expect(page.page.locator("#token")).to_be_visible()
    watch.expect("status of 401")
    page.page.fill("#token", TOKEN)
    page.page.click("#capture-button")
    expect(page.page.locator("#captures li")).to_contain_text(re.compile("finished.*3 rows"))
    page.page.reload()
    save(page, seconds="60", file="second.h5")
    expect(page.page.locator("#captures li").filter(has_text="second.h5")).to_contain_text("finished")
    for name in ("first.h5", "second.h5"):
        assert_holds(tmp_path / "captures" / name, [1, 2, 3])


def test_a_capture_that_goes_on_is_ended_by_its_button(beam: Feed, page: Dashboard, capture_root: Path) -> None:
    first = beam.next_pulse_id - 10
    asked = page.page.request.post(
        f"{beam.buffer.url}/captures", data={"start_pulse_id": first, "stop_pulse_id": first + 10_000, "file": "on.h5"}
    )
    assert asked.status == 201, asked.text()
    page.page.locator("#capture-panel").scroll_into_view_if_needed()
    line = page.page.locator("#captures li").filter(has_text="on.h5")
    expect(line).to_contain_text("10 rows")
    line.get_by_role("button", name="Cancel").click()
    expect(line).to_contain_text("cancelled")
    assert_holds(capture_root / "on.h5", range(first, beam.next_pulse_id))
