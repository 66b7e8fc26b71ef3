"""Parsing of query strings into query classes."""

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

MAX_PARAMETERS = 100
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)
_LOST_PLUS = re.compile(r" (?=\d\d:\d\d$)")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

MAX_CACHED_QUERIES = 256
MAX_CACHED_LENGTH = 200

Convert = Callable[[str], Any]
Query = tuple[Any, Mapping[str, str]]


@frozen
class QueryReader:
    """Parses query strings into query classes; caches short ones."""

    serializer: Serializer
    _cached: Callable[[str, type | None], Query] = field(
        init=False,
        eq=False,
        repr=False,
        default=Factory(lambda self: lru_cache(MAX_CACHED_QUERIES)(self._parse), takes_self=True),
    )

    def read(self, text: str, cls: type | None) -> Query:
        """
        Return the query as an instance of the class, and as sent.

        Raises:
            Invalid: A name is unknown or repeated, or a value is invalid.
        """
        parse = self._cached if len(text) <= MAX_CACHED_LENGTH else self._parse
        return parse(text, cls)

    def _parse(self, text: str, cls: type | None) -> Query:
        given = parse_query_string(text) if text else {}
        converters = _converters(cls) if cls else {}
        if unknown := [name for name in given if name not in converters]:
            raise Invalid(
                field_errors={_printable(n): ["is not a known parameter"] for n in unknown}
            )
        if cls is None:
            return None, given
        data = {name: converters[name](value) for name, value in given.items()}
        return self.serializer.structure(data, cls), given


def parse_query_string(text: str) -> dict[str, str]:
    """
    Return the names and values of a query string.

    Raises:
        Invalid: The string is malformed, or a name is repeated.
    """
    try:
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        raise Invalid(
            f"The query string is not valid UTF-8 or has more than {MAX_PARAMETERS} parameters."
        ) from error
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise Invalid.field(_printable(name), "must be given only once")
        if "\0" in name or "\0" in value:
            raise Invalid.field(_printable(name), "must not contain NUL")
        values[name] = value
    return values


def _printable(name: str) -> str:
    return name.replace("\0", "?")[:100]


@lru_cache(maxsize=256)
def _converters(cls: type) -> Mapping[str, Convert]:
    attrs.resolve_types(cls)
    return {a.alias or a.name: _converter(a.type) for a in attrs.fields(cls)}


def _converter(kind: Any) -> Convert:
    """Return the function that converts a text to the JSON value of a type."""
    while get_origin(kind) is Annotated or isinstance(kind, NewType):
        kind = kind.__supertype__ if isinstance(kind, NewType) else kind.__origin__
    if get_origin(kind) in {Union, UnionType}:
        parts = [_converter(part) for part in get_args(kind) if part is not NoneType]
        return parts[0] if len(parts) == 1 else _to_integer  # an id or a name
    if get_origin(kind) is Sequence:
        part = _converter(get_args(kind)[0])
        return lambda text: [part(piece.strip()) for piece in text.split(",")]
    return _SCALARS.get(kind, _restore_plus)


def _to_integer(text: str) -> Any:
    return int(text) if _INTEGER.fullmatch(text) else text


def _to_number(text: str) -> Any:
    return float(text) if _NUMBER.fullmatch(text) else text


def _to_bool(text: str) -> Any:
    return _FLAGS.get(text.lower(), text)


def _restore_plus(text: str) -> Any:
    # an unescaped "+" of a UTC offset is decoded as a space
    return _LOST_PLUS.sub("+", text)


_SCALARS: Mapping[Any, Convert] = {
    int: _to_integer,
    float: _to_number,
    bool: _to_bool,
    str: lambda text: text,
}
