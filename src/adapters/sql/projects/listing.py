"""
Lists of work items.

The tasks of a page are found in one of two ways. First they are counted, up to the cap
of counts, by the index of the most selective filter. If they are no more than the cap,
the same index finds those of the page: sorting at most that many index entries takes a few
milliseconds. Otherwise the page is read from the index that has all tasks in the order of
the list, in which the matches are then close to one another.

SQLite, which has no statistics, and MariaDB get a hint of the index. PostgreSQL chooses from
its statistics, but it does not sort a materialized subquery by an index of its table.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import frozen
from sqlalchemy import ColumnElement, Select, bindparam, exists, select, true, union_all

from workbell.adapters.sql.database.filters import (
    count_limit,
    count_ordered,
    equals_number,
    force_index,
    in_range,
)
from workbell.adapters.sql.database.statements import PreparedListStatement
from workbell.adapters.sql.projects.ranks import WorkItemRanks
from workbell.adapters.sql.projects.rows import (
    PRIORITY_NUMBERS,
    STATUS_NUMBERS,
    find_users,
    item_from_row,
)
from workbell.adapters.sql.projects.scopes import visible_boards
from workbell.adapters.sql.schema.projects import watchers, work_item_labels, work_items
from workbell.adapters.sql.search.match import match_condition, relevance_page
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.projects.work_item import WorkItem
from workbell.domain.search.query import SearchQuery
from workbell.ports.projects.repository import WorkItemFilter, WorkItemView

Columns: TypeAlias = Sequence[ColumnElement[Any]]
STREAMED = 500
"""How many items `stream` reads at a time."""
items_c = work_items.c
_EXISTS = items_c.deleted_at.is_(None)
_ROWS = PreparedListStatement(lambda ids: select(work_items).where(items_c.id.in_(ids), _EXISTS))
_WATCHERS = PreparedListStatement(
    lambda ids: (
        select(watchers.c.work_item_id, watchers.c.user_id)
        .where(watchers.c.work_item_id.in_(ids))
        .order_by(watchers.c.user_id)
    )
)
_ORDER_INDEXES = {
    "id": None,
    "position": "workbell_work_items_rank_key",
    **{
        name: f"workbell_work_items_{name}_idx"
        for name in (
            *("created_at", "updated_at", "due_date", "sla_due_at"),
            *("priority", "status", "title"),
        )
    },
}
"""The index of each order; None is the primary key."""
_NULLABLE = ("due_date", "sla_due_at")


@frozen
class _Search:
    """The conditions of a list, and the index by which few matches are found."""

    scope: Scope
    filters: WorkItemFilter
    dialect: str

    @property
    def index(self) -> str | None:
        """The index that begins with the most selective filter; None is the primary key."""
        filters = self.filters
        if filters.ids is not None or filters.label is not None or filters.search is not None:
            return None
        named = {
            "assignee": filters.assignee_id,
            "reporter": filters.reporter_id,
            "breached": filters.is_sla_breached or None,
            "board": filters.board_id or filters.project_id or self.scope.owner,
            "due_date": filters.due_from or filters.due_to,
            "status": filters.statuses,
            "priority": filters.priorities,
        }
        name = next((name for name, value in named.items() if value is not None), "created_at")
        return f"workbell_work_items_{name}_idx"

    def matches(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Return the query for columns of the matches, by the index of a filter."""
        return _by_index(select(*columns).where(*self._conditions(ordered=False)), self.index)

    def in_order(self, *columns: ColumnElement[Any], index: str | None) -> Select[Any]:
        """Return the query for columns of the matches, by an index of all items."""
        return _by_index(select(*columns).where(*self._conditions(ordered=True)), index)

    def most_relevant(self, query: SearchQuery, offset: int, limit: int) -> Select[Any]:
        """Return the query for the ids and scores of a page, the best matches first."""
        ids = _by_index(select(items_c.id), None)
        conditions = [*self._conditions(ordered=False)]
        return relevance_page(
            ids, items_c.id, conditions, query, self.dialect, offset=offset, limit=limit
        )

    def _conditions(self, *, ordered: bool) -> Iterator[ColumnElement[bool]]:
        """Yield the conditions; if `ordered`, the items are found in an order of their own."""
        filters = self.filters
        yield _EXISTS
        yield self._is_on_visible_board(ordered=ordered)
        if filters.board_id is not None:
            yield equals_number(items_c.board_id, filters.board_id)
        if filters.ids is not None:
            yield items_c.id.in_(_numbers(filters.ids))
        if filters.statuses is not None:
            yield items_c.status.in_(_numbers(STATUS_NUMBERS[each] for each in filters.statuses))
        if filters.priorities is not None:
            numbers = (PRIORITY_NUMBERS[each] for each in filters.priorities)
            yield items_c.priority.in_(_numbers(numbers))
        for name in ("assignee_id", "reporter_id"):
            if (user_id := getattr(filters, name)) is not None:
                yield equals_number(items_c[name], user_id)
        if filters.is_sla_breached is not None:
            yield items_c.is_sla_breached.is_(filters.is_sla_breached)
        yield from in_range(items_c.due_date, filters.due_from, filters.due_to)
        if filters.label is not None:
            yield _has_label(filters.label, ordered=ordered)
        if filters.search is not None:
            yield match_condition(filters.search, items_c.id, self.dialect)

    def _is_on_visible_board(self, *, ordered: bool) -> ColumnElement[bool]:
        filters = self.filters
        boards = visible_boards(
            self.scope, board_id=filters.board_id, project_id=filters.project_id
        )
        is_visible = items_c.board_id.in_(boards)
        is_found_by_board = self.index == "workbell_work_items_board_idx" and not ordered
        if is_found_by_board and filters.board_id is None:
            return is_visible
        return is_visible.is_(true())  # no join, which would have an order of its own


