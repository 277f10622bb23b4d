"""Tables of text: nothing is wrapped or cut, however narrow the terminal is, since names are there to be copied. Pure."""

from collections.abc import Callable, Sequence


def padded(cells: Sequence[object], justify: Callable[[str, int], str]) -> list[str]:
    """One column, ``str.ljust`` or ``str.rjust``: all texts as wide as the widest."""
    texts = list(map(str, cells))
    width = max(map(len, texts))
    return [justify(text, width) for text in texts]


def table(left: Sequence[Sequence[object]], right: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a table; columns with a heading first, those of words and then those of numbers."""
    columns = [padded(cells, str.ljust) for cells in left] + [padded(cells, str.rjust) for cells in right]
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def shape_text(shape: tuple[int, ...] | None) -> str:
    """``1024×1280`` in NumPy order, slowest first; nothing if it is not known."""
    return "" if shape is None else "×".join(map(str, shape)) or "scalar"


def printable(name: str) -> str:
    """A text from the stream that cannot move the cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
