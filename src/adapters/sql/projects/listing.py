"""
Lists of work items.

The tasks of a page are found in one of two ways. First they are counted, up to the cap
of counts, by the index of the most selective filter. If they are few, the same index finds
those of the page: up to the cap if it has the columns that are compared, up to a tenth of
the cap otherwise, which takes a few milliseconds. If they are many, the page is read from
the index that has all tasks in the order of the list, where the matches are dense.

Hints name the index for SQLite, which has no statistics, and MariaDB. PostgreSQL chooses
from its statistics; a materialized subquery prevents that it follows the order of the list
through all tasks to find a few.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from attrs import evolve, frozen
from sqlalchemy import ColumnElement, Connection, Select, bindparam, exists, func, select, true

from workbell.adapters.sql.database.filters import (
    count_limit,
    count_ordered,
    equals_number,
    force_index,
    in_range,
)
from workbell.adapters.sql.database.statements import PreparedListStatement, prepare
from workbell.adapters.sql.projects.rows import (
    PRIORITY_NUMBERS,
    STATUS_NUMBERS,
    find_users,
    item_from_row,
    read_visible,
)
from workbell.adapters.sql.projects.scopes import (
    MEMBER,
    is_visible_board,
    member_of,
    visible_boards,
)
from workbell.adapters.sql.schema.projects import watchers, work_item_labels, work_items
from workbell.adapters.sql.search.match import DocumentSearch
from workbell.domain import constraints
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.domain.search.query import MAX_MATCHES, SearchQuery
from workbell.ports.projects.repository import WorkItemFilter, WorkItemView

Columns: TypeAlias = Sequence[ColumnElement[Any]]
FEW = 2_000
"""Up to this number of items the documents are read instead of the search index."""
items_c = work_items.c
_EXISTS = items_c.deleted_at.is_(None)
_ROWS = PreparedListStatement(lambda ids: select(work_items).where(items_c.id.in_(ids), _EXISTS))
_ITEM = prepare(
    select(work_items).where(
        _EXISTS, is_visible_board(items_c.board_id), items_c.id == bindparam("item_id")
    ),
    "item_id",
    MEMBER,
)
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

    db: Connection
    scope: Scope
    filters: WorkItemFilter

    @cached_property
    def index(self) -> str | None:
        """The index that begins with the most selective filter; None is the primary key."""
        filters = self.filters
        if filters.ids is not None or filters.search is not None:
            return None
        if filters.label is not None and filters.assignee_id is None:
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

    @property
    def count(self) -> Select[int]:
        """The query that counts the matches, up to `count_limit`."""
        filters = self.filters
        others = evolve(filters, label=None, statuses=None, board_id=None, project_id=None)
        if filters.label is None or others != WorkItemFilter():
            return count_ordered(self.matches(items_c.id))
        return count_ordered(self._labelled())

    def _labelled(self) -> Select[Any]:
        """Return the query for the ids of visible items with the label and status."""
        labels_c = work_item_labels.c
        query = select(labels_c.work_item_id).where(labels_c.label == self.filters.label)
        query = query.where(labels_c.board_id.in_(self._boards))
        if self.filters.statuses is not None:
            query = query.where(labels_c.status.in_(_numbers(self._statuses)))
        return query

    @cached_property
    def _boards(self) -> Select[int]:
        filters = self.filters
        return visible_boards(self.scope, board_id=filters.board_id, project_id=filters.project_id)

    @property
    def _statuses(self) -> Iterable[int]:
        return (STATUS_NUMBERS[each] for each in self.filters.statuses or ())

    def covers(self, columns: Columns) -> bool:
        """Whether the index of `matches` has the columns: SQLite then reads the index only."""
        index = next((each for each in work_items.indexes if each.name == self.index), None)
        named = {column.name for column in index.columns} if index is not None else set()
        return {"id", *named} >= {column.name for column in columns}

    def matches(self, *columns: ColumnElement[Any]) -> Select[Any]:
        """Return the query for columns of the matches, by the index of a filter."""
        return _by_index(select(*columns).where(*self._filters), self.index)

    def in_order(self, *columns: ColumnElement[Any], index: str | None) -> Select[Any]:
        """Return the query for columns of the matches, by an index of all items."""
        return _by_index(select(*columns).where(*self._conditions(ordered=True)), index)

    def newest(self, documents: DocumentSearch, query: SearchQuery) -> list[int]:
        """
        Return the ids of the newest matches of a search, one more than `MAX_MATCHES`.

        If few items have the other conditions, their documents are read.
        """
        others = evolve(self, filters=evolve(self.filters, search=None))
        limit = MAX_MATCHES + 1
        if others.are_few:
            return documents.newest_of(others.matches(items_c.id), limit)
        if not query.required:
            return documents.newest_in_order(others.in_order(items_c.id, index=None), limit)
        return documents.newest(others.is_listed, limit)

    @property
    def are_few(self) -> bool:
        """Whether the conditions select at most `FEW` items."""
        if self.scope.owner is None and self.filters == WorkItemFilter():
            return False
        some = self.matches(items_c.id).limit(FEW + 1).subquery("some")
        count: int = self.db.execute(select(func.count()).select_from(some)).scalar_one()
        return count <= FEW

    def is_listed(self, item_id: ColumnElement[int]) -> ColumnElement[bool]:
        """Return the condition that an item matches, which reads its row."""
        listed = _by_index(select(true()), None).where(items_c.id == item_id)
        return listed.where(*self._conditions(ordered=True)).scalar_subquery()

    @cached_property
    def _filters(self) -> Sequence[ColumnElement[bool]]:
        return [*self._conditions(ordered=False)]

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
            yield items_c.status.in_(_numbers(self._statuses))
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
            one_by_one = ordered or self.index is not None
            yield _has_label(filters.label) if one_by_one else items_c.id.in_(self._labelled())
        if filters.search is not None:
            yield DocumentSearch(self.db, filters.search).condition(items_c.id)

    def _is_on_visible_board(self, *, ordered: bool) -> ColumnElement[bool]:
        filters = self.filters
        is_visible = items_c.board_id.in_(self._boards)
        is_found_by_board = self.index == "workbell_work_items_board_idx" and not ordered
        if is_found_by_board and filters.board_id is None:
            return is_visible
        return is_visible.is_(true())  # no join, which would have an order of its own


def _has_label(label: str) -> ColumnElement[bool]:
    labels_c = work_item_labels.c
    return exists().where(labels_c.work_item_id == items_c.id, labels_c.label == label)


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
    def columns(self) -> Columns:
        """The columns that are compared."""
        names = [*self.names, "id"]
        return [each for name in names for each in _columns(name.removeprefix("-"))]

    @property
    def _key(self) -> str:
        """The name of the only column, without its direction."""
        return self.names[0].removeprefix("-") if self.names else "id"

    def page_of_few(self, found: _Search, offset: int, limit: int) -> Select[Any]:
        """Return the query for the ids of a page, which sorts all matches."""
        columns = {each.key: each for each in self.columns}
        query = found.matches(*columns.values()).cte("found")
        matches = query.prefix_with("MATERIALIZED", dialect="postgresql")
        terms = self._terms(lambda name: matches.c[name], nulls=True)
        return select(matches.c.id).order_by(*terms).offset(offset).limit(limit)

    def page_of_many(self, found: _Search, offset: int, limit: int) -> Select[Any]:
        """Return the query for the ids of a page, read in the order of an index."""
        index, terms = _ORDER_INDEXES[self._key], self._terms(lambda name: items_c[name])
        query = found.in_order(items_c.id, index=index).order_by(*terms)
        return query.offset(offset).limit(limit)

    @property
    def nullable(self) -> ColumnElement[Any] | None:
        """The only column, if it may be missing."""
        return items_c[self._key] if self._key in _NULLABLE else None

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


@frozen(slots=False)
class WorkItemLists:
    """Queries for items, and for items with their people."""

    _db: Connection

    def get(self, scope: Scope, item_id: WorkItemId) -> WorkItem:
        """Return an item in the scope."""
        return read_visible(self._db, _ITEM, item_id, member_of(scope))

    def view(self, scope: Scope, item_id: WorkItemId) -> WorkItemView:
        """Return one item with its people."""
        (view,) = self._views([self.get(scope, item_id)], {})
        return view

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
        found = _Search(self._db, scope, filters)
        order = _Order(ordering)
        if filters.search is not None:
            return self._search_page(found, filters.search, order, offset, limit)
        count: int = self._db.execute(found.count).scalar_one()
        if count <= offset and count < count_limit():
            return [], count
        few = constraints.COUNT_CAP if found.covers(order.columns) else constraints.COUNT_CAP // 10
        are_few = count <= few or not order.is_indexed
        if are_few:
            ids = self._ids(order.page_of_few(found, offset, limit))
        else:
            ids = self._page_of_many(found, order, offset, limit)
        return self._read(ids), count

    def _search_page(
        self, found: _Search, query: SearchQuery, order: _Order, offset: int, limit: int
    ) -> tuple[Sequence[WorkItemView], int]:
        """Return a page of a search, and the number of matches up to `MAX_MATCHES` + 1."""
        documents = DocumentSearch(self._db, query)
        ids = found.newest(documents, query)
        count, newest = len(ids), ids[:MAX_MATCHES]
        if order.is_relevance:
            page = documents.rank(newest, offset, limit)
            scores = dict(page)
            views = self._read([*scores], scores)
            if count > MAX_MATCHES and len(page) < limit:  # older matches are not ranked
                older = found.in_order(items_c.id, index=None).where(items_c.id < newest[-1])
                older = older.order_by(items_c.id.desc()).limit(limit - len(page))
                views = [
                    *views,
                    *self._read(self._ids(older.offset(max(0, offset - MAX_MATCHES)))),
                ]
            return views, count
        if count > MAX_MATCHES and order.is_indexed:
            return self._read(self._page_of_many(found, order, offset, limit)), count
        if count <= MAX_MATCHES:
            filters = evolve(found.filters, search=None, ids=[*map(WorkItemId, ids)])
            found = evolve(found, filters=filters)
        return self._read(self._ids(order.page_of_few(found, offset, limit))), count

    def _page_of_many(
        self, found: _Search, order: _Order, offset: int, limit: int
    ) -> Sequence[int]:
        """Return the ids of a page; items without a time follow those that have one."""
        column = order.nullable
        if column is None:
            return self._ids(order.page_of_many(found, offset, limit))
        ids = self._ids(order.page_of_many(found, offset, limit).where(column.is_not(None)))
        if len(ids) == limit:
            return ids
        before = offset + len(ids)
        if offset and not ids:
            timed = found.matches(items_c.id).where(column.is_not(None)).subquery()
            before = self._db.execute(select(func.count()).select_from(timed)).scalar_one()
        rest = order.page_of_many(found, max(0, offset - before), limit - len(ids))
        return [*ids, *self._ids(rest.where(column.is_(None)))]

    def _ids(self, query: Select[Any]) -> Sequence[int]:
        return self._db.execute(query).scalars().all()

    def list_after(
        self, scope: Scope, filters: WorkItemFilter, after: WorkItemId, *, limit: int
    ) -> Sequence[WorkItemView]:
        """Return the items that match with ids above `after`, by id."""
        found = _Search(self._db, scope, filters)
        query = found.in_order(items_c.id, index=None).where(items_c.id > after)
        return self._read(self._ids(query.order_by(items_c.id).limit(limit)))

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
