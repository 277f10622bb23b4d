"""The legacy paths, asked over a real port by httpx and by curl."""

import json
import logging
import shutil
import subprocess
from typing import Any

import httpx
import pytest

from sf_bsread_writer.errors import OutputError, StateError, UsageError
from sf_bsread_writer.rest.assemble import MAX_BODY_BYTES
from sf_bsread_writer.testing.acquisition import FakeAcquisition

PARAMETERS = {
    "general/created": "2024-01-01 00:00:00",
    "general/user": "p12345",
    "general/process": "detector_integration_api",
    "general/instrument": "SwissFEL-ESA",
}
STARTS_AND_STOPS = [
    ("/start_pulse_id/5", ("start", 5)),
    ("/stop_pulse_id/9", ("stop", 9)),
    ("/start_now", ("start", None)),
    ("/stop_now", ("stop", None)),
]


def curl(*arguments: str) -> tuple[int, str]:
    """HTTP code and body, as DIA and people at a terminal ask."""
    command = shutil.which("curl")
    if command is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(
        [command, "-sS", "-w", "\n%{http_code}", *arguments], capture_output=True, text=True, timeout=20, check=True
    )
    body, _, code = done.stdout.rpartition("\n")
    return int(code), body


def error_text(response: httpx.Response) -> str:
    """The text of an error as legacy clients get it; fails if it is none."""
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["state", "status"]
    assert answer["state"] == "error"
    return str(answer["status"])


def test_status_is_waiting_before_a_start_and_writing_after_it(client: httpx.Client) -> None:
    before = client.get("/status")
    client.put("/start_now")
    after = client.get("/status")
    assert (before.status_code, before.text) == (200, '{"state":"ok","status":"waiting"}')
    assert (after.status_code, after.text) == (200, '{"state":"ok","status":"writing"}')


