"""Every moment at which a process can be killed: all that it does to some files, and what they are after any part of that."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PAGE_BYTES = 4096
"""A system call that writes can be cut short between pages."""


@dataclass(slots=True)
class Recorder:
    """What was done to the files of one folder, in order, and marks that a test puts in between."""

    folder: Path
    done: list[tuple[str, int, bytes | int]] = field(default_factory=list)
    marks: dict[int, int] = field(default_factory=dict)

    def mark(self, value: int) -> None:
        """Remembers a number that holds from here on."""
        self.marks[len(self.done)] = value

    def moments(self, before: Mapping[str, bytes] | None = None) -> Iterator[tuple[int, dict[str, bytes]]]:
        """After each step, and in the middle of those that write more than a page: the last mark, and the files by name.

        ``before`` are files that were there already.
        """
        files = {name: bytearray(content) for name, content in (before or {}).items()}
        value = 0
        for number, (name, place, what) in enumerate(self.done):
            value = self.marks.get(number, value)
            content = files.setdefault(name, bytearray())
            if isinstance(what, int):
                del content[what:]
                content.extend(bytes(what - len(content)))
            else:
                half = (place + len(what) // 2) // PAGE_BYTES * PAGE_BYTES - place
                if half > 0:
                    _put(content, place, what[:half])
                    yield value, {name: bytes(content) for name, content in files.items()}
                _put(content, place, what)
            yield self.marks.get(number + 1, value), {name: bytes(content) for name, content in files.items()}


@contextmanager
def recorded(folder: Path) -> Iterator[Recorder]:
    """Records what this process does to the files of a folder by `os`."""
    recorder = Recorder(folder)

    def note(descriptor: int, place: int, what: bytes | int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.parent == folder:
            recorder.done.append((path.name, place, what))

    def opening(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor = originals["open"](path, flags, *rest, **named)
        if flags & os.O_CREAT:  # new or emptied, whatever it was
            note(descriptor, 0, 0)
        return int(descriptor)

    def writing(descriptor: int, data: Any, place: int) -> int:
        done = originals["pwrite"](descriptor, data, place)
        note(descriptor, place, bytes(memoryview(data).cast("B")[:done]))
        return int(done)

    def writing_pieces(descriptor: int, pieces: Sequence[bytes], place: int) -> int:
        done = originals["pwritev"](descriptor, pieces, place)
        note(descriptor, place, b"".join(pieces)[:done])
        return int(done)

    def sizing(descriptor: int, size: int) -> None:
        originals["ftruncate"](descriptor, size)
        note(descriptor, 0, size)

    def allocating(descriptor: int, place: int, length: int) -> None:
        originals["posix_fallocate"](descriptor, place, length)
        note(descriptor, 0, os.fstat(descriptor).st_size)

    instead = {"open": opening, "pwrite": writing, "pwritev": writing_pieces, "ftruncate": sizing, "posix_fallocate": allocating}
    originals = {name: getattr(os, name) for name in instead}
    with pytest.MonkeyPatch.context() as patched:
        for name, function in instead.items():
            patched.setattr(os, name, function)
        yield recorder


def _put(content: bytearray, place: int, data: bytes) -> None:
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data
