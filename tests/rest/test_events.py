"""Server-sent events of the writer and of the buffer."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import msgspec
import pytest

from sf_bsread_writer.acquire.report import Range
from sf_bsread_writer.rest import events
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.events import PACE_S, Pace
from sf_bsread_writer.rest.progress import ProgressEye
from sf_bsread_writer.rest.protocol import TimedProtocol
from sf_bsread_writer.rest.server import Server
from sf_bsread_writer.testing.acquisition import FakeAcquisition, sample_report
from sf_bsread_writer.testing.chain import ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.serving import serving


def events_of(response: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of each, until the stream ends."""
    name = ""
    for line in response.iter_lines():
        key, _, value = line.partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


def test_the_pace_is_that_of_the_last_seconds_and_begins_anew_with_a_smaller_number() -> None:
    pace = Pace()
    assert [pace.of(value, now_s) for now_s, value in [(0, 100), (1, 110), (2, 140)]] == [0, 10, 20]
    assert pace.of(140 + 60, 2 + PACE_S) == pytest.approx(60 / PACE_S)
    assert pace.of(3, 10) == 0


def test_the_stream_says_what_it_is_and_begins_with_the_state() -> None:
    with serving(FakeAcquisition()) as url, httpx.stream("GET", f"{url}/events") as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        name, first = next(events_of(response))
    assert (name, first["state"], first["rows"], first["left_s"], first["outcome"]) == ("status", "waiting", 0, None, None)


def test_what_does_not_change_is_not_told_again_and_a_comment_keeps_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.02)
    with serving(FakeAcquisition()) as url, httpx.stream("GET", f"{url}/events") as response:
        lines = response.iter_lines()
        seen = [next(lines) for _ in range(7)]
    assert [line for line in seen if line][2:] == [": keep-alive", ": keep-alive"]


def test_the_end_of_an_acquisition_brings_its_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_S", 0.01)
    acquisition = FakeAcquisition()
    with serving(acquisition) as url, httpx.stream("GET", f"{url}/events") as response:
        stream = events_of(response)
        next(stream)
        httpx.put(f"{url}/start_pulse_id/100")
        assert next(stream)[1]["state"] == "writing"
        acquisition.last_report = sample_report()
        httpx.get(f"{url}/stop")
        _, last = next(stream)
        name, report = next(stream)
        with httpx.stream("GET", f"{url}/events") as later:
            told = [next(events) for events in [events_of(later)] for _ in range(2)]
    assert (last["state"], last["outcome"]) == ("waiting", "incomplete")
    assert (name, report) == ("report", json.loads(msgspec.json.encode(sample_report(channels=0))))
    assert told == [("status", last), ("report", report)]


def test_an_acquisition_that_began_and_ended_between_two_looks_is_told_too() -> None:
    acquisition = FakeAcquisition()
    eye = ProgressEye(acquisition)
    assert (eye(1.0).outcome, eye.news) == (None, [])
    acquisition.last_report = first = sample_report()
    assert (eye(2.0).outcome, eye(2.5).outcome) == ("incomplete", "incomplete")
    acquisition.last_report = second = sample_report()
    assert eye(3.0).outcome == "incomplete"
    assert eye.news == [("report", msgspec.structs.replace(report, channels=())) for report in (first, second)]


def test_a_report_that_is_told_as_an_event_fits_into_any_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    acquisition = FakeAcquisition()
    ranges = tuple(Range(first=2**62 + 3 * n, last=2**62 + 3 * n + 1) for n in range(1000))
    acquisition.last_report = msgspec.structs.replace(sample_report(channels=10_000), missing=ranges)
    with serving(acquisition) as url, httpx.stream("GET", f"{url}/events") as response:
        stream = events_of(response)
        next(stream)
        _, report = next(stream)
    assert len(json.dumps(report)) < 16_384
    assert (report["channels"], len(report["missing"]), report["missing_truncated"]) == ([], 100, True)
    assert report["missing_pulses"] == sample_report().missing_pulses


def test_an_end_of_the_server_is_told_and_not_delayed() -> None:
    async def run() -> None:
        server = Server(build_app(FakeAcquisition()), port=0)
        await server.start()
        streams = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        for reader, writer in streams:
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"event: status")
        started_s = time.monotonic()
        await server.stop(grace_s=10)
        assert time.monotonic() - started_s < events.LOOK_S
        for reader, writer in streams:
            assert b"event: end\ndata: " in await reader.read()
            writer.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())


def test_only_so_many_may_listen_and_who_has_gone_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LISTENERS", 1)
    monkeypatch.setattr(events, "LOOK_S", 30.0)  # its going is noticed at once, not at the next look
    with serving(FakeAcquisition()) as url:
        with httpx.stream("GET", f"{url}/events") as response:
            listening = events_of(response)
            next(listening)
            refused = httpx.get(f"{url}/events")
            assert refused.status_code == 503
            assert "listen already" in refused.json()["detail"]
        for _ in range(1000):
            with httpx.stream("GET", f"{url}/events") as response:
                if response.status_code == 200:
                    break
        assert response.status_code == 200


def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(TimedProtocol, "reading_timeout_s", 0.2)
    acquisition = FakeAcquisition()
    acquisition.last_report = sample_report(channels=200_000)  # more than sockets hold, as a day of events would be
    with serving(acquisition) as url, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as peer:
        peer.sendall(b"GET /report HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deadline_s = time.monotonic() + 10
        while "cut off a client that did not read its answer" not in caplog.text and time.monotonic() < deadline_s:
            time.sleep(0.01)
        received = 0
        with suppress(ConnectionError):
            while data := peer.recv(1 << 20):
                received += len(data)
    assert received < 10_000_000
    assert "did not read its answer" in caplog.text


@pytest.mark.system
def test_a_real_chain_tells_how_it_goes_until_it_ends() -> None:
    with (
        ZmqSource() as source,
        buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer,
        writer_of(buffer.address, "/dev/null") as writer,
        httpx.stream("GET", f"{writer.url}/events") as written,
        httpx.stream("GET", f"{buffer.url}/events") as held,
    ):
        source.send_range(1, 50)
        writer.put("/start_pulse_id/1")
        told, kept = events_of(written), events_of(held)
        assert next(event for _, event in told if event["rows"] >= 49)["state"] == "writing"
        assert next(event for _, event in kept if event["newest_pulse_id"] == 50)["clients"] == 1
        writer.put("/stop_pulse_id/50")
        *_, (before, report), (name, last) = told
        assert (before, report["outcome"], report["rows"]) == ("report", "complete", 50)
        assert (name, last["outcome"], last["rows"], last["stop_pulse_id"]) == ("end", "complete", 50, 50)
        assert writer.program.wait_for_exit() == 0
        buffer.program.process.terminate()
        assert [name for name, _ in kept][-1] == "end"