def test_parameters_are_taken_and_echoed_with_all_extra_ones(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    given = {**PARAMETERS, "channels": ["A:B-C", "ü"], "general/n": 2**70, "x": {"y": [1.5, None, True]}, "": ""}
    response = client.post("/parameters", json=given)
    assert response.status_code == 200
    assert response.json() == {"state": "ok", "status": "waiting", "parameters": given}
    assert acquisition.calls == [("parameters", given)]


def test_parameters_may_come_as_curl_sends_them(url: str) -> None:
    code, body = curl("-X", "POST", "-d", json.dumps(PARAMETERS), f"{url}/parameters")
    assert code == 200
    assert json.loads(body)["parameters"] == PARAMETERS


@pytest.mark.parametrize("given", [None, {}, {"channels": ["A"]}, dict(list(PARAMETERS.items())[:3])])
def test_missing_mandatory_parameters_are_an_error_that_names_them(
    client: httpx.Client, acquisition: FakeAcquisition, given: dict[str, Any] | None
) -> None:
    text = error_text(client.post("/parameters") if given is None else client.post("/parameters", json=given))
    assert text.startswith("Missing mandatory parameters")
    assert "general/instrument" in text
    assert acquisition.calls == []


def test_statistics_have_what_existing_clients_read(client: httpx.Client) -> None:
    answer = client.get("/statistics").json()
    assert (answer["state"], answer["status"]) == ("ok", "waiting")
    statistics = answer["statistics"]
    unset = ("start_pulse_id", "stop_pulse_id", "start_timestamp", "stop_timestamp", "last_timestamp")
    assert [statistics[key] for key in unset] == [None] * 5
    assert statistics["last_pulse_id"] == -1


@pytest.mark.parametrize(("path", "call"), STARTS_AND_STOPS)
def test_starts_and_stops_need_no_body_and_answer_none(
    client: httpx.Client, acquisition: FakeAcquisition, path: str, call: tuple[Any, ...]
) -> None:
    response = client.put(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "0"
    assert acquisition.calls == [(*call, None)]


@pytest.mark.parametrize("target", STARTS_AND_STOPS, ids=["start_pulse_id", "stop_pulse_id", "start_now", "stop_now"])
@pytest.mark.parametrize(
    ("arguments", "output_file"),
    [
        ([], None),
        (["-d", ""], None),
        (["-H", "Content-Type: application/json"], None),
        (["-H", "Content-Type: application/json", "-d", "{}"], None),
        (["-d", '{"output_file": "/data/ä.h5"}'], "/data/ä.h5"),
        (["-H", "Content-Type: application/json", "-d", '{"output_file": "b.h5"}'], "b.h5"),
        (["-H", "Transfer-Encoding: chunked", "-d", '{"output_file": "b.h5"}'], "b.h5"),
    ],
    ids=["no body", "empty form", "empty JSON body", "empty object", "JSON called a form", "JSON", "chunked"],
)
def test_curl_starts_and_stops_with_any_kind_of_body(
    url: str, acquisition: FakeAcquisition, target: tuple[str, tuple[Any, ...]], arguments: list[str], output_file: str | None
) -> None:
    path, call = target
    assert curl("-X", "PUT", *arguments, f"{url}{path}") == (200, "")
    assert acquisition.calls == [(*call, output_file)]


def test_keys_of_a_body_that_are_not_known_are_told_in_the_log_and_ignored(
    client: httpx.Client, acquisition: FakeAcquisition, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.put("/start_now", json={"outputfile": "/x", "output_file": "a.h5"}).content == b""
    assert acquisition.calls == [("start", None, "a.h5")]
    assert "PUT /start_now: ignored ['outputfile']" in caplog.text


@pytest.mark.parametrize(
    "path", ["//start_pulse_id/5", "/start_pulse_id//5", "///start_pulse_id////5//", "/start_pulse_id/5/", "/start_pulse_id/%35"]
)
def test_extra_slashes_anywhere_are_accepted(url: str, acquisition: FakeAcquisition, path: str) -> None:
    assert curl("-X", "PUT", "--path-as-is", f"{url}{path}") == (200, "")
    assert acquisition.calls == [("start", 5, None)]


@pytest.mark.parametrize("path", ["//status", "/status/", "//status//", "/status?x=1"])
def test_extra_slashes_and_queries_are_accepted_by_status(url: str, path: str) -> None:
    assert curl(f"{url}{path}") == (200, '{"state":"ok","status":"waiting"}')


def test_pulse_ids_reach_the_limits_of_64_bits(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    client.put("/start_pulse_id/0")
    client.put(f"/stop_pulse_id/{2**63 - 1}")
    assert acquisition.calls == [("start", 0, None), ("stop", 2**63 - 1, None)]


@pytest.mark.parametrize("name", ["start_pulse_id", "stop_pulse_id"])
@pytest.mark.parametrize("pulse_id", ["x", "5.0", "1_000", "%20", "%0A5", "9223372036854775808", "9" * 5000])
def test_a_pulse_id_that_is_none_is_an_error_with_its_text(
    client: httpx.Client, acquisition: FakeAcquisition, name: str, pulse_id: str
) -> None:
    text = error_text(client.put(f"/{name}/{pulse_id}"))
    assert text.startswith("pulse id ")
    assert pulse_id.replace("%20", " ").replace("%0A", "\\n")[:50] in text
    assert acquisition.calls == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"output_file": 5}', b"\xff", b"output_file=/data/x.h5"])
@pytest.mark.parametrize("path", ["/start_now", "/stop_now", "/start_pulse_id/5", "/stop_pulse_id/5"])
def test_a_body_that_cannot_be_used_is_an_error_and_starts_nothing(
    client: httpx.Client, acquisition: FakeAcquisition, path: str, body: bytes
) -> None:
    assert error_text(client.put(path, content=body))
    assert acquisition.calls == []


def test_broken_parameters_are_an_error(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    assert "is not JSON" in error_text(client.post("/parameters", content=b'{"general/user": '))
    assert acquisition.calls == []


def test_a_body_beyond_the_limit_is_an_error_and_the_server_goes_on(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    text = error_text(client.post("/parameters", content=b" " * (MAX_BODY_BYTES + 1)))
    assert text.startswith("413")
    assert client.get("/status").json()["state"] == "ok"
    assert acquisition.calls == []


EVERY_PATH = [
    ("GET", "/status"),
    ("GET", "/statistics"),
    ("POST", "/parameters"),
    ("GET", "/stop"),
    ("GET", "/kill"),
    *(("PUT", path) for path, _ in STARTS_AND_STOPS),
]


def ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    return client.request(method, path, json=PARAMETERS if method == "POST" else None)


@pytest.mark.parametrize("failure", [UsageError("no 'x'"), StateError("not now"), OutputError("disk full: /data")])
def test_errors_of_the_writer_are_answered_with_their_text_on_every_path(
    client: httpx.Client, acquisition: FakeAcquisition, failure: Exception
) -> None:
    acquisition.failure = failure
    texts = {path: error_text(ask(client, method, path)) for method, path in EVERY_PATH}
    assert texts == {path: str(failure) for _, path in EVERY_PATH}


@pytest.mark.parametrize(("method", "path"), EVERY_PATH)
def test_unexpected_errors_are_answered_with_class_and_text_and_logged_with_traceback(
    client: httpx.Client, acquisition: FakeAcquisition, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    acquisition.failure = ZeroDivisionError("division by nought")
    assert error_text(ask(client, method, path)) == "ZeroDivisionError: division by nought"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == f"{method} {path}: unexpected ZeroDivisionError: division by nought"
    assert record.exc_info is not None


def test_what_a_client_sends_does_not_fill_the_log(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    client.put("/start_now", json=dict.fromkeys(map(str, range(100_000))))
    client.put("/start_now", json=list(range(100_000)))
    client.put(f"/start_pulse_id/{'x' * 50_000}")
    assert len(caplog.messages) == 3
    assert max(map(len, caplog.messages)) < 500


def test_the_path_cannot_forge_log_lines(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    client.put("/start_pulse_id/%0A[ERROR]%20forged")
    assert caplog.messages
    assert all("\n" not in message for message in caplog.messages)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_wrong_path_is_not_found(client: httpx.Client, method: str) -> None:
    paths = ["/nope", "/start_pulse_id", "/start_pulse_id/5/6", "/status/1", "/docs", "/schema"]
    answers = [client.request(method, path) for path in paths]
    assert [answer.status_code for answer in answers] == [404] * len(paths)
    expected = [f"{method} {path}: there is no such path; /openapi.json has all" for path in paths]
    assert [answer.json()["detail"] for answer in answers] == expected


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/start_now", "PUT"),
        ("POST", "/start_pulse_id/5", "PUT"),
        ("PUT", "/status", "GET"),
        ("POST", "/kill", "GET"),
        ("DELETE", "/stop", "GET"),
        ("GET", "/parameters", "POST"),
        ("PUT", "/", "GET"),
    ],
)
def test_a_wrong_method_is_not_allowed_and_told_the_right_one(
    client: httpx.Client, acquisition: FakeAcquisition, method: str, path: str, allowed: str
) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert allowed in response.headers["allow"]
    assert response.json()["detail"] == f"{method} {path}: this path takes {allowed}; with curl, -X {allowed}"
    assert acquisition.calls == []


def test_stop_answers_once_the_file_is_closed(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    client.put("/start_now")
    response = client.get("/stop")
    assert (response.status_code, response.text) == (200, '{"state":"ok","status":"waiting"}')
    assert acquisition.calls[-1] == ("finish",)


def test_kill_answers_with_nothing(client: httpx.Client, acquisition: FakeAcquisition) -> None:
    response = client.get("/kill")
    assert (response.status_code, response.content) == (200, b"")
    assert acquisition.calls == [("kill",)]
