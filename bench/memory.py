"""Memory over time: the buffer's beside its ring, the writer's from its first rows on. A minute each; ``--long`` takes ten."""

import time

from bench.harness import Sheet, figure
from bench.parties import SCALARS_300, buffered, cpu_s, memory_bytes, scratch
from sf_bsread_writer.testing.chain import writer_of

_MIB = 1 << 20
_RING_MIB = 512
_SAMPLE_S = 0.25
_RATE_HZ = 1000.0


def run(sheet: Sheet) -> None:
    """Both programs on one stream: 300 scalars at ten times the rate of the machine."""
    seconds = 600 if sheet.long else sheet.size(60, 4)
    count = int(seconds * _RATE_HZ)
    samples: dict[str, list[dict[str, float]]] = {"buffer": [], "writer": []}
    with scratch(needs_bytes=count * 8_000) as folder, buffered(*SCALARS_300, limit=f"{_RING_MIB}M") as filled:
        filled.send(sheet.size(20_000, 200))  # more than the ring holds: from here on its memory is recycled
        path = folder / "run.h5"
        with writer_of(filled.buffer.address, path) as writer:
            writer.put(f"/start_pulse_id/{filled.send(1).last + 1}")
            filled.source.begin(count, _RATE_HZ)
            pids = {"buffer": filled.pid, "writer": writer.program.process.pid}
            before = {name: cpu_s(pid) for name, pid in pids.items()}
            began_s = time.monotonic()
            while (elapsed_s := time.monotonic() - began_s) < seconds:
                for name, pid in pids.items():
                    samples[name].append({"s": elapsed_s, **{key: value / _MIB for key, value in memory_bytes(pid).items()}})
                time.sleep(_SAMPLE_S)
            used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
            sent = filled.source.finish()
            writer.put(f"/stop_pulse_id/{sent.last}")
            code = writer.program.wait_for_exit(timeout_s=60)
    if code:
        sheet.note(f"The writer ended with exit code {code}: the acquisition was not complete.")
    _tell(sheet, samples, used, count, seconds)


def _tell(sheet: Sheet, samples: dict[str, list[dict[str, float]]], used: dict[str, float], count: int, seconds: int) -> None:
    rows = []
    for name, taken in samples.items():
        quarters = [taken[i * len(taken) // 4 : (i + 1) * len(taken) // 4] for i in range(4)]
        rows.append([name, *(figure(_largest(quarter)) for quarter in quarters), figure(used[name] / count * 1e6)])
    columns = ["VmRSS, MiB, largest", "1st quarter", "2nd", "3rd", "4th", "CPU µs/message"]
    title = f"Memory during {seconds} s of 300 scalars at {_RATE_HZ:,.0f} Hz, ring of {_RING_MIB} MiB"
    sheet.table(title, columns, rows)
    sheet.rounds[title] = samples
    sheet.promise("memory, buffer above its ring", "≤", 64, _largest(samples["buffer"]) - _RING_MIB, "MiB")
    writer = samples["writer"]
    third, last = writer[len(writer) // 2 : 3 * len(writer) // 4], writer[3 * len(writer) // 4 :]
    sheet.promise("memory, writer, growth from the 3rd quarter to the 4th", "≤", 4, _largest(last) - _largest(third), "MiB")
    sheet.note("HDF5 keeps the index of the chunks in memory, up to a limit: it grows to that first.")


def _largest(samples: list[dict[str, float]]) -> float:
    return max(sample["VmRSS"] for sample in samples)
