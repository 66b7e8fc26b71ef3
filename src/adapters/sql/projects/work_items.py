"""Work items in SQL: rows and locks."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import BigInteger, Connection, Integer, bindparam, delete, insert, select, update

from workbell.adapters.sql.database.column_types import instant_writer
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    chunks,
    inserted_id,
    prepare,
    row_to_dict,
)
from workbell.adapters.sql.projects.errors import checking_rank
from workbell.adapters.sql.projects.rows import (
    STATUS_NUMBERS,
    find_contents,
    item_from_row,
    item_from_values,
    item_values,
    read_visible,
)
from workbell.adapters.sql.projects.scopes import MEMBER, is_visible_board, member_of
from workbell.adapters.sql.schema.projects import work_item_labels, work_items
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.domain.search.document import SearchDocument
from workbell.ports.search import SearchRepository

items_c, labels_c = work_items.c, work_item_labels.c
_EXISTS = items_c.deleted_at.is_(None)
_by_id = items_c.id == bindparam("item_id", type_=BigInteger)
_visible = select(work_items).where(_EXISTS, is_visible_board(items_c.board_id))
_ITEM_LOCKED = prepare(_visible.where(_by_id).with_for_update(), "item_id", MEMBER)
_SET_SLA = prepare(
    update(work_items)
    .where(_by_id)
    .values(sla_due_at=bindparam("due_at"), is_sla_breached=bindparam("is_breached")),
    *("due_at", "is_breached", "item_id"),
)
_COUNT_COMMENT = prepare(
    update(work_items)
    .where(_by_id)
    .values(comment_count=items_c.comment_count + bindparam("change", type_=Integer)),
    *("change", "item_id"),
)
_ON_BOARD = prepare(
    select(work_items).where(items_c.board_id == bindparam("board_id", type_=BigInteger), _by_id),
    *("board_id", "item_id"),
)
_LABELS = prepare(
    select(labels_c.label, labels_c.board_id, labels_c.status).where(
        labels_c.work_item_id == bindparam("item_id")
    ),
    "item_id",
)
_DELETED = prepare(
    select(items_c.id)
    .where(items_c.deleted_at < bindparam("before"))
    .order_by(items_c.deleted_at, items_c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(skip_locked=True),
    *("before", "limit"),
)
_NEXT = prepare(
    _visible.where(items_c.id > bindparam("after", type_=BigInteger))
    .order_by(items_c.id)
    .limit(bindparam("limit", type_=Integer)),
    *(MEMBER, "after", "limit"),
)
_SLA_AND_COMMENTS = ("comment_count", "is_sla_breached", "sla_due_at")


@frozen(slots=False)
class WorkItemWrites:
    """Statements that write and lock items."""

    _db: Connection
    _search: SearchRepository

    def add(self, item: WorkItem) -> WorkItem:
        """Insert an item and return it with its id."""
        with checking_rank(item.rank):
            result = self._db.execute(insert(work_items), item_values(item))
        stored = evolve(item, id=WorkItemId(inserted_id(result)))
        self._write_labels(stored)
        return stored

    def get_for_update(self, scope: Scope, item_id: WorkItemId) -> WorkItem:
        """Lock and return an item in the scope."""
        return read_visible(self._db, _ITEM_LOCKED, item_id, member_of(scope))

    def lock_many(self, scope: Scope, item_ids: Collection[WorkItemId]) -> Sequence[WorkItem]:
        """Lock those of the items that are in the scope, in the order of their ids."""
        found: list[WorkItem] = []
        for ids in chunks(sorted(set(item_ids))):
            rows = _visible.where(items_c.id.in_(ids)).order_by(items_c.id).with_for_update()
            result = self._db.execute(rows, {MEMBER: member_of(scope)})
            found += [item_from_values(row_to_dict(row)) for row in result]
        return found

    def replace(self, item: WorkItem) -> None:
        """Update an item, except comment count and SLA columns; its row is locked."""
        values = item_values(item)
        for name in _SLA_AND_COMMENTS:
            del values[name]
        change = update(work_items).where(items_c.id == item.id)
        with checking_rank(item.rank):
            count = self._db.execute(change, values).rowcount
        if count == 0:
            raise NotFound(f"There is no task {item.id}.")
        self._write_labels(item, _LABELS.fetch_all(self._db, (item.id,)))

    def set_sla(self, item_id: WorkItemId, due_at: datetime | None, *, is_breached: bool) -> None:
        """Update the SLA columns of an item, and nothing else."""
        due = instant_writer(self._db.dialect)(due_at)
        self._execute_for_one(_SET_SLA, due, is_breached, item_id)

    def count_comment(self, item_id: WorkItemId, change: int) -> None:
        """Add to the comment count of an item, in one statement."""
        self._execute_for_one(_COUNT_COMMENT, change, item_id)

    def find_on_board(self, board_id: int, item_id: WorkItemId) -> WorkItem | None:
        """Return an item of a board, also a deleted one, or None."""
        rows = _ON_BOARD.fetch_all(self._db, (board_id, item_id))
        return item_from_row(self._db, rows[0]) if rows else None

    def list_search_documents(self, *, after: int, limit: int) -> Sequence[SearchDocument]:
        """Return the documents of items with ids above `after`, in order of their ids."""
        rows = _NEXT.fetch_all(self._db, (member_of(Scope(owner=None)), after, limit))
        items = [item_from_row(self._db, row) for row in rows]
        contents = find_contents(self._db, [item.id for item in items])
        return [
            SearchDocument(
                id=item.id,
                project_id=item.project_id,
                title=item.title,
                labels="\n".join(item.labels),
                body=item.description,
                comments="\n".join(contents.get(item.id, ())),
            )
            for item in items
        ]

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete items that were deleted before a time, with what belongs to them."""
        moment = instant_writer(self._db.dialect)(before)
        ids = [item_id for (item_id,) in _DELETED.fetch_all(self._db, (moment, limit))]
        for part in chunks(ids):
            for item_id in part:
                self._search.delete(item_id)
            self._db.execute(delete(work_items).where(items_c.id.in_(part)))
        return len(ids)

    def _execute_for_one(self, query: PreparedStatement, *values: Any) -> None:
        if query.execute(self._db, values).rowcount == 0:
            raise NotFound(f"There is no task {values[-1]}.")

    def _write_labels(self, item: WorkItem, before: Collection[Any] = ()) -> None:
        """Write the rows of an item's labels, unless they are those of before."""
        status = STATUS_NUMBERS[item.status]
        labels = set(item.labels) if item.deleted_at is None else set[str]()
        after = {(label, item.board_id, status) for label in labels}
        if after == set(before):
            return
        if before:
            self._db.execute(delete(work_item_labels).where(labels_c.work_item_id == item.id))
        names = ("label", "board_id", "status")
        rows = [{"work_item_id": item.id, **dict(zip(names, row, strict=True))} for row in after]
        if rows:
            self._db.execute(insert(work_item_labels), rows)
