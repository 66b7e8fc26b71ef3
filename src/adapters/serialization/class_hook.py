"""Structuring of JSON objects as attrs classes, by cattrs' generated code."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
from attrs import Attribute
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn

from workbell.adapters.serialization.field_errors import (
    FieldError,
    StructureError,
    structure_error,
)
from workbell.domain.errors import Invalid

MAX_NAME = 100
"""The number of characters of an unknown name that an error repeats."""


def fields_of(cls: type) -> "Sequence[Attribute[Any]]":
    """Return the fields that JSON may give, with their annotations resolved."""
    attrs.resolve_types(cls)
    return [attribute for attribute in attrs.fields(cls) if attribute.init]


def class_hook(cls: type, converter: Converter, unknown: str) -> Callable[[Any, Any], Any]:
    """
    Return a cattrs hook that makes an attrs class of a JSON object.

    It raises `StructureError` with every wrong field; `unknown` is the message
    for a name that the class does not have.
    """
    names = {a.name: a.alias or a.name for a in fields_of(cls)}
    make: Callable[[Any, Any], Any] = make_dict_structure_fn(cls, converter)

    def structure(data: Any, _: Any) -> Any:
        if not isinstance(data, Mapping):
            raise structure_error("must be an object")
        try:
            return make(data, cls)
        except ClassValidationError as group:
            errors = [*_field_errors(group, names, unknown)]
            errors += _validator_errors(cls, data, converter)
            raise StructureError(errors or _own_errors(group)) from None

    return structure


def _field_errors(
    group: ClassValidationError, names: dict[str, str], unknown: str
) -> Iterable[FieldError]:
    """
    Yield the field errors that cattrs has collected.

    `names` are the JSON names of the attributes, `unknown` is the message for
    other names. What the class itself raised when it was made is left out.
    """
    for error in group.exceptions:
        notes = getattr(error, "__notes__", ())
        note = next((n for n in notes if isinstance(n, AttributeValidationNote)), None)
        if isinstance(error, ForbiddenExtraKeysError):
            for name in sorted(map(str, error.extra_fields)):
                plain = name.encode(errors="replace").decode()[:MAX_NAME]
                yield FieldError(plain.replace("\0", "?"), unknown)
        elif note is None:
            continue
        elif isinstance(error, StructureError):
            yield from (each.within(names[note.name]) for each in error.errors)
        elif isinstance(error, KeyError):
            yield FieldError(names[note.name], "is required")
        else:
            raise error


def _validator_errors(
    cls: type, data: Mapping[str, Any], converter: Converter
) -> Iterator[FieldError]:
    """Call each validator by itself, because attrs stops at the first that raises."""
    fields = fields_of(cls)
    values = {a.name: a.default for a in fields}
    given: list[Attribute[Any]] = []
    for attribute in fields:
        if (name := attribute.alias or attribute.name) in data:
            try:
                values[attribute.name] = converter.structure(data[name], attribute.type or Any)
            except StructureError:
                continue
            given.append(attribute)
    for attribute in given:
        if attribute.validator is None or attribute.converter is not None:
            continue
        try:
            attribute.validator(SimpleNamespace(**values), attribute, values[attribute.name])
        except (ValueError, TypeError, Invalid) as error:
            name = attribute.alias or attribute.name
            yield from (FieldError(name, text, is_predicate=False) for text in _messages(error))
        except AttributeError:
            continue  # it needs more than the fields: the class itself raises


def _own_errors(group: ClassValidationError) -> Sequence[FieldError]:
    """Return what the class itself raised when it was made."""
    [error] = group.exceptions
    if not isinstance(error, (ValueError, TypeError, Invalid)):
        raise error
    return [FieldError("", text, is_predicate=False) for text in _messages(error)]


def _messages(error: Exception) -> Sequence[str]:
    """Return the messages of an error that a validator or a class raised."""
    if isinstance(error, Invalid):
        messages = [text for texts in error.field_errors.values() for text in texts]
        return messages or [error.detail]
    return [str(error.args[0]) if error.args else type(error).__name__]
