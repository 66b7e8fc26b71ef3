"""Conditions and orderings of list queries."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

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

AnySelect = TypeVar("AnySelect", bound="Select[*tuple[Any, ...]]")


def equals(column: ColumnElement[Any], value: object) -> Iterator[ColumnElement[bool]]:
    """Yield the condition that a column has a value, unless the value is None."""
    if value is not None:
        yield column == value


def equals_number(column: ColumnElement[Any], value: int) -> ColumnElement[bool]:
    """
    Return the condition that a column has a number, which is part of the SQL text.

    PostgreSQL plans a prepared statement for an average parameter: for a large
    account it would read and sort all rows instead of following an index.
    """
    number = bindparam(None, int(value), type_=column.type, literal_execute=True)
    return column == number


def in_range(
    column: ColumnElement[Any], first: datetime | None, last: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that a time is in a range, both ends included."""
    if first is not None:
        yield column >= first
    if last is not None:
        yield column <= last


def contains_text(
    column: ColumnElement[Any], part: str | BindParameter[str]
) -> ColumnElement[bool]:
    """Match texts that contain another, ignoring case; bind values of `like_pattern`."""
    pattern = like_pattern(part) if isinstance(part, str) else part
    return func.lower(column).contains(pattern, escape="/")


def like_pattern(text: str) -> str:
    """Fold the case of a text and escape its LIKE wildcards."""
    plain = text.casefold().replace("/", "//")
    return plain.replace("%", "/%").replace("_", "/_")


def order_by(
    ordering: Sequence[str], columns: Mapping[str, ColumnElement[Any]]
) -> Iterator[ColumnElement[Any]]:
    """Yield ORDER BY terms for names, "-" for descending; the id breaks ties."""
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        column = columns[name.removeprefix("-")]
        yield column.desc() if name.startswith("-") else column


def is_in_list(column: Any, name: str) -> ColumnElement[bool]:
    """Return the condition that a column is among the values of a parameter."""
    return cast("ColumnElement[bool]", column.in_(bindparam(name, expanding=True)))


def is_in_array(column: Any, name: str) -> ColumnElement[bool]:
    """Return the same condition with one PostgreSQL array parameter, parsed once."""
    return cast("ColumnElement[bool]", column == any_(bindparam(name, type_=ARRAY(BigInteger))))


COUNT_LIMIT = "count_limit"
"""The parameter of `count_rows`; SQLAlchemy calls `count_limit` for its default."""


def count_limit() -> int:
    """Return how many rows to count: one above the cap shows that it is exceeded."""
    return constraints.COUNT_CAP + 1


def count_rows(rows: FromClause, *conditions: ColumnElement[bool]) -> Select[int]:
    """Return the query that counts the rows of a list, up to `count_limit`."""
    limit = bindparam(COUNT_LIMIT, type_=Integer, callable_=count_limit)
    ones: Select[Any] = select(literal_column("1")).select_from(rows).where(*conditions)
    return select(func.count()).select_from(ones.limit(limit).subquery("counted"))


def force_index(query: AnySelect, table: FromClause, name: str) -> AnySelect:
    """
    Return a query that MySQL and MariaDB read by an index.

    Without the hint they may choose another index, and sort all rows.
    """
    hint = f"FORCE INDEX ({name})"
    return query.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


def count_ordered(query: Select[Any]) -> Select[int]:
    """
    Return the query that counts the rows of an ordered query, up to `count_limit`.

    The order makes the database follow the index of the list: without it, it may
    read other rows of the table until it has found enough.
    """
    limit = bindparam(COUNT_LIMIT, type_=Integer, callable_=count_limit)
    return select(func.count()).select_from(query.limit(limit).subquery("counted"))
