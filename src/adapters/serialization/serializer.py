"""Shapes: attrs classes to JSON values and back, without coercion."""

from collections.abc import Callable, Mapping
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
from cattrs import Converter

from workbell.adapters.serialization import json_schema
from workbell.adapters.serialization import scalars as json_values
from workbell.adapters.serialization import structure as json_reading
from workbell.adapters.serialization.scalars import Misfit
from workbell.domain.errors import Invalid

T = TypeVar("T")
Write = Callable[[Any], Any]


@frozen
class JsonShapes:
    """
    Strict crossing between JSON values and attrs classes.

    Nothing is coerced, unknown names are refused, and every fault is
    reported under its dotted path. `unknown` is what is said of a name that
    the class does not have.
    """

    unknown: str = "is not a valid parameter"
    _reading: Converter = field(init=False, repr=False, eq=False)
    _writing: Write = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Teach the converters; they remember every class they have seen."""
        # a frozen class sets its own fields this way (attrs, "Post Init")
        object.__setattr__(self, "_reading", json_reading.reader(self.unknown))
        object.__setattr__(self, "_writing", _writer())

    def read(self, data: object, cls: type[T]) -> T:
        """
        Return JSON data as a value of the class.

        Raises:
            Invalid: It does not fit; every field at fault is named.
        """
        try:
            return cast(T, self._reading.get_structure_hook(cls)(data, cls))
        except Misfit as found:
            raise Invalid(field_errors=found.by_path()) from None

    def write(self, value: object) -> Any:
        """
        Return a value as JSON data: texts, numbers, lists, dicts and None.

        Raises:
            Invalid: It holds something that JSON has no form for.
        """
        try:
            return self._writing(value)
        except RecursionError:
            raise Invalid("It is nested too deeply to be written as JSON.") from None

    def size(self, value: object) -> int:
        """Return how many bytes a JSON value takes."""
        return len(msgspec.json.encode(value))

    def digest(self, value: object) -> str:
        """Return the SHA-256 of a JSON value, whatever the order of its names."""
        return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()

    def schema(self, cls: type) -> Mapping[str, Any]:
        """Return the JSON Schema (2020-12) of a class, unknown names refused."""
        return json_schema.schema(cls, self.write)


class _Hooks(dict[type, Write]):
    """How to write each class; cattrs is asked once for every class that is met."""

    def __init__(self, converter: Converter) -> None:
        super().__init__()
        self._converter = converter

    def __missing__(self, kind: type) -> Write:
        hook: Write = self._converter.get_unstructure_hook(kind)
        self[kind] = hook
        return hook

    def write(self, value: Any) -> Any:
        return self[value.__class__](value)


def _writer() -> Write:
    writing = Converter()
    hooks = _Hooks(writing)
    scalars: Mapping[type, Write] = {
        str: json_values.write_text,
        int: json_values.write_integer,
        float: json_values.write_number,
        Decimal: json_values.write_decimal,
        datetime: json_values.write_moment,
        date: date.isoformat,
        timedelta: json_values.write_duration,
        UUID: str,
        bool: _itself,
        NoneType: _itself,
        list: _list_writer(hooks),
        tuple: _list_writer(hooks),
        Enum: lambda value: hooks.write(value.value),
        bytes: _refuse,
        Path: _refuse,
    }
    writing.register_unstructure_hook_func(lambda _: True, _refuse)
    writing.register_unstructure_hook_func(_is_set, _set_writer(hooks))
    writing.register_unstructure_hook_func(_is_mapping, _object_writer(hooks))
    for kind, hook in scalars.items():
        writing.register_unstructure_hook(kind, hook)
    writing.register_unstructure_hook_factory(attrs.has, lambda cls: _class_writer(cls, hooks))
    return hooks.write


def _is_set(kind: type) -> bool:
    return issubclass(kind, AbstractSet)


def _is_mapping(kind: type) -> bool:
    return issubclass(kind, Mapping)


def _itself(value: Any) -> Any:
    return value


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
                raise Invalid("A JSON object has texts for names.")
        return {json_values.write_text(name): hooks.write(part) for name, part in value.items()}

    return write


def _class_writer(cls: type, hooks: _Hooks) -> Write:
    fields = [(a.alias or a.name, attrgetter(a.name)) for a in json_reading.fields_of(cls)]

    def write(value: Any) -> dict[str, Any]:
        return {name: hooks[(part := get(value)).__class__](part) for name, get in fields}

    return write
