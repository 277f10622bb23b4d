"""Source and buffer as running programs, and the account of what was done to them.

Both keep their ports over restarts, so everybody who was connected comes back by himself. Whoever changes something holds `calm`;
so does whoever accounts for an acquisition, since what a killed buffer had is known only when the next one has said it.
"""

import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.testing.chain import holdings
from sf_bsread_writer.testing.programs import PACKAGE, Program, started
from soak.ledger import RECORD, BufferEnd, Sent
from soak.stream import FIRST_PULSE_ID, SIZES, START_OVER_STEP

PATIENCE_S = 60.0
"""For what takes a moment, on a machine that has a lot to do."""

ROOT = PACKAGE.parent
_FAST = Path("/dev/shm")
_FOUND = r"The ring goes on with \d+ messages, pulses \d+\.\.(\d+)|The ring begins empty"
_LOOK_S = 0.2
_REMEMBERED_S = 900.0
"""No acquisition takes nearly as long, and nothing is held so long; a soak may go on for days."""


class Beamline:
    """Runs within its ``with`` block; everything that it writes is below ``folder``, but for the store.

    That is in ``fast``, a folder in memory where that is possible.
    """

    def __init__(self, folder: Path, *, size: str, rate_hz: float, seed: int) -> None:
        self.size = SIZES[size]
        self.calm = threading.Lock()
        self.buffer_ends: list[BufferEnd] = []
        self.header = 0
        self._arguments = ("--size", size, "--rate", str(rate_hz), "--seed", str(seed))
        self._folder = folder
        self._records: list[Path] = []
        self._stack = ExitStack()
        self._source_port, self._buffer_port = _free_ports()
        self._base_pulse_id = FIRST_PULSE_ID
        self._buffers: list[Program] = []

    def __enter__(self) -> Self:
        self.fast = Path(tempfile.mkdtemp(prefix="soak-", dir=_FAST if self._fits(_FAST) else self._folder))
        self.store = self.fast / "ring"
        self._stack.callback(shutil.rmtree, self.fast, ignore_errors=True)
        try:
            self.start_source(self._base_pulse_id)
            self.start_buffer()
            self.wait_until_it_flows()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _fits(self, folder: Path) -> bool:
        """Whether the ring has room there, and some files: a smaller ring lets go of messages earlier than the ledger expects."""
        needed_bytes = self.size.memory_mib * 2 << 20
        return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > needed_bytes

    @property
    def address(self) -> str:
        """Where the buffer's clients connect."""
        return f"tcp://127.0.0.1:{self._buffer_port}"

    @property
    def buffer_port(self) -> int:
        return self._buffer_port

    @property
    def buffer(self) -> Program:
        """The present one."""
        return self._buffers[-1]

    @property
    def buffer_limit_bytes(self) -> int:
        """What a buffer may take: its ring, a sixteenth for segments that are not quite full, and 64 MiB."""
        return (self.size.memory_mib * 17 // 16 + 64) << 20

    def sent(self) -> Sent:
        """What has been sent in the last minutes, by all sources that were at it then."""
        oldest_s = time.time() - _REMEMBERED_S
        parts = [_records_in(path) for path in self._records if path.stat().st_mtime > oldest_s]
        return Sent(np.concatenate([np.empty(0, RECORD), *parts]), self.buffer_ends)

    def count_sent(self) -> int:
        """Messages since the beginning."""
        return sum(path.stat().st_size for path in self._records) // RECORD.itemsize

    def held(self) -> tuple[int, int]:
        """Oldest and newest pulse id in the buffer, both of the time since the counter has last started over."""
        held = holdings(self.address)
        assert held.oldest_pulse_id is not None
        assert held.newest_pulse_id is not None
        ids = self.sent().records["pulse_id"]
        begin = int(ids[np.flatnonzero(np.diff(ids) < 0)[-1] + 1]) if (np.diff(ids) < 0).any() else int(ids[0])
        return (max(begin, held.oldest_pulse_id) if held.oldest_pulse_id <= held.newest_pulse_id else begin), held.newest_pulse_id

    def wait_until_it_flows(self) -> None:
        """Returns when something that is sent from now on has reached the buffer; raises TimeoutError if nothing does."""
        count, deadline_s = len(self.sent().records), time.monotonic() + PATIENCE_S
        while True:
            later = self.sent().records["pulse_id"][count:].tolist()
            if later and holdings(self.address).newest_pulse_id in later:
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no new pulse has come to the buffer for {PATIENCE_S:g} s")
            time.sleep(_LOOK_S)

    # The source

    def signal_source(self, number: int) -> None:
        """Makes it misbehave."""
        self._source.process.send_signal(number)

    def restart_source(self, *, away_s: float = 0.0, other_header: bool = False, start_over: bool = False) -> None:
        """Kills it, and starts another that goes on as if time had passed, or counts from far below."""
        self._source.process.kill()
        self._source.process.wait()
        newest, began_s = self._last_begun(), time.monotonic()
        time.sleep(away_s)
        if other_header:
            self.header = 1 - self.header
        if start_over:
            self._base_pulse_id -= START_OVER_STEP
            self.start_source(self._base_pulse_id)
        else:
            self.start_source(newest + 1 + round(100 * (time.monotonic() - began_s)))

    def start_source(self, first_pulse_id: int) -> None:
        """A process whose first pulse is this one, or a later one."""
        record = self._folder / f"sent-{len(self._records):04d}.bin"
        command = [sys.executable, "-m", "soak.source", "--port", str(self._source_port), "--record", str(record)]
        command += [*self._arguments, "--header", str(self.header), "--first_pulse_id", str(first_pulse_id)]
        self._source = self._stack.enter_context(started(command, name="source", folder=ROOT, own_group=True))
        self._source.wait_for_line("source serves port", timeout_s=PATIENCE_S)
        self._records.append(record)

    def _last_begun(self) -> int:
        ids = self.sent().records["pulse_id"]
        return int(ids[-1]) if len(ids) else self._base_pulse_id

    # The buffer

    def restart_buffer(self, number: int) -> str | None:
        """Ends it by this signal and starts another on its store; returns what that has lost, if it has."""
        before, had = self.buffer, holdings(self.address).newest_pulse_id
        before.process.send_signal(number)
        code = before.wait_for_exit(timeout_s=PATIENCE_S)
        again_ns = time.time_ns()
        found = self.start_buffer()
        self.buffer_ends.append(BufferEnd(again_ns=again_ns, found=found))
        if number != signal.SIGKILL and code != 0:
            return f"the buffer ended with {code} when it was told to end"
        places = self.sent().places(np.array([-1 if had is None else had, -1 if found is None else found]))
        return f"the buffer had pulse {had}, the next one found {found}" if places[1] < places[0] else None

    def start_buffer(self) -> int | None:
        """Returns the newest pulse that it found in its store."""
        command = [sys.executable, str(PACKAGE / "buffer.py"), f"tcp://127.0.0.1:{self._source_port}", "--bind", "127.0.0.1"]
        command += ["-o", str(self._buffer_port), "-b", str(self.size.buffer_length), "--store", str(self.store)]
        command += ["--memory_limit", f"{self.size.memory_mib}M"]
        environment = {"PYTHONPATH": str(ROOT)}
        buffer = self._stack.enter_context(started(command, name="buffer", environment=environment, own_group=True))
        self._buffers.append(buffer)
        found = buffer.wait_for_line(_FOUND, timeout_s=PATIENCE_S)[1]
        return None if found is None else int(found)

    def buffer_logs(self) -> list[str]:
        """What all buffers have said."""
        return [buffer.output for buffer in self._buffers]


def _records_in(path: Path) -> NDArray[np.void]:
    """Whole records of a file that may be being written."""
    content = path.read_bytes()
    return np.frombuffer(content[: len(content) // RECORD.itemsize * RECORD.itemsize], RECORD)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
