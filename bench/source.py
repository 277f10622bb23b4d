"""A source that is never the bottleneck: prepared messages with rising pulse ids, on one blocking socket, on command.

``python -m bench.source CHANNEL-OPTIONS`` listens, prints ``port N``, and obeys lines on its standard input:

``accept``       waits for the next client; answers ``accepted``
``burst N``      sends N messages as fast as the client takes them; answers ``sent FIRST LAST MONOTONIC_NS``
``paced N HZ``   the same, so many a second

Values, timestamps and pulse ids are those of `sf_bsread simulate`, of which this is the inner part without clients' queues.
"""

import argparse
import socket
import sys
import time

import numpy as np

from sf_bsread_writer.message.types import Compression
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.simulator.channels import SimulatedChannel, camera, parse_channel, scalars
from sf_bsread_writer.simulator.prepared import PreparedHeader
from sf_bsread_writer.simulator.stream import Epoch, Plan
from sf_bsread_writer.zmtp.handshake import Handshake, serving_role

_BATCH_BYTES = 16 << 20
_BATCH_MESSAGES = 256
_PIECES_AT_ONCE = 1000
"""Below IOV_MAX of Linux."""


def channels_of(given: argparse.Namespace) -> tuple[SimulatedChannel, ...]:
    """All that the options name."""
    some = [channel for text in given.scalars for channel in scalars(text)]
    some += [parse_channel(text) for text in given.channel]
    return (*some, *([camera(given.camera)] if given.camera else []))


def parser() -> argparse.ArgumentParser:
    """Channel options as `sf_bsread simulate` has them."""
    options = argparse.ArgumentParser()
    options.add_argument("--scalars", action="append", default=[])
    options.add_argument("--channel", action="append", default=[])
    options.add_argument("--camera")
    options.add_argument("--missing", type=float, default=0.0)
    return options


class Stream:
    """The messages one after the other."""

    def __init__(self, channels: tuple[SimulatedChannel, ...], missing: float) -> None:
        self._header = PreparedHeader(channels, dh_compression=Compression.NONE)
        self._plan = Plan(epochs=(Epoch(start=0, channels=channels),), first_pulse_id=10_000_000_000, missing=missing)
        self._next = 0
        self.batch_messages = max(1, min(_BATCH_MESSAGES, _BATCH_BYTES // self._header.message_bytes))

    def take(self, count: int) -> tuple[list[bytes | memoryview], int, int]:
        """The pieces of the next ``count`` pulses, their first and last pulse id."""
        (burst,) = self._plan.messages(self._next, self._next + count)
        self._next += count
        times_ns = 1_700_000_000 * NS_PER_S + burst.pulses * 10_000_000
        batch = self._header.batch(
            burst.pulse_ids, times_ns, np.broadcast_to(burst.present, (len(burst), burst.present.shape[1]))
        )
        return batch.pieces, int(burst.pulse_ids[0]), int(burst.pulse_ids[-1])


def send_all(sock: socket.socket, pieces: list[bytes | memoryview]) -> None:
    """Blocks until all is in the kernel's hands."""
    for part in _parts(pieces):
        rest = [memoryview(piece) for piece in part]
        while rest:
            sent = sock.sendmsg(rest)
            done = 0
            while done < len(rest) and sent >= len(rest[done]):
                sent -= len(rest[done])
                done += 1
            rest = rest[done:]
            if sent:
                rest[0] = rest[0][sent:]


def _parts(pieces: list[bytes | memoryview]) -> list[list[bytes | memoryview]]:
    return [pieces[at : at + _PIECES_AT_ONCE] for at in range(0, len(pieces), _PIECES_AT_ONCE)]


def accept(server: socket.socket) -> socket.socket:
    """The next client, hands shaken."""
    client, _ = server.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    handshake = Handshake(answer=lambda ready: (serving_role(ready), {}))
    client.sendall(handshake.start())
    while handshake.ready is None:
        client.sendall(handshake.feed(client.recv(65536)))
    return client


def main() -> int:
    """Obeys until its input ends."""
    given = parser().parse_args()
    stream = Stream(channels_of(given), given.missing)
    server = socket.create_server(("127.0.0.1", 0))
    client: socket.socket | None = None
    _say(f"port {server.getsockname()[1]}")
    for line in sys.stdin:
        command, *numbers = line.split()
        if command == "accept":
            if client is not None:
                client.close()
            client = accept(server)
            _say("accepted")
        elif client is not None:
            _say("sent {} {} {}".format(*_send(client, stream, int(numbers[0]), float(numbers[1]) if numbers[1:] else 0.0)))
    return 0


def _send(client: socket.socket, stream: Stream, count: int, rate_hz: float) -> tuple[int, int, int]:
    first = last = -1
    began_ns, done = time.monotonic_ns(), 0
    while done < count:
        # Paced messages leave one by one above 100 Hz too, as from a real source, as far as the sleep's resolution goes.
        number = min(count - done, max(1, int(rate_hz // 1000)) if rate_hz else stream.batch_messages)
        pieces, batch_first, last = stream.take(number)
        if rate_hz:
            time.sleep(max(0.0, (began_ns + int(done / rate_hz * NS_PER_S) - time.monotonic_ns()) / NS_PER_S))
        send_all(client, pieces)
        first = batch_first if first < 0 else first
        done += number
    return first, last, time.monotonic_ns()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
