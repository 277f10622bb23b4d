"""How much memory there is, how much of it received messages may take, and how large a message may be then."""

import os
from pathlib import Path

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.ring.segment import MIB, rounding_bytes

SMALLEST_MEMORY_LIMIT_BYTES = 16 * MIB

_CGROUP = Path("/sys/fs/cgroup")


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
