"""Who is served and who is not, over a real port."""

import subprocess
from collections.abc import Iterator

import httpx
import pytest

from sf_bsread_writer.rest.guard import Guard
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.serving import serving

TOKEN = "0123456789abcdef-secret"
READING = [
    ("GET", "/status"),
    ("GET", "/statistics"),
    ("GET", "/report"),
    ("GET", "/stream"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
]
LISTENING = [("GET", "/events")]  # whose answer does not end
CHANGING = [
    ("POST", "/parameters"),
    ("PUT", "/start_pulse_id/5"),
    ("PUT", "/stop_pulse_id/9"),
    ("PUT", "/start_now"),
    ("PUT", "/stop_now"),
    ("GET", "/stop"),
    ("GET", "/kill"),
]


@pytest.fixture
def with_token(acquisition: FakeAcquisition) -> Iterator[httpx.Client]:
    with serving(acquisition, Guard(token=TOKEN)) as root, httpx.Client(base_url=root, timeout=10) as opened:
        yield opened


def error_of(response: httpx.Response) -> str:
    """The text of a refusal, in the form that legacy clients understand."""
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["state", "status"]
    assert answer["state"] == "error"
    return str(answer["status"])


def test_every_path_is_in_one_of_the_lists(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    documented = {(method.upper(), path) for path, item in paths.items() for method in item}
    listed = {
        (method, path.replace("/5", "/{pulse_id}").replace("/9", "/{pulse_id}"))
        for method, path in READING + LISTENING + CHANGING
    }
    assert listed == documented | {("GET", "/openapi.json")}


def test_under_a_name_that_is_not_ours_nothing_is_served(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    for method, path in READING + LISTENING + CHANGING:
        response = client.request(method, path, headers={"Host": f"evil.example:{client.base_url.port}"})
        assert response.status_code == 403, path
        assert "Host 'evil.example:" in error_of(response)
    assert acquisition.calls == []


def test_what_is_served_on_the_network_is_asked_by_address_or_by_the_machines_names(
    acquisition: FakeAcquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "daq-7")
    monkeypatch.setattr("socket.getfqdn", lambda: "DAQ-7.example.org")
    guard = Guard(at_any_address=True)
    with serving(acquisition, guard) as root, httpx.Client(base_url=root, timeout=10) as client:

        def code(host: str) -> int:
            return client.get("/status", headers={"Host": host}).status_code

        assert [code(host) for host in ("10.1.2.3:8083", "[fd00::1]", "daq-7:8083", "localhost", "127.0.0.1")] == [200] * 5
        assert code("daq-7.example.org:8083") == 403
        guard.learn_full_name()
        assert code("daq-7.example.org:8083") == 200
        answer = client.get("/status", headers={"Host": "evil.example:8083"})
        assert (answer.status_code, error_of(answer)) == (
            403,
            "Host 'evil.example:8083' is not a name of this machine; ask http://daq-7 or its address",
        )


def test_who_is_not_admitted_sees_nothing_and_this_machine_always_may(
    acquisition: FakeAcquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def admits(host: str) -> bool:
        asked.append(host)
        return False

    with serving(acquisition, Guard(admits=admits)) as root, httpx.Client(base_url=root, timeout=10) as client:
        assert client.get("/status").status_code == 200
        assert asked == []
        monkeypatch.setattr("sf_bsread_writer.rest.guard.is_loopback", lambda host: False)
        for method, path in [*READING, *LISTENING, *CHANGING, ("GET", "/"), ("GET", "/page/style.css")]:
            answer = client.request(method, path)
            assert (answer.status_code, error_of(answer)) == (403, "127.0.0.1 may not ask here; see --allow"), path
    assert set(asked) == {"127.0.0.1"}
    assert acquisition.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Content-Type": "text/plain"},
        {"Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"},
        {"Origin": "https://evil.example", "Content-Type": "multipart/form-data; boundary=x"},
        {"Referer": "https://evil.example/page"},
    ],
)
def test_a_page_of_another_site_changes_nothing(
    client: httpx.Client, acquisition: FakeAcquisition, headers: dict[str, str]
) -> None:
    for method, path in CHANGING:
        body = None if method == "GET" else b'{"output_file": "/x.h5"}'
        response = client.request(method, path, headers=headers, content=body)
        assert response.status_code == 403, path
        assert "may not change" in error_of(response)
    assert acquisition.calls == []


def test_a_browser_is_not_told_that_it_may_send_what_it_asks_for_first(client: httpx.Client) -> None:
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    answers = [client.options("/start_now", headers=asking), client.get("/status", headers={"Origin": "https://evil.example"})]
    assert [name for answer in answers for name in answer.headers if name.startswith("access-control-")] == []


def test_a_link_on_another_site_may_lead_to_what_only_reads(client: httpx.Client) -> None:
    assert client.get("/status", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_curl_without_a_host_is_served(client: httpx.Client) -> None:
    command = ["curl", "-sS", "-0", "-H", "Host:", f"{client.base_url}/status"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except FileNotFoundError:
        pytest.skip("curl is not installed")
    assert done.stdout == '{"state":"ok","status":"waiting"}'


def test_no_answer_is_taken_for_something_else_than_it_is(client: httpx.Client) -> None:
    for method, path in [*READING, *CHANGING, ("GET", "/nope")]:
        headers = client.request(method, path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_input_comes_back_as_json_or_not_at_all(client: httpx.Client) -> None:
    for path in ("/<script>alert(1)</script>", "/start_pulse_id/<script>", "/status/<b>", "/report?x=<script>"):
        for method in ("GET", "PUT"):
            assert client.request(method, path).headers["content-type"] == "application/json"


@pytest.mark.parametrize("given", [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ä"])
def test_what_changes_something_needs_the_token(
    with_token: httpx.Client, acquisition: FakeAcquisition, given: str | None
) -> None:
    for method, path in CHANGING:
        response = with_token.request(method, path, headers={} if given is None else {"Authorization": given.encode()})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer"), path
        assert "Authorization: Bearer" in error_of(response)
        assert TOKEN not in response.text
    assert acquisition.calls == []


def test_with_the_token_it_is_done(with_token: httpx.Client, acquisition: FakeAcquisition) -> None:
    with_token.headers["Authorization"] = f"bearer {TOKEN}"
    codes = [with_token.request(method, path).status_code for method, path in CHANGING]
    assert codes == [200] * len(CHANGING)
    assert [call[0] for call in acquisition.calls] == ["start", "stop", "start", "stop", "finish", "kill"]


def test_what_only_reads_needs_no_token(with_token: httpx.Client) -> None:
    assert [with_token.request(method, path).status_code for method, path in READING] == [200, 200, 404, 200, 200, 200]


def test_the_token_does_not_help_a_page_of_another_site(with_token: httpx.Client, acquisition: FakeAcquisition) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}
    assert with_token.put("/start_now", headers=headers).status_code == 403
    assert acquisition.calls == []


def test_refusals_do_not_fill_the_log_and_never_tell_the_token(
    with_token: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(100):
        with_token.get("/status", headers={"Host": f"evil{number}.example"})
        with_token.put("/start_now", headers={"Authorization": f"Bearer {TOKEN}x"})
    told = [message for message in caplog.messages if message.startswith("REST: refused: ")]
    assert 2 <= len(told) <= 20
    assert TOKEN not in caplog.text
