"""uvicorn's HTTP protocol with a limit to the time that a client may take for a request.

uvicorn itself only limits the pause between two requests. Who sends a byte now and then would hold one of the few connections
for ever, and with all of them the writer. How long an answer takes is not limited here: ``/stop`` waits for the file.
"""

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sf_bsread_writer.logs import Complaints

_complaints = Complaints(logging.getLogger(__name__))

REQUEST_TIMEOUT_S = 10.0
"""From the connection, or the answer before, to the last byte of a request; 10 MB need 1 MB/s."""


class TimedProtocol(H11Protocol):
    """Closes the connection if a request is not there in time."""

    request_timeout_s = REQUEST_TIMEOUT_S
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._expect()
        super().on_response_complete()

    def _expect(self) -> None:
        self._expect_nothing()
        self._deadline = self.loop.call_later(self.request_timeout_s, self._close_if_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_if_late(self) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            _complaints.add("late", "REST: cut off a client that took too long for its request", now_s=self.loop.time())
            self.transport.abort()
