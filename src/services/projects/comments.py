"""Use cases of comments: add, list, edit, delete."""

from collections.abc import Sequence

from attrs import frozen

from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.identity.user import UserId
from workbell.domain.projects.comment import Comment, CommentId, depth_below
from workbell.domain.projects.history import shorten_changes
from workbell.domain.projects.mentions import find_mentions
from workbell.domain.projects.work_item import WorkItem, WorkItemId
from workbell.domain.validation import check_request
from workbell.ports.markdown import Markdown
from workbell.ports.projects.repository import CommentView, ProjectsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.access import (
    get_comment,
    get_reading_scope,
    get_relations_to,
    get_work_item,
)
from workbell.services.projects.notices import (
    comment_notices,
    concerned_users,
    limit_to_readers,
)
from workbell.services.projects.requests import CommentChange, NewComment
from workbell.services.projects.sla.clocks import SlaClocks
from workbell.services.projects.work_item_writer import make_document
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class CommentService:
    """
    Adds, lists, edits and deletes comments on tasks.

    Comments never change the version of their task. Methods raise `NotFound`
    unless the actor may see the project, `NotAllowed` if they may only see it, and
    `ProjectArchived`.
    """

    store: Store[ProjectsTx]
    clock: Clock
    markdown: Markdown
    clocks: SlaClocks
    notifier: Notifier

    @retry_on_contention
    def add(self, actor: Actor, item_id: WorkItemId, new: NewComment) -> CommentView:
        """
        Add a comment to a task, or a reply to one of its comments.

        Raises:
            Invalid: The parent is no comment on this task, or nested 10 deep.
        """
        check_request(new)
        now = self.clock.now()
        with self.store.begin() as tx:
            item = get_work_item(tx, actor, item_id, Action.COMMENT)
            parent = find_parent(tx, item_id, new.parent)
            comment = tx.comments.add(
                Comment(
                    project_id=item.project_id,
                    work_item_id=item_id,
                    author_id=actor.user_id,
                    content=new.content,
                    parent_id=None if parent is None else parent.id,
                    depth=depth_below(parent),
                    created_at=now,
                )
            )
            tx.work_items.count_comment(item_id, 1)
            self._record(tx, actor, "CREATE", comment, None)
            self._index(tx, actor, item_id)
            self.clocks.respond(tx, item, actor, now)
            self._notify(tx, actor, item, comment)
            return CommentView(comment=comment, author=tx.users.get(actor.user_id))

    def list(
        self, actor: Actor, item_id: WorkItemId, offset: int = 0, limit: int = 20
    ) -> tuple[Sequence[CommentView], int]:
        """Return a page of threads on a task, and their number."""
        with self.store.view() as tx:
            get_work_item(tx, actor, item_id, Action.READ_PROJECT)
            return tx.comments.list_page(item_id, offset=offset, limit=limit)

    @retry_on_contention
    def edit(self, actor: Actor, comment_id: CommentId, change: CommentChange) -> CommentView:
        """Replace the content of one of the actor's own comments."""
        check_request(change)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_comment(tx, actor, comment_id, Action.EDIT_COMMENT)
            if change.content != before.content:
                after = before.edit(change.content, now)
                tx.comments.replace(after)
                self._record(tx, actor, "UPDATE", after, before)
                item = self._index(tx, actor, before.work_item_id)
                self._notify(tx, actor, item, after)
                before = after
            return CommentView(comment=before, author=tx.users.get(before.author_id))

    @retry_on_contention
    def delete(self, actor: Actor, comment_id: CommentId) -> None:
        """Delete the content of a comment: one's own, or any as a manager; replies stay."""
        now = self.clock.now()
        with self.store.begin() as tx:
            before = get_comment(tx, actor, comment_id, Action.DELETE_COMMENT)
            after = before.delete(now)
            tx.comments.replace(after)
            tx.work_items.count_comment(before.work_item_id, -1)
            self._record(tx, actor, "DELETE", after, before)
            self._index(tx, actor, before.work_item_id)

    def check_access(self, actor: Actor, comment_id: CommentId, action: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform the action."""
        with self.store.view() as tx:
            comment = tx.comments.get(get_reading_scope(actor), comment_id)
            relations = get_relations_to(tx, actor, comment.project_id)
            check(actor, action, owner=comment.author_id, also=relations)

    def _notify(self, tx: ProjectsTx, actor: Actor, item: WorkItem, comment: Comment) -> None:
        """Notify members whom a comment mentions, and those whom the task concerns."""
        names = find_mentions(self.markdown.plain_texts(comment.content))
        mentioned = tx.project_members.by_username(item.project_id, names) if names else ()
        concerned: Sequence[UserId] = ()
        if comment.edited_at is None:
            concerned = concerned_users(item, tx.watchers.list_of(item.id))
        notices = comment_notices(actor, item, comment, mentioned, concerned)
        self.notifier.notify(tx, *limit_to_readers(tx, notices))

    def _index(self, tx: ProjectsTx, actor: Actor, item_id: WorkItemId) -> WorkItem:
        """Store the search document of a task whose comments have changed."""
        item = tx.work_items.get(get_reading_scope(actor), item_id)
        tx.search.put(make_document(tx, item))
        return item

    def _record(
        self, tx: ProjectsTx, actor: Actor, action: str, after: Comment, before: Comment | None
    ) -> None:
        contents = [before and before.content, None if action == "DELETE" else after.content]
        audit_command(
            tx.audit,
            actor,
            action,
            "comment",
            after.id,
            self.clock.now(),
            shorten_changes({"content": contents, "task": [after.work_item_id] * 2}),
            project_id=after.project_id,
        )


def find_parent(tx: ProjectsTx, item_id: WorkItemId, parent_id: int | None) -> Comment | None:
    """Return the comment to reply to; Invalid if it is not on the task."""
    if parent_id is None:
        return None
    parent = tx.comments.find_on_item(item_id, CommentId(parent_id))
    if parent is None or parent.deleted_at is not None:
        raise Invalid.field("parent", "is not the id of a comment on this task")
    return parent
