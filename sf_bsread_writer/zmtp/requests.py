"""What a client says, cut into values. Pure.

Clients only read, so what they may say is little: PING, subscriptions (SUB only), and the commands of our own programs. Unknown
commands are passed over; messages, and whatever breaks the framing, end the connection.
"""

from dataclasses import dataclass

from sf_bsread_writer.errors import PeerError
from sf_bsread_writer.zmtp.extension import ClientsRequest, MarkRequest, StartRequest, decode_extension
from sf_bsread_writer.zmtp.frames import parse_command, parse_subscription_message, read_frame_header, subscription_change

MAX_REQUEST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ping:
    """Wants a PONG; ``data`` is that of the command."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Subscription:
    """Wants the messages that begin with ``prefix``, or does not want them any more."""

    subscribe: bool
    prefix: bytes


Request = Ping | Subscription | StartRequest | MarkRequest | ClientsRequest


class Requests:
    """Cuts the bytes of one client."""

    def __init__(self, *, is_sub: bool) -> None:
        self._is_sub = is_sub
        self._received = bytearray()

    def feed(self, data: bytes) -> list[Request]:
        """What is complete now, in order. Raises `PeerError` for what no reader says; the connection is of no more use then."""
        self._received += data
        received = self._received
        requests: list[Request] = []
        position = 0
        while header := read_frame_header(received, position, len(received), max_frame_bytes=MAX_REQUEST_BYTES):
            if header.body_stop > len(received):
                break
            body = bytes(received[header.body_start : header.body_stop])
            position = header.body_stop
            request = self._command(*parse_command(body)) if header.command else self._message(body)
            if request is not None:
                requests.append(request)
        del received[:position]
        return requests

    def _command(self, name: str, data: bytes) -> Request | None:
        if name == "PING":
            return Ping(data)
        change = subscription_change(name, data)
        if change is not None:
            return Subscription(*change) if self._is_sub else None
        command = decode_extension(name, data)
        return command if isinstance(command, StartRequest | MarkRequest | ClientsRequest) else None

    def _message(self, body: bytes) -> Request:
        # ZMTP 3.0 has no command for it: a subscription is a message.
        change = parse_subscription_message(body) if self._is_sub else None
        if change is None:
            raise PeerError(f"sent a message of {len(body)} bytes, but only reads from here: connect senders to the source")
        return Subscription(*change)
