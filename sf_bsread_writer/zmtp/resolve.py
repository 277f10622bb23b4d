"""Host names to socket addresses, without holding up the event loop or the end of the process."""

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - what getaddrinfo would load at its first call, when the process may be another user
import socket
import threading
from typing import Any

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.address import Address

Target = tuple[int, Any]
"""Address family and what `socket.connect` takes for it."""


async def resolve(address: Address) -> list[Target]:
    """All socket addresses of a host, in the system's order of preference; raises `PeerError` if it is unknown.

    A thread of its own, not the event loop's pool: that one is joined at exit, and a name server that does not answer would
    then hold the process for many seconds.
    """
    with contextlib.suppress(OSError, UnicodeError):
        return _look_up(address, socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Target]] = loop.create_future()

    def work() -> None:
        try:
            outcome: list[Target] | PeerError = _look_up(address, 0)
        except (OSError, UnicodeError) as error:
            outcome = _unknown(address, error)
        with contextlib.suppress(RuntimeError):  # the loop has been closed in the meantime
            loop.call_soon_threadsafe(_deliver, found, outcome)

    threading.Thread(target=work, name=f"look up {address.host}", daemon=True).start()
    return await found


def _look_up(address: Address, flags: int) -> list[Target]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, target) for family, _, _, _, target in found]


def _unknown(address: Address, error: OSError | UnicodeError) -> PeerError:
    # The UnicodeError comes from names that cannot be: an empty label, or one of more than 63 characters.
    reason = error.strerror if isinstance(error, OSError) else "not a possible name"
    return PeerError(f"{address}: host {address.host!r} is unknown ({reason}); check the name")


def _deliver(found: asyncio.Future[list[Target]], outcome: list[Target] | PeerError) -> None:
    if found.done():
        return
    if isinstance(outcome, PeerError):
        found.set_exception(outcome)
    else:
        found.set_result(outcome)
