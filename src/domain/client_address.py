"""Client addresses: who asks, and by what they are counted."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MOST_HOPS: Final = 32
_LONGEST_HEADER: Final = 4_096
_HOP: Final = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([^:\[\]]*)(?::\d{1,5})?|([^\[\]]*)")


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """
    Return who asks: the socket's peer, or whom trusted proxies name.

    X-Forwarded-For is read from the right, as far as each hop was written by
    a trusted proxy; whatever the client wrote itself stands to the left of
    that. Something that is no address ends the walk. A peer that is no
    address (a local socket) is returned as it is.
    """
    if (client := _address(peer)) is None:
        return peer
    hops = forwarded_for[-_LONGEST_HEADER:].split(",")
    for hop in hops[: -_MOST_HOPS - 1 : -1] if trusted and forwarded_for else ():
        if not any(client in network for network in trusted):
            break
        if (further := _address(hop)) is None:
            break
        client = further
    return str(client)


def is_secure(peer: str, scheme: str, forwarded: str, trusted: Sequence[Network]) -> bool:
    """
    Whether the client asked by HTTPS, here or at a trusted proxy.

    X-Forwarded-Proto counts as the nearest proxy wrote it, its last item, and
    only where that proxy is a trusted one.
    """
    if scheme == "https":
        return True
    proxy = _address(peer)
    named = forwarded.rpartition(",")[2].strip().lower()
    return named == "https" and proxy is not None and any(proxy in each for each in trusted)


@lru_cache(maxsize=4096)
def client_key(address: str) -> str:
    """
    Return by what an address is counted.

    The last 64 bits of IPv6 are the client's own to choose (RFC 4291, 2.5.4),
    so they make no difference.
    """
    found = _address(address)
    if found is None:
        return sha256(address.encode(errors="replace")).hexdigest()[:32]
    if found.version == 4:
        return str(found)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    """Read an address, with or without a port, brackets, quotes or zone."""
    if not (found := _HOP.fullmatch(text.strip().strip('"'))):
        return None
    plain = next((group for group in found.groups() if group), "")
    try:
        read = ip_address(plain.partition("%")[0])
    except ValueError:
        return None
    return (read.version == 6 and read.ipv4_mapped) or read
