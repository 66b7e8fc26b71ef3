"""The activity of projects and tasks: their audit entries."""

from collections.abc import Mapping, Sequence

from attrs import frozen

from workbell.domain.audit.entry import AuditEntry
from workbell.domain.audit.query import AuditFilter
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action
from workbell.domain.identity.user import User, UserId
from workbell.domain.projects.project import ProjectId
from workbell.domain.projects.work_item import WorkItemId
from workbell.ports.projects.repository import ProjectsTx
from workbell.ports.store import Store
from workbell.services.projects.access import get_project, get_work_item


@frozen(kw_only=True)
class ActivityEntry:
    """An audit entry with its user, if that still exists; without address and client."""

    entry: AuditEntry
    user: User | None


@frozen(kw_only=True)
class ActivityService:
    """Lists what was done in a project, or to a task, newest first."""

    store: Store[ProjectsTx]

    def list_of_project(
        self,
        actor: Actor,
        project_id: ProjectId,
        *,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ActivityEntry], int]:
        """Return a page of entries of a project and their number, 0 for a page by id."""
        with self.store.view() as tx:
            get_project(tx, actor, project_id, Action.READ_PROJECT)
            filters = AuditFilter(project_id=project_id)
            return _page(tx, filters, before_id, offset, limit)

    def list_of_task(
        self,
        actor: Actor,
        item_id: WorkItemId,
        *,
        before_id: int | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ActivityEntry], int]:
        """Return a page of entries of a task and their number, 0 for a page by id."""
        with self.store.view() as tx:
            get_work_item(tx, actor, item_id, Action.READ_PROJECT)
            filters = AuditFilter(model_name="task", object_id=str(item_id))
            return _page(tx, filters, before_id, offset, limit)


def _page(
    tx: ProjectsTx, filters: AuditFilter, before_id: int | None, offset: int, limit: int
) -> tuple[Sequence[ActivityEntry], int]:
    total = tx.audit.count(filters) if before_id is None else 0
    found = tx.audit.list_page(filters, before_id=before_id, offset=offset, limit=limit)
    return _with_users(tx, found), total


def _with_users(tx: ProjectsTx, entries: Sequence[AuditEntry]) -> Sequence[ActivityEntry]:
    users: Mapping[UserId, User] = tx.users.find_many({entry.user_id for entry in entries})
    return [ActivityEntry(entry=entry, user=users.get(entry.user_id)) for entry in entries]
