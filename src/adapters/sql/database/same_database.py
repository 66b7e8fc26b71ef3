"""Whether two SQLAlchemy URLs name the same database."""

import os
import socket
from ipaddress import ip_address
from pathlib import Path

from sqlalchemy import URL

_PORTS = {"postgresql": 5432, "mysql": 3306}
_LOOPBACK = "loopback"


def is_same_database(one: URL, other: URL) -> bool:
    """
    Whether two URLs name the same database; nothing is sent to it.

    SQLite: the same file. Servers: the same kind (MariaDB is MySQL), database, port
    and host, by name or by one of its addresses. A host, port or database that one
    of the URLs leaves out is not compared.
    """
    kind = _get_kind(one)
    if kind != _get_kind(other):
        return False
    if kind == "sqlite":
        return _is_same_file(one, other)
    if one.database and other.database and one.database != other.database:
        return False
    hosts = _get_host(one), _get_host(other)
    if None in hosts:
        return True
    default = _PORTS.get(kind)
    return (one.port or default) == (other.port or default) and _is_same_host(*hosts)


def _get_kind(url: URL) -> str:
    kind = url.get_backend_name()
    return "mysql" if kind == "mariadb" else kind


def _is_same_file(one: URL, other: URL) -> bool:
    paths = [_get_path(url) for url in (one, other)]
    # databases in memory belong to their own engine
    return None not in paths and paths[0] == paths[1]


def _get_path(url: URL) -> Path | None:
    name = (url.database or "").removeprefix("file:").partition("?")[0]
    return None if name in {"", ":memory:"} else Path(os.path.realpath(name))


def _get_host(url: URL) -> str | None:
    """Return the host of a server; libpq also takes it from the query."""
    host = url.host or url.query.get("host")
    return host if isinstance(host, str) and host and "," not in host else None


def _is_same_host(one: str | None, other: str | None) -> bool:
    return one == other or bool(_resolve(one) & _resolve(other))


def _resolve(host: str | None) -> set[str]:
    """Return the addresses of a host; all of this machine's are one."""
    if host is None:
        return set()
    if host.startswith("/"):  # a folder of Unix sockets
        return {_LOOPBACK}
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
    return {_LOOPBACK if ip_address(each.partition("%")[0]).is_loopback else each for each in found}