def _has_label(label: str, *, ordered: bool) -> ColumnElement[bool]:
    labels_c = work_item_labels.c
    if ordered:
        return exists().where(labels_c.work_item_id == items_c.id, labels_c.label == label)
    return items_c.id.in_(select(labels_c.work_item_id).where(labels_c.label == label))


def _numbers(values: Any) -> Any:
    """Return a list of numbers that is part of the SQL text (see `equals_number`)."""
    return bindparam(None, sorted({*map(int, values)}), expanding=True, literal_execute=True)


def _by_index(query: Select[Any], index: str | None) -> Select[Any]:
    """Return a query that SQLite, MySQL and MariaDB read by an index or the primary key."""
    hint = "NOT INDEXED" if index is None else f"INDEXED BY {index}"
    query = query.with_hint(work_items, hint, "sqlite")
    return force_index(query, work_items, "PRIMARY" if index is None else index)


@frozen
class _Order:
    """The order of a list; missing times come last in both directions."""

    names: Sequence[str]

    @property
    def is_relevance(self) -> bool:
        """Whether the best matches of a search come first; then no other column counts."""
        return self._key == "relevance"

    @property
    def is_indexed(self) -> bool:
        """Whether an index has all items in this order."""
        return len(self.names) <= 1

    @property
    def _key(self) -> str:
        """The name of the only column, without its direction."""
        return self.names[0].removeprefix("-") if self.names else "id"

    def page_of_few(self, found: _Search, offset: int, limit: int) -> Select[Any]:
        """Return the query for the ids of a page, which sorts all matches."""
        names = (name.removeprefix("-") for name in (*self.names, "id"))
        columns = {each.key: each for name in names for each in _columns(name)}
        query = found.matches(*columns.values()).cte("found")
        matches = query.prefix_with("MATERIALIZED", dialect="postgresql")
        terms = self._terms(lambda name: matches.c[name], nulls=True)
        return select(matches.c.id).order_by(*terms).offset(offset).limit(limit)

    def page_of_many(self, found: _Search, offset: int, limit: int) -> Select[Any]:
        """Return the query for the ids of a page, read in the order of an index."""
        index, terms = _ORDER_INDEXES[self._key], [*self._terms(lambda name: items_c[name])]
        if self._key not in _NULLABLE:
            query = found.in_order(items_c.id, index=index).order_by(*terms)
            return query.offset(offset).limit(limit)
        column = items_c[self._key]
        query = found.in_order(items_c.id, column, index=index).order_by(*terms)
        parts = [
            query.where(condition).limit(offset + limit).subquery()
            for condition in (column.is_not(None), column.is_(None))
        ]
        union = union_all(*[select(part) for part in parts]).subquery("found")
        terms = [*self._terms(lambda name: union.c[name], nulls=True)]
        return select(union.c.id).order_by(*terms).offset(offset).limit(limit)

    def _terms(self, column_of: Any, *, nulls: bool = False) -> Iterator[ColumnElement[Any]]:
        """Yield ORDER BY terms, with `nulls` those that sort missing times last."""
        names = [*self.names]
        if not names or names[-1].removeprefix("-") not in {"id", "position"}:
            names.append("-id" if names and names[0].startswith("-") else "id")
        for name in names:
            key = name.removeprefix("-")
            for column in _columns(key):
                sorted_column = column_of(column.key)
                if nulls and key in _NULLABLE:
                    yield sorted_column.is_(None)
                yield sorted_column.desc() if name.startswith("-") else sorted_column


