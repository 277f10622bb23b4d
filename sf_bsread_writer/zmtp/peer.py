"""The connecting end: one attempt (`connect`), or attempts for ever (`Connector`); and what every finished handshake gives, a `Connection`.

The socket is handed over, not wrapped: whoever owns the `Connection` receives straight into its own memory and sends straight from it.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.frames import encode_subscribe
from sf_bsread_writer.zmtp.handshake import Handshake, Ready, SocketType, WrongRole

Mode = Literal["auto", "pull", "sub"]

_RECEIVE_BYTES = 64 * 1024
_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 2.0
_STABLE_S = 1.0
"""A connection that lived shorter than this does not reset the backoff: a source that accepts and hangs up must not be asked in a tight loop."""

# A peer whose machine died is noticed after 10 + 3 × 5 s. TCP_USER_TIMEOUT is not used: it would also end the connection to a peer that lives but
# does not read, such as a writer under SIGSTOP.
_KEEPALIVE_IDLE_S = 10
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_PROBES = 3


class HungUp(PeerError):  # noqa: N818 - named for what happened, as WrongRole
    """A ZMTP peer closed the connection between its greeting and its READY: libzmq does so with a socket type that it cannot talk to."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Connection:
    """A TCP connection after its handshake; whoever is given it owns it and closes it.

    ``socket`` is non-blocking; ``socket_type`` is ours; ``peer_address`` is numeric, ``tcp://host:port``; ``leftover`` are the bytes
    of traffic that came with the last bytes of the handshake, to be taken as received first.
    """

    socket: socket.socket
    ready: Ready
    socket_type: SocketType
    peer_address: str
    leftover: bytes

    def close(self) -> None:
        """Closes the socket; may be called again."""
        self.socket.close()


async def connect(
    address: Address, *, role: SocketType, properties: Mapping[str, bytes] | None = None, timeout_s: float = 5.0
) -> Connection:
    """Makes one attempt to connect as ``role`` (PULL or SUB); a SUB subscribes to everything.

    Raises
    ------
    WrongRole
        The peer is a source of the other kind.
    PeerError
        Everything else that went wrong, with the address, the reason and what to do.
    """
    try:
        sock = await _open(address, timeout_s)
    except PeerError:
        raise
    except OSError as error:
        raise _unreachable(address, error, timeout_s) from error
    handshake = Handshake(announce=(role, properties or {}))
    with _closed_on_error(sock):
        try:
            async with asyncio.timeout(timeout_s):
                await shake_hands(sock, handshake)
                if role is SocketType.SUB:
                    await asyncio.get_running_loop().sock_sendall(sock, encode_subscribe(minor=connected_minor(handshake)))
        except WrongRole as error:
            raise WrongRole(f"{address} {error}", partner=error.partner) from None
        except PeerError as error:
            raise type(error)(f"{address} {error}") from None
        except TimeoutError:
            raise PeerError(f"{address} {silence(handshake, timeout_s)}") from None
        return connection_of(sock, handshake)


def connected_minor(handshake: Handshake) -> int:
    """The minor version both ends agreed on; only after the handshake."""
    assert handshake.ready is not None
    return handshake.ready.minor


async def shake_hands(sock: socket.socket, handshake: Handshake) -> None:
    """Carries a handshake out on a connected non-blocking socket; raises `PeerError` (`HungUp` if the peer left), has no deadline of its own."""
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(sock, handshake.start())
        while handshake.ready is None:
            data = await loop.sock_recv(sock, _RECEIVE_BYTES)
            if not data:
                raise _hung_up(handshake)
            await loop.sock_sendall(sock, handshake.feed(data))
    except PeerError:
        with contextlib.suppress(OSError):
            sock.send(handshake.farewell)
        raise
    except TimeoutError:
        raise
    except OSError:
        raise _hung_up(handshake) from None


def connection_of(sock: socket.socket, handshake: Handshake) -> Connection:
    """The result of a finished handshake."""
    assert handshake.ready is not None
    assert handshake.socket_type is not None
    return Connection(
        socket=sock,
        ready=handshake.ready,
        socket_type=handshake.socket_type,
        peer_address=peer_address(sock),
        leftover=handshake.leftover,
    )


def peer_address(sock: socket.socket) -> str:
    """``tcp://host:port`` of the other end, numeric; ``tcp://?:0`` if it has gone already."""
    try:
        host, port = sock.getpeername()[:2]
    except OSError:
        host, port = "?", 0
    return str(Address(host, port))


def silence(handshake: Handshake, timeout_s: float) -> str:
    """What to say of a peer that let the deadline pass."""
    if handshake.greeted:
        return f"greeted but sent no READY within {timeout_s:g} s; it is not a ZMTP 3 peer or hangs"
    got = handshake.received
    said = f"sent only {got[:24]!r}" if got else "accepted the connection but sent nothing"
    return f"{said} within {timeout_s:g} s; it is not a ZMTP peer or hangs: check host and port"


def set_keepalive(sock: socket.socket) -> None:
    """Lets the kernel notice within half a minute that the other machine has gone, on a connection where nothing is in flight."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_INTERVAL_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEPALIVE_PROBES)


def prepare(sock: socket.socket) -> None:
    """Makes a socket what `Connection` promises: non-blocking, no delay, keep-alive."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    set_keepalive(sock)


