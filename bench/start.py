"""How long a program takes to be there, and to be gone; and that 5,000 new channels do not make the stream wait."""

import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.harness import Measured, Rounds, Sheet, figure, take_turns
from bench.parties import SECONDS_AT_MOST, buffered, free_port, scratch
from sf_bsread_writer.testing.chain import Writer, buffer_of, report_in, writer_of
from sf_bsread_writer.testing.programs import running

_PARTS = {
    "the interpreter": "pass",
    "numpy": "import numpy",
    "h5py (with numpy)": "import h5py",
    "Litestar": "import litestar",
    "uvicorn": "import uvicorn",
    "all that the writer imports": "import sf_bsread_writer.acquire.service, sf_bsread_writer.rest.server",
}


def run(sheet: Sheet) -> None:
    """All of it."""
    beginning(sheet)
    end(sheet)
    creation(sheet)


def beginning(sheet: Sheet) -> None:
    """From the start of the process to the first answer, and the imports that it is made of, each in a process of its own."""
    with scratch(needs_bytes=1 << 20) as folder:
        cases: dict[str, Callable[[], Measured]] = {
            "writer: process start to first REST answer": partial(_first_answer, folder),
            "buffer: process start to its port": _buffer_serves,
        }
        cases |= {f"python -c '{code}'": partial(_python, code) for code in _PARTS.values()}
        rounds = take_turns(cases, rounds=sheet.size(7, 1))
    names = {f"python -c '{code}'": f"process that does nothing but: {what}" for what, code in _PARTS.items()}
    rows = [
        [names.get(case, case), figure(1e3 * rounds.median(case, "s")), f"{100 * rounds.spread(case, 's'):.0f} %"]
        for case in cases
    ]
    sheet.table("Start", ["", "ms", "spread"], rows, rounds)
    first = rounds.median("writer: process start to first REST answer", "s")
    sheet.promise("start, process start to first REST answer", "≤", 0.6, first, "s")


def _first_answer(folder: Path) -> Measured:
    port, began_s = free_port(), time.monotonic()
    with running("writer", f"tcp://127.0.0.1:{free_port()}", folder / "never.h5", -1, port) as program:
        while not _answers(port):
            if program.process.poll() is not None or time.monotonic() - began_s > SECONDS_AT_MOST:
                raise RuntimeError(f"the writer does not answer:\n{program.output}")
            time.sleep(0.002)
        return {"s": time.monotonic() - began_s}


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/status")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _buffer_serves() -> Measured:
    began_s = time.monotonic()
    with buffer_of(f"tcp://127.0.0.1:{free_port()}"):
        return {"s": time.monotonic() - began_s}


def _python(code: str) -> Measured:
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True)
    return {"s": time.monotonic() - began_s}


def end(sheet: Sheet) -> None:
    """A live stream at 100 Hz, and a stop that is known: from the last pulse's sending to the end of the process."""
    rows = []
    for channels, promised_s in ((300, 0.3), (5_000, 2.0)):
        rounds = _ends(sheet, channels)
        gone_s = rounds.median("", "s")
        every = rounds.all("", "s")
        rows.append([f"{channels:,}", figure(1e3 * gone_s), figure(1e3 * min(every)), figure(1e3 * max(every))])
        sheet.rounds[f"end, {channels} channels"] = {"": [dict(each) for each in rounds.measured[""]]}
        sheet.promise(f"end, last pulse to process gone, file closed, {channels:,} channels", "≤", promised_s, gone_s, "s")
    sheet.table("End: last pulse sent to process gone", ["channels, 100 Hz", "median ms", "least", "most"], rows)


def _ends(sheet: Sheet, channels: int) -> Rounds:
    count = sheet.size(400, 60)
    with scratch(needs_bytes=1 << 30) as folder, buffered("--scalars", str(channels), limit="1G") as filled:
        first = filled.send(100).last + 1

        def once() -> Measured:
            nonlocal first
            path = folder / "run.h5"
            with writer_of(filled.buffer.address, path) as writer:
                writer.put(f"/start_pulse_id/{first}")
                writer.put(f"/stop_pulse_id/{first + count - 1}")
                filled.source.begin(count, 100.0)
                sent = filled.source.finish()
                code = writer.program.wait_for_exit(timeout_s=SECONDS_AT_MOST)
                gone_ns = time.monotonic_ns()
            if code:
                raise RuntimeError(f"the writer ended with {code}:\n{writer.program.output}")
            path.unlink()
            first = sent.last + 1
            return {"s": (gone_ns - sent.at_ns) / 1e9}

        return take_turns({"": once}, rounds=sheet.size(3, 1), warm_up=sheet.size(1, 0))


def creation(sheet: Sheet) -> None:
    """5,000 channels that no file has yet, in a live stream at 100 Hz: what is lost, and how long the writer does not answer."""
    count, channels = sheet.size(600, 60), 5_000
    with scratch(needs_bytes=1 << 30) as folder, buffered("--scalars", str(channels), limit="1G") as filled:
        path = folder / "run.h5"
        filled.send(100)
        with writer_of(filled.buffer.address, path) as writer:
            slowest_s, done = [0.0], threading.Event()
            asking = threading.Thread(target=_ask, args=(writer, slowest_s, done))
            first = filled.send(1).last + 1
            writer.put(f"/start_pulse_id/{first}")
            asking.start()
            filled.source.begin(count, 100.0)
            sent = filled.source.finish()
            done.set()
            asking.join()
            writer.put(f"/stop_pulse_id/{sent.last}")
            code = writer.program.wait_for_exit(timeout_s=SECONDS_AT_MOST)
        report = report_in(path)
    rows = [
        [f"{count}", f"{report.rows}", f"{report.missing_pulses + report.lost_in_buffer}", figure(1e3 * slowest_s[0]), str(code)]
    ]
    columns = ["pulses sent at 100 Hz", "rows in the file", "lost", "slowest REST answer, ms", "exit code"]
    sheet.table(f"{channels:,} channels begin while the stream goes on", columns, rows)
    lost = float(report.missing_pulses + report.lost_in_buffer)
    sheet.promise("creating 5,000 channels, pulses lost", "≤", 0, lost)


def _ask(writer: Writer, slowest_s: list[float], done: threading.Event) -> None:
    while not done.is_set():
        began_s = time.monotonic()
        writer.get("/status")
        slowest_s[0] = max(slowest_s[0], time.monotonic() - began_s)
        done.wait(0.01)
