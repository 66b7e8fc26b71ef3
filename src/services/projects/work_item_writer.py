"""Writes of tasks, with all that follows from them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.history import shorten_changes
from workbell.domain.projects.rank import rank_between
from workbell.domain.projects.work_item import WorkItem
from workbell.domain.search.document import SearchDocument
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.serialization import Serializer
from workbell.ports.system import Randomness
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.notices import (
    assignment_notices,
    limit_to_readers,
    status_notices,
)
from workbell.services.projects.ranks import make_tail
from workbell.services.projects.requests import NewWorkItem
from workbell.services.projects.sla.clocks import SlaClocks

TEXT_FIELDS = frozenset({"title", "description", "labels"})


@frozen(kw_only=True)
class WorkItemWriter:
    """Inserts, updates and deletes tasks; audits, indexes and notifies, and runs SLA clocks."""

    serializer: Serializer
    randomness: Randomness
    clocks: SlaClocks
    notifier: Notifier

    def add(self, tx: ProjectsTx, actor: Actor, item: WorkItem) -> WorkItem:
        """Insert a task at the end of its board."""
        item = tx.work_items.add(evolve(item, rank=self.last_rank(tx, item.board_id)))
        now = item.created_at
        fields = self.serializer.unstructure(NewWorkItem.of(item))
        changes = {name: [None, value] for name, value in fields.items() if value not in (None, "")}
        changes["version"] = [0, item.version]
        self.audit(tx, actor, "CREATE", item, now, changes)
        tx.search.put(make_document(tx, item))
        item = self.clocks.update(tx, None, item, actor, now)
        self.notifier.notify(tx, *assignment_notices(actor, None, item))
        return item

    def save(
        self,
        tx: ProjectsTx,
        actor: Actor,
        before: WorkItem,
        after: WorkItem,
        now: datetime,
        action: str = "UPDATE",
    ) -> WorkItem:
        """Store the next version of a locked task; an unchanged one is not stored."""
        changes = self.find_changes(before, after)
        if not changes:
            return before
        if after.board_id != before.board_id:
            after = evolve(after, rank=self.last_rank(tx, after.board_id))
        after = after.touched(now)
        tx.work_items.replace(after)
        if after.rank != before.rank:
            changes["position"] = [before.rank, after.rank]
        changes["version"] = [before.version, after.version]
        self.audit(tx, actor, action, after, now, changes)
        if not TEXT_FIELDS.isdisjoint(changes):
            tx.search.put(make_document(tx, after))
        after = self.clocks.update(tx, before, after, actor, now)
        watchers = tx.watchers.list_of(after.id) if "status" in changes else ()
        notices = [
            *assignment_notices(actor, before, after),
            *status_notices(actor, before, after, watchers),
        ]
        self.notifier.notify(tx, *limit_to_readers(tx, notices))
        return after

    def delete(self, tx: ProjectsTx, actor: Actor, item: WorkItem, now: datetime) -> None:
        """Delete a locked task; its row stays for 30 days."""
        tx.work_items.replace(item.delete(now))
        tx.search.delete(item.id)
        self.clocks.cancel(tx, item.id, now)
        self.audit(tx, actor, "DELETE", item, now, {"title": [item.title, None]})

    def find_changes(self, before: WorkItem, after: WorkItem) -> dict[str, Any]:
        """Return the old and the new value of each of the task's own fields that differs."""
        old = self.serializer.unstructure(NewWorkItem.of(before))
        return changed_values(old, self.serializer.unstructure(NewWorkItem.of(after)))

    def last_rank(self, tx: ProjectsTx, board_id: int) -> str:
        """Return a rank after those of a board."""
        last = tx.work_items.end_rank(BoardId(board_id), last=True)
        return rank_between(last, None, make_tail(self.randomness))

    def audit(
        self,
        tx: ProjectsTx,
        actor: Actor,
        action: str,
        item: WorkItem,
        now: datetime,
        changes: Mapping[str, Any],
    ) -> None:
        """Record a command on a task."""
        audit_command(
            tx.audit,
            actor,
            action,
            "task",
            item.id,
            now,
            shorten_changes(changes),
            project_id=item.project_id,
        )


def make_document(tx: ProjectsTx, item: WorkItem) -> SearchDocument:
    """Return the search document of a task, with its comments."""
    comments = tx.comments.contents([item.id]).get(item.id, ()) if item.comment_count else ()
    return SearchDocument(
        id=item.id,
        project_id=item.project_id,
        title=item.title,
        labels="\n".join(item.labels),
        body=item.description,
        comments="\n".join(comments),
    )
