"""The watch over the pages sees what it is there for: pages that do wrong are not passed over."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sf_bsread_writer.testing.browser import Watch


@pytest.fixture
def serve() -> Iterator[Callable[[str], str]]:
    """Serves one page of this HTML, at its root only; gives its URL."""
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(html: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"<link rel=icon href='data:,'>{html}".encode()  # or Chromium asks for one
                self.send_response(200 if self.path == "/" else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *unused: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<script>console.error('broken')</script>", "console error: broken"),
        ("<script>console.warn('odd')</script>", "console warning: odd"),
        ("<script>throw new TypeError('no')</script>", "exception: no"),
        ("<script>Promise.reject(new Error('later'))</script>", "exception: later"),
        ("<img src=/missing.png>", "console error: Failed to load resource: the server responded with a status of 404"),
        ("<img src=http://127.0.0.1:1/>", "request failed: net::ERR_UNSAFE_PORT"),
    ],
    ids=["error", "warning", "exception", "rejection", "refusal", "failure"],
)
def test_what_goes_wrong_is_noted(serve: Callable[[str], str], watch: Watch, html: str, expected: str) -> None:
    watch.open(serve(html))
    assert any(line.startswith(expected) for line in watch.unexpected), watch.unexpected
    watch.expect(".")


@pytest.mark.parametrize(
    "html",
    ["<img src={}>", "<link rel=preload as=font href={}>", "<script>fetch('{}', {{mode: 'no-cors'}})</script>"],
    ids=["image", "font", "script"],
)
def test_a_page_that_asks_another_host_is_found_out(serve: Callable[[str], str], watch: Watch, html: str) -> None:
    elsewhere = serve("")
    page = watch.open(serve(html.format(elsewhere)))
    page.wait_for_load_state("networkidle")
    assert watch.unexpected == [f"asks another host: {elsewhere}"]
    watch.expect("another host")


def test_a_page_that_does_nothing_wrong_has_nothing_against_it_and_what_is_expected_must_happen(
    serve: Callable[[str], str], watch: Watch
) -> None:
    watch.open(serve("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><script>fetch('/')</script>"))
    assert watch.unexpected == []
    watch.expect("storm")
    assert watch.unexpected == ["has not happened: storm"]
    watch._expected.clear()
