"""What an earlier buffer left in the folder of a store: taken over, refused, or set aside; never taken on trust.

Refused is what is somebody else's: another version, another stream, files of another kind. Set aside is what is damaged, all of
it, since nobody can say what else is wrong. Cut off is what a killed process had begun to write, which can only be the end.
A ring from before the machine was started counts as damaged: a disk may have kept any part of it.
"""

import logging
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.ring.blocks import Block, decode_blocks
from sf_bsread_writer.ring.mapping import FileMemory, allow_files, free_bytes, map_file

logger = logging.getLogger(__name__)

FORMAT = "sf_bsread_buffer store"
VERSION = 1

HEADER = "store.json"
SEGMENTS = "segment-"
BYTES, INDEX = ".bytes", ".index"
SET_ASIDE = "set-aside"

_LARGEST_HEADER_BYTES = 1 << 16
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of any version has."""

    format: str
    version: int


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """Whose ring it is. ``seed`` begins all check values, ``boot`` names the start of the machine, ``created`` is for people."""

    format: str
    version: int
    stream: str
    boot: str
    seed: int
    created: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """One segment, and the blocks of its messages, at least one; all of them are as they were received."""

    memory: FileMemory
    blocks: Sequence[Block]

    @property
    def messages(self) -> int:
        """How many there are in it."""
        return self.blocks[-1].stop - self.blocks[0].first if self.blocks else 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """A folder that can be used: the seed of its check values, and its segments, oldest first."""

    seed: int
    kept: Sequence[Kept] = ()


class _DamageError(Exception):
    """The files contradict each other, or themselves."""


def segment_path(folder: Path, number: int, kind: str) -> Path:
    """Where the bytes of a segment are, or its index."""
    return folder / f"{SEGMENTS}{number}{kind}"


def number_of(path: Path) -> int:
    """Of a segment's file; 0 if it is none."""
    number = path.stem.removeprefix(SEGMENTS)
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0


def find(folder: Path, stream: str) -> Found:
    """Takes over what there is, or begins anew. The folder must be there and locked.

    Raises `SetupError` if it is somebody else's or cannot be used.
    """
    try:
        if not any(path.name != SET_ASIDE for path in folder.iterdir()):
            return Found(seed=_begin(folder, stream))
        try:
            header = _read_header(folder, stream)
            return Found(seed=header.seed, kept=_segments(folder, header))
        except _DamageError as damage:
            _set_aside(folder, str(damage))
            return Found(seed=_begin(folder, stream))
    except SetupError:
        raise
    except OSError as error:
        raise SetupError(f"cannot use the store {folder}: {error}; make it usable, or give --store another folder") from error


def _begin(folder: Path, stream: str) -> int:
    header = _Header(
        format=FORMAT,
        version=VERSION,
        stream=stream,
        boot=_boot_id(),
        seed=random.getrandbits(32),
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    new = folder / f"{HEADER}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(header)) + b"\n")
    new.rename(folder / HEADER)
    return header.seed


def _read_header(folder: Path, stream: str) -> _Header:
    try:
        with (folder / HEADER).open("rb") as file:
            data = file.read(_LARGEST_HEADER_BYTES)
    except FileNotFoundError:
        _check_own(folder)
        raise _DamageError(f"it has no {HEADER}") from None
    try:
        kind = msgspec.json.decode(data, type=_Kind)
        if kind.format == FORMAT and kind.version != VERSION:
            raise SetupError(
                f"the store {folder} has version {kind.version}, this program has version {VERSION}; start the program that made "
                "it, or remove its files"
            )
        header = msgspec.json.decode(data, type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _DamageError(f"{HEADER} cannot be read: {error}") from None
    if header.format != FORMAT or not 0 <= header.seed < 1 << 32:
        raise _DamageError(f"{HEADER} has values that none of this program's has")
    if header.stream != stream:
        raise SetupError(
            f"the store {folder} holds the ring of {header.stream}, not of {stream}; give each stream a folder of its own, or "
            "remove its files"
        )
    if header.boot != _boot_id():
        raise _DamageError("it is from before the machine was started, and how much of it has reached the disk is not known")
    return header


def _check_own(folder: Path) -> None:
    """Raises `SetupError` if there is anything in the folder that no store has."""
    for path in folder.iterdir():
        if not path.name.startswith((HEADER, SEGMENTS, SET_ASIDE)):
            raise SetupError(f"{folder} is no store, and has {path.name!r} in it; give --store a folder of its own")


def _segments(folder: Path, header: _Header) -> list[Kept]:
    """All segments that have messages, oldest first."""
    indexed: list[tuple[int, Sequence[Block]]] = []
    torn_messages = 0
    for path in folder.glob(f"{SEGMENTS}*{INDEX}"):
        decoded = decode_blocks(path.read_bytes(), header.seed)
        if decoded.is_damaged or (decoded.torn_messages and torn_messages):
            raise _DamageError(f"{path.name} is not as it was written")
        torn_messages += decoded.torn_messages
        if decoded.blocks:
            indexed.append((number_of(path), decoded.blocks))
    indexed.sort(key=lambda each: each[1][0].first)
    for (number, blocks), (_, behind) in pairwise(indexed):
        if blocks[-1].stop != behind[0].first:
            raise _DamageError(f"segment {number} ends before message {blocks[-1].stop}, the next begins with {behind[0].first}")
    allow_files(len(indexed))
    kept = [_checked(folder, number, blocks, is_newest=blocks is indexed[-1][1]) for number, blocks in indexed]
    torn_messages += sum(blocks[-1].stop - blocks[0].first for _, blocks in indexed) - sum(each.messages for each in kept)
    if torn_messages:
        logger.warning("Cut %d messages off the end of the store %s: they are not whole", torn_messages, folder)
        for newest in kept[-1:]:  # or the next one would find the messages that come now behind torn ones
            index = segment_path(folder, newest.memory.number, INDEX)
            os.truncate(index, sum(block.encoded_bytes for block in newest.blocks))
    return [each for each in kept if each.blocks]


def _checked(folder: Path, number: int, blocks: Sequence[Block], *, is_newest: bool) -> Kept:
    """Compares the bytes of a segment with its index; of the newest one, the end may be cut off."""
    path = segment_path(folder, number, BYTES)
    size = path.stat().st_size if path.exists() else 0
    if not size:
        raise _DamageError(f"{path.name} has no bytes")
    memory = map_file(path, number, size)
    data = np.frombuffer(memory, np.uint8)
    are_good = [block.holds(data) for block in blocks]
    good = are_good.index(False) if False in are_good else len(blocks)
    if good < len(blocks) and (not is_newest or any(are_good[good:])):
        raise _DamageError(f"{path.name} has other bytes than were received")
    return Kept(memory=memory, blocks=blocks[:good])


def _set_aside(folder: Path, why: str) -> None:
    """Moves everything out of the way for whoever wants to look at it, unless there is no room for another ring beside it."""
    aside = folder / SET_ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    paths = [path for path in folder.iterdir() if path.name.startswith((HEADER, SEGMENTS))]
    keeps = sum(path.stat().st_size for path in paths) <= free_bytes(folder)
    aside.mkdir()
    for path in paths:
        path.rename(aside / path.name)
    if not keeps:
        shutil.rmtree(aside)
    logger.error(
        "The store %s is not used: %s. It is %s, and the ring begins empty",
        folder,
        why,
        f"in {aside} now" if keeps else "removed, as there is no room for another beside it",
    )


def _boot_id() -> str:
    """Changes when the machine starts; empty where nobody tells."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
