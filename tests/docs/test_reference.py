"""The tables of the reference pages say what the code says."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from litestar import Litestar
from prometheus_client import Metric

from sf_bsread_writer.acquire.report import ChannelReport, Outcome, Report, Statistics
from sf_bsread_writer.errors import MEANING
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.rest.buffer import answers, look_answers
from sf_bsread_writer.rest.buffer.app import build_app as build_buffer_app
from sf_bsread_writer.rest.buffer.capturing import Capture
from sf_bsread_writer.rest.buffer.metrics import metrics_of as buffer_metrics
from sf_bsread_writer.rest.metrics import metrics_of as writer_metrics
from sf_bsread_writer.rest.progress import Progress
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.zmtp import extension, handshake
from sf_bsread_writer.zmtp.address import Address

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def rows_of(text: str) -> list[tuple[str, ...]]:
    """Cells of all table rows, headings and separators left out."""
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line.startswith("|")]
    separators = [number for number, row in enumerate(rows) if re.fullmatch(r":?-+:?", row[0])]
    return [row for number, row in enumerate(rows) if number not in separators and number + 1 not in separators]


def test_exit_codes_are_those_of_the_code() -> None:
    expected = [(str(int(code)), code.name, meaning) for code, meaning in MEANING.items()]
    assert rows_of((REFERENCE / "exit-codes.md").read_text(encoding="utf-8")) == expected


def fields_of(page: str, heading: str) -> list[str]:
    """First cells, without backquotes, of the table under a second-level heading."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [row[0].strip("`") for row in rows_of(section)]


def test_report_fields_are_those_of_the_code() -> None:
    assert fields_of("report.md", "Fields") == list(Report.__struct_fields__)
    assert fields_of("report.md", "Channels") == list(ChannelReport.__struct_fields__)
    assert fields_of("report.md", "Statistics") == list(Statistics.__struct_fields__)
    assert fields_of("report.md", "Outcomes") == list(get_args(Outcome))


def test_properties_and_commands_are_those_of_the_code() -> None:
    source = "".join(Path(module.__file__).read_text(encoding="utf-8") for module in (extension, handshake))
    expected = set(re.findall(r'"(X-[A-Za-z-]+|BSR-[A-Z]+)"', source))
    cells = [row[0] for row in rows_of((REFERENCE / "buffer-writer-protocol.md").read_text(encoding="utf-8"))]
    assert {name for cell in cells for name in re.findall(r"`(X-[A-Za-z-]+|BSR-[A-Z]+)`", cell)} == expected


def test_start_points_are_those_of_the_code() -> None:
    cells = [row[0] for row in rows_of((REFERENCE / "buffer-writer-protocol.md").read_text(encoding="utf-8"))]
    documented = [cell.strip("`").partition(" ")[0] for cell in cells if re.fullmatch(r"`[a-z]+( [NT])?`", cell)]
    assert sorted(documented) == sorted(get_args(extension.StartKind))


def paths_of(app: Litestar) -> set[str]:
    paths = app.openapi_schema.to_schema()["paths"]
    return {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations} | {"GET /openapi.json"}


def headings_of(page: str) -> set[str]:
    return set(re.findall(r"^### (.*)$", (REFERENCE / page).read_text(encoding="utf-8"), re.MULTILINE))


def test_rest_paths_are_those_of_the_code() -> None:
    documented = {heading.replace("/N", "/{pulse_id}") for heading in headings_of("rest.md")}
    assert documented == paths_of(build_app(FakeAcquisition()))


def new_relay() -> Relay:
    return Relay(BufferConfig(source=Address("127.0.0.1", 1), memory_limit_bytes=16 << 20))


def test_rest_paths_of_the_buffer_are_those_of_the_code() -> None:
    assert headings_of("rest-of-the-buffer.md") == paths_of(build_buffer_app(new_relay()))


def test_what_can_be_asked_of_the_buffer_is_what_the_code_takes() -> None:
    text = (REFERENCE / "rest-of-the-buffer.md").read_text(encoding="utf-8")
    for path, operations in build_buffer_app(new_relay()).openapi_schema.to_schema()["paths"].items():
        for method, operation in operations.items():
            heading = f"{method.upper()} {path}"
            rows = rows_of(re.split(r"\n##", text.partition(f"\n### {heading}\n")[2])[0])
            documented = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
            queries = {given["name"]: given["schema"] for given in operation.get("parameters", []) if given["in"] == "query"}
            bodies = operation.get("requestBody", {"content": {}})["content"].values()
            keys = {key for body in bodies for kind in body["schema"]["oneOf"] for key in kind["properties"]}
            assert set(documented) == set(queries) | keys, heading
            for name, schema in queries.items():
                _, default, meaning = documented[name]
                if schema.get("default"):
                    assert default == str(schema["default"]), (heading, name)
                if schema.get("maximum", 1 << 62) < 1 << 62:  # a pulse id may be anything
                    assert meaning.startswith(f"{schema['minimum']:g} to {schema['maximum']:g}"), (heading, name)


def test_fields_of_the_writers_events_are_those_of_the_code() -> None:
    section = (REFERENCE / "rest.md").read_text(encoding="utf-8").partition("### GET /events\n")[2]
    assert tuple(row[0].strip("`") for row in rows_of(section)) == Progress.__struct_fields__


def names_of(metrics: Iterable[Metric]) -> list[str]:
    return [metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics]


def test_metrics_are_those_of_the_code() -> None:
    assert fields_of("metrics.md", "Writer") == names_of(writer_metrics(FakeAcquisition()))
    assert fields_of("metrics.md", "Buffer") == names_of(buffer_metrics(new_relay()))


@pytest.mark.parametrize(
    "answer",
    [
        answers.Status,
        answers.SourceStatistics,
        answers.RingContents,
        answers.ClientCounts,
        answers.ClientAnswer,
        answers.ChannelAnswer,
        answers.Moment,
        look_answers.TrendAnswer,
        look_answers.TraceAnswer,
        look_answers.ImageAnswer,
        look_answers.CompletenessAnswer,
        Capture,
    ],
)
def test_fields_of_the_buffers_answers_are_those_of_the_code(answer: type[msgspec.Struct]) -> None:
    assert tuple(fields_of("rest-of-the-buffer.md", answer.__name__)) == answer.__struct_fields__
