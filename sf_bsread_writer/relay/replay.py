"""One client of the buffer: sends it the ring from its own cursor on, as fast as it reads and no faster.

Strategy: as long as the socket takes bytes, a client sends some slices of the ring and then lets the others have their turn; when
the socket is full it waits for that alone. It never holds up the ring: it has no pin on any segment. If the segment of the slice
under way goes, the rest of that slice, at most a megabyte or one message, is copied out, so that no message is torn. All such
copies together have a budget: a client for whose copy nothing is left is one of many that have stopped reading, and is closed.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.logs import Complaints
from sf_bsread_writer.relay.outbox import CopyBudget, Outbox, Views
from sf_bsread_writer.ring.cursor import Cursor, Select, Slice
from sf_bsread_writer.ring.log import Rows
from sf_bsread_writer.ring.ring import Ring
from sf_bsread_writer.zmtp.connection import unanswered
from sf_bsread_writer.zmtp.extension import (
    ClientsRequest,
    ClientWishes,
    Lost,
    Marked,
    MarkRequest,
    Started,
    StartPoint,
    StartRequest,
    encode_extension,
    encode_run,
)
from sf_bsread_writer.zmtp.frames import encode_pong
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.peer import Connection
from sf_bsread_writer.zmtp.requests import Ping, Requests, Subscription
from sf_bsread_writer.zmtp.subscriptions import Subscriptions

logger = logging.getLogger(__name__)

SLICE_BYTES = 1 << 20
TURN_BYTES = 4 << 20
"""What one client may be sent before others have their turn: more than is received in one, so that who is behind catches up."""

_RECEIVE_BYTES = 64 * 1024
_MOST_WORDS_BYTES = 1 << 20
_MOST_MARKS = 10_000
_MOST_EMPTY_SLICES = 16

LOOK_S = 5.0
MOST_UNANSWERED = 7
"""A client to which the kernel has sent the same again so often is gone: after 25 s, as with one to which nothing is under way,
for which keep-alive is there. The kernel itself would try for a quarter of an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientStatistics:
    """One client: ``sequence`` numbers its next message, ``lag_messages`` it is behind, ``lost_messages`` it was overtaken by.

    ``lag_s`` is how long ago its next message arrived, 0 if there is none yet.
    ``waiting_marks`` are requests to be told when what has arrived is sent.
    """

    name: str
    address: str
    role: str
    sequence: int
    lag_messages: int
    lag_s: float
    lost_messages: int
    sent_messages: int
    sent_bytes: int
    waiting_marks: int


@dataclass(frozen=True, slots=True)
class _Mark:
    sequence: int
    answer: bytes


