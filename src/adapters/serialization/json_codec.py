"""JSON text: strict reading and plain writing of UTF-8 bytes."""

import re
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

from workbell.domain.constraints import MAX_INTEGER, MIN_INTEGER
from workbell.domain.errors import Invalid

MAX_DEPTH = 32

# Possessive throughout, and content to end without a closing quote: linear on any input.
_TEXTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def loads(data: bytes) -> Any:
    """
    Return what JSON text stands for.

    Stricter than the standard (RFC 8259): at most 32 levels deep, no name
    twice in an object, no NUL in a text, integers of 64 bits.

    Raises:
        Invalid: It is not such text; the message says why.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(data)
    try:
        value = _decode(data)
    except msgspec.MsgspecError as error:
        raise Invalid(f"This is not valid JSON: {_lowered(str(error))}.") from error
    except UnicodeError as error:
        raise Invalid("This is not valid JSON: the text is not UTF-8.") from error
    names = _checked(value)
    if names != data.count(b":") and names != _TEXTS.sub(b"", data).count(b":"):
        raise Invalid("This is not valid JSON: an object has the same name twice.")
    return value


def dumps(value: object) -> bytes:
    """
    Return a JSON value as compact UTF-8 text.

    Raises:
        Invalid: JSON has no form for it.
    """
    try:
        return _encode(value)
    except (TypeError, UnicodeError, RecursionError, msgspec.MsgspecError) as error:
        raise Invalid(f"This cannot be written as JSON: {_lowered(str(error))}.") from error


def _check_depth(data: bytes) -> None:
    brackets = _TEXTS.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH:
        _refuse(f"it is more than {MAX_DEPTH} levels deep")


def _checked(value: Any) -> int:
    """Check texts and integers on all levels, and return how many names there are."""
    match value:
        case str():
            if "\0" in value:
                _refuse("a text contains NUL")
        case dict():
            return len(value) + sum(map(_checked, value)) + sum(map(_checked, value.values()))
        case list():
            return sum(map(_checked, value))
        case int():
            if not MIN_INTEGER <= value <= MAX_INTEGER:
                _refuse("an integer has more than 64 bits")
    return 0


def _refuse(reason: str) -> NoReturn:
    raise Invalid(f"This is not valid JSON: {reason}.")


def _lowered(text: str) -> str:
    text = text.removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:].rstrip(".")
