"""Comments and watchers of work items in memory."""

from collections.abc import Collection, Mapping, Sequence

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.projects.scopes import is_visible_item
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.projects.comment import Comment, CommentId
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.ports.projects.repository import CommentView


@define(eq=False)
class MemoryCommentRepository:
    """Comments, including deleted ones."""

    _tables: Tables

    def add(self, comment: Comment) -> Comment:
        """Insert a comment and return it with its id."""
        stored = evolve(in_utc(comment), id=CommentId(self._tables.comments.next_id()))
        self._tables.comments.put(stored.id, stored)
        return stored

    def get(self, scope: Scope, comment_id: CommentId) -> Comment:
        """Return a comment in the scope that is not deleted."""
        comment = self._tables.comments.get(comment_id)
        if comment is not None and comment.deleted_at is None:
            item = self._tables.work_items.get(comment.work_item_id)
            if item is not None and is_visible_item(self._tables, scope, item):
                return comment
        raise NotFound(f"There is no comment {comment_id}.")

    get_for_update = get

    def find_on_item(self, item_id: WorkItemId, comment_id: CommentId) -> Comment | None:
        """Return a comment on an item, also a deleted one, or None."""
        comment = self._tables.comments.get(comment_id)
        return comment if comment is not None and comment.work_item_id == item_id else None

    def replace(self, comment: Comment) -> None:
        """Update content, edit and deletion time of a comment."""
        stored = self._tables.comments.get(comment.id)
        if stored is None:
            raise NotFound(f"There is no comment {comment.id}.")
        changed = evolve(
            stored,
            content=comment.content,
            edited_at=comment.edited_at,
            deleted_at=comment.deleted_at,
        )
        self._tables.comments.put(comment.id, in_utc(changed))

    def list_page(
        self, item_id: WorkItemId, *, offset: int = 0, limit: int = 100
    ) -> tuple[Sequence[CommentView], int]:
        """Return threads of an item and their number up to the cap."""
        threads: dict[CommentId, list[Comment]] = {}
        for comment in self._tables.comments:
            if comment.work_item_id == item_id:
                threads.setdefault(self._root(comment), []).append(comment)
        page = [*threads.values()][offset : offset + limit]
        users = self._tables.users.rows
        views = [
            CommentView(comment=each, author=users[each.author_id])
            for thread in page
            for each in thread
        ]
        return views, count_rows(threads)

    def contents(self, item_ids: Collection[WorkItemId]) -> Mapping[WorkItemId, Sequence[str]]:
        """Return the contents of the comments on items, by id, without deleted ones."""
        found: dict[WorkItemId, list[str]] = {}
        for comment in self._tables.comments:
            if comment.work_item_id in item_ids and comment.deleted_at is None:
                found.setdefault(comment.work_item_id, []).append(comment.content)
        return found

    def _root(self, comment: Comment) -> CommentId:
        while comment.parent_id is not None:
            comment = self._tables.comments.rows[comment.parent_id]
        return comment.id


@define(eq=False)
class MemoryWatcherRepository:
    """Users who watch work items."""

    _tables: Tables

    def add(self, item: WorkItem, user_id: UserId) -> bool:
        """Let a user watch an item; False if they do already."""
        is_new = (item.id, user_id) not in self._tables.watchers.rows
        self._tables.watchers.put((item.id, user_id), item.project_id)
        return is_new

    def remove(self, item_id: WorkItemId, user_id: UserId) -> bool:
        """Let a user no longer watch an item; False if they did not."""
        was_watching = (item_id, user_id) in self._tables.watchers.rows
        self._tables.watchers.delete((item_id, user_id))
        return was_watching

    def list_of(self, item_id: WorkItemId) -> Sequence[UserId]:
        """Return the users who watch an item, by id."""
        return sorted(user_id for each, user_id in self._tables.watchers.rows if each == item_id)
