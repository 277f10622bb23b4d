"""Every relative link of every Markdown file leads to a file that exists, and to an anchor that exists in it."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])

FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]\n]*\]\(<?([^)\s>]+)>?\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
ABSOLUTE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def links_of(text: str) -> list[str]:
    """Targets of the links outside code."""
    return LINK.findall(CODE.sub("", FENCE.sub("", text)))


def anchors_of(text: str) -> set[str]:
    """Anchors as GitHub derives them from headings: lower case, no punctuation, hyphens for spaces, -1, -2 for repeats."""
    seen: Counter[str] = Counter()
    anchors = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in links_of(page.read_text(encoding="utf-8")):
        if ABSOLUTE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif not target.is_relative_to(ROOT):
            broken.append(f"{link}: outside the repository")
        elif anchor and (target.suffix != ".md" or anchor not in anchors_of(target.read_text(encoding="utf-8"))):
            broken.append(f"{link}: no such heading")
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_every_page_of_the_docs_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in links_of(page.read_text(encoding="utf-8"))
        if not ABSOLUTE.match(link) and not link.startswith("#")
    }
    assert sorted(str(page.relative_to(ROOT)) for page in PAGES if page.parent != ROOT and page not in linked) == []


def test_broken_links_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(broken_links.__globals__, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n## Twice\n## Twice\n[1](gone.md) [2](#a-b-c) [3](#d) [4](#twice-1) [5](../../etc)\n"
        "`[6](no.md)`\n```\n[7](no.md)\n```\n"
    )
    assert [line.partition(":")[0] for line in broken_links(page)] == ["gone.md", "#d", "../../etc"]
