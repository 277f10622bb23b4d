"""The listening end: accepts, shakes hands, and hands the connection over. It never reads traffic.

What comes in here may be anything: port scanners, browsers, sockets of the wrong kind, peers that say nothing. None of them may
hold up the others, so each handshake is a task of its own with a deadline, and clients and handshakes are limited in number.
"""

import asyncio
import errno
import functools
import os
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sf_bsread_writer.errors import PeerError, SetupError
from sf_bsread_writer.zmtp.connection import Connection, peer_address, prepare, shake_hands
from sf_bsread_writer.zmtp.handshake import Announcement, Handshake, Ready, TryLater

_BACKLOG = 1024
_MAX_HANDSHAKES = 256
"""At a time; further peers wait in the kernel's backlog until one is done."""
_PATIENCE_S = 0.5
"""When all handshakes are taken and others wait, one that takes longer makes room: so a thousand silent peers keep nobody out for
long. Who means it needs a few round trips."""
_KEPT_REASONS = 20
_BIND_ADVICE = {
    errno.EADDRINUSE: "stop the program that uses this port, or choose another port",
    errno.EADDRNOTAVAIL: "give an address of this machine",
    errno.EACCES: "ports below 1024 are for root: choose a higher one",
}
_NO_DESCRIPTORS_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerStatistics:
    """Counts since the start; ``reasons`` are the last refusals and failures, oldest first, each with the peer's address.

    ``turned_away`` are peers that were not admitted, and got no word.
    """

    accepted: int
    turned_away: int
    refused: int
    failed_handshakes: int
    reasons: tuple[str, ...]


def _why_not(error: OSError) -> str:
    """Why a port cannot be opened, and what to do. `socket.create_server` adds the address to each text and hides the class."""
    number = error.errno or 0
    if isinstance(error, socket.gaierror) or number < 0:
        return "the host is unknown; give an address of this machine"
    reason = os.strerror(number) if number else str(error)
    return f"{reason}; {_BIND_ADVICE.get(number, 'choose another host or port')}"


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()  # select() knows the first 1024 descriptors only
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


