"""The diagram of the writer's states is the one that the table makes."""

from pathlib import Path

from sf_bsread_writer.acquire.state import diagram

PAGE = Path(__file__).parents[2] / "docs" / "explanations" / "state-machine.md"


def test_diagram_is_made_from_the_table() -> None:
    in_page = PAGE.read_text(encoding="utf-8").partition("```mermaid\n")[2].partition("```")[0]
    assert in_page == diagram(), "replace the diagram by what sf_bsread_writer.acquire.state.diagram() returns"
