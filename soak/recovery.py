"""The file of a killed writer: ``sf_bsread recover`` makes a valid one of its ``.partial``."""

import subprocess
import sys
from pathlib import Path

from sf_bsread_writer.errors import ExitCode

_DEADLINE_S = 120.0


def recover(path: Path) -> str | None:
    """Returns what went wrong; else the file has its final name now, or there is none because nothing had been flushed."""
    if path.exists():
        return None
    partial = path.with_name(f"{path.name}.partial")
    if not partial.exists():
        return None
    command = [sys.executable, "-m", "sf_bsread_writer.cli", "recover", str(partial)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False, process_group=0)
    if result.returncode != ExitCode.COMPLETE or not path.exists():
        return f"sf_bsread recover ended with {result.returncode}: {result.stdout}{result.stderr}"
    return None