class Listener:
    """A listening TCP port that speaks ZMTP.

    Parameters
    ----------
    host, port
        Where to listen; host ``0.0.0.0`` is every IPv4 address, ``::`` every address; port 0 lets the system choose.
    answer
        Gets the peer's `Ready`, gives our socket type and properties, or raises to refuse; see `Handshake`, `serving_role`.
    on_connection
        Gets each connection after its handshake, and owns it.
    max_clients
        How many connections may be open at a time; further ones are refused for now. A connection counts until its socket is
        closed.
    handshake_timeout_s
        After this long without READY the peer is dropped.
    on_trouble
        Gets one line for each refused or failed peer, if given.
    admits
        Gets the numeric host of each peer; those for which it is False are closed at once, before any handshake.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        answer: Callable[[Ready], Announcement],
        on_connection: Callable[[Connection], None],
        max_clients: int = 256,
        handshake_timeout_s: float = 5.0,
        on_trouble: Callable[[str], None] | None = None,
        admits: Callable[[str], bool] = lambda host: True,
    ) -> None:
        self.host = host
        self.port = port
        self._answer = answer
        self._on_connection = on_connection
        self._max_clients = max_clients
        self._timeout_s = handshake_timeout_s
        self._on_trouble = on_trouble
        self._admits = admits
        self._socket: socket.socket | None = None
        self._accepting = False
        self._handshakes: dict[asyncio.Task[None], tuple[float, str]] = {}  # since when, and with whom; oldest first
        self._impatience: asyncio.TimerHandle | None = None
        self._open: list[Connection] = []
        self._accepted = 0
        self._turned_away = 0
        self._refused = 0
        self._failed = 0
        self._reasons: deque[str] = deque(maxlen=_KEPT_REASONS)

    async def start(self) -> None:
        """Listens; sets `host` and `port` to the real ones, numeric. Raises `SetupError` if that is not possible."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (self.host, self.port), family=family, backlog=_BACKLOG, dualstack_ipv6=self.host == "::"
            )
        except OSError as error:
            raise SetupError(f"cannot listen on {self.host}:{self.port}: {_why_not(error)}") from error
        self._socket.setblocking(False)
        self.host, self.port = self._socket.getsockname()[:2]
        self._resume()

    async def stop(self) -> None:
        """Closes the port and ends unfinished handshakes; connections handed over stay with their owners. May be called again."""
        self._pause()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._impatience is not None:
            self._impatience.cancel()
        handshakes = list(self._handshakes)
        for task in handshakes:
            task.cancel()
        await asyncio.gather(*handshakes, return_exceptions=True)

    def statistics(self) -> ListenerStatistics:
        """A snapshot."""
        return ListenerStatistics(
            accepted=self._accepted,
            turned_away=self._turned_away,
            refused=self._refused,
            failed_handshakes=self._failed,
            reasons=tuple(self._reasons),
        )

    def _resume(self) -> None:
        if self._socket is not None and not self._accepting:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)
            self._accepting = True

    def _pause(self) -> None:
        if self._socket is not None and self._accepting:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._accepting = False

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            sock, (host, *_) = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            # Out of file descriptors: the peer stays in the backlog and the port readable; without a pause this would spin.
            self._pause()
            asyncio.get_running_loop().call_later(_NO_DESCRIPTORS_PAUSE_S, self._resume)
            self._complain(
                f"cannot accept a connection on port {self.port}: {error.strerror or error}; close clients or raise the limit"
            )
            return
        if not self._admits(host):
            self._turned_away += 1
            sock.close()
            return
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._welcome(sock))
        self._handshakes[task] = (loop.time(), peer_address(sock))
        task.add_done_callback(functools.partial(self._welcomed, sock))
        if len(self._handshakes) >= _MAX_HANDSHAKES:
            self._pause()
            if self._impatience is None:
                self._make_room()

    def _make_room(self) -> None:
        """While all handshakes are taken: gives those up that take too long, if anybody waits for their place."""
        loop = asyncio.get_running_loop()
        self._impatience = None
        if self._socket is None or len(self._handshakes) < _MAX_HANDSHAKES:
            return
        late = [each for each, (since_s, _) in self._handshakes.items() if since_s + _PATIENCE_S <= loop.time()]
        if late and _is_readable(self._socket):
            for task in late:
                self._failed += 1
                self._complain(
                    f"{self._handshakes[task][1]} was not done with its READY after {_PATIENCE_S:g} s, and others wait"
                )
                task.cancel()
        else:
            self._impatience = loop.call_later(_PATIENCE_S, self._make_room)

    def _welcomed(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # perhaps before its first step, where it would have closed the socket itself
            sock.close()
        self._handshakes.pop(task, None)
        self._resume()

    async def _welcome(self, sock: socket.socket) -> None:
        address = peer_address(sock)
        handshake = Handshake(answer=self._decide)
        handed_over = False
        try:
            prepare(sock)
            connection = await shake_hands(sock, handshake, timeout_s=self._timeout_s)
            self._open.append(connection)
            self._accepted += 1
            self._on_connection(connection)
            handed_over = True
        except PeerError as error:
            if handshake.farewell:
                self._refused += 1
                self._complain(f"{address}: {error}")
            else:
                self._failed += 1
                self._complain(f"{address} {error}")
        finally:
            if not handed_over:
                sock.close()

    def _decide(self, ready: Ready) -> Announcement:
        self._open = [connection for connection in self._open if connection.socket.fileno() >= 0]
        role, properties = self._answer(ready)
        if len(self._open) >= self._max_clients:
            raise TryLater(
                f"too many clients: {self._max_clients} are connected, the most accepted; close one, or raise the limit",
                role=role,
            )
        return role, properties

    def _complain(self, text: str) -> None:
        self._reasons.append(text)
        if self._on_trouble is not None:
            self._on_trouble(text)
