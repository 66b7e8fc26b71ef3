"""Strict parsing of the URLs that users enter."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from attrs import field, frozen

from workbell.adapters.webhook_client.addresses import IpAddress
from workbell.domain.errors import Invalid

_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\]")
_URL: Final = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(#.*)?", re.IGNORECASE)
_AUTHORITY: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS: Final = {"http": 80, "https": 443}
_MAX_NAME: Final = 253


@frozen
class RequestTarget:
    """
    The parts of a URL.

    `host` is a name in ASCII without a trailing dot, or the text of `address`.
    `path` includes the query; it is sent as it is.
    """

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    address: IpAddress | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def is_local_name(self) -> bool:
        """Whether the host is `localhost` or a name below it (RFC 6761)."""
        return self.host == "localhost" or self.host.endswith(".localhost")


@lru_cache(maxsize=256)
def parse_url(url: str) -> RequestTarget:
    """
    Parse an http or https URL.

    Raises:
        Invalid: It is malformed, or has user information or a fragment. Hosts
            that other parsers would read as an IPv4 address in another notation
            (decimal, hexadecimal, octal, short) are malformed.
    """
    if _FORBIDDEN.search(url):
        raise _invalid("must not contain spaces, control characters or backslashes")
    if not (match := _URL.fullmatch(url)):
        raise _invalid("must begin with http:// or https://")
    scheme, authority, path, query, fragment = match.groups(default="")
    if "@" in authority:
        raise _invalid("must not contain a user name or password")
    if fragment:
        raise _invalid("must not have a fragment (#)")
    if not (path + query).isascii():
        raise _invalid("must be percent-encoded after the host")
    if not (parts := _AUTHORITY.fullmatch(authority)):
        raise _invalid("must have a host, and a port only as a number")
    literal, name, port = parts.groups(default="")
    scheme = scheme.lower()
    number = int(port) if port else _PORTS[scheme]
    if not 1 <= number <= 65_535:
        raise _invalid("must have a port from 1 to 65535")
    address = _parse_ipv6(literal) if literal else _parse_ipv4(name)
    host = _parse_name(name) if address is None else str(address)
    return RequestTarget(scheme, host, number, (path or "/") + query, address)


def _parse_ipv6(text: str) -> IpAddress:
    try:
        address = IPv6Address(text)
    except ValueError:
        raise _invalid("must have an IPv6 address in the brackets") from None
    if address.scope_id is not None:
        raise _invalid("must not have an IPv6 address with a zone")
    return address.ipv4_mapped or address


def _parse_ipv4(name: str) -> IpAddress | None:
    """Return the address of a dotted quad; None if it is a name."""
    name = name.removesuffix(".").lower()
    # the rule by which browsers recognise IPv4 addresses
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return None
    try:
        return IPv4Address(name)
    except ValueError:
        raise _invalid("must have an IPv4 address of four decimal numbers, or a name") from None


def _parse_name(name: str) -> str:
    """Return a host name in ASCII, in lower case and without a trailing dot."""
    host = name.lower()
    if not host.isascii():
        host = _to_ascii(host)
    host = host.removesuffix(".")
    if len(host) > _MAX_NAME or not all(map(_LABEL.fullmatch, host.split("."))):
        raise _invalid("must have a valid host name")
    return host


def _to_ascii(name: str) -> str:
    """Return an international name in ASCII; only its canonical form is accepted."""
    try:
        host = name.encode("idna").decode()
        if host.encode().decode("idna") == name:
            return host
    except UnicodeError:
        pass
    raise _invalid("must have a valid host name, in its xn-- form if it is not ASCII")


def _invalid(message: str) -> Invalid:
    return Invalid.field("url", message)