class Client:
    """A connection and its cursor; calls ``gone`` once, with the reason, when the connection has ended.

    ``clock`` tells arrival times. ``receive_now`` is called before a "now": it takes in what has come but was not looked at yet.
    ``list_clients`` is the answer to who asks for all of them.
    """

    def __init__(
        self,
        connection: Connection,
        wishes: ClientWishes,
        ring: Ring,
        *,
        copies: CopyBudget,
        clock: Callable[[], int],
        receive_now: Callable[[], None],
        list_clients: Callable[[], bytes],
        gone: Callable[["Client", str], None],
    ) -> None:
        self.name = wishes.name or connection.peer_address
        self._connection = connection
        self._socket = connection.socket
        self._ring = ring
        self._clock_ns = clock
        self._receive_now = receive_now
        self._list_clients = list_clients
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._complaints = Complaints(logger)
        self._announces = wishes.arrivals
        self._is_sub = connection.socket_type is SocketType.PUB
        self._subscriptions = Subscriptions()
        self._requests = Requests(is_sub=self._is_sub)
        self._outbox = Outbox()
        self._copies = copies
        self._copied_bytes = 0  # taken from there
        self._words = bytearray()  # for after the present slice
        self._is_listed = False  # the clients are, in these words: who asks again before they are sent gets no second list
        self._marks: deque[_Mark] = deque()
        self._serial = -1  # of the slice under way
        self._cursor = Cursor(self._position(StartPoint("live") if self._is_sub else wishes.start))
        self._holding = self._is_sub or wishes.start.kind == "hold"
        self._lost = 0
        self._sent_bytes = 0
        self._scheduled = False
        self._blocked = False
        self._closed = False
        self._look_timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to send, and to listen to what the client asks for."""
        self._loop.add_reader(self._socket, self._guarded, self._read)
        self._guarded(partial(self._handle, self._connection.leftover))
        self._guarded(self._look_whether_it_lives)
        self.wake()

    def wake(self) -> None:
        """There may be something to send: a message has arrived."""
        if not (self._scheduled or self._blocked or self._closed):
            self._scheduled = True
            self._loop.call_soon(self._guarded, self._turn)

    def released(self, serial: int) -> None:
        """The bytes of this segment are about to go: saves what is left of the slice under way."""
        if serial != self._serial or not self._outbox:
            return
        size = self._outbox.waiting_bytes
        if not self._copies.take(size):
            logger.warning(
                "Client %s stands still inside a message that has to go, and is closed: to keep the rest would take %d bytes, "
                "and clients like it have %d of %d",
                self.name,
                size,
                self._copies.used_bytes,
                self._copies.limit_bytes,
            )
            self.close("it stood still for too long")
            return
        self._copied_bytes += size
        self._outbox.own()

    def close(self, reason: str) -> None:
        """Ends the connection."""
        if self._closed:
            return
        self._closed = True
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._connection.close()
        self._outbox.clear()
        self._give_back_copy()
        self._gone(self, reason)

    def statistics(self) -> ClientStatistics:
        """A snapshot."""
        return ClientStatistics(
            name=self.name,
            address=self._connection.peer_address,
            role=self._connection.socket_type.value,
            sequence=self._cursor.next,
            lag_messages=0 if self._holding else self._ring.next - self._cursor.next,
            lag_s=0.0 if self._holding else self._ring.age_s(self._cursor.next, self._clock_ns()),
            lost_messages=self._lost,
            sent_messages=self._cursor.messages,
            sent_bytes=self._sent_bytes,
            waiting_marks=len(self._marks),
        )

    def _guarded(self, work: Callable[[], None]) -> None:
        """Does it, and whatever goes wrong ends this client only."""
        if self._closed:
            return
        try:
            work()
        except PeerError as error:
            self.close(f"it {error}")
        except (ConnectionResetError, BrokenPipeError):
            self.close("it closed the connection with messages still under way to it")
        except OSError as error:
            self.close(f"its connection broke: {error.strerror or error}")
        except Exception:
            logger.exception("Client %s: an error of this program", self.name)
            self.close("an error of this program")

    def _look_whether_it_lives(self) -> None:
        if unanswered(self._socket) >= MOST_UNANSWERED:
            self.close("it does not answer any more, not even its machine")
        else:
            self._look_timer = self._loop.call_later(LOOK_S, self._guarded, self._look_whether_it_lives)

    # Sending

    def _turn(self) -> None:
        self._scheduled = False
        sent = 0
        while sent < TURN_BYTES:
            if not (self._outbox or self._refill()):
                return
            try:
                words, parts = self._outbox.send(self._sendmsg)
            except BlockingIOError:
                self._wait_for_socket()
                return
            self._cursor.sent(parts)
            self._sent_bytes += words + parts
            sent += words + parts
        self.wake()

    def _sendmsg(self, views: Views) -> int:
        return self._socket.sendmsg(views)

    def _wait_for_socket(self) -> None:
        if not self._blocked:
            self._blocked = True
            self._loop.add_writer(self._socket, self._guarded, self._writable)

    def _writable(self) -> None:
        self._blocked = False
        self._loop.remove_writer(self._socket)
        self._turn()

    def _give_back_copy(self) -> None:
        self._copies.give_back(self._copied_bytes)
        self._copied_bytes = 0

    def _refill(self) -> bool:
        """Puts the next words and messages into the empty outbox; False if there is nothing to send now."""
        self._give_back_copy()
        if not self._holding:
            self._skip_lost()
        self._answer_marks()
        part = None if self._holding else self._next_slice()
        parts: Views = ()
        if part is not None:
            if self._announces:
                self._words += encode_run(part.first, part.arrivals_ns)
            view = self._ring.view(part.serial)
            parts = [view[start:stop] for start, stop in part.spans]
            self._serial = part.serial
        self._outbox.put(bytes(self._words), parts)
        self._words.clear()
        self._is_listed = False
        return bool(self._outbox)

    def _next_slice(self) -> Slice | None:
        """The next messages that the client wants, up to the next mark; None if there are none now."""
        stop = self._marks[0].sequence if self._marks else None
        for _ in range(_MOST_EMPTY_SLICES):
            part = self._cursor.take(self._ring.log, SLICE_BYTES, stop=stop, select=self._select())
            if part is None or part.messages:
                return part
        self.wake()
        return None

    def _skip_lost(self) -> None:
        lost = self._cursor.skip_evicted(self._ring.log)
        if not lost:
            return
        self._lost += lost
        first = self._cursor.next - lost
        if self._announces:
            self._words += encode_extension(Lost(messages=lost, first_sequence=first))
        self._complain(
            "overtaken",
            f"Client {self.name} reads too slowly and was overtaken: it lost {lost} messages and goes on at the oldest one kept; "
            "a longer --buffer_length or a higher --memory_limit bridges longer pauses",
            times=lost,
        )

    def _answer_marks(self) -> None:
        while self._marks and (self._holding or self._cursor.next >= self._marks[0].sequence):
            self._words += self._marks.popleft().answer

    def _select(self) -> Select | None:
        """None: every message is wanted, as PULL always does and SUB mostly."""
        return self._subscribed if self._is_sub and not self._subscriptions.want_all else None

    def _subscribed(self, serial: int, rows: Rows) -> NDArray[np.bool_]:
        return self._subscriptions.wanted(self._ring.view(serial), rows.starts)

    # What the client says

    def _read(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.close("it closed the connection")
            return
        self._handle(data)
        self.wake()

    def _handle(self, data: bytes) -> None:
        for request in self._requests.feed(data):
            match request:
                case Ping(data=ping):
                    self._words += encode_pong(ping)
                case Subscription(subscribe=subscribe, prefix=prefix):
                    self._subscribe(subscribe, prefix)
                case StartRequest():
                    self._receive_now()
                    self._restart(request)
                case MarkRequest(token=token):
                    self._receive_now()
                    answer = encode_extension(Marked(token=token, now_ns=self._clock_ns()))
                    self._marks.append(_Mark(self._ring.next, answer))
                case ClientsRequest():
                    self._words += b"" if self._is_listed else self._list_clients()
                    self._is_listed = True
                case _:
                    assert_never(request)
        if len(self._words) > _MOST_WORDS_BYTES or len(self._marks) > _MOST_MARKS:
            raise PeerError("asks for more answers than it reads")

    def _restart(self, request: StartRequest) -> None:
        """Moves the cursor; of the slice under way only the message that has begun is finished."""
        self._outbox.keep(self._cursor.cut())
        self._words += b"".join(mark.answer for mark in self._marks)  # they asked about messages that will not come any more
        self._marks.clear()
        now_ns = self._clock_ns()
        start = StartPoint("live") if self._is_sub else request.start
        self._cursor.move(self._position(start))
        self._holding = start.kind == "hold" or (self._is_sub and not self._subscriptions)
        held = self._ring.statistics()
        first = self._ring.log.rows(self._cursor.next, min(self._cursor.next + 1, self._ring.next))
        answer = Started(
            generation=request.generation,
            now_ns=now_ns,
            oldest_pulse_id=held.oldest_pulse_id,
            newest_pulse_id=held.newest_pulse_id,
            messages=held.messages,
            first_sequence=self._cursor.next,
            from_oldest=held.messages > 0 and self._cursor.next == self._ring.oldest,
            first_pulse_id=int(first.pulse_ids[0]) if len(first.pulse_ids) else None,
            first_arrival_ns=int(first.arrivals_ns[0]) if len(first.arrivals_ns) else None,
        )
        self._words += encode_extension(answer)

    def _position(self, start: StartPoint) -> int:
        """Sequence number of the first message for a client that starts there."""
        ring = self._ring
        match start:
            case StartPoint(kind="oldest"):
                return ring.oldest
            case StartPoint(kind="pulse", value=int(pulse_id)):
                return ring.log.find_pulse(pulse_id, oldest=ring.oldest)
            case StartPoint(kind="arrival", value=int(arrival_ns)):
                return ring.log.find_arrival(arrival_ns, oldest=ring.oldest)
            case _:  # live, hold, now
                return ring.next

    def _subscribe(self, subscribe: bool, prefix: bytes) -> None:
        """Messages are sent from the first subscription on."""
        self._subscriptions.change(subscribe, prefix)
        was_holding, self._holding = self._holding, not self._subscriptions
        if was_holding and not self._holding:
            self._outbox.keep(self._cursor.cut())
            self._cursor.move(self._ring.next)

    def _complain(self, kind: str, text: str, times: int) -> None:
        self._complaints.add(kind, text, now_s=time.monotonic(), times=times)
