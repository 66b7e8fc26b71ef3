"""Client addresses: which client sent a request, and how it is counted."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAX_HOPS: Final = 32
_MAX_HEADER_LENGTH: Final = 4_096
_HOP: Final = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([^:\[\]]*)(?::\d{1,5})?|([^\[\]]*)")


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """
    Return the client's address: the socket's peer, or a forwarded address.

    X-Forwarded-For is read from right to left, for as long as the previous hop
    is a trusted proxy; entries further left may be forged by the client. An
    entry that is not an address ends the search. A peer that is not an address
    (a Unix socket) is returned unchanged.
    """
    if (client := _parse_address(peer)) is None:
        return peer
    hops = forwarded_for[-_MAX_HEADER_LENGTH:].split(",")
    for hop in hops[: -_MAX_HOPS - 1 : -1] if trusted and forwarded_for else ():
        if not any(client in network for network in trusted):
            break
        if (address := _parse_address(hop)) is None:
            break
        client = address
    return str(client)


def is_secure(peer: str, scheme: str, forwarded: str, trusted: Sequence[Network]) -> bool:
    """
    Whether the client used HTTPS, here or at a trusted proxy.

    Of X-Forwarded-Proto only the last item counts, which the nearest proxy
    wrote, and only if that proxy is trusted.
    """
    if scheme == "https":
        return True
    proxy = _parse_address(peer)
    if proxy is None or forwarded.rpartition(",")[2].strip().lower() != "https":
        return False
    return any(proxy in network for network in trusted)


@lru_cache(maxsize=4096)
def client_key(address: str) -> str:
    """
    Return the key under which an address is counted.

    IPv6 addresses are counted by their /64 network: the client chooses the
    last 64 bits itself (RFC 4291, section 2.5.4).
    """
    parsed = _parse_address(address)
    if parsed is None:
        return sha256(address.encode(errors="replace")).hexdigest()[:32]
    if parsed.version == 4:
        return str(parsed)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> Address | None:
    """Parse an address, with or without a port, brackets, quotes or zone."""
    if not (match := _HOP.fullmatch(text.strip().strip('"'))):
        return None
    host = next((group for group in match.groups() if group), "")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.version == 6 and address.ipv4_mapped) or address
