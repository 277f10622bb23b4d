"""The files of the dashboard as a browser gets them."""

import gzip
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import httpx
import pytest

from sf_bsread_writer.rest import pages

FOLDER = pages.FOLDER
TYPES = {"css": "text/css; charset=utf-8", "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def plotly_file() -> bytes:
    return Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js"))).read_bytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In the place of the dashboard's."""
    (tmp_path / "dashboard").mkdir()
    monkeypatch.setattr(pages, "FOLDER", tmp_path / "dashboard")
    return tmp_path / "dashboard"


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_file_of_the_folder_is_given_as_it_is_with_its_type(client: httpx.Client, path: Path) -> None:
    answer = client.get(f"/page/{path.name}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, TYPES[path.suffix[1:]])
    assert answer.content == path.read_bytes()


def test_the_writers_page_is_at_the_root(client: httpx.Client, folder: Path) -> None:
    (folder / "writer.html").write_text("<p>the writer's</p>")
    assert client.get("/").text == "<p>the writer's</p>"


def test_a_page_may_run_what_comes_from_here_and_nothing_else(client: httpx.Client) -> None:
    headers = client.get("/page/buffer.html").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
    assert headers.get_list("cache-control") == ["no-cache"]


def test_plotly_is_what_the_python_package_brings(client: httpx.Client) -> None:
    answer = client.get("/page/plotly.js")
    assert answer.content == plotly_file()
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < len(answer.content) / 2


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "gzip; q=0.00, br", "*", ""])
def test_who_does_not_take_gzip_gets_it_plain(client: httpx.Client, accepted: str) -> None:
    answer = client.get("/page/buffer.html", headers={"accept-encoding": accepted})
    assert "content-encoding" not in answer.headers
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.content == (FOLDER / "buffer.html").read_bytes()


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "GZIP", "br;q=1, gzip;q=0.001"])
def test_who_takes_gzip_gets_it(client: httpx.Client, accepted: str) -> None:
    with client.stream("GET", "/page/buffer.html", headers={"accept-encoding": accepted}) as answer:
        assert gzip.decompress(b"".join(answer.iter_raw())) == (FOLDER / "buffer.html").read_bytes()


def test_a_browser_that_has_it_is_sent_nothing_until_it_changes(client: httpx.Client, folder: Path) -> None:
    (folder / "page.html").write_text("one")
    tag = client.get("/page/page.html").headers["etag"]
    for known in (tag, f'"other", {tag}'):
        answer = client.get("/page/page.html", headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    (folder / "page.html").write_text("another")
    answer = client.get("/page/page.html", headers={"if-none-match": tag})
    assert (answer.status_code, answer.text) == (200, "another")


@pytest.mark.parametrize(
    "name", ["none.html", "..%2fsecret.js", "%2e%2e/secret.js", "secret.py", ".hidden.js", "a/b.js", "%00.js", "page.html%0a", ""]
)
def test_nothing_else_is_given(client: httpx.Client, folder: Path, name: str) -> None:
    for path in (folder.parent / "secret.js", folder / "secret.py", folder / ".hidden.js"):
        path.write_text("secret")
    answer = client.get(f"/page/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")
    assert "secret" not in answer.text.replace("secret.", "")


def test_a_missing_plotly_is_told_by_name(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "find_spec", lambda name: None)
    answer = client.get("/page/plotly.js")
    assert (answer.status_code, "plotly is not installed" in answer.json()["detail"]) == (404, True)


def test_plotly_is_found_without_being_imported() -> None:
    code = (
        "import sys; from sf_bsread_writer.rest.pages import _path_of; assert _path_of('plotly.js').is_file();"
        "sys.exit(any(name.partition('.')[0] == 'plotly' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0
