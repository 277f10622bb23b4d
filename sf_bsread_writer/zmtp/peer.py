"""The connecting end: one attempt (`connect`), or attempts for ever (`Connector`)."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.connection import Connection, HungUp, prepare, set_keepalive, shake_hands
from sf_bsread_writer.zmtp.extension import is_buffer
from sf_bsread_writer.zmtp.frames import encode_subscribe
from sf_bsread_writer.zmtp.handshake import (
    GREETING_BYTES,
    VERSION_STOP,
    Handshake,
    Refused,
    SocketType,
    WrongRole,
    encode_greeting,
    read_greeting,
)
from sf_bsread_writer.zmtp.resolve import resolve

__all__ = ["Backoff", "Connection", "Connector", "HungUp", "Mode", "WrongRole", "connect", "set_keepalive"]

Mode = Literal["auto", "pull", "sub"]

_CLOSER_LOOK_S = 1.0
_STABLE_S = 1.0
"""A connection of shorter life does not reset the backoff: a source that accepts and hangs up is not asked in a tight loop."""


async def connect(
    address: Address, *, role: SocketType, properties: Mapping[str, bytes] | None = None, timeout_s: float = 5.0
) -> Connection:
    """Makes one attempt to connect as ``role``, PULL or SUB; a SUB subscribes to everything.

    ``timeout_s`` is the time for each of: looking the name up, connecting, shaking hands.

    Raises
    ------
    WrongRole
        The peer is a source of the other kind.
    PeerError
        Everything else that went wrong, with the address, the reason and what to do.
    """
    sock = await _open(address, timeout_s)
    with _closed_on_error(sock):
        try:
            connection = await shake_hands(sock, Handshake(announce=(role, properties or {})), timeout_s=timeout_s)
        except WrongRole as error:
            raise WrongRole(f"{address} {error}", partner=error.partner) from None
        except HungUp as error:
            if not error.greeted:
                await _look_closer(address)
            raise HungUp(f"{address} {error}", greeted=error.greeted) from None
        except Refused as error:
            raise Refused(f"{address} {error}") from None
        except PeerError as error:
            raise PeerError(f"{address} {error}") from None
        if role is SocketType.SUB:
            # A dozen bytes into the empty buffer of a new socket fit. A peer that has gone meanwhile shows at the first read.
            with contextlib.suppress(OSError):
                sock.send(encode_subscribe(minor=connection.ready.minor))
        return connection


class Backoff:
    """Pauses between attempts: 0.05 s, then twice the last one each time, up to 2 s.

    Short at first, since a source that is just being restarted loses messages while nobody reads; bounded, since a source may be
    off for a night and is then wanted at once.
    """

    FIRST_S = 0.05
    LAST_S = 2.0

    def __init__(self) -> None:
        self._next_s = self.FIRST_S

    def next_s(self) -> float:
        """The pause to make now."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self.LAST_S)
        return pause_s

    def reset(self) -> None:
        """Begins again with the shortest."""
        self._next_s = self.FIRST_S


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
        self._backoff = Backoff()
        self._connected_at_s: float | None = None

    async def connected(self) -> Connection:
        """The next connection; to be called again when it has ended."""
        await self._rest_after_short_life()
        turned = False
        while True:
            try:
                connection = await connect(self.address, role=self.role, properties=self._properties(), timeout_s=self._timeout_s)
            except PeerError as error:
                if self._turn(error) and not turned:
                    turned = True
                    continue
                self._on_trouble(str(error))
                await asyncio.sleep(self._backoff.next_s())
                continue
            if self._auto and self.role is SocketType.SUB and is_buffer(connection.ready):
                # It serves both roles, but replays to PULL only; we came here as SUB by a wrong guess, or it took a PUB's place.
                connection.close()
                self.role = SocketType.PULL
                continue
            self._connected_at_s = asyncio.get_running_loop().time()
            return connection

    def _turn(self, error: PeerError) -> bool:
        """Takes the other role if that may help; True if the peer has asked for it."""
        if self._auto and isinstance(error, WrongRole):
            self.role = error.partner
            return True
        if self._auto and (isinstance(error, Refused) or (isinstance(error, HungUp) and error.greeted)):
            self.role = SocketType.SUB if self.role is SocketType.PULL else SocketType.PULL
        return False

    async def _rest_after_short_life(self) -> None:
        if self._connected_at_s is None:
            return
        if asyncio.get_running_loop().time() - self._connected_at_s < _STABLE_S:
            await asyncio.sleep(self._backoff.next_s())
        else:
            self._backoff.reset()


async def _open(address: Address, timeout_s: float) -> socket.socket:
    """A connected socket to the first of the host's addresses that accepts."""
    try:
        async with asyncio.timeout(timeout_s):
            targets = await resolve(address)
    except TimeoutError:
        raise PeerError(f"{address}: no name server answered within {timeout_s:g} s; check the name and the network") from None
    trouble = OSError("the host has no address")
    for family, target in targets:
        try:
            # Shared among the addresses, or a host whose IPv6 is a black hole would never be reached by its IPv4.
            async with asyncio.timeout(timeout_s / len(targets)):
                return await _open_one(family, target)
        except OSError as error:
            trouble = error
    raise _unreachable(address, trouble, timeout_s)


async def _open_one(family: int, target: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closed_on_error(sock):
        prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, target)
        # While nobody listens, the kernel may choose the very port that we ask for as our own, and connect us to ourselves.
        if sock.getsockname() == sock.getpeername():
            raise ConnectionRefusedError
        return sock


async def _look_closer(address: Address) -> None:
    """Raises `PeerError` with the reason why a peer hangs up on our greeting, if that can be found out.

    libzmq compares security mechanisms before it has sent its own. Shown a version and no mechanism yet, it tells.
    """
    loop = asyncio.get_running_loop()
    received = b""
    with contextlib.suppress(OSError), contextlib.closing(await _open(address, _CLOSER_LOOK_S)) as sock:
        async with asyncio.timeout(_CLOSER_LOOK_S):
            await loop.sock_sendall(sock, encode_greeting()[:VERSION_STOP])
            while len(received) < GREETING_BYTES and (data := await loop.sock_recv(sock, GREETING_BYTES)):
                received += data
    try:
        read_greeting(received)
    except PeerError as error:
        raise PeerError(f"{address} {error}") from None


def _unreachable(address: Address, error: OSError, timeout_s: float) -> PeerError:
    if isinstance(error, TimeoutError):
        return PeerError(f"{address} did not answer within {timeout_s:g} s; check host, port and network")
    if isinstance(error, ConnectionRefusedError):
        return PeerError(f"{address} refused the connection: nothing listens there; start what should, or check host and port")
    return PeerError(f"{address} cannot be reached: {error.strerror or error}; check host, port and network")


@contextlib.contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
