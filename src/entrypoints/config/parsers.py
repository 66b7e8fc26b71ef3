"""From text to the values of settings; every refusal says what must be."""

import re
from collections.abc import Callable
from datetime import time
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import Invalid
from workbell.domain.rate_limits.policy import Rate

_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"0", "false", "no", "off"})
_DRIVERS: Final = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
}


def parse_text(given: str) -> str:
    """Take text as it is."""
    return given


def parse_folder(given: str) -> Path:
    """Read a path; `~` is the home folder."""
    return Path(given).expanduser()


def parse_int(given: str) -> int:
    """
    Read a whole number.

    Raises:
        Invalid: It is something else.
    """
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise Invalid("must be a whole number")
    return int(given)


def parse_bool(given: str) -> bool:
    """
    Read true or false, also as yes and no, on and off, 1 and 0.

    Raises:
        Invalid: It is something else.
    """
    plain = given.lower()
    if plain not in _YES | _NO:
        raise Invalid("must be true or false")
    return plain in _YES


def parse_rate(given: str) -> Rate | None:
    """
    Read a rate; `off` is None.

    Raises:
        Invalid: It is neither.
    """
    try:
        return Rate.parse(given)
    except Invalid:
        raise Invalid("must be a rate such as 10/day, 5/second, or off") from None


def parse_clock_time(given: str) -> time:
    """
    Read a time of day, `HH:MM`.

    Raises:
        Invalid: It is something else.
    """
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", given):
        raise Invalid("must be a time of day such as 06:30")
    return time.fromisoformat(given)


def parse_time_zone(given: str) -> str:
    """
    Read the name of a time zone.

    Raises:
        Invalid: The time zone database does not know it.
    """
    try:
        return load_zone(given).key
    except Invalid:
        raise Invalid("must be a time zone such as Europe/Berlin") from None


def parse_network(given: str) -> IPv4Network | IPv6Network:
    """
    Read an address or a network.

    Raises:
        Invalid: It is neither.
    """
    try:
        return ip_network(given, strict=False)
    except ValueError:
        raise Invalid("must be addresses or networks such as 10.0.0.0/8") from None


def comma_separated(each: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Return the reader of a comma-separated list."""

    def read(given: str) -> tuple[Any, ...]:
        return tuple(each(item) for part in given.split(",") if (item := part.strip()))

    return read


def one_of(words: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Return the reader of one word out of a few."""

    def read(given: str) -> StrEnum:
        try:
            return words(given.lower())
        except ValueError:
            raise Invalid(f"must be one of {', '.join(words)}") from None

    return read


def matching(pattern: str, must: str) -> Callable[[str], str]:
    """Return the reader of text that fits a pattern from end to end."""
    shape = re.compile(pattern)

    def read(given: str) -> str:
        if not shape.fullmatch(given):
            raise Invalid(must)
        return given

    return read


def parse_url(*schemes: str, bare: bool = False) -> Callable[[str], str]:
    """Return the reader of a URL with a host; a bare one has neither path nor query."""
    must = f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"

    def read(given: str) -> str:
        try:
            parts = urlsplit(given)
            fits = parts.scheme in schemes and parts.hostname and (parts.port or 0) >= 0
        except ValueError:
            fits = False
        else:
            fits = fits and not (bare and (parts.path.strip("/") or parts.query or parts.fragment))
        if not fits:
            raise Invalid(must + (", with a host and nothing after it" if bare else ""))
        return given.rstrip("/")

    return read


def parse_database_url(given: str) -> str:
    """
    Bring a database's URL into SQLAlchemy's form; `memory://` stays.

    Raises:
        Invalid: The database is of another kind, or SQLite without a file.
    """
    scheme, mark, rest = given.partition("://")
    scheme = scheme.lower()
    if scheme == "memory":
        return "memory://"
    if not mark or scheme not in _DRIVERS:
        raise Invalid(
            "must start with sqlite:///, postgresql://, mysql://, mariadb:// or memory://"
        )
    if _DRIVERS[scheme] == "sqlite" and rest.partition("?")[0] in {"", "/", "/:memory:"}:
        raise Invalid("must name a file, as in sqlite:///jobs.db; without one it is memory://")
    return f"{_DRIVERS[scheme]}://{rest}"


def in_range(least: int, most: int | None = None) -> Callable[[int], None]:
    """Return the check of a number's bounds, both inclusive."""
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"

    def check(number: int) -> None:
        if number < least or (most is not None and number > most):
            raise Invalid(f"must be {bounds}")

    return check


def schema_name(name: str) -> None:
    """
    Refuse names that PostgreSQL would fold, cut or reserve.

    Raises:
        Invalid: The name is no lower-case identifier.
    """
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", name):
        raise Invalid(
            "must begin with a letter or _, have at most 63 lower-case letters, digits and _, "
            "and not begin with pg_"
        )


def parse_secret(secret: str | tuple[str, ...]) -> None:
    """
    Refuse keys that are shorter than what they sign with (RFC 7518, 3.2).

    Raises:
        Invalid: A key has less than 32 bytes.
    """
    for key in [secret] if isinstance(secret, str) else secret:
        if len(key.encode()) < 32:
            raise Invalid("must have at least 32 bytes")
