"""Inputs that once went wrong: a file each, in a folder for each target. Every run of the tests goes through all of them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).parent.parent / "tests" / "fuzz" / "corpus"


def inputs(folder: Path = CORPUS) -> Iterator[tuple[str, Path]]:
    """Target and file of each."""
    for path in sorted(folder.glob("*/*")):
        yield path.parent.name, path


def keep(target: str, data: bytes, folder: Path = CORPUS) -> Path:
    """Adds one."""
    path = folder / target / hashlib.sha256(data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
