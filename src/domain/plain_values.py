"""Checks of plain values, with the messages that every interface uses."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite

from workbell.domain.constraints import MAX_INTEGER, MIN_INTEGER

LIST = "must be a list"
OBJECT = "must be an object"
NULL = "must be null"
BOOLEAN = "must be a boolean"
INTEGER = "must be an integer"
NUMBER = "must be a number"
STRING = "must be a string"
DATE = "must be a date such as 2026-01-31"
DURATION = "must be a duration in the form HH:MM:SS"
UUID_TEXT = "must be a UUID"
DECIMAL = "must be a decimal with at most two places"
INSTANT = "must be a date-time such as 2026-01-31T09:30:00Z"
NAIVE_INSTANT = "must be a date-time with its offset from UTC, such as 2026-01-31T09:30:00Z"

_DECIMAL_BOUND = Decimal(10) ** 13
_CENT = Decimal("0.01")


def find_text_problem(value: object) -> str | None:
    """Return why a value is not a text that every store accepts, or None."""
    if not isinstance(value, str):
        return STRING
    if "\0" in value:
        return "must not contain NUL"
    if not value.isascii() and not _is_unicode(value):
        return "must not contain lone surrogates"
    return None


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_integer_problem(value: object) -> str | None:
    """Return why a value is not an integer of 64 bits, or None; True is not one."""
    if not isinstance(value, int) or isinstance(value, bool):
        return INTEGER
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        return "must be an integer of at most 64 bits"
    return None


def find_number_problem(value: object) -> str | None:
    """Return why a value is not a finite number of 64 bits, or None."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return NUMBER
    try:
        return None if isfinite(value) else NUMBER
    except OverflowError:
        return "must be a number of 64 bits"


def find_decimal_problem(value: object) -> str | None:
    """Return why a value is not a decimal of at most two places, or None."""
    if (
        isinstance(value, Decimal)
        and value.is_finite()
        and abs(value) < _DECIMAL_BOUND
        and value == value.quantize(_CENT)
    ):
        return None
    return DECIMAL


def find_instant_problem(value: object) -> str | None:
    """Return why a value is not an aware datetime that UTC can express, or None."""
    if not isinstance(value, datetime):
        return "must be a date-time"
    if value.tzinfo is UTC:
        return None
    if value.utcoffset() is None:
        return NAIVE_INSTANT
    try:
        value.astimezone(UTC)
    except OverflowError:
        return INSTANT
    return None


def find_date_problem(value: object) -> str | None:
    """Return why a value is not a date without a time, or None."""
    return None if isinstance(value, date) and not isinstance(value, datetime) else DATE


def find_duration_problem(value: object) -> str | None:
    """Return why a value is not a duration of 0 or more, or None."""
    return None if isinstance(value, timedelta) and value >= timedelta(0) else DURATION


def describe_choices(choices: Iterable[object]) -> str:
    """Return the message for a value that is none of the choices."""
    plain = (choice.value if isinstance(choice, Enum) else choice for choice in choices)
    return f"must be one of: {', '.join(map(str, plain))}"


def join_alternatives(messages: Iterable[str]) -> str:
    """Return the message for a value that fits none of several types."""
    return f"must be {' or '.join(message.removeprefix('must be ') for message in messages)}"
