"""Where the figures come from: without it they mean nothing."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("numpy", "h5py", "hdf5plugin", "msgspec", "litestar", "uvicorn", "pyzmq", "psi-bsread")


def describe(folder: Path) -> dict[str, str]:
    """Processor, memory, kernel, versions, and the file system that files were written to."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "transparent huge pages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "Python": platform.python_version(),
        "packages": ", ".join(f"{name} {found}" for name in _PACKAGES if (found := _version(name))),
        "files on": _file_system(folder),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def free_bytes(folder: Path) -> int:
    """Room for files there."""
    return shutil.disk_usage(folder).free


def _processor() -> str:
    lines = _read("/proc/cpuinfo").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    found = subprocess.run(["df", "--output=fstype", str(folder)], capture_output=True, text=True, check=False)
    return found.stdout.split()[-1] if found.returncode == 0 and found.stdout.split() else "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"
