"""Captures by a real buffer: what the ring goes past meanwhile, and every end of it."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sf_bsread_writer.capture import service
from sf_bsread_writer.capture.service import CaptureService, read_until
from sf_bsread_writer.errors import ExitCode, StateError
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.replay import ClientStatistics
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.buffer.capturing import Asked, BusyError
from sf_bsread_writer.testing.chain import Buffer, Feed, ZmqSource, buffer_of, report_in
from sf_bsread_writer.testing.programs import PROMPTLY_S, running, wait_until
from sf_bsread_writer.zmtp.address import Address

BIG = np.zeros(20_000, np.uint8)


def begin(buffer: Buffer, **wanted: object) -> Any:
    answer = httpx.post(f"{buffer.url}/captures", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()


def over(buffer: Buffer, capture: Any) -> Any:
    """As it stands when it is over."""
    found: Any = None

    def is_over() -> bool:
        nonlocal found
        found = buffer.get(capture["url"])
        return found["state"] not in ("starting", "writing")

    wait_until(is_over, f"{capture['id']} is over")
    return found


def send_big(source: ZmqSource, buffer: Buffer, pulse_ids: Sequence[int]) -> None:
    for pulse_id in pulse_ids:
        source.send(pulse_id, {"BIG": BIG})
    buffer.wait_until_it_holds(newest=pulse_ids[-1])


def buffer_with(source: ZmqSource, root: Path, *arguments: object) -> Any:
    return buffer_of(source.address, "--rest_port", 0, "--capture_root", root, *arguments)


@pytest.mark.system
def test_all_that_the_ring_held_is_in_the_file_however_far_it_goes_on_meanwhile(tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_with(source, tmp_path, "-b", 50, "--memory_limit", "64M") as buffer:
        send_big(source, buffer, range(1, 101))
        refused = httpx.post(f"{buffer.url}/captures", json={"start_pulse_id": 50, "stop_pulse_id": 100, "strict": True})
        assert refused.status_code == 409  # and nothing is held for it
        capture = begin(buffer, start_pulse_id=51, stop_pulse_id=100, strict=True)
        send_big(source, buffer, range(101, 1101))  # twenty times what the ring holds, before a writer can have started
        held = buffer.get("/statistics")["ring"]
        done = over(buffer, capture)
        assert (done["state"], done["outcome"], done["rows"], done["missing_pulses"]) == ("finished", "complete", 50, 0)
        assert (done["complete"], done["shortfall"], done["held"]["messages"]) == (True, None, 50)
        report = report_in(Path(done["file"]))
        assert (report.first_pulse_id, report.last_pulse_id, report.lost_in_buffer, report.trimmed) == (51, 100, 0, 0)
        after = buffer.get("/statistics")["ring"]
    assert held["messages"] > 50
    assert (after["messages"], after["oldest_pulse_id"], after["evicted_by_memory"]) == (50, 1051, 0)
    assert after["memory_used_bytes"] < held["memory_used_bytes"]


@pytest.mark.system
def test_memory_goes_before_a_capture_and_its_report_says_what_is_gone(tmp_path: Path) -> None:
    with ZmqSource() as source, buffer_with(source, tmp_path, "-b", 50, "--memory_limit", "16M") as buffer:
        send_big(source, buffer, range(1, 51))
        capture = begin(buffer, start_pulse_id=1, stop_pulse_id=1050)
        send_big(source, buffer, range(51, 1051))
        done = over(buffer, capture)
    assert (capture["complete"], done["state"], done["outcome"]) == (True, "finished", "incomplete")
    report = report_in(Path(done["file"]))
    assert report.evicted_before_start >= 50
    assert report.rows + report.missing_pulses == 1050
    assert done["reason"] == report.reason
    assert str(report.missing_pulses) in report.reason


@pytest.mark.system
def test_what_is_to_come_is_written_until_the_buffer_ends_which_waits_for_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.h5"
    with ZmqSource() as source, buffer_with(source, tmp_path, "-b", 5, "--allow", "10.0.0.0/8") as buffer:
        feed = Feed(source, buffer)
        feed.send(3)
        capture = begin(buffer, start_pulse_id=2, stop_pulse_id=1000, file="deep/run.h5")
        wait_until(lambda: buffer.get(capture["url"])["state"] == "writing", "the writer writes")
        feed.send(4)
        wait_until(lambda: buffer.get(capture["url"])["rows"] == 6, "it has them")
        wait_until(lambda: buffer.get("/statistics")["ring"]["messages"] == 5, "nothing is held that the writer has read")
        writer_url = buffer.get(capture["url"])["writer_url"]
        assert buffer.program.end() == ExitCode.COMPLETE
        assert f"cancelled, 6 pulses in {path}" in buffer.program.output
        assert "Traceback" not in buffer.program.output
    report = report_in(path)
    assert (report.outcome, report.first_pulse_id, report.last_pulse_id) == ("interrupted", 2, 7)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(writer_url, timeout=PROMPTLY_S)


@pytest.mark.system
def test_a_writer_that_cannot_start_is_told_of_and_the_next_one_may(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, where a folder is wanted")
    with ZmqSource() as source, buffer_with(source, tmp_path) as buffer:
        Feed(source, buffer).send(5)
        failed = over(buffer, begin(buffer, start_pulse_id=1, stop_pulse_id=5, file="taken/run.h5"))
        assert (failed["state"], failed["outcome"], failed["rows"]) == ("failed", None, 0)
        assert "the writer ended with code 4" in failed["reason"]
        assert str(tmp_path / "taken") in failed["reason"]
        (tmp_path / "taken").unlink()
        assert over(buffer, begin(buffer, start_pulse_id=1, stop_pulse_id=5, file="taken/run.h5"))["rows"] == 5


@pytest.mark.system
def test_a_root_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "captures"
    with ZmqSource() as source, buffer_with(source, root, "--memory_limit", "64M") as buffer:
        send_big(source, buffer, range(1, 11))
        root.rmdir()
        refused = httpx.post(f"{buffer.url}/captures", json={"last_s": 1000})
        assert (refused.status_code, refused.json()["detail"]) == (
            409,
            f"the folder {root} of --capture_root is gone; mount it, or make it again",
        )
        assert not root.exists()


@pytest.mark.system
def test_a_folder_that_is_replaced_by_a_link_out_of_the_root_gets_no_file(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ZmqSource() as source, buffer_with(source, root) as buffer:
        Feed(source, buffer).send(5)
        capture = begin(buffer, start_pulse_id=1, stop_pulse_id=50, file="sub/run.h5")
        wait_until(lambda: buffer.get(capture["url"])["rows"] == 5, "it has begun")
        (root / "sub").rename(root / "other")
        (root / "sub").symlink_to(elsewhere)
        ended = httpx.delete(buffer.url + capture["url"], timeout=20).json()
    assert (ended["state"], list(elsewhere.iterdir())) == ("failed", [])
    assert [path.name for path in (root / "other").glob("run.h5*")] != []


@pytest.mark.system
def test_a_folder_that_becomes_a_link_before_the_writer_looks_gets_no_file_either(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with ZmqSource() as source, buffer_with(source, root) as buffer:
        Feed(source, buffer).send(5)
        capture = begin(buffer, start_pulse_id=1, stop_pulse_id=5, file="sub/run.h5")
        (root / "sub").symlink_to(elsewhere)  # a writer takes some tenths of a second to start
        failed = over(buffer, capture)
    assert (failed["state"], list(elsewhere.iterdir())) == ("failed", [])
    assert f"leads to '{elsewhere}/run.h5' by now" in failed["reason"]


@pytest.mark.system
@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--capture_root", "{}"], ExitCode.USAGE, "give --rest_port, too"),
        (["--rest_port", 0, "--token_file", "{}"], ExitCode.USAGE, "give --capture_root, too"),
        (["--rest_port", 0, "--capture_root", "/dev/null/captures"], ExitCode.OUTPUT, "/dev/null"),
        (["--rest_port", 0, "--capture_root", "{}", "--token_file", "{}"], ExitCode.SETUP, "is not a regular file"),
    ],
)
def test_a_buffer_that_could_not_capture_does_not_start(tmp_path: Path, options: list[Any], code: ExitCode, told: str) -> None:
    given = [str(option).format(tmp_path) for option in options]
    with running("buffer", "tcp://127.0.0.1:1", "-o", 0, *given) as program:
        assert program.wait_for_exit() == code
        assert told in program.output
        assert "Traceback" not in program.output


def client(name: str, *, sequence: int, sent_messages: int) -> ClientStatistics:
    return ClientStatistics(
        name=name,
        address="127.0.0.1:1",
        role="PUSH",
        sequence=sequence,
        lag_messages=0,
        lag_s=0.0,
        lost_messages=0,
        sent_messages=sent_messages,
        sent_bytes=0,
        waiting_marks=0,
    )


def test_nothing_is_let_go_before_the_writer_has_been_sent_its_first_message() -> None:
    waiting = client("writer:1", sequence=900, sent_messages=0)  # where all wait that are not told yet where to begin
    reading = client("writer:2", sequence=105, sent_messages=5)
    assert read_until([waiting, reading], "writer:1") is None
    assert read_until([waiting, reading], "writer:2") == 105
    assert read_until([waiting, reading], "writer:3") is None


def test_no_more_captures_run_at_a_time_than_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captures = CaptureService(Relay(BufferConfig(source=Address("127.0.0.1", 1), memory_limit_bytes=16 << 20)), tmp_path)
    monkeypatch.setattr(service, "MOST_AT_ONCE", 0)

    async def ask() -> None:
        with pytest.raises(BusyError, match="0 captures run already, and no more can"):
            await captures.begin(Asked(last_s=1), file=None, strict=False)
        await captures.close()
        with pytest.raises(StateError, match="about to end"):
            await captures.begin(Asked(last_s=1), file=None, strict=False)

    asyncio.run(ask())
