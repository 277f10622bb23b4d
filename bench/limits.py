"""What the machine itself can do: memory, the loopback device, and a file, without us and without libzmq. The denominators."""

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bench.harness import Measured, Sheet, figure, take_turns
from bench.parties import scratch, warm_space

_PIECE_BYTES = 1 << 20
FRAME_BYTES = 1280 * 1024 * 2


def run(sheet: Sheet) -> None:
    """memcpy, TCP on the loopback device, write() to a file with and without fsync."""
    size = sheet.size(1 << 30, 64 << 20)
    memory = np.ones((2, 256 << 20 if not sheet.quick else 16 << 20), np.uint8)

    def memcpy() -> Measured:
        began_s = time.monotonic()
        memory[0] = memory[1]
        return {"GB/s": memory.shape[1] / (time.monotonic() - began_s) / 1e9}

    with scratch(needs_bytes=size) as folder:
        warm_space(folder / "warm", size)
        cases: dict[str, Callable[[], Measured]] = {
            "memcpy": memcpy,
            "TCP on loopback, 1 MiB pieces": lambda: {"GB/s": size / loopback_s(size) / 1e9},
            "write() of camera frames": lambda: {"GB/s": size / write_loop_s(folder, size)["write_s"] / 1e9},
            "write() of camera frames, fsync": lambda: {"GB/s": size / write_loop_s(folder, size)["synced_s"] / 1e9},
        }
        for place in memory_folders():
            cases[f"write() of camera frames in {place}"] = lambda place=place: {  # type: ignore[misc]
                "GB/s": size / _elsewhere(place, size) / 1e9
            }
        rounds = take_turns(cases, rounds=sheet.size(5, 1))
    rows = [[case, figure(rounds.median(case, "GB/s")), f"{100 * rounds.spread(case, 'GB/s'):.0f} %"] for case in cases]
    sheet.table("Limits of this machine", ["", "GB/s", "spread"], rows, rounds)


def loopback_s(size: int) -> float:
    """Seconds for so many bytes from one thread to another; system calls let go of the interpreter's lock."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        writer = socket.create_connection(server.getsockname())
        reader, _ = server.accept()
        data, into = bytearray(_PIECE_BYTES), bytearray(_PIECE_BYTES)
        sender = threading.Thread(target=_send, args=(writer, data, size // _PIECE_BYTES))
        began_s, left = time.monotonic(), size // _PIECE_BYTES * _PIECE_BYTES
        sender.start()
        while left:
            left -= reader.recv_into(into)
        wall_s = time.monotonic() - began_s
        sender.join()
        writer.close()
        reader.close()
    return wall_s


def _send(writer: socket.socket, data: bytearray, times: int) -> None:
    for _ in range(times):
        writer.sendall(data)


def write_loop_s(folder: Path, size: int) -> dict[str, float]:
    """Seconds for camera frames of so many bytes into a new file: after the last write(), and after fsync and close."""
    # The frames come from all over a ring, not from one piece of memory that stays in the processor's cache.
    frames = np.ones((max(1, min(64, size // FRAME_BYTES)), FRAME_BYTES), np.uint8)
    path = folder / "written"
    began_s = time.monotonic()
    with path.open("wb", buffering=0) as file:
        for number in range(size // FRAME_BYTES):
            file.write(frames[number % len(frames)])
        write_s = time.monotonic() - began_s
        os.fsync(file.fileno())
    synced_s = time.monotonic() - began_s
    path.unlink()
    return {"write_s": write_s, "synced_s": synced_s}


def memory_folders() -> Iterator[Path]:
    """/dev/shm, where it is and is not the folder for temporary files anyway."""
    shm = Path("/dev/shm")
    if shm.is_dir() and os.access(shm, os.W_OK) and Path(tempfile.gettempdir()) != shm:
        yield shm


def _elsewhere(place: Path, size: int) -> float:
    with scratch(needs_bytes=size, parent=place) as folder:
        return write_loop_s(folder, size)["write_s"]
