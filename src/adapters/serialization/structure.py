"""Strict structuring of JSON values: no coercion, all errors at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache, partial
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, cast, get_args, get_origin
from uuid import UUID

import attrs
from attrs import evolve
from cattrs import BaseValidationError, Converter
from cattrs.cols import list_structure_factory, mapping_structure_factory

from workbell.adapters.serialization import scalars
from workbell.adapters.serialization.class_hook import Hook, class_hook
from workbell.adapters.serialization.field_errors import StructureError
from workbell.domain import plain_values
from workbell.domain.constraints import MAX_TEXT, Constraints, find_constraints

TEXT = Constraints(max_length=MAX_TEXT)
LISTS: Mapping[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    Sequence: tuple,
    frozenset: frozenset,
}
OBJECTS = (dict, Mapping)
UNIONS = (Union, UnionType)


def _text(value: Any) -> str:
    text = scalars.read_text(value)
    if len(text) > MAX_TEXT:
        raise StructureError(*TEXT.problems(text))
    return text


SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    str: _text,
    int: scalars.read_integer,
    bool: scalars.read_boolean,
    float: scalars.read_number,
    datetime: scalars.read_datetime,
    date: scalars.read_date,
    timedelta: scalars.read_duration,
    Decimal: scalars.read_decimal,
    UUID: scalars.read_uuid,
    NoneType: scalars.read_null,
    Any: scalars.read_any,
    object: scalars.read_any,
    None: scalars.read_any,  # a field without annotation
}


def make_converter() -> Converter:
    """Return a cattrs converter that coerces nothing."""
    converter = Converter(forbid_extra_keys=True, detailed_validation=True, use_alias=True)
    make = partial(_make_hook, converter=converter)
    converter.register_structure_hook_factory(lambda _: True, lambda kind: make(kind))
    converter.register_structure_hook_factory(attrs.has, lambda cls: class_hook(cls, converter))
    # cattrs prefers its own hooks for these classes and their subclasses to any predicate
    cached = lru_cache(maxsize=512)(make)
    for base in (str, int, float, bytes, Path):
        converter.register_structure_hook(base, lambda value, kind: cached(kind)(value, kind))
    return converter


def _make_hook(kind: Any, converter: Converter) -> Hook:
    """Return the hook of a type, which ignores its second argument."""
    make = partial(_make_hook, converter=converter)
    origin, args = get_origin(kind) or kind, get_args(kind)
    if attrs.has(kind):
        return converter.get_structure_hook(kind)  # cached there
    if kind in SCALARS:
        return _hook(SCALARS[kind])
    if isinstance(kind, NewType):
        return make(kind.__supertype__)
    if origin is Annotated:
        return _annotated_hook(kind, make)
    if origin is Literal:
        return _choice_hook(args)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice_hook(kind)
    if origin in UNIONS:
        hooks = {part: make(part) for part in args if part is not NoneType}
        return _union_hook(hooks, is_optional=NoneType in args)
    if origin in LISTS and args[1:] in ((), (...,)):
        return _list_hook(args[0] if args else Any, LISTS[origin], converter)
    if origin in OBJECTS:
        return _object_hook(args[1] if args else Any, converter)
    raise TypeError(f"A field cannot have the type {kind!r}: JSON has no form for it.")


def _hook(structure: Callable[[Any], Any]) -> Hook:
    return lambda value, _: structure(value)


def _choice_hook(choices: Iterable[Any]) -> Hook:
    plain = [(c.value if isinstance(c, Enum) else c, c) for c in choices]
    members = {(value.__class__, value): choice for value, choice in plain}  # True is not 1
    message = plain_values.describe_choices(value for value, _ in plain)

    def structure(value: Any, _: Any) -> Any:
        cls = value.__class__
        if cls in {str, int, bool, NoneType} and (cls, value) in members:
            return members[cls, value]
        raise StructureError(message)

    return structure


def _union_hook(hooks: Mapping[Any, Hook], *, is_optional: bool) -> Hook:
    def structure(value: Any, kind: Any) -> Any:
        if value is None and is_optional:
            return None
        if (of_its_class := hooks.get(value.__class__)) is not None:
            return of_its_class(value, kind)
        failed: list[Exception] = []
        for hook in hooks.values():
            try:
                return hook(value, kind)
            except (StructureError, BaseValidationError) as error:
                failed.append(error)
        raise _closest(failed)

    return structure


def _closest(failed: Sequence[Exception]) -> Exception:
    """Return the error of the closest member, or one that names all."""
    for error in failed:
        if len(failed) == 1 or isinstance(error, BaseValidationError):
            return error
    return StructureError(plain_values.join_alternatives(error.args[0] for error in failed))


def _list_hook(kind: Any, make_list: Callable[[Iterable[Any]], Any], converter: Converter) -> Hook:
    item = object if kind is Any else kind  # cattrs does not check items of type Any
    structure_items = list_structure_factory(cast(type, GenericAlias(list, item)), converter)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):
            raise StructureError(plain_values.LIST)
        return make_list(structure_items(value, list))

    return structure


def _object_hook(kind: Any, converter: Converter) -> Hook:
    mapping: type[Any] = cast(type, GenericAlias(dict, (object, kind)))
    structure_items = mapping_structure_factory(mapping, converter)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise StructureError(plain_values.OBJECT)
        if kind is Any or kind is object:
            return scalars.read_any(value)
        for name in value:
            scalars.read_text(name)
        return structure_items(value, mapping)

    return structure


def _annotated_hook(kind: Any, make: Callable[[Any], Hook]) -> Hook:
    base, constraints = kind.__origin__, find_constraints(kind.__metadata__)
    if isinstance(base, NewType):
        return make(Annotated[base.__supertype__, *kind.__metadata__])
    if constraints is None:
        return make(base)
    if get_origin(base) in UNIONS:
        parts = (p if p is NoneType else Annotated[p, constraints] for p in get_args(base))
        return make(Union[tuple(parts)])  # noqa: UP007 - made at run time
    hook = make(base)
    if base is str:
        hook = _hook(scalars.read_text)
        constraints = evolve(constraints, max_length=constraints.max_length or MAX_TEXT)

    def structure(value: Any, _: Any) -> Any:
        structured = hook(value, base)
        if messages := tuple(constraints.problems(structured)):
            raise StructureError(*messages)
        return structured

    return structure
