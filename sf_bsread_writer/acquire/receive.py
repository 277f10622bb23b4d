"""The stream as an acquisition needs it, and its first implementation: one ZMTP connection.

What an acquisition needs is small: open at a pulse or a time, get runs of whole messages with their times, be told
what is gone and when everything that had arrived by some instant has come. `PulseStream` is that and no more, so that
another carrier can take the place of the connection.

Against our own buffer the connection is held silent until an acquisition starts; the buffer's clock then decides what
"now" means, and a mark that comes back in order tells that nothing older is under way. A plain source just sends: what
comes before a start is let go, and the message's global timestamp stands for its arrival unless it is implausible.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.acquire.outliers import highest_believed
from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.message.layout import CommandFrame, Dropped, Run
from sf_bsread_writer.message.scanner import Limits
from sf_bsread_writer.model import NS_PER_S
from sf_bsread_writer.ring.inlet import Arrived, Inlet
from sf_bsread_writer.ring.segment import Segment, SegmentPool
from sf_bsread_writer.zmtp import extension
from sf_bsread_writer.zmtp.address import Address
from sf_bsread_writer.zmtp.extension import Holdings, Lost, Marked, MarkRequest, Started, StartPoint, StartRequest
from sf_bsread_writer.zmtp.frames import encode_pong
from sf_bsread_writer.zmtp.peer import Connection, Connector, Mode
from sf_bsread_writer.zmtp.silence import STALE_TIMEOUT_S, Silence

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""What a buffer holds is asked no more often than that, however many want to know."""

PLAUSIBLE_CLOCK_DIFFERENCE_NS = 10 * NS_PER_S
"""A source's clock is believed if it is no further than this from ours; beyond it, our own receive time counts."""

ANSWER_TIMEOUT_S = 1.0
"""How long a start waits for the buffer's answer before it goes by the local clock; a REST client is waiting too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pulses:
    """Whole messages in the order of their arrival.

    ``times_ns``: the stream's clock, by which "now" is judged; ``arrivals_ns``: when they were received, at the buffer
    where there is one; both ns since 1970, int64 (messages,). Whoever keeps the run beyond the call pins the segment.
    """

    segment: Segment
    run: Run
    times_ns: NDArray[np.int64]
    arrivals_ns: NDArray[np.int64]

    def part(self, first: int, stop: int) -> "Pulses":
        """Messages first..stop (stop exclusive), in the same segment."""
        return Pulses(
            segment=self.segment,
            run=self.run.slice(first, stop),
            times_ns=self.times_ns[first:stop],
            arrivals_ns=self.arrivals_ns[first:stop],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """All that had arrived by ``now_ns`` of the stream's clock has been delivered."""

    now_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overtaken:
    """The buffer had to let go of this many messages before it could send them to us."""

    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BadMessage:
    """A message that could not be understood was dropped."""

    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """The stream flows, or is held ready by a buffer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected:
    """The stream is interrupted; it is being connected again."""


StreamEvent: TypeAlias = Pulses | CaughtUp | Overtaken | BadMessage | Connected | Disconnected


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """``now_ns``: the instant of the request by the stream's clock.

    Known of a buffer only: ``oldest_pulse_id``, if what is older than the first message that follows was let go, and that is the
    oldest; ``newest_pulse_id`` that it holds.
    """

    now_ns: int
    oldest_pulse_id: int | None = None
    newest_pulse_id: int | None = None


class PulseStream(Protocol):
    """Where an acquisition's pulses come from."""

    @property
    def has_past(self) -> bool:
        """Whether pulses from before an `open` can still be had."""

    @property
    def connected(self) -> bool:
        """Whether messages can come."""

    @property
    def held(self) -> Holdings | None:
        """What a buffer has said last that it holds; None if it is none, or not connected."""

    @property
    def paused(self) -> bool:
        """Whether it has stopped reading for want of memory: silence then says nothing about the other side."""

    async def run(self, deliver: Callable[[StreamEvent], None]) -> None:
        """Receives for ever, reconnecting; calls ``deliver`` in the order of the stream. Ends when cancelled.

        What ``deliver`` raises is raised here: nobody must go on as if the messages had been taken.
        """

    async def open(self, start: StartPoint) -> Opened:
        """Asks for all pulses from ``start`` on; what was asked for before is not delivered any more."""

    def close(self) -> None:
        """Asks for nothing more until the next `open`."""

    def mark(self) -> bool:
        """Asks for `CaughtUp`; False if the other side cannot tell."""

    def look(self) -> None:
        """Asks a buffer that is not open what it holds now, for a later `held`; what is open is not disturbed."""

    def resume(self) -> None:
        """To be called when a pinned segment was given back: goes on reading if that had to stop for want of memory."""


