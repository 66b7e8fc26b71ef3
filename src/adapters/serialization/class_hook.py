"""Structuring of JSON objects as attrs classes, by cattrs' generated code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import attrs
from attrs import Attribute
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn

from workbell.adapters.serialization.field_errors import FieldError, StructureError, structure_error
from workbell.domain.errors import Invalid

MAX_NAME = 100
"""Characters of an unknown name that an error repeats."""

Hook = Callable[[Any, Any], Any]


def fields_of(cls: type) -> "Sequence[Attribute[Any]]":
    """Return the fields that JSON can set, with their annotations resolved."""
    attrs.resolve_types(cls)
    return [attribute for attribute in attrs.fields(cls) if attribute.init]


def class_hook(cls: type, converter: Converter, unknown: str) -> Hook:
    """
    Return a cattrs hook that structures a JSON object as an attrs class.

    It raises `StructureError` with every wrong field; `unknown` is the message
    for a name that the class does not have.
    """
    fields = {a.alias or a.name: a for a in fields_of(cls)}
    structure_object: Hook = make_dict_structure_fn(cls, converter)

    def structure(data: Any, _: Any) -> Any:
        if not isinstance(data, Mapping):
            raise structure_error("must be an object")
        try:
            return structure_object(data, cls)
        except ClassValidationError as group:
            errors = [*_field_errors(group, fields, unknown)]
            errors += _validator_errors(fields, data, converter)
            raise StructureError(errors or _class_errors(group)) from None

    return structure


def _field_errors(
    group: ClassValidationError, fields: "Mapping[str, Attribute[Any]]", unknown: str
) -> Iterator[FieldError]:
    """Yield the field errors that cattrs collected."""
    aliases = {attribute.name: alias for alias, attribute in fields.items()}
    for error in group.exceptions:
        notes = getattr(error, "__notes__", ())
        note = next((n for n in notes if isinstance(n, AttributeValidationNote)), None)
        if isinstance(error, ForbiddenExtraKeysError):
            for name in sorted(map(str, error.extra_fields)):
                printable = name.encode(errors="replace").decode()[:MAX_NAME].replace("\0", "?")
                yield FieldError(printable, unknown)
        elif note is None:
            continue
        elif isinstance(error, StructureError):
            yield from (each.within(aliases[note.name]) for each in error.errors)
        elif isinstance(error, KeyError):
            yield FieldError(aliases[note.name], "is required")
        else:
            raise error


def _validator_errors(
    fields: "Mapping[str, Attribute[Any]]", data: Mapping[str, Any], converter: Converter
) -> Iterator[FieldError]:
    """Call each validator, because attrs stops at the first that raises."""
    instance = SimpleNamespace(**{a.name: a.default for a in fields.values()})
    valid: dict[str, Attribute[Any]] = {}
    for alias, attribute in fields.items():
        if alias not in data:
            continue
        try:
            value = converter.structure(data[alias], attribute.type or Any)
        except StructureError:
            continue
        setattr(instance, attribute.name, value)
        valid[alias] = attribute
    for alias, attribute in valid.items():
        if attribute.validator is None or attribute.converter is not None:
            continue
        try:
            attribute.validator(instance, attribute, getattr(instance, attribute.name))
        except (ValueError, TypeError, Invalid) as error:
            yield from (FieldError(alias, text, is_predicate=False) for text in _messages(error))
        except AttributeError:
            continue  # it needs more than the fields: the class itself raises


def _class_errors(group: ClassValidationError) -> Sequence[FieldError]:
    """Return what the class raised when it was instantiated."""
    [error] = group.exceptions
    if not isinstance(error, (ValueError, TypeError, Invalid)):
        raise error
    return [FieldError("", text, is_predicate=False) for text in _messages(error)]


def _messages(error: Exception) -> Sequence[str]:
    if isinstance(error, Invalid):
        messages = [text for texts in error.field_errors.values() for text in texts]
        return messages or [error.detail]
    return [str(error.args[0]) if error.args else type(error).__name__]
