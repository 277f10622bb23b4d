"""The programs that a benchmark lets meet: sources, sinks, our buffer and writer. Each ends with its ``with`` block."""

import contextlib
import os
import random
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.source import Stream, channels_of, parser
from sf_bsread_writer.testing.chain import Buffer, buffer_of, report_in, writer_of
from sf_bsread_writer.zmtp.frames import read_frame_header

ROOT = Path(__file__).resolve().parents[1]
SECONDS_AT_MOST = 90.0
_TICKS = os.sysconf("SC_CLK_TCK")

SCALARS_300 = ("--scalars", "300")
CAMERA = ("--camera", "1280x1024")


class Child:
    """A helper process that is talked to in lines."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0)
        self._received = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, line: str) -> None:
        """Gives it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, word: str) -> list[str]:
        """Its next line, which must begin with this word; what stands behind it."""
        assert self.process.stdout is not None
        while b"\n" not in self._received:
            if not select.select([self.process.stdout], [], [], SECONDS_AT_MOST)[0]:
                raise TimeoutError(f"{self.process.args!r} did not answer {word!r} within {SECONDS_AT_MOST:.0f} s")
            piece = os.read(self.process.stdout.fileno(), 4096)
            self._received += piece or b"\n"
        text, _, self._received = self._received.partition(b"\n")
        line = text.decode().split()
        if line[:1] != [word]:
            raise RuntimeError(f"{self.process.args!r} answered {line!r} instead of {word!r}")
        return line[1:]

    def ask(self, line: str, word: str) -> list[str]:
        """Both."""
        self.tell(line)
        return self.answer(word)


@contextmanager
def child(*command: object) -> Iterator[Child]:
    """Ends it at the end of its input, by force if it does not listen."""
    started = Child([str(part) for part in command])
    try:
        yield started
    finally:
        process = started.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@dataclass(frozen=True)
class Sent:
    """What left the source: pulse ids inclusive, and when the last one was in the kernel's hands."""

    first: int
    last: int
    at_ns: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


class Source:
    """Our own prepared source, see `bench.source`."""

    def __init__(self, process: Child, port: int) -> None:
        self.process = process
        self.address = f"tcp://127.0.0.1:{port}"

    def accept(self) -> None:
        """Returns when a client is connected."""
        self.process.ask("accept", "accepted")

    def burst(self, count: int) -> Sent:
        """As fast as the client takes them."""
        return _sent(self.process.ask(f"burst {count}", "sent"))

    def begin(self, count: int, hz: float) -> None:
        """So many a second; `finish` waits for the end."""
        self.process.tell(f"paced {count} {hz}")

    def finish(self) -> Sent:
        """Of what was begun."""
        return _sent(self.process.answer("sent"))


def _sent(answer: list[str]) -> Sent:
    return Sent(*map(int, answer))


@contextmanager
def source_of(*channels: str) -> Iterator[Source]:
    """``channels`` are options of `bench.source`."""
    with child(sys.executable, "-m", "bench.source", *channels) as process:
        yield Source(process, int(process.answer("port")[0]))


@dataclass(frozen=True)
class Filled:
    """A buffer whose source is ours."""

    source: Source
    buffer: Buffer

    @property
    def pid(self) -> int:
        return self.buffer.program.process.pid

    def send(self, count: int) -> Sent:
        """A burst; returns when the buffer holds it."""
        sent = self.source.burst(count)
        self.buffer.wait_until_it_holds(newest=sent.last)
        return sent


@contextmanager
def buffered(*channels: str, limit: str = "2G", length: int = 10_000_000, options: Sequence[object] = ()) -> Iterator[Filled]:
    """A source and a buffer of it, which holds nothing yet."""
    with source_of(*channels) as source:
        source.process.tell("accept")
        with buffer_of(source.address, "-b", length, "--memory_limit", limit, *options) as buffer:
            source.process.answer("accepted")
            yield Filled(source, buffer)


