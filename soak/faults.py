"""What is done to source, buffer, and the ports: each fault is one function, which returns what went wrong, if anything did.

Faults of the beamline are made one at a time, and each is over when pulses flow again. Those of bad clients last as long as they
like, and must be noticed by nobody.
"""

import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping

from sf_bsread_writer.testing.strangers import GREETING, SAYS_TOO_LITTLE, SAYS_TOO_MUCH, ready
from soak.beamline import Beamline
from soak.source import GARBAGE_BYTES, GARBAGE_MESSAGE, HALF, MISBEHAVE

Fault = Callable[[Beamline, random.Random], str | None]
BadClient = Callable[[int, random.Random, threading.Event], None]

_CONNECT_TIMEOUT_S = 10.0
_SIGNALS = {fault: number for number, fault in MISBEHAVE.items()}


def _misbehaving(fault: str) -> Fault:
    def misbehave(beamline: Beamline, chance: random.Random) -> str | None:
        beamline.signal_source(_SIGNALS[fault])
        return None

    return misbehave


def source_restarts(beamline: Beamline, chance: random.Random) -> str | None:
    """With the header it had."""
    beamline.restart_source()
    return None


def source_restarts_with_another_header(beamline: Beamline, chance: random.Random) -> str | None:
    """A channel more or less, and a waveform of another length."""
    beamline.restart_source(other_header=True)
    return None


def source_starts_over(beamline: Beamline, chance: random.Random) -> str | None:
    """Its pulse ids begin far below."""
    beamline.restart_source(start_over=True, other_header=chance.random() < 0.3)
    return None


def source_is_away(beamline: Beamline, chance: random.Random) -> str | None:
    """For seconds."""
    beamline.restart_source(away_s=chance.uniform(1, 4))
    return None


def buffer_is_killed(beamline: Beamline, chance: random.Random) -> str | None:
    """SIGKILL."""
    return beamline.restart_buffer(signal.SIGKILL)


def buffer_is_restarted(beamline: Beamline, chance: random.Random) -> str | None:
    """SIGTERM."""
    return beamline.restart_buffer(signal.SIGTERM)


SOURCE_FAULTS: Mapping[str, Fault] = {
    "source restarts": source_restarts,
    "source restarts with another header": source_restarts_with_another_header,
    "source's counter starts over": source_starts_over,
    "source is away for seconds": source_is_away,
    "source sends half a message and hangs up": _misbehaving(HALF),
    "source sends garbage and hangs up": _misbehaving(GARBAGE_BYTES),
    "source sends a message of garbage": _misbehaving(GARBAGE_MESSAGE),
}
BUFFER_FAULTS: Mapping[str, Fault] = {
    "buffer is killed": buffer_is_killed,
    "buffer is restarted": buffer_is_restarted,
}


def says_something_else(port: int, chance: random.Random, ends: threading.Event) -> None:
    """HTTP, TLS, SSH, and whatever else there is."""
    with _connected(port) as client:
        client.sendall(chance.choice(SAYS_TOO_MUCH).says)
        _read_until_closed(client)


def says_too_little(port: int, chance: random.Random, ends: threading.Event) -> None:
    """Half a handshake, and then nothing."""
    with _connected(port) as client:
        client.sendall(chance.choice(SAYS_TOO_LITTLE).says)
        ends.wait(chance.uniform(0, 8))


def never_reads(port: int, chance: random.Random, ends: threading.Event) -> None:
    """Asks for everything, and takes none of it."""
    with _connected(port) as client:
        client.sendall(GREETING + ready(Socket_Type=b"PULL", X_Start=b"oldest"))
        ends.wait(chance.uniform(3, 20))


def disappears(port: int, chance: random.Random, ends: threading.Event) -> None:
    """In the middle of a message, without a word (RST)."""
    with _connected(port) as client:
        client.sendall(GREETING + ready(Socket_Type=b"PULL", X_Start=b"oldest"))
        for _ in range(chance.randint(1, 50)):
            if not client.recv(chance.choice((100, 5000, 200_000))):
                break
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BAD_CLIENTS: Mapping[str, BadClient] = {
    "client says something else": says_something_else,
    "client says too little": says_too_little,
    "client never reads": never_reads,
    "client disappears": disappears,
}


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_TIMEOUT_S)


def _read_until_closed(client: socket.socket) -> None:
    """As long as the other side cares to answer, which is not long."""
    until_s = time.monotonic() + _CONNECT_TIMEOUT_S
    while time.monotonic() < until_s and client.recv(1 << 16):
        pass
