"""The client's address: the socket's peer, or as trusted proxies report."""

from ipaddress import ip_network
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.client_address import client_address, client_key, is_secure

pytestmark = pytest.mark.unit

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", '"[2001:DB8:0::1]:1"', "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("fd00::1", "198.51.100.1, fd00::2", "198.51.100.1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, , 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.999", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2:port", "10.0.0.1"),
        ("10.0.0.1", "[198.51.100.1", "10.0.0.1"),
        ("/run/proxy.sock", "198.51.100.1", "/run/proxy.sock"),
        ("", "198.51.100.1", ""),
    ],
)
def test_forwarded_addresses_are_read_from_right_to_left(
    peer: str, forwarded_for: str, client: str
) -> None:
    """As long as each previous hop is a trusted proxy."""
    assert client_address(peer, forwarded_for, TRUSTED) == client


def test_no_proxy_is_trusted_unless_configured() -> None:
    """Not even a proxy on the same machine."""
    assert client_address("127.0.0.1", "198.51.100.1", []) == "127.0.0.1"


@given(st.text(), st.text())
def test_forged_headers_are_ignored(forged: str, peer: str) -> None:
    """Arbitrary text never raises, and entries by the client never count."""
    assert client_address(peer, forged, TRUSTED)[:0] == ""
    assert client_address("10.0.0.1", f"{forged}, 198.51.100.1", TRUSTED) == "198.51.100.1"


def test_only_the_end_of_a_huge_header_is_read() -> None:
    """The cost of parsing is bounded: at most 32 hops are read."""
    huge = "10.0.0.9," * 1_000_000 + " 10.0.0.2"
    started = perf_counter()
    assert client_address("10.0.0.1", huge, TRUSTED) == "10.0.0.9"
    assert client_address("10.0.0.1", "x" * 10_000_000, TRUSTED) == "10.0.0.1"
    assert client_address("10.0.0.1", "1.1.1.1," + "[" * 60_000, TRUSTED) == "10.0.0.1"
    assert perf_counter() - started < 1


def test_an_ipv6_network_is_counted_as_one_client() -> None:
    """The last 64 bits of an IPv6 address are the client's choice."""
    assert client_key("2001:db8:1:2:3:4:5:6") == client_key("2001:db8:1:2::") == "2001:db8:1:2::/64"
    assert client_key("2001:db8:1:3::") != client_key("2001:db8:1:2::")
    assert client_key("::ffff:192.0.2.1") == client_key("192.0.2.1") == "192.0.2.1"
    assert len(client_key("/run/" + "x" * 1_000)) == 32


def test_the_nearest_trusted_proxy_reports_https() -> None:
    assert is_secure("192.0.2.1", "https", "", ())
    assert is_secure("10.0.0.1", "http", "http, https", TRUSTED)
    assert not is_secure("10.0.0.1", "http", "https, http", TRUSTED)
    assert not is_secure("192.0.2.1", "http", "https", TRUSTED)
    assert not is_secure("/run/socket", "http", "https", TRUSTED)
