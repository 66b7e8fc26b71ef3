"""JSON values: each kind read strictly, and written in one form."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from workbell.adapters.serialization.field_errors import structure_error
from workbell.domain.constraints import MAX_INTEGER, MIN_INTEGER
from workbell.domain.errors import Invalid

MAX_DEPTH = 32

_DURATION = re.compile(r"([0-9]{1,9}):([0-5][0-9]):([0-5][0-9])(\.[0-9]{1,6})?")
_DECIMAL = re.compile(r"-?[0-9]{1,13}(\.[0-9]{1,2})?")
_DECIMAL_BOUND = Decimal(10) ** 13
_CENT = Decimal("0.01")
_MICROSECOND = timedelta(microseconds=1)


def text(value: Any) -> str:
    """Return a text; NUL and lone surrogates are refused."""
    if not isinstance(value, str):
        raise structure_error("must be a string")
    if "\0" in value:
        raise structure_error("must not contain NUL")
    if not value.isascii() and not _is_unicode(value):
        raise structure_error("must not contain lone surrogates")
    return value


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def integer(value: Any) -> int:
    """Return an integer of 64 bits; 3.0 is one (JSON Schema 2020-12), true is not."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise structure_error("must be an integer")
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise structure_error("must be an integer of at most 64 bits")
    return value


def number(value: Any) -> float:
    """Return a finite number; integers are numbers too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            raise structure_error("must be a number of 64 bits") from None
        if isfinite(found):
            return found
    raise structure_error("must be a number")


def boolean(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise structure_error("must be a boolean")
    return value


def nothing(value: Any) -> None:
    """Return null."""
    if value is not None:
        raise structure_error("must be null")


def moment(value: Any) -> datetime:
    """Return a moment in UTC from RFC 3339 with an offset."""
    if isinstance(value, str):
        try:
            found = msgspec.convert(value, datetime)
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError, UnicodeError):
            raise structure_error("must be a date-time such as 2026-01-31T09:30:00Z") from None
        raise structure_error(
            "must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z"
        )
    raise structure_error("must be a date-time")


def day(value: Any) -> date:
    """Return a date from RFC 3339."""
    if isinstance(value, str):
        try:
            return msgspec.convert(value, date)
        except (msgspec.ValidationError, UnicodeError):
            pass
    raise structure_error("must be a date such as 2026-01-31")


def duration(value: Any) -> timedelta:
    """Return a duration from HH:MM:SS; the hours may exceed 24."""
    if isinstance(value, str) and (parts := _DURATION.fullmatch(value)):
        hours, minutes, seconds, fraction = parts.groups()
        return timedelta(
            hours=int(hours),
            minutes=int(minutes),
            seconds=int(seconds),
            microseconds=int((fraction or ".")[1:].ljust(6, "0")),
        )
    raise structure_error("must be a duration in the form HH:MM:SS")


def decimal(value: Any) -> Decimal:
    """Return a decimal of at most two places, from a number or a text."""
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = Decimal(str(value))
        if found.is_finite() and abs(found) < _DECIMAL_BOUND and found == found.quantize(_CENT):
            return found
    raise structure_error("must be a decimal with at most two places")


def uuid(value: Any) -> UUID:
    """Return a UUID."""
    if isinstance(value, str):
        try:
            return msgspec.convert(value, UUID)
        except (msgspec.ValidationError, UnicodeError):
            pass
    raise structure_error("must be a UUID")


def free(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Return any JSON value of at most so many levels, as it is."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return number(value)
    if not isinstance(value, dict | list):
        raise structure_error("must be a JSON value")
    if depth == 0:
        raise structure_error(f"must be at most {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        for name in value:
            text(name)
    for inner in value.values() if isinstance(value, dict) else value:
        free(inner, depth - 1)
    return value


# writing


def _cannot(said: str) -> NoReturn:
    raise Invalid(said)


def write_text(value: str) -> str:
    """
    Return a text, or the text that an enumeration's member stands for.

    Raises:
        Invalid: It holds NUL or a lone surrogate.
    """
    plain = value.value if isinstance(value, Enum) else value
    if "\0" in plain or not (plain.isascii() or _is_unicode(plain)):
        _cannot("A text with NUL or lone surrogates cannot be written as JSON.")
    return plain if plain.__class__ is str else str.__str__(plain)


def write_integer(value: int) -> int:
    """
    Return an integer.

    Raises:
        Invalid: It has more than 64 bits.
    """
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        _cannot("An integer of more than 64 bits cannot be written as JSON.")
    return value if value.__class__ is int else int(value)


def write_number(value: float) -> float:
    """
    Return a number.

    Raises:
        Invalid: It is not finite.
    """
    if not isfinite(value):
        _cannot(f"{value} cannot be written as JSON.")
    return value


def write_decimal(value: Decimal) -> float:
    """
    Return a decimal as a number of two places.

    Raises:
        Invalid: It is not finite.
    """
    return write_number(round(float(value), 2))


def write_moment(value: datetime) -> str:
    """
    Return a moment as RFC 3339 in UTC.

    Raises:
        Invalid: It is naive.
    """
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            _cannot("A time without a zone cannot be written as JSON.")
        value = value.astimezone(UTC)
    return f"{value.isoformat()[:-6]}Z"


def write_duration(value: timedelta) -> str:
    """Return a duration as HH:MM:SS, with a fraction where it has one."""
    sign, rest = ("-", -value) if value < timedelta(0) else ("", value)
    seconds, micros = divmod(rest // _MICROSECOND, 1_000_000)
    fraction = f".{micros:06}" if micros else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
