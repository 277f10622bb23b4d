"""Readers in Python with the words of ``c/sink.c``: ``python -m bench.sinks KIND ADDRESS COUNT ROUNDS [START]``.

``zmq`` is a pyzmq PULL loop, ``raw`` is this package's own receiving (no libzmq, no decoding), which is cheap enough not to
limit the buffer, and checks that pulse ids rise by one. Both print ``ready`` when connected, then for each round of COUNT
messages ``round SECONDS CPU_SECONDS BYTES`` (raw: also the number of pulses left out), seconds from the round's first to its last
message.
"""

import asyncio
import resource
import sys
import time

import numpy as np
import zmq

from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.segment import SegmentPool
from sf_bsread_writer.zmtp.address import parse_address
from sf_bsread_writer.zmtp.extension import StartPoint, client_properties
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect


def main() -> int:
    """Ends after the last round."""
    kind, address, count, rounds, *start = sys.argv[1:]
    if kind == "zmq":
        pyzmq_loop(address, int(count), int(rounds))
    else:
        raw_loop(address, int(count), int(rounds), start[0] if start else "live")
    return 0


def pyzmq_loop(address: str, count: int, rounds: int) -> None:
    """``recv_multipart`` and nothing else."""
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.connect(address)
        _say("ready")
        spent_s = _cpu_s()
        for _ in range(rounds):
            size = sum(map(len, socket.recv_multipart()))
            began_s = time.monotonic()
            for _ in range(count - 1):
                size += sum(map(len, socket.recv_multipart()))
            wall_s, now_s = time.monotonic() - began_s, _cpu_s()
            _say(f"round {wall_s:.9f} {now_s - spent_s:.6f} {size}")
            spent_s = now_s


def raw_loop(address: str, count: int, rounds: int, start: str) -> None:
    """Counts messages and the pulses that are left out between them."""
    pool = SegmentPool(256 << 20)
    inlet = Inlet(pool)
    properties = client_properties(name="bench", start=StartPoint.parse(start))
    connection = asyncio.run(connect(parse_address(address), role=SocketType.PULL, properties=properties))
    sock = connection.socket
    sock.setblocking(True)
    _say("ready")
    spent_s, wanted, messages, size, gaps, last = _cpu_s(), count, 0, 0, 0, -1
    began_s = 0.0
    events = inlet.feed(connection.leftover)
    while rounds:
        for event in events:
            if not isinstance(event, Arrived):
                continue
            if not messages:
                began_s = time.monotonic()
            ids = event.run.pulse_ids
            gaps += int((np.diff(ids) - 1).sum()) + (int(ids[0]) - last - 1 if last >= 0 else 0)
            last = int(ids[-1])
            messages += len(event.run)
        if messages >= wanted:
            wall_s, now_s = time.monotonic() - began_s, _cpu_s()
            _say(f"round {wall_s:.9f} {now_s - spent_s:.6f} {size} {gaps}")
            spent_s, messages, size, rounds, events = now_s, messages - wanted, 0, rounds - 1, []
            continue
        buffer = inlet.buffer()
        assert buffer is not None
        received = sock.recv_into(buffer)
        if not received:
            raise EOFError(f"{address} hung up after {messages} of {wanted} messages")
        size += received
        events = inlet.received(received)
    connection.close()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
