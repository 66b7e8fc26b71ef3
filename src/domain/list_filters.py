"""
The grammar of list filters, shared by every list.

A filter is `field` (equal) or `field__gte`, `__lte`, `__in` (one of a comma
list) or `__contains`, with a value. Query strings, the JSON body of InsightHub's search and `name:value` in a search text name the
same filters. An ordering is a list of field names, "-" for descending.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import TypeVar

from attrs import frozen

from workbell.domain.errors import Invalid

T = TypeVar("T")
C = TypeVar("C", int, date, datetime)
_FIELD = re.compile(
    r'"[^"]*"?'  # a phrase, which has no filters
    r"|(?<!\S)(?P<minus>-?)(?P<name>[A-Za-z][A-Za-z_]{0,63}):"
    r'(?:"(?P<quoted>[^"]*)"?|(?P<plain>[^\s"]*))'
)


@frozen
class FieldFilter:
    """A condition on one field: its name, maybe with an operator, and its value as text."""

    name: str
    value: str


def split_filters(text: str, names: Collection[str]) -> tuple[str, tuple[FieldFilter, ...]]:
    """
    Return a search text without its field filters, and these.

    `names` are the filters of the list, such as "status" and "created_at__gte".
    A word with a colon after any other name stays in the text.

    Raises:
        Invalid: A filter is negated, repeated or empty, or the operator of a
            known field is unknown; the error names the filter.
    """
    found: dict[str, FieldFilter] = {}
    fields = {name.partition("__")[0] for name in names}

    def collect(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None or name.partition("__")[0] not in fields:
            return match[0]
        value = match["plain"] if match["quoted"] is None else match["quoted"]
        _check_filter(name, names, value, is_negated=bool(match["minus"]))
        if name in found:
            raise Invalid.field(name, "must be given only once")
        found[name] = FieldFilter(name, value)
        return " "

    rest = _FIELD.sub(collect, text) if fields and ":" in text else text
    return rest, tuple(found.values())


def _check_filter(name: str, names: Collection[str], value: str, *, is_negated: bool) -> None:
    if name not in names:
        raise Invalid.field(name, "is not a known filter")
    if is_negated:
        raise Invalid.field(name, "cannot be negated")
    if not value:
        raise Invalid.field(name, "must have a value")


def parse_ordering(
    given: str | Sequence[str], allowed: Mapping[str, str], path: str
) -> tuple[str, ...]:
    """
    Return the ordering with names translated by `allowed` (API to store).

    Raises:
        Invalid: A name is unknown or repeated.
    """
    names = [n.strip() for n in given.split(",")] if isinstance(given, str) else list(given)
    order: list[str] = []
    for name in names:
        plain = name.removeprefix("-")
        if plain not in allowed:
            raise Invalid.field(path, f"{plain[:100]!r} is not one of: {', '.join(allowed)}")
        order.append("-" * name.startswith("-") + allowed[plain])
    if len({name.removeprefix("-") for name in order}) != len(order):
        raise Invalid.field(path, "names a field twice")
    return tuple(order)


def intersect(one: T | None, many: Sequence[T] | None) -> Sequence[T] | None:
    """Return the values that `field` and `field__in` both admit; None if neither is given."""
    if one is None:
        return many
    return [one] if many is None or one in many else []


def lower_bound(equal: C | None, gte: C | None) -> C | None:
    """Return the least value that `field` and `field__gte` both admit; None is no bound."""
    if equal is None or gte is None:
        return gte if equal is None else equal
    return max(equal, gte)


def upper_bound(equal: C | None, lte: C | None) -> C | None:
    """Return the greatest value that `field` and `field__lte` both admit; None is no bound."""
    if equal is None or lte is None:
        return lte if equal is None else equal
    return min(equal, lte)
