"""uvicorn's HTTP protocol with a limit to the time that a client may take for a request, or not take its answer.

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


READING_TIMEOUT_S = 10.0
"""For anything to be read of an answer of which more is waiting than the sockets hold."""


class TimedProtocol(H11Protocol):
    """Closes the connection if a request is not there in time, or if nothing of its answer is read."""

    request_timeout_s = REQUEST_TIMEOUT_S
    reading_timeout_s = READING_TIMEOUT_S
    _reading: asyncio.TimerHandle | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        self._reads()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._reads()
        super().resume_writing()

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

    def _expect_reading(self, waiting_bytes: int) -> None:
        self._reading = self.loop.call_later(self.reading_timeout_s, self._close_if_not_reading, waiting_bytes)

    def _reads(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _close_if_not_reading(self, waiting_bytes: int) -> None:
        still_waiting_bytes = self.transport.get_write_buffer_size()
        if still_waiting_bytes < waiting_bytes:
            self._expect_reading(still_waiting_bytes)
        else:
            _complaints.add("not reading", "REST: cut off a client that did not read its answer", now_s=self.loop.time())
            self.transport.abort()

    def _close_if_late(self) -> None:
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            _complaints.add("late", "REST: cut off a client that took too long for its request", now_s=self.loop.time())
            self.transport.abort()
