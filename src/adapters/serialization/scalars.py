"""Scalar JSON values: strict reading, and writing in one form."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec

from workbell.adapters.serialization.field_errors import StructureError, TooDeep
from workbell.domain import plain_values
from workbell.domain.errors import Invalid

T = TypeVar("T")

MAX_DEPTH = 32

_DURATION = re.compile(r"([0-9]{1,9}):([0-5][0-9]):([0-5][0-9])(\.[0-9]{1,6})?")
_DECIMAL = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?")
_MICROSECOND = timedelta(microseconds=1)


def read_text(value: Any) -> str:
    """Return a string without NUL and lone surrogates."""
    _check(plain_values.find_text_problem(value))
    return cast(str, value)


def _check(problem: str | None) -> None:
    if problem is not None:
        raise StructureError(problem)


def read_integer(value: Any) -> int:
    """Return an integer of 64 bits; 3.0 is one (JSON Schema 2020-12)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    _check(plain_values.find_integer_problem(value))
    return cast(int, value)


def read_number(value: Any) -> float:
    """Return a finite number as a float."""
    _check(plain_values.find_number_problem(value))
    return float(value)


def read_boolean(value: Any) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise StructureError(plain_values.BOOLEAN)
    return value


def read_null(value: Any) -> None:
    """Return None for null."""
    if value is not None:
        raise StructureError(plain_values.NULL)


def read_datetime(value: Any) -> datetime:
    """Return a datetime in UTC from RFC 3339 text with an offset."""
    if isinstance(value, str):
        try:
            instant = msgspec.convert(value, datetime)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError, UnicodeError):
            raise StructureError(plain_values.INSTANT) from None
        raise StructureError(plain_values.NAIVE_INSTANT)
    raise StructureError("must be a date-time")


def read_date(value: Any) -> date:
    """Return a date from RFC 3339 text."""
    return _convert(value, date, plain_values.DATE)


def read_duration(value: Any) -> timedelta:
    """Return a timedelta from HH:MM:SS; the hours may exceed 24."""
    if isinstance(value, str) and (parts := _DURATION.fullmatch(value)):
        hours, minutes, seconds, fraction = parts.groups()
        return timedelta(
            hours=int(hours),
            minutes=int(minutes),
            seconds=int(seconds),
            microseconds=int((fraction or ".")[1:].ljust(6, "0")),
        )
    raise StructureError(plain_values.DURATION)


def read_decimal(value: Any) -> Decimal:
    """Return a decimal of at most two places from a number or a string."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = Decimal(str(value))
    _check(plain_values.find_decimal_problem(value))
    return cast(Decimal, value)


def read_uuid(value: Any) -> UUID:
    """Return a UUID."""
    return _convert(value, UUID, plain_values.UUID_TEXT)


def _convert(value: Any, cls: type[T], message: str) -> T:
    if isinstance(value, str):
        with suppress(msgspec.ValidationError, UnicodeError):
            return msgspec.convert(value, cls)
    raise StructureError(message)


def read_any(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return any JSON value unchanged; `depth` is the maximum nesting."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return read_text(value)
    if isinstance(value, int):
        return read_integer(value)
    if isinstance(value, float):
        return read_number(value)
    if not isinstance(value, dict | list):
        raise StructureError("must be a JSON value")
    if depth == 0:
        raise TooDeep(f"must be at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for name in value:
            read_text(name)
    for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
        try:
            read_any(inner, depth - 1)
        except StructureError as error:
            raise error.below(str(name)) from None
    return value


def _check_writable(problem: str | None) -> None:
    if problem is not None:
        raise Invalid(problem)


def write_text(value: str) -> str:
    """Return a string, or the value of a string enumeration's member."""
    plain = value.value if isinstance(value, Enum) else value
    _check_writable(plain_values.find_text_problem(plain))
    return plain if plain.__class__ is str else str.__str__(plain)


def write_integer(value: int) -> int:
    """Return an integer of at most 64 bits."""
    _check_writable(plain_values.find_integer_problem(value))
    return value if value.__class__ is int else int(value)


def write_number(value: float) -> float:
    """Return a finite number."""
    _check_writable(plain_values.find_number_problem(value))
    return value


def write_decimal(value: Decimal) -> float:
    """Return a finite decimal as a number of two places."""
    return write_number(round(float(value), 2))


def write_datetime(value: datetime) -> str:
    """Return an aware datetime as RFC 3339 text in UTC."""
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            raise Invalid(plain_values.NAIVE_INSTANT)
        value = value.astimezone(UTC)
    return f"{value.isoformat()[:-6]}Z"


def write_duration(value: timedelta) -> str:
    """Return a timedelta as HH:MM:SS, with six decimals unless they are 0."""
    sign, rest = ("-", -value) if value < timedelta(0) else ("", value)
    seconds, micros = divmod(rest // _MICROSECOND, 1_000_000)
    fraction = f".{micros:06}" if micros else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
