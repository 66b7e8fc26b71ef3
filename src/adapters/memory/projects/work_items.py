"""Work items in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows, in_range, sort_rows
from workbell.adapters.memory.projects.comments import (
    MemoryCommentRepository,
    MemoryWatcherRepository,
)
from workbell.adapters.memory.projects.scopes import is_visible_item
from workbell.adapters.memory.search import score_match
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.work_item import (
    WorkItem,
    WorkItemId,
    WorkItemPriority,
    WorkItemStatus,
)
from workbell.domain.search.document import SearchDocument
from workbell.domain.search.query import MAX_MATCHES
from workbell.ports.projects.repository import RankTaken, WorkItemFilter, WorkItemView

_STATUSES, _PRIORITIES = tuple(WorkItemStatus), tuple(WorkItemPriority)
_KEYS: Mapping[str, Callable[[WorkItem], Any]] = {
    "id": lambda item: item.id,
    "position": lambda item: (item.board_id, item.rank),
    "status": lambda item: _STATUSES.index(item.status),
    "priority": lambda item: _PRIORITIES.index(item.priority),
    "title": lambda item: item.title,
    "due_date": lambda item: item.due_date,
    "sla_due_at": lambda item: item.sla_due_at,
    "created_at": lambda item: item.created_at,
    "updated_at": lambda item: item.updated_at,
}


@define(eq=False)
class MemoryWorkItemRepository:
    """Work items that are not deleted, on boards and in projects that are not deleted."""

    _tables: Tables

    def add(self, item: WorkItem) -> WorkItem:
        """Insert an item and return it with its id."""
        self._check_rank(item)
        stored = evolve(_stored(item), id=WorkItemId(self._tables.work_items.next_id()))
        self._tables.work_items.put(stored.id, stored)
        return stored

    def get(self, scope: Scope, item_id: WorkItemId) -> WorkItem:
        """Return an item in the scope."""
        item = self._tables.work_items.get(item_id)
        if item is None or not is_visible_item(self._tables, scope, item):
            raise NotFound(f"There is no task {item_id}.")
        return item

    get_for_update = get

    def lock_many(self, scope: Scope, item_ids: Collection[WorkItemId]) -> Sequence[WorkItem]:
        """Return those of the items that are in the scope, by id."""
        found = (self._tables.work_items.get(item_id) for item_id in sorted(set(item_ids)))
        return [item for item in found if item and is_visible_item(self._tables, scope, item)]

    def replace(self, item: WorkItem) -> None:
        """Update an item, except comment count and SLA columns."""
        stored = self._one(item.id)
        self._check_rank(item)
        changed = evolve(
            _stored(item),
            comment_count=stored.comment_count,
            is_sla_breached=stored.is_sla_breached,
            sla_due_at=stored.sla_due_at,
        )
        self._tables.work_items.put(item.id, changed)

    def move(self, item_id: WorkItemId, rank: str) -> None:
        """Update the rank of an item, and nothing else."""
        moved = evolve(self._one(item_id), rank=rank)
        self._check_rank(moved)
        self._tables.work_items.put(item_id, moved)

    def set_sla(self, item_id: WorkItemId, due_at: datetime | None, *, is_breached: bool) -> None:
        """Update the SLA columns of an item, and nothing else."""
        item = evolve(self._one(item_id), sla_due_at=due_at, is_sla_breached=is_breached)
        self._tables.work_items.put(item_id, in_utc(item))

    def count_comment(self, item_id: WorkItemId, change: int) -> None:
        """Add to the comment count of an item."""
        item = self._one(item_id)
        counted = evolve(item, comment_count=item.comment_count + change)
        self._tables.work_items.put(item_id, counted)

    def find_on_board(self, board_id: BoardId, item_id: WorkItemId) -> WorkItem | None:
        """Return an item of a board, also a deleted one, or None."""
        item = self._tables.work_items.get(item_id)
        return item if item is not None and item.board_id == board_id else None

    def neighbour_ranks(self, board_id: BoardId, rank: str) -> tuple[str | None, str | None]:
        """Return the ranks before and after a rank on a board."""
        ranks = [item.rank for item in self._on_board(board_id)]
        before = max((each for each in ranks if each < rank), default=None)
        return before, min((each for each in ranks if each > rank), default=None)

    def end_rank(self, board_id: BoardId, *, last: bool) -> str | None:
        """Return the first or last rank of a board; None if it is empty."""
        ranks = [item.rank for item in self._on_board(board_id)]
        return ranks[-1 if last else 0] if ranks else None

    def ids_by_rank(self, board_id: BoardId) -> Sequence[WorkItemId]:
        """Return the ids of a board's items in order."""
        return [item.id for item in self._on_board(board_id)]

    def replace_ranks(self, board_id: BoardId, ranks: Mapping[WorkItemId, str]) -> None:
        """Update the ranks of items of a board."""
        items = self._on_board(board_id)
        after = [evolve(item, rank=ranks.get(item.id, item.rank)) for item in items]
        if len({item.rank for item in after}) < len(after):
            raise RankTaken("Another task of the board has one of the ranks.")
        for item in after:
            self._tables.work_items.put(item.id, item)

    def view(self, scope: Scope, item_id: WorkItemId) -> WorkItemView:
        """Return one item with its people."""
        return self._view(self.get(scope, item_id))

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
        scores = self._matching(scope, filters)
        found = [self._tables.work_items.rows[item_id] for item_id in scores]
        if "relevance" in {name.removeprefix("-") for name in ordering}:
            found.sort(key=lambda item: -item.id)
            for older in found[MAX_MATCHES:]:
                scores[older.id] = 0.0
            found[:MAX_MATCHES] = sorted(found[:MAX_MATCHES], key=lambda item: -scores[item.id])
            page = [self._view(each, scores[each.id]) for each in found[offset : offset + limit]]
        else:
            found = sort_rows(found, ordering, _KEYS)
            page = [self._view(each) for each in found[offset : offset + limit]]
        count = count_rows(found)
        return page, count if filters.search is None else min(count, MAX_MATCHES + 1)

    def list_after(
        self, scope: Scope, filters: WorkItemFilter, after: WorkItemId, *, limit: int
    ) -> Sequence[WorkItemView]:
        """Return the items that match with ids above `after`, by id."""
        ids = sorted(id_ for id_ in self._matching(scope, filters) if id_ > after)
        return [self._view(self._tables.work_items.rows[item_id]) for item_id in ids[:limit]]

    def list_search_documents(self, *, after: int, limit: int) -> Sequence[SearchDocument]:
        """Return the documents of items with ids above `after`, in order of their ids."""
        found = [
            item
            for item in self._tables.work_items
            if item.id > after and is_visible_item(self._tables, ALL_OWNERS, item)
        ][:limit]
        contents = MemoryCommentRepository(self._tables).contents([item.id for item in found])
        return [
            SearchDocument(
                id=item.id,
                project_id=item.project_id,
                title=item.title,
                labels="\n".join(item.labels),
                body=item.description,
                comments="\n".join(contents.get(item.id, ())),
            )
            for item in found
        ]

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete items that were deleted before a time, with what belongs to them."""
        items = ((item.deleted_at, item.id) for item in self._tables.work_items)
        old = sorted((at, item_id) for at, item_id in items if at is not None and at < before)
        ids = {item_id for _, item_id in old[:limit]}
        for item_id in ids:
            self._tables.work_items.delete(item_id)
            self._tables.search_documents.delete(item_id)
        for comment in [each for each in self._tables.comments if each.work_item_id in ids]:
            self._tables.comments.delete(comment.id)
        for key in [key for key in self._tables.watchers.rows if key[0] in ids]:
            self._tables.watchers.delete(key)
        return len(ids)

    def _matching(self, scope: Scope, filters: WorkItemFilter) -> dict[WorkItemId, float]:
        """Return the scores of the items that match; 0 without a search."""
        found = {
            item.id: self._score(filters, item)
            for item in self._tables.work_items
            if is_visible_item(self._tables, scope, item) and _matches(filters, item)
        }
        return {item_id: score for item_id, score in found.items() if score is not None}

    def _score(self, filters: WorkItemFilter, item: WorkItem) -> float | None:
        if filters.search is None:
            return 0.0
        return score_match(filters.search, self._tables.search_documents.get(item.id))

    def _view(self, item: WorkItem, score: float = 0.0) -> WorkItemView:
        users = self._tables.users.rows
        return WorkItemView(
            item=item,
            reporter=users[item.reporter_id],
            assignee=None if item.assignee_id is None else users[item.assignee_id],
            watchers=tuple(MemoryWatcherRepository(self._tables).list_of(item.id)),
            score=score,
        )

    def _one(self, item_id: WorkItemId) -> WorkItem:
        if (item := self._tables.work_items.get(item_id)) is None:
            raise NotFound(f"There is no task {item_id}.")
        return item

    def _on_board(self, board_id: int) -> Sequence[WorkItem]:
        items = (item for item in self._tables.work_items if item.board_id == board_id)
        return sorted(items, key=lambda item: item.rank)

    def _check_rank(self, item: WorkItem) -> None:
        for other in self._tables.work_items:
            if (other.board_id, other.rank) == (item.board_id, item.rank) and other.id != item.id:
                raise RankTaken(f"Another task of the board has the rank {item.rank!r}.")


def _stored(item: WorkItem) -> WorkItem:
    """Return an item as a database round trip would."""
    hours = item.estimated_hours
    if hours is not None:
        hours = Decimal(hours).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return evolve(in_utc(item), labels=tuple(item.labels), estimated_hours=hours)


def _matches(filters: WorkItemFilter, item: WorkItem) -> bool:
    exact = ("board_id", "project_id", "assignee_id", "reporter_id", "is_sla_breached")
    among = {"id": filters.ids, "status": filters.statuses, "priority": filters.priorities}
    return (
        all(getattr(filters, name) in {None, getattr(item, name)} for name in exact)
        and all(some is None or getattr(item, name) in some for name, some in among.items())
        and (filters.label is None or filters.label in item.labels)
        and in_range(item.due_date, filters.due_from, filters.due_to)
    )
