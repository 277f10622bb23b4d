"""What a killed writer leaves, damaged on the disk: recovering it gives an error or a file that can be read.

HDF5 trusts its files more than it should: of some thousand damaged ones, one keeps it busy for ever. So this target is for
processes that may be ended, and no part of the tests: ``python -m fuzz leftover``.
"""

import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random

import h5py
import numpy as np

from fuzz.target import Input, Target
from sf_bsread_writer.acquire.recovery import read_notes
from sf_bsread_writer.errors import OutputError
from sf_bsread_writer.hdf5.file import PulseFile
from sf_bsread_writer.hdf5.place import journal_path, partial_path
from sf_bsread_writer.hdf5.recover import Leftover, final_path, is_closed
from sf_bsread_writer.testing.beam import beam_message
from sf_bsread_writer.testing.messages import run_of

MEMORY = Path("/dev/shm")


def leftover(data: bytes) -> None:
    """Changes single bytes, or cuts the end off, of the file or its journal, and recovers it."""
    given = Input(data)
    without_journal, files = bool(given.number() & 1), [bytearray(file) for file in _left()]
    for _ in range(1 + given.number() % 8):
        file, kind, place, value = files[given.number() & 1], given.number(), given.number(3), given.number()
        if kind & 3:
            # Where the last bytes are changed, they are in the index or in the journal's head more often than not.
            file[place % min(len(file), 1 << (6 + kind % 16))] = value
        elif kind & 4:
            del file[place % len(file) :]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        _recover(partial_path(Path(folder) / "run.h5"), files, without_journal=without_journal)


def _recover(path: Path, files: list[bytearray], *, without_journal: bool) -> None:
    path.write_bytes(files[0])
    journal_path(path).write_bytes(files[1])
    final = final_path(path)
    try:
        if is_closed(path):
            return
        with Leftover(path, without_journal=without_journal) as found:
            read_notes(found.notes)
            left = found.complete(lambda done, total: None)
            found.seal(final, ({}, "{}"))
    except OutputError as error:
        assert "\n" not in str(error)
        assert path.exists()
        assert not final.exists()
        return
    with suppress(OSError, RuntimeError, KeyError), h5py.File(final) as opened:  # nobody reads all of it before it gets its name
        assert len(opened["stream/pulse_id"]) == len(left.pulse_ids)


@cache
def _left() -> tuple[bytes, bytes]:
    """File and journal, two flushes old."""
    run = run_of([beam_message(pulse_id) for pulse_id in range(1, 13)])
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        path = Path(folder) / "run.h5"
        file = PulseFile(path)
        for rows in (np.arange(5), np.arange(5, 12)):
            file.write(run, rows, np.zeros(len(rows), np.int64))
            file.flush(b"{}")
        partial = partial_path(path)
        copied = [Path(shutil.copy(each, Path(folder) / "copy")).read_bytes() for each in (partial, journal_path(partial))]
        file.abandon()
    return copied[0], copied[1]


def _leftover(random: Random) -> bytes:
    return random.randbytes(2 + 6 * 8)


TARGETS = {"leftover": Target(run=leftover, make=_leftover, share=1)}
