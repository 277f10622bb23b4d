"""What a real buffer shows of values by HTTP."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from sf_bsread_writer.testing.chain import Buffer, ZmqSource, buffer_of
from sf_bsread_writer.testing.messages import time_of

pytestmark = pytest.mark.system

PULSES = [*range(1, 31), *range(36, 41)]
IMAGE = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.fixture(scope="module")
def buffer() -> Iterator[Buffer]:
    """Holds 35 pulses of 40, with a scalar, a bool, a text, a waveform and an image."""
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "-b", 100, "--memory_limit", "64M") as made:
        for i in PULSES:
            values = {"A": float(i), "EVEN": i % 2 == 0, "N": np.nan, "T": "text", "W": np.arange(6) * i, "V": IMAGE + i}
            source.send(i, values)
        made.wait_until_it_holds(newest=PULSES[-1])
        yield made


def get(buffer: Buffer, path: str, **parameters: object) -> Any:
    answer = httpx.get(f"{buffer.url}{path}", params={key: str(value) for key, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(buffer: Buffer, path: str, **parameters: object) -> tuple[int, str]:
    answer = httpx.get(f"{buffer.url}{path}", params={key: str(value) for key, value in parameters.items()})
    body = answer.json()
    assert body.keys() == {"status_code", "detail"}
    assert body["status_code"] == answer.status_code
    return answer.status_code, body["detail"]


def test_a_trend(buffer: Buffer) -> None:
    assert get(buffer, "/trend", channel="A") == {
        "channel": "A",
        "type": "float64",
        "messages": 35,
        "present_messages": 35,
        "first_pulse_id": 1,
        "last_pulse_id": 40,
        "thinned": False,
        "pulse_ids": PULSES,
        "values": list(map(float, PULSES)),
    }
    assert get(buffer, "/trend", channel="EVEN", after=38)["values"] == [False, True]
    assert get(buffer, "/trend", channel="N", after=38)["values"] == [None, None]
    assert get(buffer, "/trend", channel="A", points=4)["pulse_ids"] == [1, 18, 19, 40]


def test_a_trace(buffer: Buffer) -> None:
    assert get(buffer, "/trace", channel="W", pulse_id=7, points=2) == {
        "channel": "W",
        "type": "int64",
        "shape": [6],
        "pulse_id": 7,
        "global_timestamp_ns": time_of(7),
        "elements": 6,
        "thinned": True,
        "indices": [0, 5],
        "values": [0, 35],
        "low": 0.0,
        "high": 35.0,
        "mean": 17.5,
    }
    assert get(buffer, "/trace", channel="W")["pulse_id"] == 40


def test_an_image(buffer: Buffer) -> None:
    answer = get(buffer, "/image", channel="V", pixels=2)
    pixels = np.frombuffer(base64.b64decode(answer.pop("pixels")), "<f4").reshape(2, 2)
    assert pixels.tolist() == [[42.5, 44.5], [48.5, 50.5]]
    histogram = answer.pop("histogram")
    assert (histogram["low"], histogram["high"], len(histogram["counts"]), sum(histogram["counts"])) == (40.0, 51.0, 256, 12)
    assert answer == {
        "channel": "V",
        "type": "uint16",
        "shape": [3, 4],
        "pulse_id": 40,
        "global_timestamp_ns": time_of(40),
        "plane": "",
        "height": 3,
        "width": 4,
        "step": 2,
        "low": 40.0,
        "high": 51.0,
        "mean": 45.5,
        "percentile_1": 40.0,
        "percentile_99": 51.0,
    }


def test_completeness(buffer: Buffer) -> None:
    answer = get(buffer, "/completeness", parts=4, search="a")
    assert base64.b64decode(answer.pop("stream")) == base64.b64decode(answer.pop("states")) == bytes([1, 1, 1, 4])
    assert answer == {
        "first_pulse_id": 1,
        "last_pulse_id": 40,
        "step": 1,
        "parts": 4,
        "pulses_per_part": 10,
        "messages": 35,
        "undecodable": 0,
        "gap_pulses": 5,
        "matching_channels": 1,
        "complete_channels": 1,
        "channels": [{"name": "A", "due": 35, "missing": 0}],
    }
    last = get(buffer, "/completeness", pulses=3, rows=2)
    assert (last["first_pulse_id"], last["messages"], last["matching_channels"], len(last["channels"])) == (38, 3, 6, 2)


def test_what_cannot_be_shown_is_refused_with_what_was_wrong(buffer: Buffer) -> None:
    assert refusal(buffer, "/trend", channel="V") == (
        422,
        "channel 'V' is an image of shape [3, 4], not a scalar; GET /image shows it",
    )
    assert refusal(buffer, "/image", channel="T") == (
        422,
        "channel 'T' is a text, not an image; GET /channels has its last value",
    )
    assert refusal(buffer, "/trace", channel="W", pulse_id=33) == (404, "pulse 33 is not in the ring, which holds 1 to 40")
    code, detail = refusal(buffer, "/trend", channel="GONE")
    assert code == 404
    assert "'GONE'" in detail
    for path, parameters, name in (
        ("/trend", {}, "channel"),
        ("/trend", {"channel": "A", "points": 0}, "points"),
        ("/trend", {"channel": "A", "after": -1}, "after"),
        ("/trace", {"channel": "W", "pulse_id": 2**63}, "pulse_id"),
        ("/trace", {"channel": "W", "pulse_id": "now"}, "pulse_id"),
        ("/image", {"channel": "V", "pixels": 1025}, "pixels"),
        ("/completeness", {"parts": "many"}, "parts"),
    ):
        code, detail = refusal(buffer, path, **parameters)
        assert code == 400
        assert name in detail


def test_an_empty_ring_says_so() -> None:
    with ZmqSource() as source, buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer:
        for path in ("/trend", "/trace", "/image", "/completeness"):
            code, detail = refusal(buffer, path, channel="A")
            assert (code, detail.partition(":")[0]) == (404, "the ring is empty")


def test_the_document_has_types_limits_and_descriptions(buffer: Buffer) -> None:
    paths = buffer.get("/openapi.json")["paths"]
    for path in ("/trend", "/trace", "/image", "/completeness"):
        operation = paths[path]["get"]
        assert {"200", "400", "403", "404", "422"} == operation["responses"].keys()
        for parameter in operation["parameters"]:
            assert parameter["description"]
            schema = parameter["schema"]
            assert (schema["type"] == "integer") == ({"minimum", "maximum"} <= schema.keys())
            assert schema["type"] in ("integer", "string")
