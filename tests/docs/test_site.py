"""The documentation as a site: it is built without a warning, loads nothing from elsewhere, and is found by its own search."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown_it import MarkdownIt

from sf_bsread_writer.testing.browser import NOT_CHECKED, Watch, chromium, started_browser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS) for kind in ("md", "ipynb") for path in DOCS.rglob(f"*.{kind}"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as ``make docs`` does; links, anchors and pages that are not in the navigation are warnings, and those are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class Loads(HTMLParser):
    """What a browser loads for a page by itself: everything that names a place, but for links that somebody has to follow."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"src", "srcset", "poster", "data", "action"} | ({"href"} if tag != "a" else set())
        self.found += [value or "" for name, value in attrs if name in wanted]
        style = dict(attrs).get("style") or ""
        self.found += re.findall(r"url\(([^)]*)\)", style)


def is_elsewhere(place: str) -> bool:
    return urlsplit(place.strip("'\" ")).netloc != ""


def test_no_page_and_no_style_loads_anything_from_another_host(site: Path) -> None:
    pages = {str(page.relative_to(site)): Loads(page.read_text(encoding="utf-8")).found for page in site.rglob("*.html")}
    assert len(pages) > len(PAGES)
    assert {name: list(filter(is_elsewhere, found)) for name, found in pages.items() if any(map(is_elsewhere, found))} == {}
    for style in site.rglob("*.css"):
        places = re.findall(r"url\(([^)]*)\)|@import\s+([^;]*)", style.read_text(encoding="utf-8"))
        assert [place for pair in places for place in pair if is_elsewhere(place)] == [], style


def test_what_is_loaded_from_another_host_is_found() -> None:
    page = "<a href='https://a/'></a><script src=//b/x.js></script><link href='https://c/'><p style='background:url(\"https://d/\")'>"
    assert list(filter(is_elsewhere, Loads(page).found)) == ["//b/x.js", "https://c/", '"https://d/"']


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'<a href="([^"#]*)" class="md-nav__link', home)) | {"index.html"}
    expected = {re.sub(r"(^|/)README\.md$", r"\1index.md", str(page)).rpartition(".")[0] + ".html" for page in PAGES}
    assert shown >= expected, expected - shown


def test_links_to_files_beside_the_docs_lead_to_pages_with_them(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="repository/CHANGELOG.html"' in home
    assert "Semantic Versioning" in (site / "repository" / "CHANGELOG.html").read_text(encoding="utf-8")
    unit = next(site.rglob("sf_bsread_buffer@.service.html"))
    assert "ExecStart" in unit.read_text(encoding="utf-8")


def shape_of(html: str) -> dict[str, int]:
    """How often what a reader sees at once is there."""
    return {tag: len(re.findall(rf"<{tag}\b", html)) for tag in ("h1", "h2", "h3", "ol", "ul", "li", "pre", "table", "tr", "img")}


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md" and page.stem != "state-machine"], ids=str)
def test_a_page_looks_as_in_the_web_view_of_the_repository(site: Path, page: Path) -> None:
    # The two are made by different readers of Markdown, which disagree about lists. (One page has a table for its diagram.)
    expected = shape_of(MarkdownIt("commonmark").enable("table").render((DOCS / page).read_text(encoding="utf-8")))
    built = (site / page.with_name("index.html" if page.name == "README.md" else f"{page.stem}.html")).read_text(encoding="utf-8")
    shown = shape_of(built.partition("<article")[2].partition("</article>")[0])
    assert shown == expected


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *unused: object) -> None:
        pass


@pytest.fixture
def served(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_reader_without_internet_finds_a_page_by_its_words(served: str) -> None:
    executable = chromium()
    if executable is None:
        pytest.skip(NOT_CHECKED)
    with started_browser(executable) as browser:
        context = browser.new_context()
        watch = Watch(context)
        page = watch.open(f"{served}/explanations/state-machine.html")
        page.wait_for_load_state("networkidle")  # a diagram would be drawn by now
        page.get_by_placeholder("Search").first.click()
        page.get_by_text("Type to start searching").wait_for()  # it has loaded its index
        page.keyboard.type("rmem_max")
        page.locator(".md-search-result__link").first.click()
        page.wait_for_url("**/how-to/**")
        assert "rmem_max" in page.locator("article").inner_text()
        assert watch.unexpected == []
        context.close()
