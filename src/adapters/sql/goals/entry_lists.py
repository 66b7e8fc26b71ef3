"""
Lists of progress entries.

The index of the list finds the entries of an owner by creation time, and those of a goal
by number. In these orders a page is read from the index. Other filters and orderings
apply to a window: the newest `SEARCH_WINDOW` entries by the same index.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, literal_column, select

from workbell.adapters.sql.database.filters import contains_text, count_ordered, in_range, order_by
from workbell.adapters.sql.schema.goals import goals, progress_entries
from workbell.domain import constraints
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import EntryFilter

entries_c, goals_c = progress_entries.c, goals.c
_COLUMNS = {
    **{name: name for name in ("id", "number", "created_at")},
    "logged": "logged_seconds",
    "total": "total_seconds",
}


def entry_page(owner: UserId, filters: EntryFilter, ordering: Sequence[str]) -> Select[int]:
    """Return the query for the ids of entries, in order."""
    if not filters.needs_window(ordering):
        terms = order_by(ordering, _columns(entries_c))
        return select(entries_c.id).where(*_scope(owner, filters)).order_by(*terms)
    window = _window(owner, filters).subquery("newest")
    terms = order_by(ordering, _columns(window.c))
    return select(window.c.id).where(*_is_selected(window.c, filters)).order_by(*terms)


def entry_count(owner: UserId, filters: EntryFilter, ordering: Sequence[str]) -> Select[int]:
    """Return the query that counts entries, up to `count_limit`."""
    if not filters.needs_window(ordering):
        query: Select[Any] = select(literal_column("1")).select_from(progress_entries)
        return count_ordered(query.where(*_scope(owner, filters)).order_by(*_newest(filters)))
    window = _window(owner, filters).subquery("newest")
    return select(func.count()).select_from(window).where(*_is_selected(window.c, filters))


def entry_after_window(owner: UserId, filters: EntryFilter) -> Select[int]:
    """Return the query for the first entry that the window does not contain."""
    query = select(entries_c.id).where(*_scope(owner, filters)).order_by(*_newest(filters))
    return query.offset(constraints.SEARCH_WINDOW).limit(1)


def _window(owner: UserId, filters: EntryFilter) -> Select[Any]:
    """Return the query for the newest entries, with what is filtered and sorted."""
    columns: list[ColumnElement[Any]] = [entries_c[name] for name in _COLUMNS.values()]
    if filters.search is not None:  # compared here: the window contains no texts
        columns.append(contains_text(entries_c.note, filters.search).label("is_found"))
    query = select(*columns).where(*_scope(owner, filters)).order_by(*_newest(filters))
    return query.limit(constraints.SEARCH_WINDOW)


def _scope(owner: UserId, filters: EntryFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that the index of the list has."""
    if filters.goal_id is not None:
        yield entries_c.goal_id == filters.goal_id
        yield exists().where(goals_c.id == filters.goal_id, goals_c.owner == owner)
    else:
        yield entries_c.owner == owner
        yield from in_range(entries_c.created_at, filters.created_from, filters.created_to)


def _newest(filters: EntryFilter) -> Sequence[ColumnElement[Any]]:
    if filters.goal_id is not None:
        return [entries_c.number.desc()]
    return [entries_c.created_at.desc(), entries_c.id.desc()]


def _is_selected(columns: Any, filters: EntryFilter) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions on entries of the window."""
    if filters.goal_id is not None:
        yield from in_range(columns.created_at, filters.created_from, filters.created_to)
    if filters.is_complete is not None:
        complete = columns.logged_seconds == columns.total_seconds
        yield complete if filters.is_complete else ~complete
    if filters.search is not None:
        yield columns.is_found


def _columns(columns: Any) -> Mapping[str, ColumnElement[Any]]:
    return {name: columns[column] for name, column in _COLUMNS.items()}
