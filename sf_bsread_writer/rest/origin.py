"""From where a request comes, by what browsers say of themselves in its headers. Pure.

The port is open to every web page that a user of this machine looks at, in two ways. A page may send requests here, whose
answers it cannot read: browsers mark these. Or its own name may be made to lead to 127.0.0.1 (DNS rebinding): then the page and
the writer are one site to the browser, and only the name in ``Host`` gives it away. Programs such as curl or Python's requests
send no such marks, and a ``Host`` that leads here.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "localhost4", "localhost6"})
"""What 127.0.0.1 is called in /etc/hosts, as distributions write it."""

_SAME_SITE = ("same-origin", "none")
"""``none``: typed by the user. Another port of this machine is ``same-site``, and is somebody else's."""


def is_ours(host: str, names: Collection[str], *, at_any_address: bool = False) -> bool:
    """Whether the value of a ``Host`` header leads here: a loopback address, or one of `LOCAL_NAMES` or ``names``.

    Any port will do: behind an SSH tunnel it is the tunnel's, and a page under another name has that other name on every port.
    ``at_any_address``: so will any address, for what is served on others than loopback, of which there may be many: a page that
    has had its name lead here has that name, and no address.
    """
    name = _host_of(f"//{host}")
    if name is None:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback or at_any_address or name in names
    except ValueError:
        return name in LOCAL_NAMES or name in names


def is_loopback(host: str) -> bool:
    """Whether a numeric address is one of this machine alone, also as IPv6 has it of IPv4."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent it for a page of another site, or for one that it does not tell; ``headers`` in lower case."""
    if headers.get("sec-fetch-site", "none") not in _SAME_SITE:
        return True
    page = headers.get("origin", headers.get("referer"))  # older browsers send no more than one of these
    return page is not None and _netloc_of(page) != headers.get("host", "").lower()


def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is none
    except ValueError:
        return None
    is_host_alone = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return parts.hostname if is_host_alone else None


def _netloc_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
