"""Peers that are no use, as the bytes they send: the corpus of wrong things that a ZMTP end may meet.

Each is what a real program sends to somebody who greets it as ZMTP 3 does, or the smallest damage of it.
"""

from dataclasses import dataclass

from sf_bsread_writer.zmtp.frames import COMMAND, LONG, encode_command, encode_frame, encode_properties
from sf_bsread_writer.zmtp.handshake import GREETING_BYTES, encode_error, encode_greeting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """What it says, and a part of the complaint that it must lead to."""

    name: str
    says: bytes
    complaint: str


def greeting(*, major: int = 3, minor: int = 1, mechanism: bytes = b"NULL") -> bytes:
    """A greeting with another version or security mechanism."""
    plain = encode_greeting(minor=minor)
    return plain[:10] + bytes((major, minor)) + mechanism.ljust(20, b"\0") + plain[32:]


def ready(**properties: bytes) -> bytes:
    """A READY command; underscores in the names stand for hyphens."""
    return encode_command("READY", encode_properties({name.replace("_", "-"): value for name, value in properties.items()}))


GREETING = greeting()

SAYS_TOO_MUCH = (
    Stranger(
        name="HTTP server",
        says=b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        complaint="is not a ZMTP peer (got b'HTTP/1.1 400 Bad Request'…)",
    ),
    Stranger(name="HTTP client", says=b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", complaint="is not a ZMTP peer (got b'GET / HTTP/1.1"),
    Stranger(
        name="TLS alert",
        says=b"\x15\x03\x01\x00\x02\x02\x16",
        complaint="(got b'\\x15\\x03\\x01\\x00\\x02\\x02\\x16', which is TLS)",
    ),
    Stranger(name="TLS hello", says=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), complaint=", which is TLS)"),
    Stranger(
        name="SSH server",
        says=b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        complaint="is not a ZMTP peer (got b'SSH-2.0-OpenSSH_9.2p1 De'…)",
    ),
    Stranger(
        name="damaged signature", says=b"\xff" + bytes(8) + b"\x7d" + GREETING[10:], complaint="is not a ZMTP peer (got b'\\xff"
    ),
    Stranger(name="ZMTP 1.0 without an identity", says=b"\x01\x00", complaint="speaks ZMTP 1.0; this program needs 3.x"),
    Stranger(
        name="ZMTP 1.0 with a long identity",
        says=b"\xff" + (300).to_bytes(8, "big") + b"\x00" + b"i" * 299,
        complaint="speaks ZMTP 1.0; this program needs 3.x",
    ),
    Stranger(
        name="ZMTP 2.0",
        says=b"\xff" + bytes(7) + b"\x01\x7f" + b"\x01\x08" + b"\x00\x00",
        complaint="speaks ZMTP 2.0; this program needs 3.x",
    ),
    Stranger(name="CURVE", says=greeting(mechanism=b"CURVE"), complaint="wants security mechanism CURVE, only NULL is supported"),
    Stranger(name="PLAIN", says=greeting(mechanism=b"PLAIN"), complaint="wants security mechanism PLAIN, only NULL is supported"),
    Stranger(name="no mechanism", says=greeting(mechanism=b""), complaint="wants security mechanism (none), only NULL"),
    Stranger(
        name="binary mechanism",
        says=greeting(mechanism=b"\n\xc3"),
        complaint="wants security mechanism \\x0a\\xc3, only NULL",
    ),
    Stranger(name="READY without a type", says=GREETING + ready(X_Name=b"x"), complaint="sent READY without a Socket-Type"),
    Stranger(
        name="READY with a property cut off",
        says=GREETING + encode_command("READY", encode_properties({"Socket-Type": b"PUSH"})[:-1]),
        complaint="sent READY with a damaged property at byte 0",
    ),
    Stranger(
        name="READY with garbage behind a good property",
        says=GREETING + encode_command("READY", encode_properties({"Socket-Type": b"PUSH"}) + b"\x00"),
        complaint="sent READY with a damaged property at byte 20: b'\\x00'",
    ),
    Stranger(
        name="READY with a property twice",
        says=GREETING + encode_command("READY", encode_properties({"Socket-Type": b"PUSH", "socket-type": b"PUB"})),
        complaint="sent READY with the property 'socket-type' twice",
    ),
    Stranger(
        name="oversized READY",
        says=GREETING + bytes((COMMAND | LONG,)) + (1 << 30).to_bytes(8, "big") + b"\x05READY",
        complaint="announced a frame of 1073741824 bytes, at most 65472 are accepted",
    ),
    Stranger(
        name="READY of the largest length there is",
        says=GREETING + bytes((COMMAND | LONG,)) + b"\xff" * 8,
        complaint="announced a frame of 18446744073709551615 bytes",
    ),
    Stranger(name="empty command", says=GREETING + b"\x04\x00", complaint="sent a command without a whole name: b''"),
    Stranger(name="nameless command", says=GREETING + b"\x04\x01\x00", complaint="sent a command without a whole name: b'\\x00'"),
    Stranger(name="name cut off", says=GREETING + b"\x04\x03\x05RE", complaint="sent a command without a whole name: b'\\x05RE'"),
    Stranger(
        name="name not ASCII", says=GREETING + b"\x04\x02\x01\xff", complaint="sent a command whose name is not ASCII: b'\\xff'"
    ),
    Stranger(name="reserved flags", says=GREETING + b"\x48\x00", complaint="sent a frame with the reserved flag bits 0x48 set"),
    Stranger(name="command with MORE", says=GREETING + b"\x05\x00", complaint="sent a command frame with the MORE flag (0x05)"),
    Stranger(
        name="message before READY", says=GREETING + encode_frame(b"hello"), complaint="sent a message of 5 bytes before READY"
    ),
    Stranger(
        name="other command",
        says=GREETING + encode_command("HELLO", b"user"),
        complaint="sent the command 'HELLO' where READY was expected",
    ),
    Stranger(
        name="refusal",
        says=GREETING + encode_error("too many\nclients"),
        complaint="refused the connection: too many\\x0aclients",
    ),
    Stranger(
        name="refusal without a reason",
        says=GREETING + encode_command("ERROR"),
        complaint="refused the connection: it gave no reason",
    ),
)
"""Peers whose bytes alone show that they will not do, at the connecting and at the listening end alike."""

SAYS_TOO_LITTLE = (
    Stranger(name="nothing", says=b"", complaint="nothing"),
    Stranger(name="half a signature", says=GREETING[:5], complaint="only b'\\xff\\x00\\x00\\x00\\x00'"),
    Stranger(name="half a greeting", says=GREETING[:30], complaint="only b'\\xff"),
    Stranger(name="greeting", says=GREETING, complaint="READY"),
    Stranger(name="half of READY", says=GREETING + ready(Socket_Type=b"PUSH")[:9], complaint="READY"),
)
"""Peers that fall silent; ``complaint`` is for one that does not hang up."""

WRONG_SOCKET_TYPES = ("REQ", "REP", "DEALER", "ROUTER", "PAIR", "GATHER")
"""Socket types that are neither a source nor a reader of a bsread stream."""

assert len(GREETING) == GREETING_BYTES
