"""What a real buffer answers to who wants a capture, and to who must not have one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sf_bsread_writer.testing.beam import assert_holds
from sf_bsread_writer.testing.chain import Buffer, Feed, ZmqSource, buffer_of
from sf_bsread_writer.testing.programs import wait_until

pytestmark = pytest.mark.system

TOKEN = "0123456789abcdef-secret"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def buffer(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buffer]:
    """Holds pulses 11 to 60 of 60, and wants a token."""
    token_file = tmp_path_factory.mktemp("secret") / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o600)
    options = ("--rest_port", 0, "-b", 50, "--memory_limit", "64M", "--capture_root", root, "--token_file", token_file)
    with ZmqSource() as source, buffer_of(source.address, *options) as made:
        Feed(source, made).send(60)
        yield made


@pytest.fixture
def client(buffer: Buffer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=buffer.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20) as opened:
        yield opened


def over(client: httpx.Client, url: str) -> Any:
    wait_until(lambda: client.get(url).json()["state"] not in ("starting", "writing"), f"{url} is over")
    return client.get(url).json()


def test_several_at_a_time_each_say_what_they_have_and_what_is_gone(client: httpx.Client, root: Path) -> None:
    begun = [
        client.post("/captures", json={"last_s": 1000}),
        client.post("/captures", json={"start_pulse_id": 20, "stop_pulse_id": 29, "file": "some.h5", "strict": True}),
        client.post("/captures", json={"start_pulse_id": 5, "stop_pulse_id": 15, "file": str(root / "sub" / "short.h5")}),
    ]
    assert [answer.status_code for answer in begun] == [201] * 3
    told = [answer.json() for answer in begun]
    assert [answer.headers["location"] for answer in begun] == [capture["url"] for capture in told]
    assert {capture["state"] for capture in told} == {"starting"}
    listed = client.get("/captures").json()
    assert (listed["root"], [capture["id"] for capture in listed["captures"]]) == (
        str(root),
        [capture["id"] for capture in reversed(told)],
    )
    for capture in told:
        assert capture["held"] == {"oldest_pulse_id": 11, "newest_pulse_id": 60, "messages": 50}
    whole, some, short = (over(client, capture["url"]) for capture in told)
    assert whole["asked"] == {"last_s": 1000.0, "start_pulse_id": None, "stop_pulse_id": None}
    assert (whole["start_pulse_id"], whole["stop_pulse_id"], whole["complete"]) == (11, 60, False)
    assert whole["shortfall"].startswith("asked for the last 1000 s; the ring holds ")
    assert whole["shortfall"].endswith(" s (pulses 11..60)")
    assert Path(whole["file"]).parent == root
    assert Path(whole["file"]).name.endswith("Z_11-60.h5")
    assert_holds(Path(whole["file"]), range(11, 61))
    assert (some["file"], some["complete"], some["shortfall"], some["outcome"]) == (str(root / "some.h5"), True, None, "complete")
    assert_holds(Path(some["file"]), range(20, 30))
    assert (short["state"], short["outcome"], short["rows"], short["missing_pulses"]) == ("finished", "incomplete", 5, 6)
    assert short["shortfall"] == "asked for pulses 5..15; the ring holds pulses 11..60"
    assert_holds(root / "sub" / "short.h5", range(11, 16))


def test_one_file_is_written_by_one_capture_at_a_time_and_an_earlier_one_moved_aside(client: httpx.Client, root: Path) -> None:
    wanted = {"start_pulse_id": 58, "stop_pulse_id": 70, "file": "live.h5"}
    url = client.post("/captures", json=wanted).json()["url"]
    again = client.post("/captures", json={**wanted, "file": "sub/../live.h5"})
    assert again.status_code == 409
    assert f"{root}/live.h5 is being written by another capture" in again.json()["detail"]
    hasty = client.post("/captures", json={**wanted, "file": "hasty.h5"}).json()
    unborn = client.delete(hasty["url"]).json()  # its writer has not even started
    assert (unborn["state"], unborn["outcome"], unborn["reason"]) == (
        "cancelled",
        None,
        "it was told to end before it began; there is no file",
    )
    assert not list(root.glob("hasty*"))
    wait_until(lambda: client.get(url).json()["rows"] == 3, "what is there is written")
    ended = client.delete(url)
    assert (ended.status_code, ended.json()["state"], ended.json()["outcome"]) == (200, "cancelled", "interrupted")
    assert_holds(root / "live.h5", range(58, 61))
    assert client.delete(url).json() == ended.json()
    assert over(client, client.post("/captures", json={**wanted, "stop_pulse_id": 60}).json()["url"])["state"] == "finished"
    assert_holds(root / "live.h5.1", range(58, 61))
    assert client.get(url).json()["file"] == f"{root}/live.h5.1"


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        ({"last_s": 1000, "strict": True}, 409, "asked for the last 1000 s; the ring holds"),
        ({"last_s": 1e-6}, 409, "nothing has arrived since"),
        ({"start_pulse_id": 1, "stop_pulse_id": 10}, 409, "the ring holds pulses 11..60: none of them can be had"),
        ({"start_pulse_id": 5, "stop_pulse_id": 15, "strict": True}, 409, "asked for pulses 5..15; the ring holds pulses 11..60"),
        ({}, 400, "either last_s or start_pulse_id and stop_pulse_id"),
        ({"last_s": 1, "start_pulse_id": 5}, 400, "either last_s or start_pulse_id"),
        ({"last_s": 0}, 400, "last_s must be a number of seconds above 0, at most 1000000, got 0"),
        ({"last_s": True}, 400, "last_s must be a number"),
        ({"last_s": "30s"}, 400, "got '30s'"),
        ({"start_pulse_id": 5}, 400, "stop_pulse_id must be an integer from 0 to 9223372036854775807, got none"),
        ({"start_pulse_id": 5, "stop_pulse_id": 1 << 63}, 400, "got 9223372036854775808"),
        ({"start_pulse_id": 15.5, "stop_pulse_id": 20}, 400, "start_pulse_id must be an integer"),
        ({"start_pulse_id": 20, "stop_pulse_id": 15}, 409, "stop_pulse_id 15 is before start_pulse_id 20"),
        ({"last_s": 1000, "strict": "yes"}, 400, "strict must be true or false, got 'yes'"),
        ({"last_s": 1000, "tail": 3}, 400, "['tail'] has no meaning here"),
        ({"last_s": 1000, "file": ""}, 400, "file must be a name"),
        ({"last_s": 1000, "file": 3}, 400, "file must be a name"),
        ({"last_s": 1000, "file": "../x.h5"}, 400, "is not below"),
        ({"last_s": 1000, "file": "/etc/x.h5"}, 400, "another --capture_root"),
        ({"last_s": 1000, "file": "out/x.h5"}, 400, "is not below"),
        ({"last_s": 1000, "file": "/dev/null"}, 400, "no file to keep"),
        ({"last_s": 1000, "file": "."}, 400, "not the name of a file"),
        ({"last_s": 1000, "file": "a\0b"}, 400, "not the name of a file"),
        ([30], 400, "must be a JSON object"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    client: httpx.Client, root: Path, body: object, code: int, detail: str
) -> None:
    link = root / "out"
    if not link.exists():
        link.symlink_to("/tmp")
    before = client.get("/captures").json()
    answer = client.post("/captures", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (code, "application/json")
    assert detail in answer.json()["detail"]
    assert client.get("/captures").json() == before


def test_a_body_is_read_whatever_it_is_called(client: httpx.Client) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/captures", content=b'{"last_s": 0}', headers=form).json()["detail"].startswith("last_s must be")
    assert "is not JSON" in client.post("/captures", content=b"last 30 s").json()["detail"]


def test_nobody_begins_or_ends_one_without_the_token_or_from_another_site(buffer: Buffer, client: httpx.Client) -> None:
    url = client.post("/captures", json={"start_pulse_id": 60, "stop_pulse_id": 60}).json()["url"]
    before = over(client, url)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        refused = httpx.post(f"{buffer.url}/captures", json={"last_s": 1000}, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "this program wants its token" in refused.json()["status"]
        assert httpx.delete(buffer.url + url, headers=headers).status_code == 401
    assert client.post("/captures", json={"last_s": 1000}, headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(buffer.url + url).json() == before


def test_the_document_says_what_wants_the_token(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    wanting = {(path, method) for path, item in paths.items() for method, operation in item.items() if operation.get("security")}
    assert wanting == {("/captures", "post"), ("/captures/{capture_id}", "delete")}


def test_an_unknown_one_is_not_found(client: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        answer = client.request(method, "/captures/20000101T000000-1")
        assert (answer.status_code, "GET /captures has the last" in answer.json()["detail"]) == (404, True)


def test_a_buffer_with_as_many_clients_as_may_be_has_no_room_for_a_writer_and_without_a_root_there_is_none(
    tmp_path: Path,
) -> None:
    import zmq

    with (
        ZmqSource() as source,
        buffer_of(source.address, "--rest_port", 0, "--capture_root", tmp_path, "--max_clients", 1) as full,
        buffer_of(source.address, "--rest_port", 0) as off,
    ):
        refused = httpx.post(f"{off.url}/captures", json={"last_s": 30})
        assert (refused.status_code, "--capture_root" in refused.json()["detail"]) == (403, True)
        assert httpx.get(f"{off.url}/captures").json() == {"root": None, "captures": []}
        assert httpx.delete(f"{off.url}/captures/1").status_code == 404
        with zmq.Context() as context, context.socket(zmq.PULL) as reader:
            reader.connect(full.address)
            wait_until(lambda: len(full.get("/clients")) == 1, "somebody reads")
            busy = httpx.post(f"{full.url}/captures", json={"last_s": 30})
    assert (busy.status_code, "1 clients are connected already" in busy.json()["detail"]) == (429, True)
