"""Disks with faults for tests: small ones to be filled, and one below a real writer that fails, is slow or hangs when told so."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sf_bsread_writer.testing.chain import Writer
from sf_bsread_writer.testing.programs import PACKAGE, running

FAULTS = """
import os, time

def faulty(call):
    def wrapped(descriptor, *arguments):
        while os.readlink(f"/proc/self/fd/{descriptor}").endswith((".partial", ".journal")):
            with open(os.environ["FAULT"]) as file:
                fault, _, value = file.read().partition(" ")
            if fault == "error":
                raise OSError(int(value), os.strerror(int(value)))
            if fault != "hang":
                time.sleep(float(value or 0))
                break
            time.sleep(0.01)
        return call(descriptor, *arguments)
    return wrapped

for name in ("pwrite", "pwritev", "fsync"):
    setattr(os, name, faulty(getattr(os, name)))
"""
"""Run by Python before anything else, as a sitecustomize: what the writer calls to bring its file to the disk."""


@contextmanager
def small_disk(folder: Path, mib: int, *options: str) -> Iterator[Path]:
    """A disk of its own in the folder, of so many MiB; skips the test where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={mib}m", *options)), "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Takes all that is left on the disk, as somebody else's data would."""
    with (folder / "others").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


class Disk:
    """What a faulty disk does from now on to every write and sync; at first it works."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self.heal()

    def heal(self) -> None:
        self._tell("works")

    def hang(self) -> None:
        self._tell("hang")

    def slow(self, seconds: float) -> None:
        self._tell(f"slow {seconds}")

    def fail(self, number: int) -> None:
        self._tell(f"error {number}")

    def _tell(self, fault: str) -> None:
        new = self._control.with_suffix(".new")
        new.write_text(fault)
        os.replace(new, self._control)


@contextmanager
def writer_on_faulty_disk(stream: str, output_file: Path, folder: Path, *arguments: object) -> Iterator[tuple[Writer, Disk]]:
    """A writer on this stream with such a disk; ``folder`` is for what makes it so."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAULTS)
    disk = Disk(folder / "fault")
    environment = {"PYTHONPATH": f"{folder}:{PACKAGE.parent}", "FAULT": str(folder / "fault")}
    with running("writer", stream, output_file, -1, 0, *arguments, **environment) as program:
        url = program.wait_for_line(r"REST on (http://\S+)")[1]
        program.wait_for_line(r"Connected to the")
        try:
            yield Writer(program, url, output_file), disk
        finally:
            disk.heal()
