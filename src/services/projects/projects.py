"""Use cases of projects: create, list, change, archive, delete."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import LOGIN_REQUIRED, Action, check
from workbell.domain.projects.project import Project, ProjectId, ProjectMember, ProjectRole
from workbell.domain.validation import check_request
from workbell.ports.projects.repository import (
    ProjectFilter,
    ProjectMemberView,
    ProjectsTx,
    ProjectView,
)
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, changed_values
from workbell.services.projects.access import check_relation, get_project, get_reading_scope
from workbell.services.projects.requests import NewProject, ProjectChange
from workbell.services.projects.sla.clocks import SlaClocks
from workbell.services.transaction_retry import retry_on_contention


@frozen(kw_only=True)
class ProjectDetail:
    """A project with its numbers and its members."""

    view: ProjectView
    members: Sequence[ProjectMemberView]


@frozen(kw_only=True)
class ProjectService:
    """
    Creates, lists, changes, archives and deletes projects.

    Methods that take a project id raise `NotFound` unless the actor may see the
    project, and `NotAllowed` if they may only see it.
    """

    store: Store[ProjectsTx]
    clock: Clock
    serializer: Serializer
    clocks: SlaClocks

    @retry_on_contention
    def create(self, actor: Actor, new: NewProject) -> ProjectDetail:
        """Create a project that the actor owns, with the role ADMIN."""
        check(actor, Action.MAKE_PROJECT, LOGIN_REQUIRED)
        check_request(new)
        now = self.clock.now()
        with self.store.begin() as tx:
            project = tx.projects.add(
                Project(
                    name=new.name,
                    description=new.description,
                    owner_id=actor.user_id,
                    created_at=now,
                    updated_at=now,
                )
            )
            tx.project_members.add(
                ProjectMember(
                    project_id=project.id,
                    user_id=actor.user_id,
                    role=ProjectRole.ADMIN,
                    joined_at=now,
                )
            )
            changes = {"name": [None, new.name], "description": [None, new.description]}
            audit_project(tx, actor, "CREATE", project, now, changes)
            return self._detail(tx, actor, project.id)

    def list(
        self,
        actor: Actor,
        filters: ProjectFilter,
        ordering: Sequence[str],
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ProjectDetail], int]:
        """Return a page of the projects that the actor may see, and their number."""
        with self.store.view() as tx:
            views, total = tx.projects.list_page(
                get_reading_scope(actor), filters, ordering=ordering, offset=offset, limit=limit
            )
            members = tx.project_members.list_of([view.project.id for view in views])
        by_project: dict[ProjectId, list[ProjectMemberView]] = {}
        for member in members:
            by_project.setdefault(member.member.project_id, []).append(member)
        details = [
            ProjectDetail(view=view, members=by_project.get(view.project.id, [])) for view in views
        ]
        return details, total

    def get(self, actor: Actor, project_id: ProjectId) -> ProjectDetail:
        """Return a project."""
        with self.store.view() as tx:
            get_project(tx, actor, project_id, Action.READ_PROJECT)
            return self._detail(tx, actor, project_id)

    def check_access(self, actor: Actor, project_id: ProjectId, *actions: Action) -> None:
        """Raise NotFound or NotAllowed unless the actor may perform one of the actions."""
        with self.store.view() as tx:
            check_relation(tx, actor, project_id, *actions)

    @retry_on_contention
    def change(
        self, actor: Actor, project_id: ProjectId, updates: Mapping[str, Any]
    ) -> ProjectDetail:
        """
        Change the given fields of a project, archive it or restore it.

        Raises:
            Invalid: A field is wrong.
            ProjectArchived: It is archived, and the change does not restore it.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            before = check_relation(tx, actor, project_id, Action.MANAGE_PROJECT, lock=True)
            old = self.serializer.unstructure(ProjectChange.of(before))
            change = self.serializer.structure({**old, **updates}, ProjectChange)
            if change.is_archived:
                before.check_writable()
            changes = changed_values(old, self.serializer.unstructure(change))
            if changes:
                self._save(tx, actor, before, change, changes, now)
            return self._detail(tx, actor, project_id)

    @retry_on_contention
    def delete(self, actor: Actor, project_id: ProjectId) -> None:
        """
        Delete a project with everything in it.

        Raises:
            ProjectArchived: It is archived: restore it first.
        """
        now = self.clock.now()
        with self.store.begin() as tx:
            project = get_project(tx, actor, project_id, Action.MANAGE_PROJECT, lock=True)
            self.clocks.pause_project(tx, project_id, now)
            tx.projects.replace(project.delete(now))
            audit_project(tx, actor, "DELETE", project, now, {"name": [project.name, None]})

    def _save(
        self,
        tx: ProjectsTx,
        actor: Actor,
        before: Project,
        change: ProjectChange,
        changes: Mapping[str, Any],
        now: datetime,
    ) -> None:
        """Store a change with its audit entry; archiving pauses the SLA clocks."""
        after = evolve(
            before,
            name=change.name,
            description=change.description,
            is_archived=change.is_archived,
            updated_at=now,
        )
        tx.projects.replace(after)
        action = "UPDATE"
        if after.is_archived:
            action = "ARCHIVE"
            self.clocks.pause_project(tx, before.id, now)
        elif before.is_archived:
            action = "RESTORE"
            self.clocks.resume_project(tx, before.id, now)
        audit_project(tx, actor, action, after, now, changes)

    def _detail(self, tx: ProjectsTx, actor: Actor, project_id: ProjectId) -> ProjectDetail:
        view = tx.projects.view(get_reading_scope(actor), project_id)
        return ProjectDetail(view=view, members=tx.project_members.list_of([project_id]))


def audit_project(
    tx: ProjectsTx,
    actor: Actor,
    action: str,
    project: Project,
    now: datetime,
    changes: Mapping[str, Any],
) -> None:
    """Record a command on a project."""
    audit_command(
        tx.audit, actor, action, "project", project.id, now, changes, project_id=project.id
    )
