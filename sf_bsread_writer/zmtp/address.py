"""``tcp://host:port``, the one form in which peers are named. Pure."""

import ipaddress
from dataclasses import dataclass

from sf_bsread_writer.errors import UsageError

_EXAMPLE = "expected tcp://HOST:PORT, for example tcp://localhost:8080"
_SCHEME = "tcp://"


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or number (IPv6 without brackets) and a port; its `str` is what `parse_address` reads."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_SCHEME}{host}:{self.port}"


def parse_address(text: str) -> Address:
    """Host and port of ``tcp://host:port`` or ``tcp://[IPv6]:port``; raises `UsageError` with the text and an example."""
    if not text.startswith(_SCHEME):
        raise UsageError(f"stream address {text!r} does not begin with tcp://; {_EXAMPLE}")
    host, colon, port = text.removeprefix(_SCHEME).rpartition(":")
    if not colon or "]" in port:
        raise UsageError(f"stream address {text!r} has no port; {_EXAMPLE}")
    return Address(_parse_host(host, text), _parse_port(port, text))


def _parse_host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise UsageError(
                f"stream address {text!r}: {host[1:-1]!r} is no IPv6 address; {_EXAMPLE} or tcp://[::1]:8080"
            ) from None
        return host[1:-1]
    if ":" in host:
        raise UsageError(
            f"stream address {text!r}: more than one colon; IPv6 addresses stand in brackets, for example tcp://[::1]:8080"
        )
    if host in {"", "*"}:
        raise UsageError(f"stream address {text!r} names no host to connect to; {_EXAMPLE}")
    if not host.isprintable() or any(character in host for character in " /@?#[]"):
        raise UsageError(f"stream address {text!r}: {host!r} is no host name; {_EXAMPLE}")
    return host


def _parse_port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit()):
        raise UsageError(f"stream address {text!r}: port {port!r} is not a number; {_EXAMPLE}")
    number = int(port) if len(port) <= 5 else 65536
    if not 1 <= number <= 65535:
        raise UsageError(f"stream address {text!r}: port {port} is not between 1 and 65535; {_EXAMPLE}")
    return number
