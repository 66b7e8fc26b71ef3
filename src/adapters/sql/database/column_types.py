"""Column types that behave the same on every database."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

Id = BigInteger().with_variant(Integer(), "sqlite")
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
Rank = (
    String(255)
    .with_variant(String(255, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(255, charset="ascii", collation="ascii_bin"), "mysql", "mariadb")
)
"""A text that sorts by its bytes."""
LongBytes = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def to_db_text(instant: datetime | None) -> str | None:
    """Format a datetime for SQLite, as text that sorts by time."""
    if instant is None:
        return None
    if instant.tzinfo is not UTC:
        instant = _in_utc(instant)
    return instant.isoformat(" ", "microseconds")[:26]


def from_db_text(text: str | None) -> datetime | None:
    """Parse a datetime from SQLite's text."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def to_naive_utc(instant: datetime | None) -> datetime | None:
    """Convert a datetime to naive UTC, as the database servers store it."""
    if instant is None:
        return None
    if instant.tzinfo is not UTC:
        instant = _in_utc(instant)
    return instant.replace(tzinfo=None)


def instant_writer(dialect: Dialect) -> Callable[[datetime | None], Any]:
    """Return the function that converts a datetime to its stored form."""
    return to_db_text if dialect.name == "sqlite" else to_naive_utc


def instant_reader(dialect: Dialect) -> Callable[[Any], Any]:
    """Return the function that converts the stored form to a datetime."""
    return from_db_text if dialect.name == "sqlite" else _aware


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"The datetime {instant} has no time zone: only aware ones are stored.")
    return instant.astimezone(UTC)


def _aware(instant: datetime | None) -> datetime | None:
    if instant is None or instant.tzinfo is UTC:
        return instant
    return instant.replace(tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored as naive UTC, which every database supports."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return a type with microseconds; text on SQLite."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(26))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def bind_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, dialect: Dialect
    ) -> Callable[[datetime | None], Any]:
        """Convert to the stored form; naive datetimes are rejected."""
        return instant_writer(dialect)

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], Any]:
        """Convert from the stored form to aware UTC."""
        return instant_reader(dialect)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def json_text(value: Any) -> str | None:
    """Format a value as JSON text; None stays None."""
    return None if value is None else _encode(value).decode()


def json_value(text: str | None) -> Any:
    """Parse JSON text; None stays None."""
    return None if text is None else _decode(text)


_PLAIN_TYPES = (str, int, float, bytes, NoneType)


def to_db_values(values: Iterable[Any], dialect: Dialect) -> list[Any]:
    """Convert values to their stored form; objects become JSON text."""
    to_db_time = instant_writer(dialect)
    stored = list(values)
    for index, value in enumerate(stored):
        if not isinstance(value, _PLAIN_TYPES):
            stored[index] = to_db_time(value) if isinstance(value, datetime) else json_text(value)
    return stored


class JsonText(TypeDecorator[Any]):
    """A JSON value, stored as text; None is NULL."""

    impl = LongText
    cache_ok = True

    def bind_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002
    ) -> Callable[[Any], str | None]:
        """Format the value as JSON text."""
        return json_text

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], Any]:
        """Parse the JSON text."""
        return json_value


MAX_UNREADABLE = 1000
"""How many characters are returned of a stored text that is not JSON."""


class LenientJsonText(JsonText):
    """
    A JSON value of a table with a quarantine.

    A stored text that is not JSON is returned as `{"unreadable": text}`, so that
    it does not fail the list in which its row stands.
    """

    cache_ok = True

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], Any]:
        """Parse the JSON text."""
        return _lenient_json_value


def _lenient_json_value(text: str | None) -> Any:
    try:
        return json_value(text)
    except (msgspec.DecodeError, UnicodeError):
        return {"unreadable": (text or "")[:MAX_UNREADABLE]}
