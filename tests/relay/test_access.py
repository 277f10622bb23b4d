"""Who may connect, by address."""

import pytest

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.relay.access import Access, parse_network


def access(*networks: str) -> Access:
    return Access(networks=tuple(map(parse_network, networks)))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.1.0.0", True),
        ("10.1.255.255", True),
        ("10.2.0.0", False),
        ("10.0.255.255", False),
        ("192.168.7.9", True),
        ("192.168.7.8", False),
        ("127.0.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:10.2.2.3", False),
        ("fd12:3456::1", True),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("::1", False),
        ("::10.1.2.3", False),
    ],
)
def test_clients_of_the_networks_are_served_and_no_others(host: str, allowed: bool) -> None:
    assert access("10.1.0.0/16", "192.168.7.9", "fd00::/8").allows(host) is allowed


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.9", "::1", "2001:db8::1", "fe80::1%eth0"])
def test_without_networks_everybody_is_served(host: str) -> None:
    assert access().allows(host)


@pytest.mark.parametrize(("networks", "host"), [(("0.0.0.0/0",), "::1"), (("::/0",), "10.1.2.3")])
def test_all_of_one_family_is_nobody_of_the_other(networks: tuple[str, ...], host: str) -> None:
    assert not access(*networks).allows(host)


def test_a_link_local_network_takes_any_interface() -> None:
    assert access("fe80::/10").allows("fe80::1%eth0")


@pytest.mark.parametrize("text", ["", "localhost", "10.1.2.3/8", "10.1.2", "10.1.0.0/33", "fd00::/129", "10.1.0.0/16,fd00::/8"])
def test_what_is_no_network_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(UsageError, match=f"network '{text}' is not usable"):
        parse_network(text)


def test_it_reads_as_it_was_given() -> None:
    assert str(access("10.1.0.0/16", "192.168.7.9", "fd00::/8")) == "10.1.0.0/16, 192.168.7.9/32, fd00::/8"
