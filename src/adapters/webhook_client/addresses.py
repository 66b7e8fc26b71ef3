"""IP addresses that requests must not reach, and the reason for each."""

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import Final

IpAddress = IPv4Address | IPv6Address

_REFUSED_V4: Final = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared address space",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud metadata",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_REFUSED_V6: Final = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::/96": "IPv4-compatible",
    "::ffff:0:0:0/96": "IPv4-translated",
    "64:ff9b:1::/48": "local NAT64",
    "100::/64": "discard",
    "2001::/32": "Teredo",
    "2001:10::/28": "ORCHID",
    "2001:20::/28": "ORCHID",
    "2001::/23": "protocol assignments",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "unique local",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
    # the rest of what is not global unicast, 2000::/3 (RFC 4291, section 2.4)
    "::/3": "not global unicast",
    "4000::/2": "not global unicast",
    "8000::/1": "not global unicast",
}
_NETWORKS_V4: Final = tuple((IPv4Network(net), reason) for net, reason in _REFUSED_V4.items())
_NETWORKS_V6: Final = tuple((IPv6Network(net), reason) for net, reason in _REFUSED_V6.items())
_EMBEDDING: Final = tuple(IPv6Network(net) for net in ("::ffff:0:0/96", "64:ff9b::/96"))
"""IPv4-mapped and NAT64: their addresses lead to the IPv4 address in the last 32 bits."""
_ISATAP: Final = 0x00005EFE
"""The first half of an ISATAP interface identifier (RFC 5214), without its u bit."""


def parse_address(text: str) -> IpAddress:
    """
    Parse an address as sockets report it; an IPv4-mapped one is an IPv4 address.

    Raises:
        ValueError: The text is not an IP address.
    """
    address = ip_address(text.partition("%")[0])
    return (address.version == 6 and address.ipv4_mapped) or address


@lru_cache(maxsize=4096)
def refusal(address: IpAddress) -> str | None:
    """
    Return why an address is refused, such as "loopback"; None if it is public.

    An IPv4-mapped or NAT64 address (RFC 6052) counts as the IPv4 address that it
    leads to. The other forms that embed one (IPv4-compatible and -translated,
    local NAT64, 6to4, Teredo, ISATAP) are all refused.
    """
    if isinstance(address, IPv6Address) and any(address in network for network in _EMBEDDING):
        address = IPv4Address(int(address) & 0xFFFFFFFF)
    if isinstance(address, IPv4Address):
        return next((reason for network, reason in _NETWORKS_V4 if address in network), None)
    if int(address) >> 32 & 0xFDFFFFFF == _ISATAP:
        return "ISATAP"
    return next((reason for network, reason in _NETWORKS_V6 if address in network), None)
