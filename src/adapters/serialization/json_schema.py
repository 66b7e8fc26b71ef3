"""JSON Schema (2020-12) of attrs classes, with their constraints."""

import inspect
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, NewType, get_args, get_origin
from uuid import UUID

import attrs
from attrs import Attribute, Factory, field, frozen

from workbell.adapters.serialization.class_hook import get_fields
from workbell.adapters.serialization.structure import LISTS, OBJECTS, UNIONS
from workbell.domain.constraints import (
    MAX_INTEGER,
    MAX_TEXT,
    MIN_INTEGER,
    Constraints,
    find_constraints,
)

Schema = dict[str, Any]
Write = Callable[[object], Any]

FACTORY: Any = Factory
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    UUID: {"type": "string", "format": "uuid"},
    timedelta: {
        "type": "string",
        "pattern": r"^[0-9]{1,9}:[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$",
        "examples": ["01:30:00"],
    },
    Decimal: {
        "anyOf": [
            {"type": "number"},
            {"type": "string", "pattern": r"^-?[0-9]{1,13}(\.[0-9]{1,2})?$"},
        ],
        "description": "A decimal with at most two places.",
    },
    Any: {},
    object: {},
}
DEFAULTS: Mapping[Any, Constraints] = {
    str: Constraints(max_length=MAX_TEXT),
    int: Constraints(ge=MIN_INTEGER, le=MAX_INTEGER),
}


def schema(cls: type, write: Write) -> Schema:
    """
    Return the schema of a class; nested classes are under `$defs`.

    `write` converts defaults to JSON.

    Raises:
        TypeError: JSON has no form for the type of a field.
    """
    builder = _SchemaBuilder(write)
    root = builder.class_schema(cls)
    defs = {name: schema for name, schema in builder.defs.items() if schema is not None}
    return {"$schema": DIALECT, **root, **({"$defs": defs} if defs else {})}


@frozen
class _SchemaBuilder:
    write: Write
    defs: dict[str, Schema | None] = field(factory=dict[str, "Schema | None"])

    def class_schema(self, cls: type) -> Schema:
        """Return the schema of an attrs class."""
        schema: Schema = {"title": cls.__name__, "type": "object"}
        if cls.__doc__:
            schema["description"] = " ".join(inspect.cleandoc(cls.__doc__).split("\n\n")[0].split())
        attributes = get_fields(cls)
        schema["properties"] = {a.alias or a.name: self.field_schema(a) for a in attributes}
        if required := [a.alias or a.name for a in attributes if a.default is attrs.NOTHING]:
            schema["required"] = required
        return {**schema, "additionalProperties": False}

    def partial_schema(self, cls: type) -> Schema:
        """Return the schema of an object with some of the fields of a class."""
        schema = self.class_schema(cls)
        return {name: schema[name] for name in ("type", "properties", "additionalProperties")}

    def field_schema(self, attribute: "Attribute[Any]") -> Schema:
        """Return the schema of a field, with its default."""
        schema = self.type_schema(Any if attribute.type is None else attribute.type)
        default: Any = attribute.default
        if isinstance(default, FACTORY):
            default = attrs.NOTHING if default.takes_self else default.factory()
        return schema if default is attrs.NOTHING else {**schema, "default": self.write(default)}

    def type_schema(self, kind: Any, constraints: Constraints | None = None) -> Schema:
        """Return the schema of a type."""
        origin = get_origin(kind)
        if origin is Annotated:
            constraints = find_constraints(kind.__metadata__) or constraints
            return {
                **self.type_schema(kind.__origin__, constraints),
                **(constraints.annotations() if constraints else {}),
            }
        if isinstance(kind, NewType):
            return self.type_schema(kind.__supertype__, constraints)
        if origin in UNIONS:
            return {"anyOf": [self.type_schema(part, constraints) for part in get_args(kind)]}
        if origin is Literal:
            return _enum_schema(get_args(kind))
        if (origin or kind) in LISTS:
            items = self.type_schema((get_args(kind) or (Any,))[0])
            return {"type": "array", "items": items, **_keywords(kind, "array", constraints)}
        if (origin or kind) in OBJECTS:
            keywords = _keywords(kind, "object", constraints)
            if constraints and constraints.partial_of:
                return {**self.partial_schema(constraints.partial_of), **keywords}
            values = self.type_schema((get_args(kind) or (str, Any))[1])
            more = {"additionalProperties": values} if values else {}
            return {"type": "object", **more, **keywords}
        if kind in SCALARS:
            return {**SCALARS[kind], **_keywords(kind, SCALARS[kind].get("type", ""), constraints)}
        return self.named_schema(kind)

    def named_schema(self, kind: Any) -> Schema:
        """Return the schema of an enumeration, or a reference to a class's."""
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _enum_schema([member.value for member in kind])
        if not attrs.has(kind):
            raise TypeError(f"A field cannot have the type {kind!r}: JSON has no form for it.")
        if kind.__name__ not in self.defs:
            self.defs[kind.__name__] = None  # a class may contain itself
            self.defs[kind.__name__] = self.class_schema(kind)
        return {"$ref": f"#/$defs/{kind.__name__}"}


def _enum_schema(values: Any) -> Schema:
    plain = [value.value if isinstance(value, Enum) else value for value in values]
    kinds = {value.__class__ for value in plain}
    kind = SCALARS[kinds.pop()] if len(kinds) == 1 else {}
    return {**kind, "enum": plain}


def _keywords(kind: Any, name: str, constraints: Constraints | None) -> Schema:
    default = DEFAULTS[kind].keywords(name) if kind in DEFAULTS else {}
    return {**default, **(constraints.keywords(name) if constraints else {})}
