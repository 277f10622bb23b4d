"""Who may connect to the buffer, by network address. Pure."""

import ipaddress
from dataclasses import dataclass
from typing import TypeAlias

from sf_bsread_writer.errors import UsageError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The networks whose clients are served; none at all means every client, from wherever it comes."""

    networks: tuple[Network, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.networks)) or "wherever this port can be reached"

    def allows(self, host: str) -> bool:
        """Whether a client at this numeric address is served. An IPv4 address that comes by way of IPv6 is that IPv4 address."""
        if not self.networks:
            return True
        address = ipaddress.ip_address(host)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)


def parse_network(text: str) -> Network:
    """``10.1.0.0/16``, ``fd00::/8`` or one address; raises `UsageError` with the text."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        example = "give an address such as 10.1.2.3, or a network such as 10.1.0.0/16 or fd00::/8"
        raise UsageError(f"network {text!r} is not usable: {error}; {example}") from None
