"""A TCP connection through its handshake: the part that the connecting and the listening end have in common.

The socket is handed over, not wrapped: whoever owns the `Connection` receives straight into its own memory and sends straight
from it.
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.handshake import Handshake, Ready, SocketType

_RECEIVE_BYTES = 64 * 1024

# A peer whose machine died is noticed after 10 + 3 × 5 s, if nothing is in flight to it; if something is, by `unanswered`.
# TCP_USER_TIMEOUT is not used: it would also end the connection to a peer that lives but does not read, such as a writer under
# SIGSTOP.
_KEEPALIVE_IDLE_S = 10
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_PROBES = 3


class HungUp(PeerError):  # noqa: N818 - named for what happened, as WrongRole
    """The peer closed the connection before its READY; ``greeted`` tells whether after its greeting.

    libzmq does so before, if its security mechanism is not ours, and after, if its socket type does not fit ours and it reads our
    READY before it has sent its own.
    """

    def __init__(self, text: str, *, greeted: bool) -> None:
        super().__init__(text)
        self.greeted = greeted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """A TCP connection after its handshake; whoever is given it owns it and closes it.

    ``socket`` is non-blocking, without delay, with keep-alive. ``socket_type`` is ours. ``peer_address`` is numeric,
    ``tcp://host:port``. ``leftover`` is the traffic that came together with the last bytes of the handshake, to be taken as
    received first.
    """

    socket: socket.socket
    ready: Ready
    socket_type: SocketType
    peer_address: str
    leftover: bytes

    def close(self) -> None:
        """Closes the socket; may be called again."""
        self.socket.close()


def prepare(sock: socket.socket) -> None:
    """Makes a socket what `Connection` promises."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    set_keepalive(sock)


def set_keepalive(sock: socket.socket) -> None:
    """Lets the kernel notice within half a minute that the other machine has gone."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def unanswered(sock: socket.socket) -> int:
    """How often the kernel has tried again in vain to get anything through to the peer, without a sign of life in between.

    For a peer that lives but does not read it stays at 0 or 1: its kernel answers, though not more than twice a second.
    Source: ``struct tcp_info`` of linux/tcp.h.
    """
    _, _, retransmits, probes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 4)
    return max(retransmits, probes)


async def shake_hands(sock: socket.socket, handshake: Handshake, *, timeout_s: float) -> Connection:
    """Carries a handshake out on a connected socket that is non-blocking.

    The socket stays open whatever happens. Raises `PeerError` (`HungUp`, `WrongRole`) with a predicate as text, see `frames`.
    """
    address = peer_address(sock)
    try:
        async with asyncio.timeout(timeout_s):
            ready, socket_type = await _exchange(sock, handshake)
    except PeerError:
        with contextlib.suppress(OSError):
            sock.send(handshake.farewell)
        raise
    except TimeoutError:
        raise PeerError(_silent(handshake, timeout_s)) from None
    return Connection(socket=sock, ready=ready, socket_type=socket_type, peer_address=address, leftover=handshake.leftover)


def peer_address(sock: socket.socket) -> str:
    """``tcp://host:port`` of the other end, numeric; ``tcp://?:0`` if it has gone already."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        host, port = "?", 0
    return str(Address(host, port))


async def _exchange(sock: socket.socket, handshake: Handshake) -> tuple[Ready, SocketType]:
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(sock, handshake.start())
        while handshake.ready is None or handshake.socket_type is None:
            data = await loop.sock_recv(sock, _RECEIVE_BYTES)
            if not data:
                raise _hung_up(handshake)
            await loop.sock_sendall(sock, handshake.feed(data))
    except PeerError:
        raise
    except OSError:
        raise _hung_up(handshake) from None
    return handshake.ready, handshake.socket_type


def _silent(handshake: Handshake, timeout_s: float) -> str:
    within = f"within {timeout_s:g} s"
    if handshake.greeted:
        return f"greeted but sent no whole READY {within}; it is not a ZMTP 3 peer or hangs"
    if handshake.received:
        return f"sent only {handshake.received[:24]!r} {within}; it is not a ZMTP 3 peer or hangs: check host and port"
    return f"is connected but sent nothing {within}; it is not a ZMTP peer or hangs: check host and port"


def _hung_up(handshake: Handshake) -> HungUp:
    if handshake.greeted:
        what = "before its READY; it may want another socket type, or is just stopping"
    elif handshake.received:
        what = f"within its greeting ({handshake.received[:24]!r}); it may want a security mechanism (only NULL is supported)"
    else:
        what = "without a word; it is just stopping, wants a security mechanism (only NULL is supported), or is not a ZMTP peer"
    return HungUp(f"closed the connection {what}", greeted=handshake.greeted)
