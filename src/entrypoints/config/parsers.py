"""Parsers and checks of settings; they raise Invalid for invalid text."""

import re
from collections.abc import Callable
from datetime import time
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import Invalid
from workbell.domain.rate_limits.policy import Rate

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
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


def parser(convert: Callable[[str], Any], message: str) -> Callable[[str], Any]:
    """Return a parser that raises Invalid with `message` if `convert` fails."""

    def parse(text: str) -> Any:
        try:
            return convert(text)
        except (Invalid, ValueError):
            raise Invalid(message) from None

    return parse


def parse_folder(text: str) -> Path:
    """Parse a path; `~` is the home folder."""
    return Path(text).expanduser()


def parse_int(text: str) -> int:
    """Parse an integer."""
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Invalid("must be a whole number")
    return int(text)


def parse_float(text: str) -> float:
    """Parse a decimal number without exponent."""
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", text):
        raise Invalid("must be a number")
    return float(text)


def parse_bool(text: str) -> bool:
    """Parse a Boolean: true/false, yes/no, on/off or 1/0."""
    lower = text.lower()
    if lower not in _TRUE | _FALSE:
        raise Invalid("must be true or false")
    return lower in _TRUE


parse_rate = parser(Rate.parse, "must be a rate such as 10/day, 5/second, or off")
parse_time_zone = parser(
    lambda name: load_zone(name).key, "must be a time zone such as Europe/Berlin"
)
parse_network = parser(
    lambda text: ip_network(text, strict=False),
    "must be addresses or networks such as 10.0.0.0/8",
)


def parse_clock_time(text: str) -> time:
    """Parse a time of day, `HH:MM`."""
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise Invalid("must be a time of day such as 06:30")
    return time.fromisoformat(text)


def comma_separated(parse_item: Callable[[str], Any]) -> Callable[[str], tuple[Any, ...]]:
    """Return a parser of a comma-separated list; empty items are ignored."""

    def parse(text: str) -> tuple[Any, ...]:
        return tuple(parse_item(item) for part in text.split(",") if (item := part.strip()))

    return parse


def one_of(members: type[StrEnum]) -> Callable[[str], Any]:
    """Return a parser of an enumeration, ignoring case."""
    return parser(lambda text: members(text.lower()), f"must be one of {', '.join(members)}")


def matching(pattern: str, message: str) -> Callable[[str], str]:
    """Return a parser of text that matches a pattern as a whole."""
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Invalid(message)
        return text

    return parse


def parse_url(*schemes: str, bare: bool = False) -> Callable[[str], str]:
    """Return a parser of URLs; `bare` refuses path, query and fragment."""
    message = f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    message += ", with a host and nothing after it" if bare else ""

    def parse(text: str) -> str:
        try:
            url = urlsplit(text)
            valid = url.scheme in schemes and url.hostname and (url.port or 0) >= 0
        except ValueError:
            raise Invalid(message) from None
        if not valid or (bare and (url.path.strip("/") or url.query or url.fragment)):
            raise Invalid(message)
        return text.rstrip("/")

    return parse


def parse_database_url(text: str) -> str:
    """Convert a database URL to SQLAlchemy's form; `memory://` is unchanged."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme == "memory":
        return "memory://"
    if not separator or scheme not in _DRIVERS:
        raise Invalid(
            "must start with sqlite:///, postgresql://, mysql://, mariadb:// or memory://"
        )
    if _DRIVERS[scheme] == "sqlite" and rest.partition("?")[0] in {"", "/", "/:memory:"}:
        raise Invalid("must name a file, as in sqlite:///jobs.db; for tests use memory://")
    return f"{_DRIVERS[scheme]}://{rest}"


def in_range(minimum: float, maximum: float | None = None) -> Callable[[float], None]:
    """Return a check of inclusive bounds."""
    bounds = f"{minimum} or more" if maximum is None else f"from {minimum} to {maximum}"

    def check(number: float) -> None:
        if not (minimum <= number and (maximum is None or number <= maximum)):
            raise Invalid(f"must be {bounds}")

    return check


def check_schema_name(name: str) -> None:
    """Refuse schema names that PostgreSQL would fold, truncate or reserve."""
    if not re.fullmatch(r"(?!pg_)[a-z_][a-z0-9_]{0,62}", name):
        raise Invalid(
            "must start with a-z or _, not with pg_, and have at most 63 of a-z, 0-9 and _"
        )


def check_secret(secret: str | tuple[str, ...]) -> None:
    """Refuse keys shorter than 32 bytes, the output of HS256 (RFC 7518, 3.2)."""
    for key in [secret] if isinstance(secret, str) else secret:
        if len(key.encode()) < 32:
            raise Invalid("must have at least 32 bytes")
