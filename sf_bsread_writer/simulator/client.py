"""One client of a simulated source: a queue of whole messages, sent as its socket takes them.

What clients say is read and answered (subscriptions, PING), so that libzmq's heartbeats work and so that closing the socket does
not reset the connection: the kernel throws away what it has not yet delivered when a socket is closed with unread bytes in it.
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.simulator.batch import Batch
from sf_bsread_writer.simulator.prepared import MAIN_HEADER_START
from sf_bsread_writer.zmtp.connection import Connection
from sf_bsread_writer.zmtp.frames import encode_pong
from sf_bsread_writer.zmtp.handshake import SocketType
from sf_bsread_writer.zmtp.requests import Ping, Requests, Subscription
from sf_bsread_writer.zmtp.subscriptions import Subscriptions

_PIECES_AT_ONCE = 1024
"""IOV_MAX of Linux: more pieces than this in one call are an error."""

_RECEIVE_BYTES = 16 * 1024


class Client:
    """A connection, which this object owns, and what is still to be sent on it.

    ``on_change`` is called when the queue has become empty or a subscription has changed, ``on_end`` once, at the end.
    """

    def __init__(self, connection: Connection, *, on_change: Callable[[], None], on_end: Callable[["Client"], None]) -> None:
        self.address = connection.peer_address
        self.sent = self.sent_bytes = self.left_out = self.queued = 0
        self._connection = connection
        self._socket = connection.socket
        self._on_change = on_change
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Batch] = deque()
        self._piece = self._offset = 0
        self._waiting = self._ended = self._pong_queued = False
        self._is_sub = connection.socket_type is SocketType.PUB
        self._requests = Requests(is_sub=self._is_sub)
        self._subscriptions = Subscriptions()
        self._loop.add_reader(self._socket, self._readable)
        if connection.leftover:
            self._loop.call_soon(self._understand, connection.leftover)

    @property
    def wants_messages(self) -> bool:
        """False for a SUB that has not subscribed to anything that our messages begin with."""
        if self._ended:
            return False
        return not self._is_sub or self._subscriptions.want(MAIN_HEADER_START)

    def offer(self, batch: Batch, *, room: int) -> None:
        """Queues the messages of ``batch`` for which there is room and sends what the socket takes; the others are left out."""
        if not self.wants_messages:
            return
        taken = batch if room >= len(batch) else batch.head(max(room, 0))
        self.left_out += len(batch) - len(taken)
        if len(taken):
            self.queued += len(taken)
            self._queue.append(taken)
            if not self._waiting:
                self._send()

    def say_goodbye(self) -> None:
        """Tells the client that nothing more comes; what is queued is given up, what the kernel has is delivered."""
        self._queue.clear()
        self.queued = 0
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Ends the connection; may be called again."""
        if self._ended:
            return
        self._ended = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._connection.close()
        self._queue.clear()
        self.queued = 0
        self._on_end(self)

    def _send(self) -> None:
        """Sends until the queue is empty or the socket is full; then the loop calls again."""
        try:
            while self._queue:
                pieces = self._queue[0].pieces[self._piece : self._piece + _PIECES_AT_ONCE]
                pieces[0] = memoryview(pieces[0])[self._offset :]
                self._advance(self._socket.sendmsg(pieces))
        except BlockingIOError:
            if not self._waiting:
                self._waiting = True
                self._loop.add_writer(self._socket, self._send)
            return
        except OSError:
            self.close()
            return
        if self._waiting:
            self._waiting = False
            self._loop.remove_writer(self._socket)
        self._on_change()

    def _advance(self, count: int) -> None:
        """Takes ``count`` bytes as sent."""
        batch = self._queue[0]
        before = batch.messages_before(self._piece)
        self.sent_bytes += count
        left = count + self._offset
        while self._piece < len(batch.pieces) and left >= len(batch.pieces[self._piece]):
            left -= len(batch.pieces[self._piece])
            self._piece += 1
        self._offset = left
        done = batch.messages_before(self._piece) - before
        self.sent += done
        self.queued -= done
        if self._piece == len(batch.pieces):
            self._queue.popleft()
            self._piece = self._offset = 0
            self._pong_queued = self._pong_queued and any(not len(batch) for batch in self._queue)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._understand(data)

    def _understand(self, data: bytes) -> None:
        """Acts on what the client has said; ends the connection if no reader says such a thing."""
        if self._ended:
            return
        try:
            for request in self._requests.feed(data):
                match request:
                    case Ping(data=context):
                        self._queue_pong(encode_pong(context))
                    case Subscription(subscribe=subscribe, prefix=prefix):
                        self._subscriptions.change(subscribe, prefix)
                        self._on_change()
        except PeerError:
            self.close()

    def _queue_pong(self, pong: bytes) -> None:
        """Puts the answer behind the message that is being sent, before those that wait; one at a time, whatever is asked."""
        if self._pong_queued:
            return
        self._pong_queued = True
        answer = Batch(pieces=[pong], ends=[])
        if not self._queue or (self._piece == 0 and self._offset == 0):
            self._queue.appendleft(answer)
        else:
            begun = self._queue.popleft()
            whole = begun.messages_before(self._piece) + 1
            self._queue.extendleft(batch for batch in (begun.tail(whole), answer, begun.head(whole)) if batch.pieces)
        if not self._waiting:
            self._send()
