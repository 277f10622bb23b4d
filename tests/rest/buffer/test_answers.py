"""What a real buffer says of itself by HTTP, with libzmq on both sides of it."""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
import zmq

from sf_bsread_writer.errors import ExitCode
from sf_bsread_writer.testing.chain import Buffer, ZmqSource, buffer_of
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def source() -> Iterator[ZmqSource]:
    with ZmqSource() as made:
        yield made


@pytest.fixture(scope="module")
def buffer(source: ZmqSource) -> Iterator[Buffer]:
    """Holds pulses 11 to 60 of 60."""
    with buffer_of(source.address, "--rest_port", 0, "-b", 50, "--memory_limit", "64M") as made:
        source.send_range(1, 60)
        made.wait_until_it_holds(newest=60)
        yield made


def test_status_says_what_is_held_and_how_old_it_is(source: ZmqSource, buffer: Buffer) -> None:
    status = buffer.get("/status")
    expected = {"state": "connected", "source": source.address, "messages": 50, "oldest_pulse_id": 11, "newest_pulse_id": 60}
    assert {key: status[key] for key in expected} == expected
    assert status["rate_hz"] > 0
    assert 0 < status["newest_age_s"] <= status["oldest_age_s"] < status["seconds"]


def test_statistics_count_what_came_and_what_is_there(buffer: Buffer) -> None:
    statistics = buffer.get("/statistics")
    source, ring, clients = (statistics[part] for part in ("source", "ring", "clients"))
    assert (source["received_messages"], source["connections"], source["dropped"]) == (60, 1, {})
    assert source["received_bytes"] >= ring["message_bytes"] > 50 * 100
    assert (ring["messages"], ring["max_messages"], ring["memory_limit_bytes"]) == (50, 50, 64 << 20)
    assert 0 < ring["memory_used_bytes"] <= ring["memory_allocated_bytes"] <= ring["memory_limit_bytes"]
    assert clients["accepted"] >= 1  # the test has asked what is held
    assert clients["lost_messages"] == 0


def test_channels_have_their_last_value_and_what_is_missing(buffer: Buffer) -> None:
    answer = buffer.get("/channels")
    (channel,) = answer.pop("channels")
    assert answer == {"messages": 50, "undecodable": 0, "first_pulse_id": 11, "last_pulse_id": 60}
    assert channel.pop("rate_hz") > 0
    assert channel == {
        "name": "A",
        "type": "float64",
        "shape": [],
        "byte_order": "little",
        "compression": "none",
        "modulo": 1,
        "offset": 0,
        "missing_percent": 0.0,
        "last_pulse_id": 60,
        "last_value": 60.0,
    }


def test_a_client_has_its_address_cursor_and_lag(buffer: Buffer) -> None:
    with zmq.Context() as context, context.socket(zmq.PULL) as reader:
        reader.connect(buffer.address)
        for _ in range(50):
            assert reader.poll(10_000)
            reader.recv_multipart()
        wait_until(lambda: [client["sequence"] for client in buffer.get("/clients")] == [60], "everything is sent")
        (client,) = buffer.get("/clients")
    assert client["name"] == client["address"]
    assert client["address"].startswith("tcp://127.0.0.1:")
    assert (client["role"], client["sent_messages"], client["lost_messages"]) == ("PUSH", 50, 0)
    assert (client["lag_messages"], client["lag_s"]) == (0, 0)
    assert client["sent_bytes"] > 0
    wait_until(lambda: buffer.get("/clients") == [], "it is gone")


def test_who_comes_under_another_name_is_refused(buffer: Buffer) -> None:
    refused = httpx.get(f"{buffer.url}/status", headers={"Host": "evil.example"})
    assert refused.status_code == 403
    assert refused.json()["state"] == "error"
    assert httpx.post(f"{buffer.url}/status").status_code == 405
    assert httpx.get(f"{buffer.url}/nothing").status_code == 404


def test_without_the_option_nothing_of_it_is_loaded() -> None:
    look = "import sys, sf_bsread_writer.buffer; print({'litestar', 'uvicorn', 'prometheus_client'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_port_in_use_ends_it_before_it_begins(buffer: Buffer) -> None:
    with running("buffer", "-o", 0, "--rest_port", buffer.url.rpartition(":")[2], "tcp://127.0.0.1:1") as second:
        assert second.wait_for_exit() == ExitCode.SETUP
        assert "is already in use" in second.output
        assert "Traceback" not in second.output
