"""Serves an app on one TCP port, inside an event loop that somebody else runs and ends.

uvicorn does the HTTP. Its ``Server.serve`` does not fit here, so only the parts it is made of are used:

- it would take over the signal handlers, which belong to the program;
- it looks every 0.1 s whether it should end, and then sleeps 0.1 s before it does; a writer has 0.3 s for its whole end.

What uvicorn imports late is imported by the constructor of `Server`: once the process has switched to another user, the
interpreter's own files may be unreadable.
"""

import asyncio
import contextlib
import errno
import logging
import socket

import uvicorn
from litestar import Litestar
from litestar.types import Receive, Scope, Send

from sf_bsread_writer.errors import SetupError
from sf_bsread_writer.rest.events import audience_of
from sf_bsread_writer.rest.headers import NOT_GUESSED, strictly
from sf_bsread_writer.rest.protocol import TimedProtocol

_logger = logging.getLogger(__name__)

_BACKLOG = 128
_MAX_CONNECTIONS = 256  # existing clients open one for each request; who has more open has gone wild and gets HTTP 503
_KEEP_ALIVE_S = 5
_POLL_S = 0.002


class Server:
    """One app on one port: `bind`, then `start` and at last `stop`, all from one event loop."""

    def __init__(self, app: Litestar, *, port: int, host: str = "127.0.0.1") -> None:
        """``port`` 0 takes a free one, which `port` then tells; ``host`` is an IP address."""
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None
        self._audience = audience_of(app)
        self._uvicorn = _uvicorn_server(app)

    @property
    def port(self) -> int:
        """The port that is served; 0 as long as a free one has not been taken."""
        return self._port

    @property
    def url(self) -> str:
        """The root of all paths, without a slash at the end."""
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def bind(self) -> None:
        """Takes the port, so that a program can fail before it does anything else; who connects from now on waits for `start`.

        Raises SetupError if the port is taken, or not for us.
        """
        # With the protocol left at 0, asyncio would not set TCP_NODELAY, and answers on kept connections take 40 ms.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            # An earlier writer's closed connections hold the port for a minute otherwise.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            listener.listen(_BACKLOG)  # with that option, several may bind the same port, but only one may listen
        except (OSError, OverflowError) as error:
            listener.close()
            raise SetupError(_bind_failure(self._host, self._port, error)) from error
        self._socket = listener
        self._port = listener.getsockname()[1]

    async def start(self) -> None:
        """Serves from now on, in the running loop; binds first if that has not been done. Raises SetupError as `bind` does."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None
        await self._uvicorn.startup(sockets=[self._socket])
        _logger.info("REST on %s", self.url)

    async def stop(self, *, grace_s: float = 1.0) -> None:
        """Takes no more connections, sends the answers that are under way to their last byte, ends events, and closes.

        Answers that take longer than ``grace_s`` are cut off. May be called again, and without `start`.
        """
        self._audience.dismissed.set()
        if self._uvicorn.started:
            for server in self._uvicorn.servers:
                server.close()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        await self._finish_answers(grace_s)
        await self._cut_off()

    async def _finish_answers(self, grace_s: float) -> None:
        state = self._uvicorn.server_state
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + grace_s
        told: set[object] = set()
        while (state.connections or state.tasks) and loop.time() < deadline_s:
            for connection in state.connections - told:  # one that had just been accepted appears later
                connection.shutdown()
                told.add(connection)
            await asyncio.sleep(_POLL_S)  # uvicorn has no event for "all answered"

    async def _cut_off(self) -> None:
        state = self._uvicorn.server_state
        if state.connections or state.tasks:
            _logger.warning("REST: cut off %d connections, %d requests", len(state.connections), len(state.tasks))
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # sockets close, and uvicorn learns that nobody waits for the answers, in the loop's next round
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _uvicorn_server(app: Litestar) -> uvicorn.Server:
    """Set up to the point at which nothing is left to be imported, configured by nothing but these arguments."""

    async def cancellable(scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # uvicorn would log a request that was cut off as a bug
            await app(scope, receive, strictly(send))

    config = uvicorn.Config(
        cancellable,
        http=TimedProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,  # our own logging, then
        log_level=logging.WARNING,  # unset, it counts as TRACE, and each connection gets its lines formatted
        access_log=False,
        workers=1,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # is brought up to date by the loop that is not used here
        limit_concurrency=_MAX_CONNECTIONS,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        headers=[NOT_GUESSED],
    )
    config.load()
    server = uvicorn.Server(config)
    server.server_state.default_headers = config.encoded_headers  # its own loop would do that
    server.lifespan = config.lifespan_class(config)
    return server


def _bind_failure(host: str, port: int, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use, perhaps by a writer or a buffer; end it, or choose another rest_port"
    if number == errno.EACCES:
        return f"port {port} on {host} may be used by root only; choose a rest_port from 1024 on"
    return f"cannot listen on port {port} of {host}: {error}; choose another rest_port"