class ZmtpStream:
    """A bsread source or our buffer at ``tcp://host:port``; implements `PulseStream`."""

    def __init__(
        self,
        address: Address,
        *,
        mode: Mode,
        name: str,
        pool: SegmentPool,
        limits: Limits | None = None,
        stale_timeout_s: float = STALE_TIMEOUT_S,
    ) -> None:
        self.name = name
        """What this end calls itself; the other side's log has it."""
        self._address = address
        self._inlet = Inlet(pool, limits)
        self._complaints = Complaints(logger)
        self._connector = Connector(address, mode=mode, properties=self._properties, on_trouble=self._unreachable)
        self._connection: Connection | None = None
        self._is_buffer = False
        self._held: Holdings | None = None
        self._looked_s = -math.inf
        self._broken: asyncio.Event = asyncio.Event()
        self._reason = ""
        self._failure: Exception | None = None
        self._was_connected = False
        self._has_complained = False  # of the connection, since it was told that there is one
        self._reading = False
        self._silence = Silence(stale_timeout_s, self._went_stale)
        self._start: StartPoint | None = None
        self._generation = 0
        self._answered_generation = 0
        self._answer: asyncio.Future[Opened] | None = None
        self._highest_pulse_id: int | None = None
        self._announced = np.empty(0, np.int64)
        self._deliver: Callable[[StreamEvent], None] = lambda event: None

    @property
    def has_past(self) -> bool:
        return self._is_buffer

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def held(self) -> Holdings | None:
        return self._held if self.connected else None

    @property
    def paused(self) -> bool:
        return self._connection is not None and not self._reading

    async def run(self, deliver: Callable[[StreamEvent], None]) -> None:
        self._deliver = deliver
        while True:
            connection = await self._connector.connected()
            try:
                self._attach(connection)
                await self._broken.wait()
            finally:
                self._detach(connection)
            if self._failure is not None:
                raise self._failure

    async def open(self, start: StartPoint) -> Opened:
        self._generation += 1
        self._highest_pulse_id = None if start.kind != "pulse" or start.value is None else start.value - 1
        now_ns = time.time_ns()
        # Until somebody answers, "now" is our own clock's: a connection that comes later must not move it.
        self._start = StartPoint("arrival", now_ns) if start.kind == "now" else start
        if not (self.connected and self._is_buffer):
            return Opened(now_ns=now_ns)
        self._answer = asyncio.get_running_loop().create_future()
        self._request(start)
        try:
            opened = await asyncio.wait_for(self._answer, ANSWER_TIMEOUT_S)
            if start.kind == "now":
                self._start = StartPoint("arrival", opened.now_ns)
            return opened
        except (TimeoutError, PeerError) as error:
            why = str(error) or f"no answer within {ANSWER_TIMEOUT_S:g} s"
            logger.warning("Start not confirmed by the buffer (%s): what is 'now' is taken from the local clock", why)
            return Opened(now_ns=now_ns)
        finally:
            self._answer = None

    def close(self) -> None:
        self._generation += 1
        self._start = None
        if self._is_buffer and self.connected:
            self._request(StartPoint("hold"))

    def mark(self) -> bool:
        if not (self.connected and self._is_buffer):
            return False
        self._send(extension.encode_extension(MarkRequest(token=self._generation)))
        return True

    def look(self) -> None:
        now_s = time.monotonic()
        if self._start is None and self._is_buffer and self.connected and now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._request(StartPoint("hold"))

    def resume(self) -> None:
        connection = self._connection
        if connection is not None and not self._reading:
            asyncio.get_running_loop().add_reader(connection.socket, self._on_readable)
            self._reading = True
            if not self._is_buffer:  # one that is held, or waits for its source, has nothing to say
                self._silence.begin()

    def _properties(self) -> Mapping[str, bytes]:
        return extension.client_properties(name=self.name, start=StartPoint("hold"), arrivals=True)

    def _attach(self, connection: Connection) -> None:
        self._connection = connection
        self._broken.clear()
        self._inlet.reset()
        self._announced = self._announced[:0]
        try:
            self._recognise(connection)
            if self._is_buffer and self._start is not None:
                self._request(self._where_to_go_on())
            self._deliver(Connected())
            self._handle(self._inlet.feed(connection.leftover))
        except PeerError as error:
            self._break(f"it {error}")
        except MemoryError as error:
            self._break(str(error))
        self.resume()

    def _recognise(self, connection: Connection) -> None:
        self._held = holdings = Holdings.from_ready(connection.ready)
        self._is_buffer = holdings is not None
        if not self._has_complained and self._was_connected:
            return  # else the log of a source that comes and goes would be full of it
        self._was_connected = True
        if holdings is not None:
            logger.info("Connected to the buffer at %s, which holds %s", self._address, holdings)
        else:
            logger.info("Connected to the source at %s (%s)", self._address, connection.ready.socket_type)

    def _where_to_go_on(self) -> StartPoint:
        assert self._start is not None
        if self._highest_pulse_id is None:
            return self._start
        return StartPoint.after(self._highest_pulse_id)

    def _detach(self, connection: Connection) -> None:
        if self._reading:
            self._stop_reading(connection)
        self._connection = None
        lost_bytes = self._inlet.reset()
        connection.close()
        if self._reason:
            cut_off = f"; {lost_bytes} bytes of an unfinished message are dropped" if lost_bytes else ""
            text = f"Connection to {self._address} lost: {self._reason}{cut_off}; connecting again"
            self._has_complained = self._complaints.add("lost", text, now_s=time.monotonic())
            self._reason = ""
        if lost_bytes and not self._is_buffer:  # a buffer sends it again
            self._deliver(BadMessage(kind="broken off"))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(PeerError(f"{self._address} closed the connection"))
        self._deliver(Disconnected())

    def _break(self, reason: str) -> None:
        self._reason = reason
        self._broken.set()

    def _unreachable(self, text: str) -> None:
        text = f"Cannot connect: {text}; trying again until it answers"
        self._has_complained |= self._complaints.add_reason("unreachable", text, now_s=time.monotonic())

    def _stop_reading(self, connection: Connection) -> None:
        asyncio.get_running_loop().remove_reader(connection.socket)
        self._reading = False
        self._silence.end()

    def _went_stale(self) -> None:
        self._break(f"it has sent nothing for {self._silence.timeout_s:g} s")

    def _on_readable(self) -> None:
        connection = self._connection
        if connection is None or self._broken.is_set():
            return
        free = self._inlet.buffer()
        if free is None:
            # Nothing is lost by this: the buffer, or the source's own queue, holds what we do not read.
            self._stop_reading(connection)
            return
        try:
            count = connection.socket.recv_into(free)
            if count == 0:
                self._break("the other side closed it")
                return
            self._silence.heard()
            self._handle(self._inlet.received(count))
        except BlockingIOError:
            return
        except PeerError as error:
            self._break(f"it {error}")
        except OSError as error:
            self._break(error.strerror or str(error))
        except Exception as error:
            self._failure = error
            self._broken.set()

    def _handle(self, events: list[Arrived | CommandFrame | Dropped]) -> None:
        for event in events:
            match event:
                case Arrived(segment=segment, run=run):
                    self._on_run(segment, run)
                case CommandFrame(name=name, data=data):
                    self._on_command(name, data)
                case Dropped(kind=kind, text=text):
                    if self._is_buffer:
                        self._take_announced(1, time.time_ns())
                    self._complaints.add(kind, f"Dropped a message from {self._address} ({kind}): {text}", now_s=time.monotonic())
                    self._deliver(BadMessage(kind=kind))

    def _on_run(self, segment: Segment, run: Run) -> None:
        now_ns = time.time_ns()
        if self._is_buffer:
            times_ns = arrivals_ns = self._take_announced(len(run), now_ns)
            if self._answered_generation != self._generation:
                return
            self._highest_pulse_id = highest_believed(self._highest_pulse_id, run.pulse_ids)
        else:
            arrivals_ns = np.full(len(run), now_ns)
            implausible = np.abs(run.global_timestamps_ns - now_ns) > PLAUSIBLE_CLOCK_DIFFERENCE_NS
            times_ns = np.where(implausible, now_ns, run.global_timestamps_ns)
        self._deliver(Pulses(segment=segment, run=run, times_ns=times_ns, arrivals_ns=arrivals_ns))

    def _take_announced(self, count: int, now_ns: int) -> NDArray[np.int64]:
        taken, self._announced = self._announced[:count], self._announced[count:]
        if taken.size == count:
            return taken
        return np.concatenate((taken, np.full(count - taken.size, now_ns)))

    def _on_command(self, name: str, data: bytes) -> None:
        match extension.decode_extension(name, data):
            case extension.RunAnnouncement(arrivals_ns=arrivals_ns):
                self._announced = arrivals_ns
            case Started() as started:
                self._on_started(started)
            case Marked(token=token, now_ns=now_ns) if token == self._generation:
                self._deliver(CaughtUp(now_ns=now_ns))
            case Lost(messages=messages) if self._answered_generation == self._generation:
                self._deliver(Overtaken(messages=messages))
            case None if name == "PING":
                self._send(encode_pong(data))
            case None if name == "ERROR":
                raise PeerError(f"sent the error {data[1:200].decode('ascii', 'replace')!r}")

    def _on_started(self, started: Started) -> None:
        self._answered_generation = started.generation
        self._held = Holdings(
            oldest_pulse_id=started.oldest_pulse_id, newest_pulse_id=started.newest_pulse_id, messages=started.messages
        )
        if self._answer is not None and not self._answer.done() and started.generation == self._generation:
            opened = Opened(
                now_ns=started.now_ns,
                oldest_pulse_id=started.oldest_pulse_id if started.from_oldest else None,
                newest_pulse_id=started.newest_pulse_id,
            )
            self._answer.set_result(opened)

    def _request(self, start: StartPoint) -> None:
        self._send(extension.encode_extension(StartRequest(generation=self._generation, at=str(start))))

    def _send(self, frame: bytes) -> None:
        """Sends a few bytes to a peer that hardly ever gets any; a full socket means that it does not read at all."""
        assert self._connection is not None
        try:
            sent = self._connection.socket.send(frame)
        except OSError as error:
            self._break(error.strerror or str(error))
            return
        if sent != len(frame):
            self._break("it does not read what we send")
