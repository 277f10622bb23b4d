"""All of it together: some threads that ask writers, one that makes faults, some bad clients, and one that samples the buffer.

Each thread draws from a generator of its own, made of the seed and its name: what it does follows from the seed, when it does it
depends on the machine. Kinds and faults are drawn as from a deck of cards, so that each comes as often as it should.

The buffer is killed and restarted in the first half only. In the second half it lives long enough to show whether it grows.
"""

import random
import shutil
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sf_bsread_writer.model import NS_PER_S
from soak.acquisitions import KINDS, STALL_TIMEOUT_S, Kind, Result, Setting
from soak.beamline import PATIENCE_S, Beamline
from soak.checker import Checker
from soak.faults import BAD_CLIENTS, BUFFER_FAULTS, SOURCE_FAULTS, Fault
from soak.ledger import Limits, account
from soak.stream import SIZES
from soak.verdict import Verdict
from soak.watch import Sample, judge, look

KILLED_S = 1.0
"""A writer brings to its file what it has, in less than a second, if the machine lets it."""

_SAMPLE_S = 0.5
_TELL_S = 0.5
_FULL_BYTES = {"full": 32 << 20, "small": 20 << 20}
"""Of the small file system: some seconds of pulses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """``writers`` at once, each acquisition of about ``seconds``, a fault about every ``fault_s``.

    ``killed_s``: what a killed writer has had for longer must be in the recovered file.
    """

    folder: Path
    seed: int
    size: str
    minutes: float
    rate_hz: float = 100.0
    writers: int = 3
    bad_clients: int = 2
    seconds: float = 8.0
    fault_s: float = 6.0
    killed_s: float = KILLED_S


class Soak:
    """One run; `run` until it is over or ``ends`` is set by somebody else."""

    def __init__(self, options: Options, verdict: Verdict) -> None:
        self.ends = threading.Event()
        self._options = options
        self._verdict = verdict
        self._checker = Checker(SIZES[options.size])
        self._samples: list[Sample] = []
        self._numbers = iter(range(1_000_000))
        self._second_half = threading.Event()

    def run(self, tell: Callable[[str], None]) -> None:
        """Raises what keeps it from beginning; everything later is in the verdict."""
        options, verdict = self._options, self._verdict
        began_s = time.monotonic()
        with ExitStack() as stack:
            beamline = stack.enter_context(
                Beamline(options.folder, size=options.size, rate_hz=options.rate_hz, seed=options.seed)
            )
            kinds = self._kinds(stack)
            first = self._quiet(beamline)
            threads = [
                threading.Thread(target=self._acquire, args=(beamline, kinds, n), name=f"acquire {n}")
                for n in range(options.writers)
            ]
            threads += [
                threading.Thread(target=self._annoy, args=(beamline, n), name=f"annoy {n}") for n in range(options.bad_clients)
            ]
            threads += [threading.Thread(target=self._disturb, args=(beamline,), name="disturb")]
            threads += [threading.Thread(target=self._sample, args=(beamline,), name="sample")]
            for thread in threads:
                thread.start()
            try:
                self._wait(began_s, tell)
            finally:
                self.ends.set()
                for thread in threads:
                    thread.join()
                verdict.seconds = time.monotonic() - began_s
            last = self._quiet(beamline, like=first)
            limit_bytes = beamline.buffer_limit_bytes
            verdict.findings = judge(self._samples, quiet_first=first, quiet_last=last, limit_bytes=limit_bytes)
            verdict.sent = beamline.count_sent()
            self._read_logs(beamline)

    def _wait(self, began_s: float, tell: Callable[[str], None]) -> None:
        end_s = began_s + 60 * self._options.minutes
        while (left_s := end_s - time.monotonic()) > 0 and not self.ends.wait(min(left_s, _TELL_S)):
            if left_s < 30 * self._options.minutes:
                self._second_half.set()
            tell(f"{left_s / 60:.1f} min left; {self._verdict.line}")
        self._verdict.interrupted = self.ends.is_set()

    def _kinds(self, stack: ExitStack) -> Mapping[str, tuple[Kind, int]]:
        """Those that are possible here."""
        kinds = dict(KINDS)
        self._full = self._options.folder / "full"
        self._full.mkdir()
        try:
            stack.enter_context(_small_file_system(self._full, _FULL_BYTES[self._options.size]))
        except (OSError, subprocess.CalledProcessError):
            del kinds["disk full"]
            self._verdict.left_out.append("a full disk: only root may mount a small file system")
        return kinds

    # Threads

    def _acquire(self, beamline: Beamline, kinds: Mapping[str, tuple[Kind, int]], thread: int) -> None:
        chance = self._chance(f"acquire {thread}")
        deck = _deck({name: times for name, (_, times) in kinds.items()}, chance)
        while not self.ends.is_set():
            name = next(deck)
            number = next(self._numbers)
            path = self._place(name, beamline) / f"{number:05d}-{name.replace(' ', '-')}.h5"
            setting = Setting(
                beamline=beamline,
                checker=self._checker,
                path=path,
                random=random.Random(chance.random()),
                seconds=self._options.seconds,
                ends=self.ends,
            )
            try:
                self._take(name, path, beamline, kinds[name][0](setting))
            except Exception as error:
                text = "".join(traceback.format_exception(error))
                self._options.folder.joinpath(f"{path.stem}.log").write_text(text)
                with self._verdict.lock:
                    self._verdict.wrong.append(
                        f"{path.stem}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                    )

    def _take(self, name: str, path: Path, beamline: Beamline, result: Result) -> None:
        with beamline.calm:
            sent = beamline.sent()
        limits = Limits(
            buffer_length=beamline.size.buffer_length,
            killed_ns=round(self._options.killed_s * NS_PER_S),
            stall_ns=STALL_TIMEOUT_S * NS_PER_S,
        )
        sum_ = account(result.asked, result.got, sent, limits)
        wrong = [f"{path.stem}: {text}" for text in (*result.wrong, *sum_.contradictions)]
        if sum_.unexplained:
            wrong.append(
                f"{path.stem}: {len(sum_.unexplained)} pulses are missing without an explanation: {_few(sum_.unexplained)}"
            )
        self._verdict.add(name, sum_, wrong, result.values)
        if wrong:  # everything that may help to find out
            log = [*wrong, f"{result.asked}", f"{result.got}", result.output]
            self._options.folder.joinpath(f"{path.stem}.log").write_text("\n".join(log))
        for left in path.parent.glob(f"{path.stem}.h5*"):
            if not wrong:
                left.unlink()
            elif left.parent != self._options.folder:
                shutil.move(left, self._options.folder)

    def _place(self, name: str, beamline: Beamline) -> Path:
        """A folder for the file of a kind.

        What a killed writer has had for a second is in its file if the disk keeps up with the stream: one that others use as
        well does not always, so those files are in memory.
        """
        return {"disk full": self._full, "killed": beamline.fast}.get(name, self._options.folder)

    def _disturb(self, beamline: Beamline) -> None:
        chance = self._chance("disturb")
        source, buffer = _deck(dict.fromkeys(SOURCE_FAULTS, 1), chance), _deck(dict.fromkeys(BUFFER_FAULTS, 1), chance)
        faults: dict[str, Fault] = {**SOURCE_FAULTS, **BUFFER_FAULTS}
        while not self.ends.wait(chance.uniform(0.5, 1.5) * self._options.fault_s):
            is_buffer = chance.random() < 0.2
            name = next(buffer if is_buffer and not self._second_half.is_set() else source)
            try:
                with beamline.calm:
                    wrong = faults[name](beamline, chance)
                    beamline.wait_until_it_flows()
                self._verdict.fault(name, wrong)
                self._verdict.last_fault = name
            except Exception as error:
                self._verdict.fault(name, f"{type(error).__name__}: {error}")

    def _annoy(self, beamline: Beamline, thread: int) -> None:
        chance = self._chance(f"annoy {thread}")
        deck = _deck(dict.fromkeys(BAD_CLIENTS, 1), chance)
        while not self.ends.wait(chance.uniform(0, 0.5) * self._options.fault_s):
            name = next(deck)
            try:
                BAD_CLIENTS[name](beamline.buffer_port, chance, self.ends)
                self._verdict.fault(name)
            except OSError:
                self._verdict.fault(name)  # that it is thrown out, or finds nobody, is as it should be

    def _sample(self, beamline: Beamline) -> None:
        while not self.ends.wait(_SAMPLE_S):
            sample = look(beamline.buffer.process.pid, time.monotonic(), beamline.store)
            if sample is not None:
                self._samples.append(sample)

    # Begin and end

    def _quiet(self, beamline: Beamline, like: Sample | None = None) -> Sample:
        """A look at the buffer without clients; those that have just gone are waited for."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            sample = look(beamline.buffer.process.pid, time.monotonic(), beamline.store)
            assert sample is not None, f"the buffer has ended:\n{beamline.buffer.output}"
            if like is None or sample.descriptors <= like.descriptors or sample.at_s > until_s:
                return sample
            time.sleep(_SAMPLE_S)

    def _read_logs(self, beamline: Beamline) -> None:
        for number, log in enumerate(beamline.buffer_logs()):
            self._options.folder.joinpath(f"buffer-{number:03d}.log").write_text(log)
            if "Traceback" in log:
                self._verdict.wrong.append(f"the log of buffer {number} has a traceback")

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._options.seed} {name}")


def _deck(times: Mapping[str, int], chance: random.Random) -> Iterator[str]:
    """Each name as often as it says, in any order, and again."""
    while True:
        cards = [name for name, count in times.items() for _ in range(count)]
        chance.shuffle(cards)
        yield from cards


def _few(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:5])) + ("…" if len(ids) > 5 else "")


@contextmanager
def _small_file_system(folder: Path, size_bytes: int) -> Iterator[None]:
    """Mounts one there; raises OSError or CalledProcessError where that is not possible."""
    if shutil.which("mount") is None:
        raise FileNotFoundError("mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "soak", str(folder)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
