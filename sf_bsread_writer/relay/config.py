"""What the buffer is told: one frozen object, made once from the command line, with defaults and limits in one place."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.ring.segment import MIB, rounding_bytes
from sf_bsread_writer.zmtp.address import Address

DEFAULT_PORT = 8082
DEFAULT_BUFFER_LENGTH = 100
DEFAULT_MAX_CLIENTS = 256
ALL_INTERFACES = "0.0.0.0"
SMALLEST_MEMORY_LIMIT_BYTES = 16 * MIB

_LARGEST_SEGMENT_BYTES = 8 * MIB
_SMALLEST_SEGMENTS = 16
_CGROUP = Path("/sys/fs/cgroup")


def parse_bytes(text: str) -> int:
    """``4G``, ``512M``, ``1.5GiB`` or ``1000000`` as bytes, in powers of 1024; raises `UsageError` with the text."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?) ?([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise UsageError(f"size {text!r} is not understood; expected a number of bytes such as 500M or 4G")
    return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))


def default_memory_limit_bytes() -> int:
    """A quarter of the memory that this process may use: the machine's, or its control group's if that is less."""
    return max(min(_memories()) // 4, SMALLEST_MEMORY_LIMIT_BYTES)


def memory_warning(limit_bytes: int) -> str | None:
    """What is to be said about a memory limit that the system cannot keep; None if it can."""
    available_bytes = min(_memories())
    if limit_bytes <= available_bytes:
        return None
    return (
        f"A memory limit of {limit_bytes >> 20} MiB is more than the {available_bytes >> 20} MiB that there are: "
        "the system may end this program before it is reached; give a lower --memory_limit"
    )


def check_memory_limit(limit_bytes: int) -> None:
    """Raises `UsageError` if so little memory is too small to work with."""
    if limit_bytes < SMALLEST_MEMORY_LIMIT_BYTES:
        raise UsageError(f"memory limit of {limit_bytes} bytes is too small; give at least 16M")


def limits_within(memory_limit_bytes: int, segment_bytes: int) -> Limits:
    """What a peer may send: two messages of the largest size fit into the memory, or receiving would get stuck."""
    usual = Limits()
    step = rounding_bytes(segment_bytes)
    largest = memory_limit_bytes // 2 // step * step
    return Limits(max_frame_bytes=min(usual.max_frame_bytes, largest), max_message_bytes=min(usual.max_message_bytes, largest))


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferConfig:
    """One buffer.

    ``source`` is what it connects to, ``mode`` how (``auto`` finds out whether it is PUSH or PUB); clients connect to
    ``bind``:``port`` (port 0: any free one). It keeps the last ``buffer_length`` messages, but never more than
    ``memory_limit_bytes``. ``segment_bytes`` None lets it follow from the memory limit.
    Raises `UsageError` for values that cannot work.
    """

    source: Address
    port: int = DEFAULT_PORT
    buffer_length: int = DEFAULT_BUFFER_LENGTH
    analyzer: bool = False
    memory_limit_bytes: int = field(default_factory=default_memory_limit_bytes)
    mode: Literal["auto", "pull", "sub"] = "auto"
    bind: str = ALL_INTERFACES
    max_clients: int = DEFAULT_MAX_CLIENTS
    segment_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"output port {self.port} is not between 0 and 65535 (0: any free port)")
        if self.buffer_length < 1:
            raise UsageError(f"buffer length {self.buffer_length} is less than 1 message")
        if self.max_clients < 1:
            raise UsageError(f"{self.max_clients} clients at most would serve nobody; give 1 or more")
        if self.segment_bytes is None:
            check_memory_limit(self.memory_limit_bytes)

    @property
    def ring_segment_bytes(self) -> int:
        """A sixteenth of the memory limit at most, since retention by memory goes by whole segments."""
        return self.segment_bytes or min(_LARGEST_SEGMENT_BYTES, self.memory_limit_bytes // _SMALLEST_SEGMENTS)

    @property
    def limits(self) -> Limits:
        """What the source may send."""
        return limits_within(self.memory_limit_bytes, self.ring_segment_bytes)


def _memories() -> list[int]:
    """Bytes of memory of the machine, and of each control group that this process is in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [machine, *_control_group_limits()]


def _control_group_limits() -> list[int]:
    """Memory limits of this process's control group (version 2) and of those around it; empty where there are none."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    own = next((line.removeprefix("0::/") for line in groups if line.startswith("0::/")), "")
    folders = [_CGROUP / own, *(_CGROUP / own).parents]
    return [limit for folder in folders if (limit := _limit_in(folder / "memory.max")) is not None]


def _limit_in(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
