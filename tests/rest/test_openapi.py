"""The OpenAPI document says what the server does."""

from typing import Any

import httpx
import pytest

from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.serving import serving


@pytest.fixture
def document() -> dict[str, Any]:
    with serving(FakeAcquisition()) as root:
        response = httpx.get(f"{root}/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer: dict[str, Any] = response.json()
    return answer


def test_every_path_is_documented_with_its_method(document: dict[str, Any]) -> None:
    assert {path: sorted(item) for path, item in document["paths"].items()} == {
        "/status": ["get"],
        "/parameters": ["post"],
        "/statistics": ["get"],
        "/start_pulse_id/{pulse_id}": ["put"],
        "/stop_pulse_id/{pulse_id}": ["put"],
        "/start_now": ["put"],
        "/stop_now": ["put"],
        "/stop": ["get"],
        "/kill": ["get"],
        "/report": ["get"],
        "/stream": ["get"],
        "/metrics": ["get"],
        "/events": ["get"],
    }


def test_every_operation_says_what_it_does(document: dict[str, Any]) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    assert all(len(operation["description"]) > 20 for operation in operations)


def test_legacy_paths_promise_no_code_but_200_to_whom_they_answer(document: dict[str, Any]) -> None:
    operations = {path: operation for path, item in document["paths"].items() for operation in item.values()}
    codes = {path: sorted(operation["responses"]) for path, operation in operations.items()}
    assert codes.pop("/report") == ["200", "403", "404"]
    reading = ("/status", "/statistics", "/stream", "/metrics")
    assert codes.pop("/events") == ["200", "403", "503"]
    assert codes == {path: ["200", "403"] if path in reading else ["200", "401", "403"] for path in codes}
    wants_token = {path for path, operation in operations.items() if operation.get("security") == [{"token": []}, {}]}
    assert wants_token == codes.keys() - reading


@pytest.mark.parametrize("name", ["start_pulse_id", "stop_pulse_id"])
def test_a_pulse_id_is_an_integer_and_the_answer_empty_or_an_error(document: dict[str, Any], name: str) -> None:
    operation = document["paths"][f"/{name}/{{pulse_id}}"]["put"]
    (parameter,) = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("pulse_id", "path", True)
    assert parameter["schema"] == {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    content = operation["responses"]["200"]["content"]
    assert content["text/plain"]["schema"] == {"type": "string", "maxLength": 0}
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_the_bodies_are_described(document: dict[str, Any]) -> None:
    start = document["paths"]["/start_now"]["put"]["requestBody"]
    assert start["required"] is False
    assert start["content"]["application/json"]["schema"]["properties"] == {"output_file": {"type": ["string", "null"]}}
    parameters = document["paths"]["/parameters"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "general/user" in parameters["required"]
    assert parameters["additionalProperties"] is True


def test_answers_come_from_the_types(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"StatusAnswer", "ParametersAnswer", "StatisticsAnswer", "ErrorAnswer", "Statistics", "Report"} <= set(schemas)
    assert "last_pulse_id" in schemas["Statistics"]["required"]
