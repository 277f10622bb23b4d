"""Addresses: what is accepted, written back, and refused with what text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sf_bsread_writer.errors import UsageError
from sf_bsread_writer.zmtp.address import Address, parse_address

ADDRESSES = [
    ("tcp://localhost:8080", Address("localhost", 8080)),
    ("tcp://127.0.0.1:1", Address("127.0.0.1", 1)),
    ("tcp://sf-cam_1.psi.ch:65535", Address("sf-cam_1.psi.ch", 65535)),
    ("tcp://[::1]:9999", Address("::1", 9999)),
    ("tcp://[fe80::1%eth0]:9999", Address("fe80::1%eth0", 9999)),
]

UNUSABLE = [
    ("", "does not begin with tcp://"),
    ("localhost:8080", "does not begin with tcp://"),
    ("ipc:///tmp/source", "does not begin with tcp://"),
    ("udp://localhost:8080", "does not begin with tcp://"),
    ("tcp://", "has no port"),
    ("tcp://localhost", "has no port"),
    ("tcp://[::1]", "has no port"),
    ("tcp://localhost:", "port '' is not a number"),
    ("tcp://localhost:http", "port 'http' is not a number"),
    ("tcp://localhost:-1", "port '-1' is not a number"),
    ("tcp://localhost:+1", "port '\\+1' is not a number"),
    ("tcp://localhost:٣", "is not a number"),
    ("tcp://localhost:8080/", "port '8080/' is not a number"),
    ("tcp://localhost:0", "port 0 is not between 1 and 65535"),
    ("tcp://localhost:65536", "port 65536 is not between 1 and 65535"),
    ("tcp://localhost:" + "9" * 5000, "is not between 1 and 65535"),
    ("tcp://:8080", "names no host to connect to"),
    ("tcp://*:8080", "names no host to connect to"),
    ("tcp://::1:8080", "IPv6 addresses stand in brackets"),
    ("tcp://[localhost]:8080", "'localhost' is no IPv6 address"),
    ("tcp://[]:8080", "'' is no IPv6 address"),
    ("tcp://my host:8080", "'my host' is no host name"),
    ("tcp://user@host:8080", "'user@host' is no host name"),
    ("tcp://host\n:8080", "is no host name"),
]


@pytest.mark.parametrize(("text", "address"), ADDRESSES)
def test_an_address_is_read_and_written_back(text: str, address: Address) -> None:
    assert address == parse_address(text)
    assert text == str(address)


@pytest.mark.parametrize(("text", "complaint"), UNUSABLE)
def test_an_unusable_address_is_refused_with_value_reason_and_example(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_address(text)
    assert repr(text) in str(caught.value)
    assert "for example tcp://" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30) | st.text(max_size=30).map("tcp://{}".format))
def test_any_text_is_an_address_that_reads_back_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert address == parse_address(str(address))
