"""What headers say of where a request comes from."""

import pytest

from sf_bsread_writer.rest.origin import is_cross_site, is_loopback, is_ours

NAMES = {"daq-7.example.org", "10.1.2.3"}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9555",
        "127.0.0.1",
        "localhost:9555",
        "LOCALHOST:9555",
        "localhost",
        "localhost.localdomain:9555",
        "[::1]:9555",
        "127.0.0.2:9555",
        "localhost:18555",  # an SSH tunnel
        "daq-7.example.org:9555",
        "DAQ-7.example.org",
        "10.1.2.3:9555",
    ],
)
def test_names_that_lead_here_are_ours(host: str) -> None:
    assert is_ours(host, NAMES)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:9555",
        "evil.example",
        "localhost.evil.example:9555",
        "127.0.0.1.evil.example:9555",
        "evil.example:9555@localhost",
        "localhost@evil.example:9555",
        "localhost/evil.example",
        "localhost?evil.example",
        "localhost#evil.example",
        "localhost:9555:9555",
        "localhost:port",
        "localhost:99999",
        "::1",
        "[::1",
        "10.1.2.4:9555",
        "0.0.0.0:9555",
        "localhost.",
        "",
        ":9555",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not is_ours(host, NAMES)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.1.2.3", False),
        ("10.1.2.3", False),
        ("fe80::1%eth0", False),
    ],
)
def test_this_machine_alone_is_told_from_others(host: str, loopback: bool) -> None:
    assert is_loopback(host) == loopback


@pytest.mark.parametrize("host", ["10.1.2.4:9555", "192.168.7.7", "[fd00::5]:9555", "127.0.0.1:1", "daq-7.example.org"])
def test_served_on_all_interfaces_every_address_may_be_ours(host: str) -> None:
    assert is_ours(host, NAMES, at_any_address=True)


@pytest.mark.parametrize(
    "host", ["evil.example:9555", "10.1.2.4.evil.example", "daq-8.example.org", "10.1.2.4@evil.example", "", "[::1"]
)
def test_a_name_that_is_not_ours_is_not_even_then(host: str) -> None:
    assert not is_ours(host, NAMES, at_any_address=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, requests
        {"user-agent": "Mozilla/5.0"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:9555"},
        {"origin": "http://127.0.0.1:9555"},
        {"referer": "http://127.0.0.1:9555/report"},
        {"origin": "http://127.0.0.1:9555", "referer": "https://evil.example/"},
    ],
)
def test_programs_and_our_own_pages_are_of_this_site(headers: dict[str, str]) -> None:
    assert not is_cross_site({"host": "127.0.0.1:9555"} | headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://127.0.0.1:9555"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "http://localhost:9555"},
        {"origin": "http://[::1"},
        {"referer": "https://evil.example/127.0.0.1:9555"},
        {"referer": ""},
    ],
)
def test_pages_of_other_sites_are_cross_site(headers: dict[str, str]) -> None:
    assert is_cross_site({"host": "127.0.0.1:9555"} | headers)
