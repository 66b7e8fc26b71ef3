"""
Validation of requests by the types and constraints of their fields.

Services validate each request with `check_request`; HTTP, library and command line
call the same services. The messages are those of JSON bodies, which use the same constraints. Types are
exact: True is not an integer, 1.0 is not one, and a number is not a text.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin
from uuid import UUID

import attrs
from attrs import evolve

from workbell.domain import plain_values
from workbell.domain.constraints import (
    MAX_INTEGER,
    MAX_TEXT,
    MIN_INTEGER,
    Constraints,
    find_constraints,
)
from workbell.domain.errors import Invalid

Problems = Sequence[tuple[str, str]]
"""Paths and messages; the path "" is the value itself."""
FindProblems = Callable[[Any], Problems]

NONE: Problems = ()


def check_request(request: Any) -> None:
    """
    Check the fields of an attrs instance.

    Values of type `Any` are not checked: writing them as JSON does that.

    Raises:
        Invalid: Fields have values that their types or constraints forbid; the
            error names all of them.
    """
    if field_errors := find_field_errors(request):
        raise Invalid(field_errors=field_errors)


def find_field_errors(request: Any) -> Mapping[str, Sequence[str]]:
    """Return the messages of `check_request` under their paths."""
    problems = _find_class_problems(request.__class__)(request)
    return _by_path(problems) if problems else {}


def check_changes(cls: type, changes: Mapping[str, Any], unknown: str) -> None:
    """
    Check some fields of an attrs class by name.

    Raises:
        Invalid: A name is unknown (with the message `unknown`), or a value is
            forbidden.
    """
    known = {name: find for name, _, find in _list_fields(cls)}
    problems: list[tuple[str, str]] = []
    for name, value in changes.items():
        found = known[name](value) if name in known else [("", unknown)]
        problems += _below(name, found)
    if problems:
        raise Invalid(field_errors=_by_path(problems))


def to_choice(kind: type[Enum], value: object) -> Any:
    """Return the member of an enumeration with a value; any other value unchanged."""
    if value.__class__ is not str:
        return value
    return next((member for member in kind if member.value == value), value)


def _by_path(problems: Problems) -> dict[str, list[str]]:
    field_errors: dict[str, list[str]] = {}
    for path, message in problems:
        field_errors.setdefault(path, []).append(f"{path} {message}".lstrip())
    return field_errors


def _below(name: str, problems: Problems) -> Problems:
    return [(f"{name}.{path}" if path else name, message) for path, message in problems]


@cache
def _list_fields(cls: type) -> Sequence[tuple[str, Any, FindProblems]]:
    """Return name, default and check of each field; a default needs no check."""
    attrs.resolve_types(cls)
    return [
        (each.name, each.default, _make_check(each.type)) for each in attrs.fields(cls) if each.init
    ]


@cache
def _find_class_problems(cls: type) -> FindProblems:
    fields = _list_fields(cls)

    def find(value: Any) -> Problems:
        problems: list[tuple[str, str]] = []
        for name, default, find_field in fields:
            given = getattr(value, name)
            if given is not default and (found := find_field(given)):
                problems += _below(name, found)
        return problems

    return find


def _make_check(kind: Any, constraints: Constraints | None = None) -> FindProblems:
    """Return the check of a type."""
    origin, args = get_origin(kind) or kind, get_args(kind)
    if origin is Annotated:
        return _make_check(kind.__origin__, find_constraints(kind.__metadata__) or constraints)
    if isinstance(kind, NewType):
        return _make_check(kind.__supertype__, constraints)
    if origin in {Union, UnionType}:
        checks = {part: _make_check(part, constraints) for part in args if part is not NoneType}
        return _make_union_check(checks, is_optional=NoneType in args)
    if kind is str:
        return _make_text_check(constraints or Constraints())
    if kind is int and constraints is not None:
        return _make_integer_check(constraints)
    find = _make_type_check(kind, origin, args)
    return find if constraints is None else partial(_find_constrained, find, constraints)


def _make_type_check(kind: Any, origin: Any, args: Sequence[Any]) -> FindProblems:
    """Return the check of a type without constraints."""
    if attrs.has(kind):
        # looked up at each call: a class may contain itself
        return partial(_find_instance_problems, kind)
    if kind in _PLAIN:
        return partial(_find_plain, _PLAIN[kind])
    if kind in {Any, object}:
        return lambda _: NONE
    if origin is Literal:
        return _make_choice_check(args)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _make_choice_check(list(kind))
    if origin in {list, tuple, Sequence}:
        return partial(_find_list_problems, (list, tuple), _make_item_check(args))
    if origin is frozenset:
        return partial(_find_list_problems, (AbstractSet,), _make_item_check(args))
    if origin is Callable:
        return partial(_find_plain, _find_call_problem)
    if origin in {dict, Mapping}:
        find_item = _make_item_check(args[1:])
        return (
            _find_any_object_problems
            if find_item is None
            else partial(_find_object_problems, find_item)
        )
    raise TypeError(f"The type {kind!r} cannot be checked.")


def _make_item_check(args: Sequence[Any]) -> FindProblems | None:
    """Return the check of the items of a collection; None checks nothing."""
    return None if not args or args[0] in {Any, object} else _make_check(args[0])


def _find_type(kind: type | tuple[type, ...], message: str, value: object) -> str | None:
    return None if isinstance(value, kind) else message


_PLAIN: Mapping[Any, Callable[[Any], str | None]] = {
    int: plain_values.find_integer_problem,
    float: plain_values.find_number_problem,
    bool: partial(_find_type, bool, plain_values.BOOLEAN),
    bytes: partial(_find_type, bytes, "must be bytes"),
    UUID: partial(_find_type, UUID, plain_values.UUID_TEXT),
    Decimal: plain_values.find_decimal_problem,
    datetime: plain_values.find_instant_problem,
    date: plain_values.find_date_problem,
    timedelta: plain_values.find_duration_problem,
    type: partial(_find_type, type, "must be a class"),
    NoneType: partial(_find_type, NoneType, plain_values.NULL),
}


def _find_call_problem(value: object) -> str | None:
    return None if callable(value) else "must be a function"


def _find_plain(find: Callable[[Any], str | None], value: Any) -> Problems:
    message = find(value)
    return NONE if message is None else (("", message),)


def _find_constrained(find: FindProblems, constraints: Constraints, value: Any) -> Problems:
    return find(value) or [("", message) for message in constraints.problems(value)]


def _find_instance_problems(cls: type, value: object) -> Problems:
    if not isinstance(value, cls):
        return (("", plain_values.OBJECT),)
    return _find_class_problems(cls)(value)


def _make_integer_check(constraints: Constraints) -> FindProblems:
    low = MIN_INTEGER if constraints.ge is None else constraints.ge
    high = MAX_INTEGER if constraints.le is None else constraints.le
    find_type_problems = partial(_find_plain, plain_values.find_integer_problem)

    def find(value: Any) -> Problems:
        if value.__class__ is int and low <= value <= high:
            return NONE
        return _find_constrained(find_type_problems, constraints, value)

    return find


def _make_text_check(constraints: Constraints) -> FindProblems:
    low, high = constraints.min_length or 0, constraints.max_length or MAX_TEXT
    limits = evolve(constraints, max_length=high)
    matches = re.compile(constraints.pattern or r"[\s\S]*").fullmatch
    find_type_problems = partial(_find_plain, plain_values.find_text_problem)

    def find(value: Any) -> Problems:
        is_plain = value.__class__ is str and value.isascii() and "\0" not in value
        if is_plain and low <= len(value) <= high and matches(value):
            return NONE
        return _find_constrained(find_type_problems, limits, value)

    return find


def _make_choice_check(choices: Sequence[Any]) -> FindProblems:
    members = {(choice.__class__, choice) for choice in choices}
    problem: Problems = (("", plain_values.describe_choices(choices)),)

    def find(value: Any) -> Problems:
        try:
            return NONE if (value.__class__, value) in members else problem
        except TypeError:  # not hashable
            return problem

    return find


def _make_union_check(checks: Mapping[Any, FindProblems], *, is_optional: bool) -> FindProblems:
    if len(checks) == 1 and is_optional:
        (find_one,) = checks.values()
        return lambda value: NONE if value is None else find_one(value)

    def find(value: Any) -> Problems:
        if value is None and is_optional:
            return NONE
        if (find_one := checks.get(value.__class__)) is not None:
            return find_one(value)
        failed: list[Problems] = []
        for find_one in checks.values():
            if not (problems := find_one(value)):
                return NONE
            failed.append(problems)
        inner = next((each for each in failed if each[0][0]), None)
        messages = (each[0][1] for each in failed)
        return inner or (("", plain_values.join_alternatives(messages)),)

    return find


def _find_list_problems(kinds: Any, find_item: FindProblems | None, value: Any) -> Problems:
    if not isinstance(value, kinds):
        return (("", plain_values.LIST),)
    if find_item is None:
        return NONE
    problems: list[tuple[str, str]] = []
    for index, item in enumerate(value):
        problems += _below(str(index), find_item(item))
    return problems


def _find_any_object_problems(value: Any) -> Problems:
    return NONE if isinstance(value, Mapping) else (("", plain_values.OBJECT),)


def _find_object_problems(find_item: FindProblems, value: Any) -> Problems:
    if not isinstance(value, Mapping):
        return (("", plain_values.OBJECT),)
    problems: list[tuple[str, str]] = []
    for name, item in value.items():
        if (message := plain_values.find_text_problem(name)) is not None:
            return (("", message),)
        problems += _below(name, find_item(item))
    return problems
