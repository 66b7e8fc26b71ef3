"""Query strings: texts of an address, read into classes as bodies are."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, NewType, Union, get_args, get_origin
from urllib.parse import parse_qsl

import attrs
from attrs import Factory, field, frozen

from workbell.domain.errors import Invalid
from workbell.ports.serialization import Serializer

MOST_PARAMETERS = 100
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)
_LOST_PLUS = re.compile(r" (?=\d\d:\d\d$)")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

MOST_RECENT = 256
SHORT = 200
"""Queries up to this length are remembered."""

Convert = Callable[[str], Any]
Query = tuple[Any, Mapping[str, str]]


@frozen
class QueryReader:
    """Reads query strings into the operations' query classes; short ones are remembered."""

    serializer: Serializer
    _recent: Callable[[str, type | None], Query] = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: lru_cache(MOST_RECENT)(self._read), takes_self=True),
    )

    def read(self, text: str, cls: type | None) -> Query:
        """
        Return the query as a value of the class, and as it was given.

        Raises:
            Invalid: A name is unknown or comes twice, or a value does not fit.
        """
        return (self._recent if len(text) <= SHORT else self._read)(text, cls)

    def _read(self, text: str, cls: type | None) -> Query:
        given = parameters(text) if text else {}
        converts = _converts(cls) if cls else {}
        if unknown := [name for name in given if name not in converts]:
            raise Invalid(field_errors={_shown(n): ["is not a known parameter"] for n in unknown})
        if cls is None:
            return None, given
        data = {name: converts[name](value) for name, value in given.items()}
        return self.serializer.structure(data, cls), given


def parameters(text: str) -> dict[str, str]:
    """
    Return the names and values of a query string.

    Raises:
        Invalid: It is malformed, or a name comes twice.
    """
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError as error:
        raise Invalid("The query string is not valid UTF-8, or too long.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Invalid.field(_shown(name), "must be given once only")
        if "\0" in name or "\0" in value:
            raise Invalid.field(_shown(name), "must not contain NUL")
        found[name] = value
    return found


def _shown(name: str) -> str:
    return name.replace("\0", "?")[:100]


@lru_cache(maxsize=256)
def _converts(cls: type) -> Mapping[str, Convert]:
    attrs.resolve_types(cls)
    return {a.alias or a.name: _convert(a.type) for a in attrs.fields(cls)}


def _convert(kind: Any) -> Convert:
    """Return what turns a text into the JSON value that its type would be read from."""
    while get_origin(kind) is Annotated or isinstance(kind, NewType):
        kind = kind.__supertype__ if isinstance(kind, NewType) else kind.__origin__
    if get_origin(kind) in {Union, UnionType}:
        parts = [_convert(part) for part in get_args(kind) if part is not NoneType]
        return parts[0] if len(parts) == 1 else _whole  # integer or text: an id or a name
    if get_origin(kind) is Sequence:
        part = _convert(get_args(kind)[0])
        return lambda text: [part(piece.strip()) for piece in text.split(",")]
    return _SCALARS.get(kind, _plain)


def _whole(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


def _number(text: str) -> Any:
    return float(text) if _NUMBER.fullmatch(text) else text


def _flag(text: str) -> Any:
    return _FLAGS.get(text.lower(), text)


def _plain(text: str) -> Any:
    # the plus of an offset that was not escaped arrives as a space
    return _LOST_PLUS.sub("+", text)


_SCALARS: Mapping[Any, Convert] = {int: _whole, float: _number, bool: _flag, str: lambda text: text}
