"""Conditions and orderings of list queries."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    any_,
    bindparam,
    func,
    literal_column,
    select,
)

from workbell.domain import constraints


def equals(column: ColumnElement[Any], value: object) -> Iterator[ColumnElement[bool]]:
    """Yield the condition that a column has a value, if one is asked for."""
    if value is not None:
        yield column == value


def in_range(
    column: ColumnElement[Any], first: datetime | None, last: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that a moment lies within bounds, both included."""
    if first is not None:
        yield column >= first
    if last is not None:
        yield column <= last


def contains_text(
    column: ColumnElement[Any], part: str | BindParameter[str]
) -> ColumnElement[bool]:
    """Return the condition that a text holds another, regardless of case; bind `part_of` it."""
    held = like_pattern(part) if isinstance(part, str) else part
    return func.lower(column).contains(held, escape="/")


def like_pattern(text: str) -> str:
    """Return a text as `holds` compares it: folded, and without wildcards."""
    plain = text.casefold().replace("/", "//")
    return plain.replace("%", "/%").replace("_", "/_")


def order_by(
    ordering: Sequence[str], columns: Mapping[str, ColumnElement[Any]]
) -> Iterator[ColumnElement[Any]]:
    """
    Yield the terms of an ordering by names, a minus before descending ones.

    The id breaks ties, descending where the first name is.
    """
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        column = columns[name.removeprefix("-")]
        yield column.desc() if name.startswith("-") else column


def is_in_list(column: Any, name: str) -> ColumnElement[bool]:
    """Return the condition that a column is among the values of a parameter."""
    return cast("ColumnElement[bool]", column.in_(bindparam(name, expanding=True)))


def is_in_array(column: Any, name: str) -> ColumnElement[bool]:
    """
    Return the same condition for PostgreSQL, whose parameter may be an array.

    One parameter replaces hundreds, so neither side parses a long statement anew.
    """
    return cast("ColumnElement[bool]", column == any_(bindparam(name, type_=ARRAY(BigInteger))))


COUNT_LIMIT = "count_limit"
"""The parameter of `count_rows`; SQLAlchemy fills it in unless it is given."""


def count_limit() -> int:
    """Return how many rows of a list are counted: one more than the cap shows that it was met."""
    return constraints.COUNT_CAP + 1


def count_rows(rows: FromClause, *conditions: ColumnElement[bool]) -> Select[int]:
    """Return the query that counts the rows of a list, and stops at `count_limit`."""
    limit = bindparam(COUNT_LIMIT, type_=Integer, callable_=count_limit)
    some: Select[Any] = (
        select(literal_column("1")).select_from(rows).where(*conditions).limit(limit)
    )
    return select(func.count()).select_from(some.subquery("counted"))
