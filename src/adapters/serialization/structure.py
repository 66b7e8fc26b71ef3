"""Strict structuring of JSON values, with all errors of a value at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, NoReturn, Union, get_args, get_origin
from uuid import UUID

import attrs
from attrs import evolve
from cattrs import Converter

from workbell.adapters.serialization import scalars
from workbell.adapters.serialization.class_hook import class_hook
from workbell.adapters.serialization.field_errors import (
    FieldError,
    StructureError,
    structure_error,
)
from workbell.domain.constraints import MAX_TEXT, Constraints, find_constraints

Hook = Callable[[Any, Any], Any]

TEXT = Constraints(max_length=MAX_TEXT)
LISTS: Mapping[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    Sequence: tuple,
    frozenset: frozenset,
}
OBJECTS = (dict, Mapping)
UNIONS = (Union, UnionType)
SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    bool: scalars.boolean,
    float: scalars.number,
    datetime: scalars.moment,
    date: scalars.day,
    timedelta: scalars.duration,
    Decimal: scalars.decimal,
    UUID: scalars.uuid,
    NoneType: scalars.nothing,
    Any: scalars.free,
    object: scalars.free,
    None: scalars.free,  # a field without annotation
}


def make_converter(unknown: str) -> Converter:
    """
    Return a converter that structures classes and coerces nothing.

    `unknown` is the message for a name that the class does not have.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=True, use_alias=True)
    # cattrs itself structures a NewType as its base
    converter.register_structure_hook_func(lambda t: not isinstance(t, NewType), _unsupported)
    for kind, structure in SCALARS.items():
        converter.register_structure_hook_func(_is(kind), _hook(structure))
    # cattrs finds these for their subclasses too, before any predicate
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(int, _integer)
    for kind in (float, bool):
        converter.register_structure_hook(kind, _hook(SCALARS[kind]))
    for kind in (bytes, Path):
        converter.register_structure_hook(kind, _unsupported)
    for predicate, factory in (
        (_is_choice, lambda kind, _: _choice_hook(kind)),
        (_has_origin(*UNIONS), _union_hook),
        (_has_origin(*LISTS), _list_hook),
        (_has_origin(*OBJECTS), _object_hook),
        (_has_origin(Annotated), _annotated_hook),
        (attrs.has, lambda cls, converter: class_hook(cls, converter, unknown)),
    ):
        converter.register_structure_hook_factory(predicate, factory)
    return converter


def _is(kind: object) -> Callable[[Any], bool]:
    return lambda t: t is kind


def _has_origin(*origins: Any) -> Callable[[Any], bool]:
    return lambda kind: (get_origin(kind) or kind) in origins


def _hook(structure: Callable[[Any], Any]) -> Hook:
    return lambda value, _: structure(value)


def _unsupported(_: Any, kind: Any) -> NoReturn:
    raise TypeError(f"No field of a shape can be {kind!r}.")


def _text(value: Any, kind: Any) -> Any:
    if kind is not str:
        return _choice_hook(kind)(value, kind)
    if len(scalars.text(value)) > MAX_TEXT:
        raise structure_error(*TEXT.problems(value))
    return value


def _integer(value: Any, kind: Any) -> Any:
    return scalars.integer(value) if kind is int else _choice_hook(kind)(value, kind)


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum))


@lru_cache(maxsize=512)
def _choice_hook(kind: Any) -> Hook:
    if not _is_choice(kind):
        _unsupported(None, kind)
    choices = get_args(kind) if get_origin(kind) is Literal else kind
    plain = [(c.value if isinstance(c, Enum) else c, c) for c in choices]
    members = {(value.__class__, value): choice for value, choice in plain}  # True is not 1
    message = f"must be one of: {', '.join(str(value) for value, _ in plain)}"

    def structure(value: Any, _: Any) -> Any:
        cls = value.__class__
        if cls in {str, int, bool, NoneType} and (cls, value) in members:
            return members[cls, value]
        raise structure_error(message)

    return structure


def _union_hook(kind: Any, converter: Converter) -> Hook:
    parts = get_args(kind)
    members = [(p, converter.get_structure_hook(p)) for p in parts if p is not NoneType]
    optional = NoneType in parts

    def structure(value: Any, _: Any) -> Any:
        if value is None and optional:
            return None
        failed: list[StructureError] = []
        for part, hook in members:
            try:
                return hook(value, part)
            except StructureError as error:
                failed.append(error)
        raise failed[0] if len(failed) == 1 else _closest(failed)

    return structure


def _closest(failed: Sequence[StructureError]) -> StructureError:
    """Return the error of the member that came closest, or one that names all members."""
    for found in failed:
        if any(error.path or not error.is_predicate for error in found.errors):
            return found
    kinds = (found.errors[0].message.removeprefix("must be ") for found in failed)
    return structure_error(f"must be {' or '.join(kinds)}")


def _list_hook(kind: Any, converter: Converter) -> Hook:
    make = LISTS[get_origin(kind) or kind]
    inner, *more = get_args(kind) or (Any,)
    if more not in ([], [...]):
        _unsupported(None, kind)
    hook = converter.get_structure_hook(inner)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list):  # cattrs reads any iterable, texts too
            raise structure_error("must be a list")
        return make(_parts(enumerate(value), hook, inner).values())

    return structure


def _object_hook(kind: Any, converter: Converter) -> Hook:
    _, inner = get_args(kind) or (str, Any)
    hook = converter.get_structure_hook(inner)

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise structure_error("must be an object")
        if inner is Any or inner is object:
            return scalars.free(value)
        return _parts(((scalars.text(name), part) for name, part in value.items()), hook, inner)

    return structure


def _parts(parts: Iterable[tuple[Any, Any]], hook: Hook, kind: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    errors: list[FieldError] = []
    for place, part in parts:
        try:
            found[place] = hook(part, kind)
        except StructureError as failed:
            errors.extend(error.within(str(place)) for error in failed.errors)
    if errors:
        raise StructureError(errors)
    return found


def _annotated_hook(kind: Any, converter: Converter) -> Hook:
    base, limits = kind.__origin__, find_constraints(kind.__metadata__)
    while isinstance(base, NewType):
        base = base.__supertype__
    if limits is not None and get_origin(base) in UNIONS:
        parts = (p if p is NoneType else Annotated[p, limits] for p in get_args(base))
        base = Union[tuple(parts)]  # noqa: UP007 - made at run time
        limits = None
    hook = converter.get_structure_hook(base)
    if limits is None:
        return lambda value, _: hook(value, base)
    if base is str:
        hook = _hook(scalars.text)
        limits = evolve(limits, max_length=limits.max_length or MAX_TEXT)
    problems = limits.problems

    def structure(value: Any, _: Any) -> Any:
        found = hook(value, base)
        if messages := tuple(problems(found)):
            raise structure_error(*messages)
        return found

    return structure
