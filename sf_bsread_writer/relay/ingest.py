"""From the source into the ring: one connection, opened again for ever.

Strategy: receive as much as there is into the ring's own memory, look for whole messages once for each piece, and note when they
arrived. While small pieces come quickly one after the other, they are left to gather for two milliseconds: a source that writes
8 KiB at a time (libzmq) would else cost a wake-up for each of them, and each wake-up costs as much as ten messages in a row.

The socket's receive buffer is left to the kernel, which lets it grow as far as is allowed. To set it (SO_RCVBUF) would end that
at a limit that is usually far smaller.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.layout import CommandFrame, Dropped, Run
from sf_bsread_writer.relay.analyze import Analyzer
from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.ring.inlet import Arrived, Event, Inlet
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.zmtp.extension import StartPoint, client_properties
from sf_bsread_writer.zmtp.frames import encode_pong
from sf_bsread_writer.zmtp.peer import Connection, Connector
from sf_bsread_writer.zmtp.silence import Silence

logger = logging.getLogger(__name__)

TURN_BYTES = 2 << 20
"""What may be received before the clients have their turn."""

GATHER_S = 0.002
"""A source of 100 Hz never waits for it: only what follows the piece before within twice this time gathers."""

SMALL_PIECE_BYTES = 128 * 1024
_SMALL_SHARE = 8
"""A small piece also is less than such a part of the receive buffer: to wait while that is full would slow the source down."""

_MOST_TURNS_AT_ONCE = 8


_NO_MEMORY_PAUSE_S = 0.05
_MOST_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestStatistics:
    """What came since the start. ``dropped`` counts by kind; ``unfinished`` are messages that a lost connection cut off."""

    connected: bool
    connections: int
    received_bytes: int
    dropped: Mapping[str, int]
    unfinished: int
    anomalies: Mapping[str, int]


class Ingest:
    """Keeps the ring filled; calls ``arrived`` after messages have come."""

    def __init__(self, config: BufferConfig, ring: Ring, clock: Callable[[], int], arrived: Callable[[], None]) -> None:
        self._address = config.source
        self._ring = ring
        self._clock_ns = clock
        self._arrived = arrived
        self._inlet = Inlet(ring.pool, config.limits)
        self._connector = Connector(config.source, mode=config.mode, properties=self._properties, on_trouble=self._unreachable)
        self._stale_timeout_s = config.stale_timeout_s
        self._complaints = Complaints(logger)
        self._analyzer = Analyzer() if config.analyzer else None
        self._dropped: Counter[str] = Counter()
        self._connections = 0
        self._has_complained = False  # of the connection, since it was told that there is one
        self._received_bytes = 0
        self._unfinished = 0
        self._reception: _Reception | None = None

    async def run(self) -> None:
        """Receives until cancelled."""
        try:
            while True:
                await self._receive(await self._connector.connected())
        finally:
            self._inlet.close()

    def receive_now(self) -> None:
        """Takes in what has reached this machine already, so that it counts as arrived before whatever is done next."""
        if self._reception is not None:
            self._reception.receive_now()

    def statistics(self) -> IngestStatistics:
        """A snapshot."""
        return IngestStatistics(
            connected=self._reception is not None,
            connections=self._connections,
            received_bytes=self._received_bytes + (self._reception.received_bytes if self._reception else 0),
            dropped=dict(self._dropped),
            unfinished=self._unfinished,
            anomalies=dict(self._analyzer.counts) if self._analyzer else {},
        )

    def _properties(self) -> Mapping[str, bytes]:
        # Should the source be a buffer too: it must not replay what is here already when the connection was lost.
        newest = self._ring.statistics().newest_pulse_id
        start = StartPoint("oldest") if newest is None else StartPoint.after(newest)
        return client_properties(name="sf_bsread_buffer", start=start)

    def _unreachable(self, text: str) -> None:
        text = f"Cannot connect: {text}; trying again until it answers"
        self._has_complained |= self._complaints.add_reason("unreachable", text, now_s=time.monotonic())

    async def _receive(self, connection: Connection) -> None:
        self._connections += 1
        if self._has_complained or self._connections == 1:  # else the log of a source that comes and goes would be full of it
            logger.info("Connected to the source at %s (%s)", self._address, connection.ready.socket_type)
        self._reception = _Reception(connection, self._inlet, self._take, self._stale_timeout_s)
        try:
            reason = await self._reception.ended()
        finally:
            self._reception.close()
            self._received_bytes += self._reception.received_bytes
            self._reception = None
            unfinished_bytes = self._inlet.reset()
        cut_off = f"; {unfinished_bytes} bytes of an unfinished message are dropped" if unfinished_bytes else ""
        self._unfinished += bool(unfinished_bytes)
        text = f"Connection to the source at {self._address} lost: {reason}{cut_off}; connecting again"
        self._has_complained = self._complain("lost", text)

    def _take(self, events: list[Event]) -> None:
        arrival_ns = self._clock_ns()
        for event in events:
            match event:
                case Arrived(segment=segment, run=run):
                    self._ring.append(segment, run, arrival_ns)
                    self._look(run)
                case Dropped(kind=kind, text=text):
                    self._dropped[kind] += 1
                    self._complain(kind, f"Dropped a message from {self._address} ({kind}): {text}")
                case CommandFrame():
                    pass  # the reception has dealt with it
        self._arrived()

    def _look(self, run: Run) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            for pulse_id, size in zip(run.pulse_ids.tolist(), (run.ends - run.starts).tolist(), strict=True):
                logger.debug("Pulse %d arrived, %d bytes", pulse_id, size)
        if self._analyzer is None:
            return
        for anomaly in self._analyzer.look(run):
            kind = anomaly.kind if anomaly.kind != "missing value" else anomaly.text
            self._complain(kind, f"Analyzer: {anomaly.text}", anomaly.count)

    def _complain(self, kind: str, text: str, times: int = 1) -> bool:
        return self._complaints.add(kind, text, now_s=time.monotonic(), times=times)


class _Reception:
    """One connection, from its first byte to its last. Owns the connection."""

    def __init__(self, connection: Connection, inlet: Inlet, take: Callable[[list[Event]], None], stale_timeout_s: float) -> None:
        self.received_bytes = 0
        self._connection = connection
        self._socket = connection.socket
        self._inlet = inlet
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[str] = self._loop.create_future()
        self._listening = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_piece_s = 0.0
        self._answers = bytearray()
        self._silence = Silence(stale_timeout_s, self._went_stale)

    async def ended(self) -> str:
        """Receives until the connection ends; returns why. Raises what is no fault of the source's."""
        self._guarded(self._begin)
        return await self._end

    def receive_now(self) -> None:
        """Reads until nothing is left, or for some turns from a source that is faster than that."""
        for _ in range(_MOST_TURNS_AT_ONCE):
            before = self.received_bytes
            self._guarded(self._read)
            if self.received_bytes == before:
                return

    def close(self) -> None:
        """Closes the connection."""
        self._pause()
        self._silence.end()
        self._loop.remove_writer(self._socket)
        self._connection.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        if self._end.done():
            return
        try:
            work()
        except PeerError as error:
            self._ended(f"the source {error}")
        except OSError as error:
            self._ended(error.strerror or str(error))
        except Exception as error:
            self._end.set_exception(error)
            self._pause()

    def _ended(self, reason: str) -> None:
        self._end.set_result(reason)
        self._pause()

    def _went_stale(self) -> None:
        if not self._end.done():
            self._ended(f"the source has sent nothing for {self._silence.timeout_s:g} s")

    def _begin(self) -> None:
        self._silence.begin()
        self.received_bytes += len(self._connection.leftover)
        self._handle(self._inlet.feed(self._connection.leftover))
        self._listen()

    # One of two states: listening for readability, or waiting for the timer while small pieces gather.

    def _listen(self) -> None:
        if not self._listening:
            self._listening = True
            self._loop.add_reader(self._socket, self._guarded, self._read)

    def _pause(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._socket)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read_after(self, pause_s: float) -> None:
        self._pause()
        self._timer = self._loop.call_later(pause_s, self._guarded, self._read)

    def _read(self) -> None:
        free = self._inlet.buffer()
        if free is None:
            self._silence.heard()  # it may be full of words: we do not listen
            self._read_after(_NO_MEMORY_PAUSE_S)
            return
        try:
            count = self._socket.recv_into(free, min(len(free), TURN_BYTES))
        except BlockingIOError:
            self._listen()
            return
        if count == 0:
            self._ended("the source closed it")
            return
        self._silence.heard()
        self.received_bytes += count
        gathers = self._gathers(count)
        self._handle(self._inlet.received(count))
        if gathers:
            self._read_after(GATHER_S)
        else:
            self._listen()

    def _gathers(self, count: int) -> bool:
        """Whether to wait after a piece of so many bytes."""
        now_s = self._loop.time()
        is_soon = now_s - self._last_piece_s < 2 * GATHER_S
        self._last_piece_s = now_s
        if not is_soon or count > SMALL_PIECE_BYTES:
            return False
        return count < self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // _SMALL_SHARE

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, CommandFrame) and event.name == "PING":
                self._answers += encode_pong(event.data)
        if self._answers:
            self._answer()
        if events:
            self._take(events)

    def _answer(self) -> None:
        if len(self._answers) > _MOST_ANSWER_BYTES:
            raise PeerError("sends PINGs but does not read the answers")
        with contextlib.suppress(BlockingIOError):
            del self._answers[: self._socket.send(self._answers)]
        if self._answers:
            self._loop.add_writer(self._socket, self._guarded, self._answer)
        else:
            self._loop.remove_writer(self._socket)
