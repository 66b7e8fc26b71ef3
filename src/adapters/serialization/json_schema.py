"""JSON Schema (2020-12) of attrs classes, limits included."""

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

from workbell.adapters.serialization.class_hook import fields_of
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
PLAIN: Mapping[Any, Schema] = {
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
    Return the schema of a class; the classes that it holds are under `$defs`.

    `write` puts defaults into their JSON form.

    Raises:
        TypeError: A field is of a kind that JSON cannot give.
    """
    writer = _Writer(write)
    root = writer.of_class(cls)
    defs = {name: found for name, found in writer.defs.items() if found is not None}
    return {"$schema": DIALECT, **root, **({"$defs": defs} if defs else {})}


@frozen
class _Writer:
    write: Write
    defs: dict[str, Schema | None] = field(factory=dict[str, "Schema | None"])

    def of_class(self, cls: type) -> Schema:
        """Return the schema of an attrs class."""
        found: Schema = {"title": cls.__name__, "type": "object"}
        if cls.__doc__:
            found["description"] = " ".join(inspect.cleandoc(cls.__doc__).split("\n\n")[0].split())
        attributes = fields_of(cls)
        found["properties"] = {a.alias or a.name: self.of_field(a) for a in attributes}
        if required := [a.alias or a.name for a in attributes if a.default is attrs.NOTHING]:
            found["required"] = required
        return {**found, "additionalProperties": False}

    def of_field(self, attribute: "Attribute[Any]") -> Schema:
        """Return the schema of a field, with its default."""
        found = self.of(Any if attribute.type is None else attribute.type)
        default: Any = attribute.default
        if isinstance(default, FACTORY):
            default = attrs.NOTHING if default.takes_self else default.factory()
        return found if default is attrs.NOTHING else {**found, "default": self.write(default)}

    def of(self, kind: Any, limits: Constraints | None = None) -> Schema:
        """
        Return the schema of a field's type.

        Raises:
            TypeError: JSON cannot give such a value.
        """
        origin = get_origin(kind)
        if origin is Annotated:
            limits = find_constraints(kind.__metadata__) or limits
            return {**self.of(kind.__origin__, limits), **(limits.annotations() if limits else {})}
        if isinstance(kind, NewType):
            return self.of(kind.__supertype__, limits)
        if origin in UNIONS:
            return {"anyOf": [self.of(part, limits) for part in get_args(kind)]}
        if origin is Literal:
            return _choice(get_args(kind))
        if (origin or kind) in LISTS:
            items = self.of((get_args(kind) or (Any,))[0])
            return {"type": "array", "items": items, **_keywords(kind, "array", limits)}
        if (origin or kind) in OBJECTS:
            values = self.of((get_args(kind) or (str, Any))[1])
            more = {"additionalProperties": values} if values else {}
            return {"type": "object", **more, **_keywords(kind, "object", limits)}
        if kind in PLAIN:
            return {**PLAIN[kind], **_keywords(kind, PLAIN[kind].get("type", ""), limits)}
        return self.of_name(kind)

    def of_name(self, kind: Any) -> Schema:
        """
        Return the schema of an enumeration, or a reference to a class's.

        Raises:
            TypeError: It is neither.
        """
        if isinstance(kind, type) and issubclass(kind, Enum):
            return _choice([member.value for member in kind])
        if not attrs.has(kind):
            raise TypeError(f"No field of a shape can be {kind!r}.")
        if kind.__name__ not in self.defs:
            self.defs[kind.__name__] = None  # so that a class may hold itself
            self.defs[kind.__name__] = self.of_class(kind)
        return {"$ref": f"#/$defs/{kind.__name__}"}


def _choice(values: Any) -> Schema:
    plain = [value.value if isinstance(value, Enum) else value for value in values]
    kinds = {value.__class__ for value in plain}
    kind = PLAIN[kinds.pop()] if len(kinds) == 1 else {}
    return {**kind, "enum": plain}


def _keywords(kind: Any, name: str, limits: Constraints | None) -> Schema:
    default = DEFAULTS[kind].keywords(name) if kind in DEFAULTS else {}
    return {**default, **(limits.keywords(name) if limits else {})}
