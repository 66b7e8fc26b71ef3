"""Filtering and ordering of lists in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

from workbell.domain import constraints

T = TypeVar("T")
D = TypeVar("D", date, datetime)


def in_range(value: D | None, first: D | None, last: D | None) -> bool:
    """Whether a value is in a range, both ends included; None is in no range."""
    if value is None:
        return first is None and last is None
    return (first is None or value >= first) and (last is None or value <= last)


def contains_text(text: str, part: str | None) -> bool:
    """Whether a text contains another, ignoring case; None is in every text."""
    return part is None or part.casefold() in text.casefold()


def sort_rows(
    rows: list[T], ordering: Sequence[str], keys: Mapping[str, Callable[[T], Any]]
) -> list[T]:
    """Sort rows by names, "-" for descending; the id breaks ties, None comes last."""
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id")[::-1]:
        key = keys[name.removeprefix("-")]
        known = [row for row in rows if key(row) is not None]
        known.sort(key=key, reverse=name.startswith("-"))
        rows = known + [row for row in rows if key(row) is None]
    return rows


def count_rows(rows: Iterable[object]) -> int:
    """Count rows, up to `COUNT_CAP` + 1."""
    return sum(1 for _ in islice(rows, constraints.COUNT_CAP + 1))
