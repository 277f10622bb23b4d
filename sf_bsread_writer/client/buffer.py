"""A buffer from Python: what it holds, and its messages, old or new.

Connections are made by the same code as everywhere, in an event loop in a thread of its own: the caller may have a loop that runs
already, as a notebook has. From then on the socket is a blocking one, with a deadline for each wait.
"""

import asyncio
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Literal, Self

from sf_bsread_writer.client.message import Message
from sf_bsread_writer.errors import DeadlineError, PeerError
from sf_bsread_writer.message.layout import CommandFrame, Dropped
from sf_bsread_writer.ring.inlet import Arrived, Event, Inlet
from sf_bsread_writer.ring.memory import limits_within
from sf_bsread_writer.ring.segment import MIB, SegmentPool
from sf_bsread_writer.zmtp.address import Address, parse_address
from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.extension import Holdings, Lost, StartPoint, client_properties, decode_extension
from sf_bsread_writer.zmtp.frames import encode_pong
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import connect

_MEMORY_LIMIT_BYTES = 1024 * MIB
"""Taken only for messages that need it; of the largest, two have to fit."""

_SEGMENT_BYTES = 8 * MIB


class Buffer:
    """The ``sf_bsread_buffer`` at ``address``, ``tcp://host:port``. Each call makes a connection of its own.

    ``name`` is what the buffer calls this client in its log. Its source is nothing to ask: one that pushes would give messages to
    us that others are waiting for.
    """

    def __init__(self, address: str | Address, *, name: str = "sf_bsread_writer.client") -> None:
        self._address = parse_address(address) if isinstance(address, str) else address
        self._name = name

    def holdings(self, *, timeout_s: float = 5.0) -> Holdings:
        """What it holds now: ``oldest_pulse_id``, ``newest_pulse_id`` (None if it is empty) and the number of ``messages``.

        Raises `PeerError` if it cannot be reached within ``timeout_s``, or is no buffer.
        """
        connection, held = self._connect(StartPoint("hold"), timeout_s)
        connection.close()
        return held

    def messages(
        self, start: int | Literal["oldest", "live"] = "live", stop: int | None = None, *, timeout_s: float = 10.0
    ) -> "Messages":
        """Its messages from pulse ``start`` on, to ``stop`` (inclusive) or for ever.

        ``oldest`` is the oldest that it holds, ``live`` the next to arrive. A pulse may be still to come; if the buffer has let
        it go, the next one that it holds comes first. ``timeout_s`` is the time for connecting, and then for each message.

        Raises `PeerError` as `holdings` does, and `UsageError` for a pulse id that there cannot be.
        """
        first, point = (start, StartPoint("pulse", start)) if isinstance(start, int) else (None, StartPoint(start))
        connection, _ = self._connect(point, timeout_s)
        return Messages(connection, str(self._address), first=first, last=stop, timeout_s=timeout_s)

    def _connect(self, start: StartPoint, timeout_s: float) -> tuple[Connection, Holdings]:
        properties = client_properties(name=self._name, start=start, arrivals=True)  # and losses
        connecting = connect(self._address, role=SocketType.PULL, properties=properties, timeout_s=timeout_s)
        with ThreadPoolExecutor(1, "connecting") as thread:
            connection = thread.submit(asyncio.run, connecting).result()
        try:
            held = Holdings.from_ready(connection.ready)
            if held is None:
                raise PeerError("is no buffer, but a plain source; start an sf_bsread_buffer of it and ask that")
        except PeerError as error:
            connection.close()
            raise PeerError(f"{self._address} {error}") from None
        return connection, held


class Messages:
    """An iterator over `Message`, in order of arrival; made by `Buffer.messages`.

    It ends behind ``stop``, or when it is closed: by `close`, by a ``with`` block, or with the last reference to it. Who reads
    too slowly is overtaken by what the buffer forgets: ``lost`` counts the messages that will never come. ``dropped`` counts
    those that could not be understood.

    ``next`` raises `DeadlineError` if no message comes in time, and may be called again then; `PeerError` if the connection is
    lost, and then it has ended. It does not connect again by itself: what came meanwhile may be gone, and pulse ids may have
    started over, which is for the caller to judge. ``Buffer.messages(last_pulse_id + 1)`` goes on behind ``last_pulse_id``, that
    of the last message given (None before the first), with what the buffer still holds.
    """

    def __init__(self, connection: Connection, address: str, *, first: int | None, last: int | None, timeout_s: float) -> None:
        self.lost = 0
        self.dropped = 0
        self.last_pulse_id: int | None = None
        self._socket = connection.socket
        self._address = address
        self._first, self._last = first, last
        self._timeout_s = timeout_s
        self._inlet = Inlet(SegmentPool(_MEMORY_LIMIT_BYTES, _SEGMENT_BYTES), limits_within(_MEMORY_LIMIT_BYTES, _SEGMENT_BYTES))
        self._came: deque[Message] = deque()
        self._ended = False
        self._close = weakref.finalize(self, connection.close)
        self._leftover = connection.leftover

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection and the iteration; may be called again."""
        self._ended = True
        self._came.clear()
        self._inlet.close()
        self._close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        deadline_s = time.monotonic() + self._timeout_s
        while not self._ended:
            if self._came:
                message = self._came.popleft()
                if self._first is not None and message.pulse_id < self._first:
                    continue
                if self._last is not None and message.pulse_id >= self._last:
                    self.close()
                    if message.pulse_id > self._last:
                        break
                self.last_pulse_id = message.pulse_id
                return message
            self._receive(deadline_s)
        raise StopIteration

    def _receive(self, deadline_s: float) -> None:
        try:
            self._take(self._events(deadline_s))
        except TimeoutError:
            raise DeadlineError(f"{self._address}: no message within {self._timeout_s:g} s; does its source send?") from None
        except PeerError as error:
            self.close()
            raise PeerError(f"{self._address} {error}{self._how_to_go_on()}") from None
        except OSError as error:
            self.close()
            raise PeerError(f"{self._address}: the connection is lost: {error.strerror or error}{self._how_to_go_on()}") from None

    def _how_to_go_on(self) -> str:
        last = self.last_pulse_id
        return "" if last is None else f"; the last message was that of pulse {last}: ask for messages({last + 1}) to go on"

    def _events(self, deadline_s: float) -> list[Event]:
        leftover, self._leftover = self._leftover, b""
        if leftover:
            return self._inlet.feed(leftover)
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        free = self._inlet.buffer()
        assert free is not None, "nobody else pins segments"
        self._socket.settimeout(left_s)
        count = self._socket.recv_into(free)
        if count == 0:
            raise PeerError("closed the connection; it has ended, or refuses this client: see its log")
        return self._inlet.received(count)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Arrived(run=run):
                    self._came.extend(Message(run, index) for index in range(len(run)))
                case Dropped():
                    self.dropped += 1
                case CommandFrame(name="PING", data=data):
                    self._socket.sendall(encode_pong(data))
                case CommandFrame(name="ERROR", data=data):
                    raise PeerError(f"sent the error {data[1:200].decode('ascii', 'replace')!r}")
                case CommandFrame(name=name, data=data):
                    command = decode_extension(name, data)
                    if isinstance(command, Lost):
                        self.lost += command.messages
