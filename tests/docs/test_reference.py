"""The tables of the reference pages say what the code says."""

import re
from pathlib import Path
from typing import get_args

from sf_bsread_writer.acquire.report import ChannelReport, Outcome, Report, Statistics
from sf_bsread_writer.errors import MEANING
from sf_bsread_writer.rest.app import build_app
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.zmtp import extension, handshake

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


def test_rest_paths_are_those_of_the_code() -> None:
    paths = build_app(FakeAcquisition()).openapi_schema.to_schema()["paths"]
    served = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    documented = re.findall(r"^### (.*)$", (REFERENCE / "rest.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {heading.replace("/N", "/{pulse_id}") for heading in documented} == served | {"GET /openapi.json"}