def first_frames(*channels: str) -> list[bytes]:
    """The frames of one message of this stream, for sources that are not ours."""
    given = parser().parse_args(list(channels))
    stream = Stream(channels_of(given), 0.0)
    data = b"".join(bytes(piece) for piece in stream.take(1)[0])
    frames, at = [], 0
    while at < len(data):
        header = read_frame_header(data, at, len(data), max_frame_bytes=1 << 30)
        assert header is not None
        frames.append(data[header.body_start : header.body_stop])
        at = header.body_stop
    return frames


def cpu_s(pid: int) -> float:
    """CPU seconds that a living process has used, all threads, to a tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def ended_children_cpu_s() -> float:
    """CPU seconds of all children that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_bytes(pid: int) -> dict[str, int]:
    """Resident memory now (``VmRSS``), its private part (``RssAnon``) and the highest so far (``VmHWM``)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    return {name: int(fields[name][0]) * 1024 for name in ("VmRSS", "RssAnon", "VmHWM")}


def free_port() -> int:
    """One that is free now, and below those that the kernel gives to whoever asks for any: nobody takes it by chance."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


@contextmanager
def scratch(*, needs_bytes: int, parent: Path | None = None) -> Iterator[Path]:
    """A folder that goes away; raises OSError beforehand if there is no room for what shall be written."""
    place = parent or Path(tempfile.gettempdir())
    free = shutil.disk_usage(place).free
    if free < needs_bytes * 1.2:
        raise OSError(
            f"{place} has {free / 1e9:.1f} GB free, this needs {needs_bytes / 1e9:.1f} GB; set TMPDIR to another folder"
        )
    with tempfile.TemporaryDirectory(prefix="sf-bench-", dir=place) as folder:
        yield Path(folder)


def warm_space(path: Path, size: int) -> None:
    """Has the file system allocate and touch so much, as the benchmarked file will: directly before it, for virtual machines give
    memory that is free for some seconds back to their host."""
    block = bytes(4 << 20)
    with path.open("wb") as file:
        for _ in range(0, size, len(block)):
            file.write(block)
        os.fsync(file.fileno())
    path.unlink()


def acquire(
    stream: str, path: Path, first: int, last: int, *options: object, when_ready: Callable[[], None] = lambda: None
) -> dict[str, float]:
    """One whole acquisition of pulses in the past; returns what it cost from the request to the end of the process.

    ``wall_s`` to the process's end, ``report_s`` by the writer's own report, ``cpu_s`` without the start of the program.
    ``options`` are more of the writer's; ``when_ready`` is called when it waits for the request.
    """
    with writer_of(stream, path, "--log_level", "INFO", *options) as writer:
        pid = writer.program.process.pid
        when_ready()
        ended_before_s, start_cpu_s = ended_children_cpu_s(), cpu_s(pid)
        began_s = time.monotonic()
        writer.put(f"/start_pulse_id/{first}")
        writer.put(f"/stop_pulse_id/{last}")
        code = writer.program.wait_for_exit(timeout_s=SECONDS_AT_MOST)
        wall_s = time.monotonic() - began_s
        used_s = ended_children_cpu_s() - ended_before_s - start_cpu_s
        if code:
            raise RuntimeError(f"the writer ended with {code}:\n{writer.program.output}")
    report = report_in(path)
    assert report.rows > 0
    size = path.stat().st_size
    path.unlink()
    return {"wall_s": wall_s, "cpu_s": used_s, "report_s": report.seconds, "rows": report.rows, "file_bytes": size}


def compiled(name: str, folder: Path) -> Path | None:
    """``c/NAME.c`` with the system's compiler against libzmq; None where one of them is missing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    target = folder / name
    code = subprocess.run(
        [compiler, "-O2", "-o", str(target), str(ROOT / "bench" / "c" / f"{name}.c"), "-lzmq"], capture_output=True, check=False
    ).returncode
    return target if code == 0 else None