def _columns(name: str) -> Columns:
    """Return the columns of an order; positions are compared by board, then rank."""
    return [items_c.board_id, items_c.rank] if name == "position" else [items_c[name]]


@frozen
class WorkItemLists(WorkItemRanks):
    """Queries for items with their people."""

    def list_page(
        self,
        scope: Scope,
        filters: WorkItemFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[WorkItemView], int]:
        """Return a page of items, and their number up to `COUNT_CAP` + 1."""
        found = _Search(scope, filters, self._db.dialect.name)
        order = _Order(ordering)
        count: int = self._db.execute(count_ordered(found.matches(items_c.id))).scalar_one()
        are_few = count < count_limit()
        if are_few and count <= offset:
            return [], count
        if order.is_relevance and filters.search is not None:
            best = self._db.execute(found.most_relevant(filters.search, offset, limit))
            scores = {row.id: float(row.score) for row in best}
            return self._read([*scores], scores), count
        find = order.page_of_few if are_few or not order.is_indexed else order.page_of_many
        ids = self._db.execute(find(found, offset, limit)).scalars().all()
        return self._read(ids), count

    def stream(self, scope: Scope, filters: WorkItemFilter) -> Iterator[WorkItemView]:
        """Yield all items that match, by id, read in pages by keyset."""
        found, last = _Search(scope, filters, self._db.dialect.name), 0
        while True:
            query = found.in_order(items_c.id, index=None).where(items_c.id > last)
            page = query.order_by(items_c.id).limit(STREAMED)
            ids = self._db.execute(page).scalars().all()
            yield from self._read(ids)
            if len(ids) < STREAMED:
                return
            last = ids[-1]

    def _read(
        self, ids: Sequence[int], scores: Mapping[int, float] | None = None
    ) -> Sequence[WorkItemView]:
        """Return the items with some ids, in their order."""
        rows = _ROWS.fetch_all(self._db, ids)
        found: dict[int, WorkItem] = {
            item.id: item for item in (item_from_row(self._db, row) for row in rows)
        }
        return self._views([found[each] for each in ids if each in found], scores or {})

    def _views(
        self, found: Sequence[WorkItem], scores: Mapping[int, float]
    ) -> Sequence[WorkItemView]:
        """Return items with their people."""
        people = [each for item in found for each in (item.reporter_id, item.assignee_id)]
        users = find_users(self._db, [each for each in people if each is not None])
        watching: dict[int, list[UserId]] = {}
        for item_id, user_id in _WATCHERS.fetch_all(self._db, [item.id for item in found]):
            watching.setdefault(item_id, []).append(user_id)
        return [
            WorkItemView(
                item=item,
                reporter=users[item.reporter_id],
                assignee=None if item.assignee_id is None else users[item.assignee_id],
                watchers=tuple(watching.get(item.id, ())),
                score=scores.get(item.id, 0.0),
            )
            for item in found
        ]
