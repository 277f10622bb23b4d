"""Many inputs in a few processes, each input with its limits; what breaks one is kept, made shorter, and told.

A worker notes each input in memory that it shares with the parent before it begins with it: so an input that ends the process, or
never comes back from a C library, is known as well.
"""

import mmap
import multiprocessing
import os
import resource
import signal
import struct
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from random import Random
from types import FrameType

from fuzz.corpus import keep
from fuzz.target import Target

MIB = 1 << 20

MOST_ADDRESSES_BYTES = 2048 * MIB
"""Beyond what a process has at its start: taking more fails, whatever the machine has."""

_SHARED_BYTES = 4 * MIB
_STATE = struct.Struct("<qqi")  # inputs done, length of the present one, number of its target
_MOST_SHORTER = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For each input: seconds, and how much the most memory that the process ever had may grow by it."""

    seconds: float = 10.0
    memory_bytes: int = 256 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An input, what it does, and where that is: findings with the same ``where`` are one."""

    target: str
    where: str
    text: str
    data: bytes


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What many inputs have brought: how many there were by target, and the findings."""

    inputs: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0


class TooSlowError(BaseException):
    """An input takes longer than allowed. Not an Exception, so that nothing that it interrupts takes it for its own."""


class TooLargeError(Exception):
    """An input takes more memory than allowed."""


def attempt(name: str, target: Target, data: bytes, limits: Limits) -> Finding | None:
    """Runs one input in this process; the main thread only."""

    def too_slow(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {limits.seconds} s")

    before = signal.signal(signal.SIGALRM, too_slow)
    peak_bytes = _peak_bytes()
    signal.setitimer(signal.ITIMER_REAL, limits.seconds)
    try:
        target.run(data)
        signal.setitimer(signal.ITIMER_REAL, 0)
        grown_bytes = _peak_bytes() - peak_bytes
        if grown_bytes > limits.memory_bytes:
            raise TooLargeError(f"{grown_bytes / MIB:.0f} MiB for {len(data)} bytes")
    except (Exception, TooSlowError) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return Finding(target=name, where=_where(name, error), text="".join(traceback.format_exception(error)), data=data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return None


def shorter(finding: Finding, target: Target, limits: Limits) -> Finding:
    """The same finding with as little of its input as some tries give."""
    if "TooSlow" in finding.where or "TooLarge" in finding.where:  # takes too long; and the most memory grows only once
        return finding
    tries, size = 0, len(finding.data) // 2
    while size and tries < _MOST_SHORTER:
        for start in range(0, len(finding.data), size):
            tries += 1
            data = finding.data[:start] + finding.data[start + size :]
            found = attempt(finding.target, target, data, limits)
            if found is not None and found.where == finding.where:
                finding = found
                break
        else:
            size //= 2
    return finding


class _Worker:
    """One process, which goes through inputs that follow from its seed until it has done its share."""

    def __init__(self, targets: Mapping[str, Target], seed: int, inputs: int, limits: Limits) -> None:
        self.names = list(targets)
        self.left = inputs
        self.shared = mmap.mmap(-1, _SHARED_BYTES)
        self.changed_s = time.monotonic()
        self._done = -1
        self.pipe, end = multiprocessing.Pipe(duplex=False)
        self.process = multiprocessing.get_context("fork").Process(
            target=_work, args=(targets, Random(seed), inputs, limits, (self.shared, end)), daemon=True
        )
        self.process.start()
        end.close()

    def state(self) -> tuple[int, str, bytes]:
        """How many inputs it has begun, and the target and bytes of the present one."""
        done, length, number = _STATE.unpack_from(self.shared)
        return done, self.names[number], self.shared[_STATE.size : _STATE.size + length]

    def is_stuck(self, limit_s: float) -> bool:
        """Whether it has been busy with the same input for so long, which no Python code can."""
        done, _, _ = self.state()
        if done != self._done:
            self._done, self.changed_s = done, time.monotonic()
        return time.monotonic() - self.changed_s > limit_s


def run(
    targets: Mapping[str, Target],
    *,
    inputs: int,
    seed: int,
    processes: int = 2,
    limits: Limits | None = None,
    corpus: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Runs so many inputs; findings are kept in ``corpus``, if given, as they come, and told in a line."""
    limits = limits or Limits()
    outcome, began_s = Outcome(), time.monotonic()
    known: set[str] = set()
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))
    shares = [inputs // processes + (number < inputs % processes) for number in range(processes)]
    workers = [_Worker(targets, next(seeds), share, limits) for share in shares if share]
    told_s = began_s

    def add(finding: Finding) -> None:
        if finding.where not in known:
            known.add(finding.where)
            outcome.findings.append(finding)
            kept = "" if corpus is None else f", kept as {keep(finding.target, finding.data, corpus)}"
            tell(f"FOUND {finding.where}{kept}\n{finding.text}")

    while workers:
        ready = wait([worker.pipe for worker in workers], timeout=1.0)
        for worker in list(workers):
            is_over = _hear(worker, outcome, add) if worker.pipe in ready else False
            if is_over or worker.is_stuck(limits.seconds * 3 + 10):
                workers.remove(worker)
                again = _bury(worker, outcome, add, has_ended=is_over)
                if again:
                    workers.append(_Worker(targets, next(seeds), again, limits))
        if time.monotonic() - told_s > 30:
            told_s = time.monotonic()
            done = outcome.inputs.total() + sum(worker.state()[0] for worker in workers)
            tell(f"{done} inputs, {len(outcome.findings)} findings, {told_s - began_s:.0f} s")
    outcome.seconds = time.monotonic() - began_s
    return outcome


def _hear(worker: _Worker, outcome: Outcome, add: Callable[[Finding], None]) -> bool:
    """Takes what a worker says; True if that was its last word."""
    try:
        said = worker.pipe.recv()
    except EOFError:
        return True
    if isinstance(said, Finding):
        add(said)
        return False
    outcome.inputs += said
    worker.left = 0
    return False


def _bury(worker: _Worker, outcome: Outcome, add: Callable[[Finding], None], *, has_ended: bool) -> int:
    """Ends a worker; gives how many inputs of its share are still to be done, by another."""
    if not has_ended:
        worker.process.kill()
    worker.process.join()
    worker.pipe.close()
    done, name, data = worker.state()
    how = f"ended with {worker.process.exitcode}" if has_ended else "TooSlow: killed"
    if not worker.left:
        return 0
    add(Finding(target=name, where=f"{name}: {how} at {data[:8].hex()}", text="the process was lost", data=data))
    outcome.inputs["lost with their process"] += done
    return max(0, worker.left - done)


def _work(targets: Mapping[str, Target], random: Random, inputs: int, limits: Limits, ends: tuple[mmap.mmap, Connection]) -> None:
    shared, pipe = ends
    names, shares = list(targets), [target.share for target in targets.values()]
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_ADDRESSES_BYTES,) * 2)
    done, known = Counter[str](), set[str]()
    for count in range(inputs):
        (number,) = random.choices(range(len(names)), shares)
        name = names[number]
        data = targets[name].make(random)[: _SHARED_BYTES - _STATE.size]
        shared[_STATE.size : _STATE.size + len(data)] = data
        _STATE.pack_into(shared, 0, count, len(data), number)
        done[name] += 1
        finding = attempt(name, targets[name], data, limits)
        if finding is not None and finding.where not in known:
            known.add(finding.where)
            pipe.send(shorter(finding, targets[name], limits))
    pipe.send(done)
    pipe.close()
    os._exit(0)  # without what an interpreter does in its end: other workers' pipes are open here too


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _where(name: str, error: BaseException) -> str:
    """Kind and place of an error: the innermost lines of the package, or of the target."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "sf_bsread_writer" in Path(frame.filename).parts or "fuzz" in Path(frame.filename).parts]
    places: Sequence[str] = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[-2:]]
    return f"{name}: {type(error).__name__} at {' > '.join(places)}"
