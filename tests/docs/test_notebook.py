"""The notebook, run cell by cell as Jupyter does, in an event loop that runs; what its cells print is what it shows."""

import asyncio
import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sf_bsread_writer.testing.chain import buffer_of, holdings
from sf_bsread_writer.testing.programs import running, wait_until

pytestmark = pytest.mark.system

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
NOTEBOOK = TUTORIALS / "acquire-from-python.ipynb"
LINK = re.compile(r"\]\(([^)\s]+)\)")


def cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def test_cells_print_what_the_notebook_shows(tmp_path: Path) -> None:
    async def run_all(replaced: dict[str, str]) -> None:
        names: dict[str, Any] = {}
        for cell in cells("code"):
            text = "".join(cell["source"])
            for old, new in replaced.items():
                text = text.replace(old, new)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(text, cell["id"], "exec"), names)
            shown = "".join(line for output in cell["outputs"] for line in output["text"])
            assert printed.getvalue() == shown, cell["id"]

    # The source of the first tutorial, ten times as fast.
    tutorial = (TUTORIALS / "first-file.md").read_text(encoding="utf-8")
    simulate = re.search(r"^sf_bsread simulate --port 9999 (.*)$", tutorial, re.MULTILINE)
    assert simulate is not None
    with running("cli/__main__", "simulate", *simulate[1].split(), "--rate", 1000) as source:
        address = source.wait_for_line(r"^(tcp://\S+) ")[1]
        with buffer_of(address, "-b", 60_000) as buffer:
            wait_until(lambda: (holdings(buffer.address).newest_pulse_id or 0) > 1100, "the pulses have been sent")
            asyncio.run(run_all({"tcp://127.0.0.1:8082": buffer.address, "/tmp/": f"{tmp_path}/"}))


def test_notebook_has_only_what_is_the_same_each_time_and_its_links_lead_somewhere() -> None:
    assert [cell["execution_count"] for cell in cells("code") if cell["execution_count"] is not None] == []
    links = [link for cell in cells("markdown") for link in LINK.findall("".join(cell["source"]))]
    assert links
    assert [link for link in links if not (TUTORIALS / link).exists()] == []
