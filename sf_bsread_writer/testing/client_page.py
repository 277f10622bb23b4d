"""The reference page of the client, made of its docstrings: ``python -m sf_bsread_writer.testing.client_page`` writes it anew."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sf_bsread_writer import client, errors

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "client.md"

CLASSES = (client.Writer, client.Buffer, client.Messages, client.Message)
MADE_BY_OTHERS = (client.Messages, client.Message)
ERRORS = (
    errors.UsageError,
    errors.StateError,
    errors.RequestError,
    errors.DeadlineError,
    errors.PeerError,
    errors.SetupError,
    errors.OutputError,
    errors.MessageError,
)

_HEAD = """# The client

Writer and buffer from Python: `from sf_bsread_writer.client import Buffer, Writer`. Every wait has a limit. All calls block, and
work where an event loop runs already, as in a notebook: [Acquire from Python](../tutorials/acquire-from-python.ipynb) is one.

`Report` and `Statistics` have the fields of [the report's page](report.md#fields).
"""

# What Python writes, of one version or another, and nobody else would.
_FORWARD = re.compile(r"-> '(\w+)'")
_UNION = re.compile(r"Union\[(\w+), (Literal\[[^\]]*\])\]")
_MODULES = re.compile(r"\b[a-z_]+(?:\.[a-z_]+)*\.(?=[A-Z])")


def page() -> str:
    """The whole text."""
    return "\n".join([_HEAD, *(line for class_ in CLASSES for line in _section(class_)), *_errors()])


def _section(class_: type) -> Iterator[str]:
    name = class_.__name__
    signature = "" if class_ in MADE_BY_OTHERS else _signature(class_)
    yield from (f"## {name}\n", *([f"```python\n{name}{signature}\n```\n"] if signature else []), _text(class_))
    for member, value in vars(class_).items():
        if member.startswith("_") or inspect.ismemberdescriptor(value):
            continue
        if isinstance(value, property):
            assert value.fget is not None
            returns = _signature(value.fget).partition(" -> ")[2]
            yield from (f"### {name}.{member}\n", f"```python\n{member}: {returns}\n```\n", _text(value))
        else:
            yield from (
                f"### {name}.{member}\n",
                f"```python\n{member}{_signature(getattr(class_, member))}\n```\n",
                _text(value),
            )


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [parameter for name, parameter in signature.parameters.items() if name != "self"]
    text = _MODULES.sub("", str(signature.replace(parameters=parameters))).removesuffix(" -> None")
    return _FORWARD.sub(r"-> \1", _UNION.sub(r"\1 | \2", text)).replace("'", '"')


def _text(documented: Any) -> str:
    text = inspect.getdoc(documented)
    assert text, documented
    return text.replace("``", "`") + "\n"


def _errors() -> Iterator[str]:
    yield "## Errors\n\nOf `sf_bsread_writer.errors`, all of them a `BsreadWriterError` and the builtin beside it.\n"
    yield "| error | builtin | meaning |\n|---|---|---|"
    for error in ERRORS:
        builtin = next(base for base in error.__bases__ if base is not errors.BsreadWriterError)
        meaning = " ".join(_text(error).split())
        yield f"| `{error.__name__}` | `{builtin.__name__}` | {meaning} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
