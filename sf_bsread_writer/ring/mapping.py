"""Files as memory: what is stored into one is the kernel's from then on, and outlives the process.

Memory of a file that cannot be had any more when it is touched would end the process (SIGBUS): all of it is allocated at once.
"""

import mmap
import os
import resource
import sys
from pathlib import Path
from typing import Any

from sf_bsread_writer.errors import SetupError

_OTHER_FILES = 512
"""Files that a buffer has open besides its segments: clients, most of all."""


class FileMemory(mmap.mmap):
    """The bytes of one file, which is known by its number."""

    number: int


def map_file(path: Path, number: int, size: int) -> FileMemory:
    """Memory of the file's first ``size`` bytes, allocated and touched; makes the file if there is none. Raises OSError."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        os.posix_fallocate(fd, 0, size)
        options: dict[str, Any] = {"trackfd": False} if sys.version_info >= (3, 13) else {}
        memory = FileMemory(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, **options)
    finally:
        os.close(fd)
    memory.number = number
    return memory


def free_bytes(folder: Path) -> int:
    """How much its file system has left for this user."""
    system = os.statvfs(folder)
    return system.f_bavail * system.f_frsize if system.f_blocks else sys.maxsize  # a tmpfs without limit has no blocks


def allow_files(count: int) -> None:
    """Raises the limit of open files so that so many can be mapped; raises `SetupError` if that is not allowed."""
    if sys.version_info >= (3, 13):
        return  # before that, a mapping keeps its file open
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SetupError(
            f"a store of {count} segments needs {needed} open files, and {hard} are allowed; allow more (ulimit -n, "
            "LimitNOFILE=), or give a lower --memory_limit"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
