"""Serialization of attrs classes as JSON values, without coercion."""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, cast
from uuid import UUID

import attrs
import msgspec
from attrs import field, frozen
from cattrs import BaseValidationError, Converter

from workbell.adapters.serialization import json_schema, scalars
from workbell.adapters.serialization.class_hook import get_fields
from workbell.adapters.serialization.field_errors import StructureError, messages_by_path
from workbell.adapters.serialization.structure import make_converter
from workbell.domain.errors import Invalid

T = TypeVar("T")
Write = Callable[[Any], Any]


@frozen
class JsonSerializer:
    """
    Strict conversion between JSON values and attrs classes.

    It coerces nothing, refuses unknown names, and reports every error of a
    value under its dotted path. `unknown` is the message for unknown names.
    """

    unknown: str = "is not a valid parameter"
    _converter: Converter = field(init=False, repr=False, eq=False)
    _unstructure: Write = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Create the converters, which cache their hooks."""
        # a frozen class sets its own fields this way (attrs, "Post Init")
        object.__setattr__(self, "_converter", make_converter())
        object.__setattr__(self, "_unstructure", _make_unstructure())

    def structure(self, data: object, cls: type[T]) -> T:
        """Structure JSON data as a class; raise Invalid with all field errors."""
        try:
            return cast(T, self._converter.get_structure_hook(cls)(data, cls))
        except (StructureError, BaseValidationError) as error:
            raise Invalid(field_errors=messages_by_path(error, self.unknown)) from None

    def unstructure(self, value: object) -> Any:
        """
        Return a value as JSON data.

        Raises:
            Invalid: JSON has no form for it, or for a part, whose path is named.
        """
        try:
            return self._unstructure(value)
        except RecursionError:
            raise Invalid("The value is nested too deeply to be written as JSON.") from None
        except Invalid as error:
            if not (path := self._find_unwritable(value)):
                raise
            message = error.detail
            if message.startswith("must "):
                message = f"{path} {message}"
            raise Invalid.field(path, message) from None

    def _find_unwritable(self, value: object) -> str:
        """Return the path of the first part that JSON has no form for; "" is the whole."""
        path: list[str] = []
        parts = _parts(value)
        while (found := next(filter(self._is_unwritable, parts), None)) is not None:
            path.append(found[0])
            parts = _parts(found[1])
        return ".".join(path)

    def _is_unwritable(self, part: tuple[str, object]) -> bool:
        try:
            self._unstructure(part[1])
        except Invalid:
            return True
        return False

    def size(self, value: object) -> int:
        """Return the number of bytes of a value as JSON text."""
        return len(msgspec.json.encode(value))

    def digest(self, value: object) -> str:
        """Return the SHA-256 of a JSON value; the order of names does not matter."""
        return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()

    def schema(self, cls: type) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of a class."""
        return json_schema.schema(cls, self.unstructure)


class _Hooks(dict[type, Write]):
    """Unstructure hooks by class; each is looked up in cattrs once."""

    def __init__(self, converter: Converter) -> None:
        super().__init__()
        self._converter = converter

    def __missing__(self, kind: type) -> Write:
        hook: Write = self._converter.get_unstructure_hook(kind)
        self[kind] = hook
        return hook

    def write(self, value: Any) -> Any:
        return self[value.__class__](value)


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """Yield the members of an object or the items of a list, with their names."""
    if isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((str(index), part) for index, part in enumerate(value))
    elif attrs.has(type(value)):
        yield from ((a.alias or a.name, getattr(value, a.name)) for a in get_fields(type(value)))


def _make_unstructure() -> Write:
    converter = Converter()
    hooks = _Hooks(converter)
    by_type: Mapping[type, Write] = {
        str: scalars.write_text,
        int: scalars.write_integer,
        float: scalars.write_number,
        Decimal: scalars.write_decimal,
        datetime: scalars.write_datetime,
        date: date.isoformat,
        timedelta: scalars.write_duration,
        UUID: str,
        bool: bool,
        NoneType: lambda _: None,
        list: _list_writer(hooks),
        tuple: _list_writer(hooks),
        Enum: lambda value: hooks.write(value.value),
        bytes: _refuse,
        Path: _refuse,
    }
    converter.register_unstructure_hook_func(lambda _: True, _refuse)
    converter.register_unstructure_hook_func(
        lambda cls: issubclass(cls, AbstractSet), _set_writer(hooks)
    )
    converter.register_unstructure_hook_func(
        lambda cls: issubclass(cls, Mapping), _object_writer(hooks)
    )
    for kind, hook in by_type.items():
        converter.register_unstructure_hook(kind, hook)
    converter.register_unstructure_hook_factory(attrs.has, lambda cls: _class_writer(cls, hooks))
    return hooks.write


def _refuse(value: Any) -> NoReturn:
    raise Invalid(f"{type(value).__name__} cannot be written as JSON.")


def _list_writer(hooks: _Hooks) -> Write:
    return lambda value: [hooks[part.__class__](part) for part in value]


def _set_writer(hooks: _Hooks) -> Write:
    return lambda value: sorted((hooks.write(part) for part in value), key=repr)


def _object_writer(hooks: _Hooks) -> Write:
    def write(value: Mapping[Any, Any]) -> dict[str, Any]:
        for name in value:
            if not isinstance(name, str):
                raise Invalid(f"A JSON object cannot have the name {name!r}: names are strings.")
        return {scalars.write_text(name): hooks.write(part) for name, part in value.items()}

    return write


def _class_writer(cls: type, hooks: _Hooks) -> Write:
    fields = [(a.alias or a.name, attrgetter(a.name)) for a in get_fields(cls)]

    def write(value: Any) -> dict[str, Any]:
        return {name: hooks[(part := get(value)).__class__](part) for name, get in fields}

    return write
