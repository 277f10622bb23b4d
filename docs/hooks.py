"""What makes a site of pages that are written for the repository's own web view.

- The navigation is the list that ``docs/README.md`` is.
- The notebook becomes a Markdown page: a plugin that does it brings Jupyter's 250 MB.
- A file outside ``docs`` that a page links to, such as the changelog or a systemd unit, becomes a page below ``repository/``.
- What belongs to an item of a list is indented by four spaces, without which Python-Markdown ends the list.
- A state diagram becomes a table: what draws Mermaid diagrams would be loaded from another host.
"""

import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"^ *```.*?^ *```$|`[^`\n]*`|(\]\()([^)\s#:]+)(?=[#)])", re.MULTILINE | re.DOTALL)
"""Code, in which nothing is a link, or the target of a relative link, without its anchor."""
DIAGRAM = re.compile(r"^```mermaid\nstateDiagram-v2\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"(\S+) --> (\S+?)(?:: ([^/\n]*)(?:/ (.*))?)?$", re.MULTILINE)

MARKER = re.compile(r"- |\d+\. +")
INDENT = "    "
ENTRY = re.compile(r"^## (.*)$|^(?:- |\| )\[.*?\]\((\S+?)\)", re.MULTILINE)
"""In a list of pages: a section, or the target of an entry."""

_sources: dict[str, str] = {}
"""By page of the site: the file of the repository that it is made of."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Sets the navigation."""
    config.nav = ["README.md", *pages_in("docs/README.md")]
    return config


def pages_in(index: str) -> list[Any]:
    """The page of each entry, below its section; an entry that is itself a list has its own entries below."""
    entries: list[Any] = []
    below = entries
    for section, link in ENTRY.findall((ROOT / index).read_text(encoding="utf-8")):
        target = target_of(index, link)
        if section:
            below = []
            entries.append({section: below})
        elif target.endswith("/README.md"):
            title = (ROOT / target).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            below.append({title: [site_uri(target), *pages_in(target)]})
        else:
            below.append(site_uri(target))
    return entries


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made of something else than Markdown in ``docs``."""
    _sources.clear()
    for file in list(files):
        if file.src_uri.endswith(".ipynb"):
            notebook = json.loads(file.content_string)
            files.append(File.generated(config, site_uri(f"docs/{file.src_uri}"), content=page_of_notebook(notebook)))
    to_read = [file for file in files if file.src_uri.endswith(".md")]
    for file in to_read:
        source = _sources.setdefault(file.src_uri, f"docs/{file.src_uri}")
        for link in filter(None, (match[2] for match in LINK.finditer(file.content_string))):
            target = target_of(source, link)
            uri = site_uri(target)
            if not target.startswith("docs/") and uri not in files.src_uris:
                added = File.generated(config, uri, content=page_of_file(target))
                files.append(added)
                _sources[uri] = target
                to_read.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to where their targets are in the site."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        if not match[2]:
            return match[0]
        return match[1] + posixpath.relpath(site_uri(target_of(_sources[here], match[2])), posixpath.dirname(here) or ".")

    return DIAGRAM.sub(lambda match: table_of(match[1]), indented(LINK.sub(led, markdown)))


def indented(markdown: str) -> str:
    """Lists as Python-Markdown reads them: elsewhere, what belongs to an item is indented by the width of its marker."""
    lines = []
    widths: list[int] = []  # of the markers of the items that a line may belong to
    in_code = False
    for line in markdown.splitlines():
        rest, depth = line, 0
        while depth < len(widths) and rest.startswith(" " * widths[depth]):
            rest = rest[widths[depth] :]
            depth += 1
        if rest and not in_code:
            del widths[depth:]
            if marker := MARKER.match(rest):
                widths.append(marker.end())
        if rest.startswith("```"):
            in_code = not in_code
        lines.append(INDENT * depth + rest if rest else "")
    return "\n".join(lines) + "\n"


def target_of(source: str, link: str) -> str:
    """The file of the repository, from its root, that a link in another one leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def site_uri(path: str) -> str:
    """Where a file of the repository is in the site."""
    folder, _, below = path.partition("/")
    if folder == "docs":
        return re.sub(r"\.ipynb$", ".md", below)
    return f"repository/{path.removesuffix('.md')}.md"


def page_of_file(path: str) -> str:
    """A page that is a file of the repository, or shows it."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return text
    language = {".json": "json", ".yml": "yaml", ".service": "ini", ".env": "ini"}.get(os.path.splitext(path)[1], "")
    return f"# {path}\n\n```{language}\n{text}```\n"


def page_of_notebook(notebook: dict[str, list[dict[str, Any]]]) -> str:
    """A page with the cells of a notebook, and what they have printed."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        printed = "".join(line for output in cell["outputs"] for line in output["text"])
        if printed:
            parts.append(f"```\n{printed.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def table_of(diagram: str) -> str:
    """The arrows of a state diagram, as rows."""
    arrows = [[part.strip() or "—" for part in arrow] for arrow in ARROW.findall(diagram) if "[*]" not in arrow]
    rows = [f"| {' | '.join(arrow)} |\n" for arrow in arrows]
    return "| state | next state | event | what the writer does |\n|---|---|---|---|\n" + "".join(rows)
