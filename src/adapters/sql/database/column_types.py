"""Column types that read and write the same on every database."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

Id = BigInteger().with_variant(Integer(), "sqlite")
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def to_db_text(moment: datetime | None) -> str | None:
    """Return a moment as SQLite keeps it: text order is time order."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = _in_utc(moment)
    return moment.isoformat(" ", "microseconds")[:26]


def from_db_text(text: str | None) -> datetime | None:
    """Return a moment from SQLite's text."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)


def to_naive_utc(moment: datetime | None) -> datetime | None:
    """Return a moment as the servers keep it: in UTC, without the zone."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = _in_utc(moment)
    return moment.replace(tzinfo=None)


def instant_writer(dialect: Dialect) -> Callable[[datetime | None], Any]:
    """Return what turns a moment into its form on disk."""
    return to_db_text if dialect.name == "sqlite" else to_naive_utc


def instant_reader(dialect: Dialect) -> Callable[[Any], Any]:
    """Return what turns a moment's form on disk into the moment."""
    return from_db_text if dialect.name == "sqlite" else _aware


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("Only aware moments are kept.")
    return moment.astimezone(UTC)


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is UTC:
        return moment
    return moment.replace(tzinfo=UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment, kept as naive UTC: the one way all databases share."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep microseconds everywhere, and text on SQLite."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(26))
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def bind_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, dialect: Dialect
    ) -> Callable[[datetime | None], Any]:
        """Refuse naive moments; drop the zone of the others."""
        return instant_writer(dialect)

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], Any]:
        """Give the zone back."""
        return instant_reader(dialect)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def json_text(value: Any) -> str | None:
    """Return a value as JSON text, or None for nothing."""
    return None if value is None else _encode(value).decode()


def json_value(text: str | None) -> Any:
    """Return the value of JSON text, or None for nothing."""
    return None if text is None else _decode(text)


_AS_THEY_ARE = (str, int, float, NoneType)


def to_db_values(values: Iterable[Any], dialect: Dialect) -> list[Any]:
    """Return values in their form on disk: moments, and objects as JSON text."""
    moment = instant_writer(dialect)
    kept = list(values)
    for place, value in enumerate(kept):
        if not isinstance(value, _AS_THEY_ARE):
            kept[place] = moment(value) if isinstance(value, datetime) else json_text(value)
    return kept


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as text; None is NULL."""

    impl = LongText
    cache_ok = True

    def bind_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002
    ) -> Callable[[Any], str | None]:
        """Write the text."""
        return json_text

    def result_processor(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Callable[[Any], Any]:
        """Read the text."""
        return json_value
