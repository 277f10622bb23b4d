"""Whatever stands in a code block of a page can be read by who it is for: shells, Python, JSON, systemd, and our own programs."""

import ast
import configparser
import json
import re
import shlex
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sf_bsread_writer import buffer, cli, writer
from sf_bsread_writer.errors import UsageError

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SEPARATORS = {"&&", "||", "|", ";", "&", ">", ">>", "(", ")"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    place: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCED.finditer(text):
            place = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            yield Block(place=place, language=match[2], text=textwrap.dedent(match[3]))


BLOCKS = list(blocks())


def lines_for_a_shell(block: Block) -> str:
    """All of it, or what stands behind the prompts of a dialogue."""
    if block.language != "console":
        return block.text
    return "".join(f"{line}\n" for line in re.findall(r"^\$ (.*)$", block.text, re.MULTILINE))


def read_by_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=lines_for_a_shell(block), capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def read_by_python(block: Block) -> None:
    # The page of the client has signatures: what stands between "def" and a body.
    is_signature = "reference/client.md" in block.place and "(" in block.text
    ast.parse(f"def {block.text.strip()}: ..." if is_signature else block.text)


def read_as_settings(block: Block) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(block.text)
    assert parser.sections() != []


READERS: dict[str, Callable[[Block], object]] = {
    "sh": read_by_shell,
    "console": read_by_shell,
    "python": read_by_python,
    "json": lambda block: json.loads(block.text),
    "ini": read_as_settings,
}
NOT_READ = {"", "text", "matlab", "mermaid"}
"""Output of programs, what nobody here can run, and a diagram that is compared with the code."""


def test_every_kind_of_block_has_a_reader() -> None:
    assert {block.language for block in BLOCKS} <= set(READERS) | NOT_READ


@pytest.mark.parametrize("language", READERS)
def test_blocks_can_be_read(language: str) -> None:
    wrong = []
    for block in BLOCKS:
        if block.language == language:
            try:
                READERS[language](block)
            except (AssertionError, SyntaxError, ValueError, configparser.Error) as error:
                wrong.append(f"{block.place}: {error}")
    assert wrong == []


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a piece of shell, as lists of words; only as far as ours are concerned."""
    for line in text.splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word in SEPARATORS:
                if command:
                    yield command
                command = []
            elif command or "=" not in word:
                command.append(word)


OURS = re.compile(r"\s*(?:\S*/)?sf_bsread\w* (?! )")
"""A line that begins with one of our programs and goes on as a command line does, not as a column of a picture."""


def of_ours() -> list[tuple[str, list[str]]]:
    """Place and words of each command line of one of our programs."""
    found = []
    for block in BLOCKS:
        lines = filter(OURS.match, lines_for_a_shell(block).replace("\\\n", " ").splitlines())
        for command in commands("\n".join(lines)):
            name = Path(command[0]).name
            if name in TAKEN_BY:
                found.append((block.place, [name, *command[1:]]))
    return found


TAKEN_BY: dict[str, Callable[[list[str]], object]] = {
    "sf_bsread_buffer": lambda words: buffer.config_from(buffer.parser().parse_args(words)),
    "sf_bsread_writer": writer.parse_config,
    "sf_bsread": lambda words: cli.parser().parse_args(words),
}


def test_our_programs_take_every_command_line_of_the_pages(capsys: pytest.CaptureFixture[str]) -> None:
    found = of_ours()
    assert {words[0] for _, words in found} == set(TAKEN_BY)
    refused = []
    for place, (name, *words) in found:
        try:
            TAKEN_BY[name](words)
        except (SystemExit, UsageError) as error:
            said = capsys.readouterr().err.splitlines() or [str(error)]
            refused.append(f"{place}: {name} {shlex.join(words)}: {said[-1]}")
    assert refused == []


def test_targets_of_make_and_files_of_the_repository_are_there() -> None:
    shell = [block for block in BLOCKS if block.language in ("sh", "console")]
    targets = set(re.findall(r"^([\w%-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for block in shell for name in re.findall(r"^make (?:\w+=\S+ )*([\w-]+)", block.text, re.MULTILINE)}
    assert named
    assert {name for name in named if {name, re.sub(r"-.*", "-%", name)}.isdisjoint(targets)} == set()
    files = {path for block in shell for path in re.findall(r"\bdeploy/[\w./@-]*\w", block.text)}
    assert files
    assert {path for path in files if not (ROOT / path).exists()} == set()


def test_what_is_wrong_is_found() -> None:
    def block(language: str, text: str) -> Block:
        return Block(place="page.md:1", language=language, text=text)

    wrong = {"sh": "if true\n", "console": "$ echo 'a\nb\n", "python": "print(\n", "json": "{…}", "ini": "a=b\n"}
    for language, text in wrong.items():
        with pytest.raises((AssertionError, SyntaxError, ValueError, configparser.Error)):
            READERS[language](block(language, text))
    line = "A=1 sf_bsread check a.h5 --json > 'b c' && echo done | .venv/bin/sf_bsread top tcp://a:1 &  # and so on"
    assert list(commands(line)) == [
        ["sf_bsread", "check", "a.h5", "--json"],
        ["b c"],
        ["echo", "done"],
        [".venv/bin/sf_bsread", "top", "tcp://a:1"],
    ]
    with pytest.raises(SystemExit):
        TAKEN_BY["sf_bsread_buffer"](["--no_such_option", "tcp://a:1"])
