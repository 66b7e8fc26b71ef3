"""Structuring of JSON objects as attrs classes, by cattrs' generated code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import attrs
from attrs import Attribute
from cattrs import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
)
from cattrs.gen import make_dict_structure_fn

from workbell.adapters.serialization.field_errors import StructureError
from workbell.domain import plain_values
from workbell.domain.errors import Invalid

Hook = Callable[[Any, Any], Any]


def get_fields(cls: type) -> "Sequence[Attribute[Any]]":
    """Return the fields that JSON can set, with their annotations resolved."""
    attrs.resolve_types(cls)
    return [attribute for attribute in attrs.fields(cls) if attribute.init]


def class_hook(cls: type, converter: Converter) -> Hook:
    """
    Return a cattrs hook that structures a JSON object as an attrs class.

    It raises every error of the fields at once, including those of validators.
    """
    fields = get_fields(cls)
    structure_object: Hook = make_dict_structure_fn(cls, converter)

    def structure(data: Any, _: Any) -> Any:
        if not isinstance(data, Mapping):
            raise StructureError(plain_values.OBJECT)
        try:
            return structure_object(data, cls)
        except ClassValidationError as group:
            with_notes, others = group.group_exceptions()
            errors = [error for error, _ in with_notes]
            errors += [error for error in others if isinstance(error, ForbiddenExtraKeysError)]
            errors += _validator_errors(fields, data, converter)
            raise group.derive(errors or others) from None

    return structure


def _validator_errors(
    fields: "Sequence[Attribute[Any]]", data: Mapping[str, Any], converter: Converter
) -> Iterator[Exception]:
    """Call each validator, because attrs stops at the first that raises."""
    instance = SimpleNamespace(**{a.name: a.default for a in fields})
    valid: list[Attribute[Any]] = []
    for attribute in fields:
        with suppress(KeyError, StructureError, BaseValidationError):
            value = converter.structure(data[attribute.alias or ""], attribute.type or Any)
            setattr(instance, attribute.name, value)
            valid.append(attribute)
    for attribute in valid:
        if attribute.validator is None or attribute.converter is not None:
            continue
        try:
            attribute.validator(instance, attribute, getattr(instance, attribute.name))
        except (ValueError, TypeError, Invalid) as error:
            error.add_note(AttributeValidationNote("", attribute.name, attribute.type))
            yield error
        except AttributeError:
            continue  # it needs more than the fields: the class itself raises