class Connector:
    """Connects to a source for ever: after every failure again, with growing pauses.

    Parameters
    ----------
    mode
        ``pull`` or ``sub`` forces our socket type; ``auto`` finds it out by the source's READY and remembers it.
    properties
        Asked before each attempt, since what a client wishes (where to continue) changes.
    on_trouble
        Gets one line for each failed attempt.
    """

    def __init__(
        self,
        address: Address,
        *,
        mode: Mode = "auto",
        properties: Callable[[], Mapping[str, bytes]] = dict,
        on_trouble: Callable[[str], None],
        timeout_s: float = 5.0,
    ) -> None:
        self.address = address
        self.role = SocketType.SUB if mode == "sub" else SocketType.PULL
        """The role of the next attempt."""
        self._auto = mode == "auto"
        self._properties = properties
        self._on_trouble = on_trouble
        self._timeout_s = timeout_s
        self._backoff_s = _FIRST_BACKOFF_S
        self._connected_at_s: float | None = None

    async def connected(self) -> Connection:
        """The next connection; to be called again when it has ended."""
        await self._rest_after_short_life()
        turned = False
        while True:
            try:
                connection = await connect(self.address, role=self.role, properties=self._properties(), timeout_s=self._timeout_s)
            except PeerError as error:
                wrong_role = self._turn(error)
                if wrong_role and not turned:
                    turned = True
                    continue
                self._on_trouble(str(error))
                await self._pause()
            else:
                self._connected_at_s = asyncio.get_running_loop().time()
                return connection

    def _turn(self, error: PeerError) -> bool:
        """Takes the other role if that may help; True if it surely does."""
        if self._auto and isinstance(error, WrongRole):
            self.role = error.partner
            return True
        if self._auto and isinstance(error, HungUp):
            self.role = SocketType.SUB if self.role is SocketType.PULL else SocketType.PULL
        return False

    async def _rest_after_short_life(self) -> None:
        if self._connected_at_s is None:
            return
        if asyncio.get_running_loop().time() - self._connected_at_s < _STABLE_S:
            await self._pause()
        else:
            self._backoff_s = _FIRST_BACKOFF_S

    async def _pause(self) -> None:
        pause_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, _LAST_BACKOFF_S)
        await asyncio.sleep(pause_s)


async def _open(address: Address, timeout_s: float) -> socket.socket:
    """A connected socket to the first of the host's addresses that accepts; raises the last one's OSError."""
    async with asyncio.timeout(timeout_s):
        targets = await _resolve(address)
    trouble = OSError("the host has no address")
    for family, target in targets:
        try:
            # Shared among the addresses, or a host whose IPv6 is a black hole would never be reached by its IPv4.
            async with asyncio.timeout(timeout_s / len(targets)):
                return await _open_one(family, target)
        except OSError as error:
            trouble = error
    raise trouble


async def _open_one(family: int, target: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closed_on_error(sock):
        prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, target)
        # While nobody listens, the kernel may choose the very port that we ask for as our own, and connect us to ourselves.
        if sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError("connected to itself")
        return sock


_Target = tuple[int, Any]


async def _resolve(address: Address) -> list[_Target]:
    """Address family and socket address for each address of the host.

    A thread of its own, not the event loop's pool: that one is joined at exit, and a name server that does not answer would hold the process.
    """
    with contextlib.suppress(OSError):
        return _look_up(address, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[_Target]] = loop.create_future()

    def deliver(targets: list[_Target], error: Exception | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(targets)
        else:
            found.set_exception(error)

    def work() -> None:
        targets: list[_Target] = []
        error: Exception | None = None
        try:
            targets = _look_up(address, 0)
        except (OSError, UnicodeError) as trouble:
            reason = trouble.strerror if isinstance(trouble, OSError) else "not a possible name"
            error = PeerError(f"{address}: host {address.host!r} is unknown ({reason}); check the name")
        with contextlib.suppress(RuntimeError):  # the loop was closed in the meantime
            loop.call_soon_threadsafe(deliver, targets, error)

    threading.Thread(target=work, name=f"look up {address.host}", daemon=True).start()
    return await found


def _look_up(address: Address, flags: int) -> list[_Target]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, target) for family, _, _, _, target in found]


def _unreachable(address: Address, error: OSError, timeout_s: float) -> PeerError:
    if isinstance(error, TimeoutError):
        return PeerError(f"{address} did not answer within {timeout_s:g} s; check host, port and network")
    if isinstance(error, ConnectionRefusedError):
        return PeerError(f"{address} refused the connection: nothing listens there; start the source or check host and port")
    return PeerError(f"{address} cannot be reached: {error.strerror or error}; check host, port and network")


def _hung_up(handshake: Handshake) -> PeerError:
    if handshake.greeted:
        return HungUp("closed the connection before its READY; it may want another socket type or have too many clients")
    if handshake.received:
        return PeerError(f"closed the connection after {handshake.received[:24]!r}; it is not a ZMTP 3 peer or stopped just now")
    return PeerError("closed the connection without a word; it is not a ZMTP peer or stopped just now: check host and port")


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
