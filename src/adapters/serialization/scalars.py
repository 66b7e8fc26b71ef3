"""Scalar JSON values: strict reading, and writing in one form."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, NoReturn, TypeVar
from uuid import UUID

import msgspec

from workbell.adapters.serialization.field_errors import StructureError
from workbell.domain.constraints import MAX_INTEGER, MIN_INTEGER
from workbell.domain.errors import Invalid

T = TypeVar("T")

MAX_DEPTH = 32

_DURATION = re.compile(r"([0-9]{1,9}):([0-5][0-9]):([0-5][0-9])(\.[0-9]{1,6})?")
_DECIMAL = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?")
_DECIMAL_BOUND = Decimal(10) ** 13
_CENT = Decimal("0.01")
_MICROSECOND = timedelta(microseconds=1)


def read_text(value: Any) -> str:
    """Return a string without NUL and lone surrogates."""
    if not isinstance(value, str):
        raise StructureError("must be a string")
    if "\0" in value:
        raise StructureError("must not contain NUL")
    if not value.isascii() and not _is_unicode(value):
        raise StructureError("must not contain lone surrogates")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_integer(value: Any) -> int:
    """Return an integer of 64 bits; 3.0 is one (JSON Schema 2020-12)."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise StructureError("must be an integer")
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise StructureError("must be an integer of at most 64 bits")
    return value


def read_number(value: Any) -> float:
    """Return a finite number as a float."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            raise StructureError("must be a number of 64 bits") from None
        if isfinite(number):
            return number
    raise StructureError("must be a number")


def read_boolean(value: Any) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise StructureError("must be a boolean")
    return value


def read_null(value: Any) -> None:
    """Return None for null."""
    if value is not None:
        raise StructureError("must be null")


def read_datetime(value: Any) -> datetime:
    """Return a datetime in UTC from RFC 3339 text with an offset."""
    if isinstance(value, str):
        try:
            instant = msgspec.convert(value, datetime)
            if instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError, UnicodeError):
            raise StructureError("must be a date-time such as 2026-01-31T09:30:00Z") from None
        raise StructureError(
            "must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z"
        )
    raise StructureError("must be a date-time")


def read_date(value: Any) -> date:
    """Return a date from RFC 3339 text."""
    return _convert(value, date, "must be a date such as 2026-01-31")


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
    raise StructureError("must be a duration in the form HH:MM:SS")


def read_decimal(value: Any) -> Decimal:
    """Return a decimal of at most two places from a number or a string."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(str(value))
        if number.is_finite() and abs(number) < _DECIMAL_BOUND and number == number.quantize(_CENT):
            return number
    raise StructureError("must be a decimal with at most two places")


def read_uuid(value: Any) -> UUID:
    """Return a UUID."""
    return _convert(value, UUID, "must be a UUID")


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
        raise StructureError(f"must be at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for name in value:
            read_text(name)
    for inner in value.values() if isinstance(value, dict) else value:
        read_any(inner, depth - 1)
    return value


def _refuse(reason: str) -> NoReturn:
    raise Invalid(f"{reason} cannot be written as JSON.")


def write_text(value: str) -> str:
    """Return a string, or the value of a string enumeration's member."""
    plain = value.value if isinstance(value, Enum) else value
    if "\0" in plain or not (plain.isascii() or _is_unicode(plain)):
        _refuse("A string with NUL or lone surrogates")
    return plain if plain.__class__ is str else str.__str__(plain)


def write_integer(value: int) -> int:
    """Return an integer of at most 64 bits."""
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        _refuse(f"The integer {value} (more than 64 bits)")
    return value if value.__class__ is int else int(value)


def write_number(value: float) -> float:
    """Return a finite number."""
    if not isfinite(value):
        _refuse(f"{value}")
    return value


def write_decimal(value: Decimal) -> float:
    """Return a finite decimal as a number of two places."""
    return write_number(round(float(value), 2))


def write_datetime(value: datetime) -> str:
    """Return an aware datetime as RFC 3339 text in UTC."""
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            _refuse("A datetime without a time zone")
        value = value.astimezone(UTC)
    return f"{value.isoformat()[:-6]}Z"


def write_duration(value: timedelta) -> str:
    """Return a timedelta as HH:MM:SS, with six decimals unless they are 0."""
    sign, rest = ("-", -value) if value < timedelta(0) else ("", value)
    seconds, micros = divmod(rest // _MICROSECOND, 1_000_000)
    fraction = f".{micros:06}" if micros else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
