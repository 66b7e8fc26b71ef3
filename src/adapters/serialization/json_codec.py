"""Strict JSON parsing and compact JSON encoding."""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NoReturn

import msgspec

from workbell.domain.errors import Invalid

MAX_DEPTH = 32

# possessive, and the closing quote is optional: linear on any input
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_DEPTH_CHANGES = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _DEPTH_CHANGES)

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def loads(data: bytes) -> Any:
    """
    Parse JSON text.

    Stricter than RFC 8259: at most 32 levels deep, no duplicate names in an
    object, no NUL in a string, integers of 64 bits.

    Raises:
        Invalid: The text is refused; the message says why.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(data)
    try:
        value = _decode(data)
    except msgspec.MsgspecError as error:
        raise Invalid(f"This is not valid JSON: {_lower_first(str(error))}.") from error
    except UnicodeError as error:
        raise Invalid("This is not valid JSON: the text is not UTF-8.") from error
    names = _count_names(value)
    if names != data.count(b":") and names != _STRINGS.sub(b"", data).count(b":"):
        raise Invalid("This is not valid JSON: an object has the same name twice.")
    return value


def raw_items(text: bytes) -> Sequence[bytes]:
    """Return the items of an array as they are written in a text that `loads` accepts."""
    return [bytes(item) for item in _decode_items(text)]


def raw_member(text: bytes, name: str) -> bytes:
    """Return a member of an object as it is written in a text that `loads` accepts."""
    return bytes(_decode_members(text)[name])


def verbatim(text: bytes) -> object:
    """Return a value that `dumps` encodes as this JSON text, unchanged."""
    return msgspec.Raw(text)


def dumps(value: object) -> bytes:
    """Encode a value as compact JSON; raise Invalid if that fails."""
    try:
        return _encode(value)
    except (TypeError, UnicodeError, RecursionError, msgspec.MsgspecError) as error:
        raise Invalid(f"This cannot be written as JSON: {_lower_first(str(error))}.") from error


def _check_depth(data: bytes) -> None:
    brackets = _STRINGS.sub(b"", data).translate(None, _NO_BRACKETS)
    if max(accumulate(map(_DEPTH_CHANGES.__getitem__, brackets)), default=0) > MAX_DEPTH:
        _refuse(f"it is more than {MAX_DEPTH} levels deep")


def _count_names(value: Any) -> int:
    """Check strings on all levels; return the number of names."""
    match value:
        case str():
            if "\0" in value:
                _refuse("a string contains NUL")
        case dict():
            return len(value) + sum(map(_count_names, [*value, *value.values()]))
        case list():
            return sum(map(_count_names, value))
    return 0


def _refuse(reason: str) -> NoReturn:
    raise Invalid(f"This is not valid JSON: {reason}.")


def _lower_first(text: str) -> str:
    text = text.removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:].rstrip(".")
