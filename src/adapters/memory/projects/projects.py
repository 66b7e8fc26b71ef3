"""Projects and their members in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import contains_text, count_rows, sort_rows
from workbell.adapters.memory.projects.scopes import is_visible_project
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId, normalise_identifier
from workbell.domain.projects.project import Project, ProjectId, ProjectMember, ProjectRole
from workbell.ports.projects.repository import ProjectFilter, ProjectMemberView, ProjectView

_KEYS: Mapping[str, Callable[[Project], Any]] = {
    "id": lambda project: project.id,
    "created_at": lambda project: project.created_at,
    "updated_at": lambda project: project.updated_at,
    "name": lambda project: project.name,
}


@define(eq=False)
class MemoryProjectRepository:
    """Projects that are not deleted."""

    _tables: Tables

    def add(self, project: Project) -> Project:
        """Insert a project and return it with its id."""
        stored = evolve(in_utc(project), id=ProjectId(self._tables.projects.next_id()))
        self._tables.projects.put(stored.id, stored)
        return stored

    def get(self, scope: Scope, project_id: ProjectId) -> Project:
        """Return a project in the scope."""
        project = self._tables.projects.get(project_id)
        if project is None or not is_visible_project(self._tables, scope, project_id):
            raise NotFound(f"There is no project {project_id}.")
        return project

    get_for_update = get_for_write = get

    def replace(self, project: Project) -> None:
        """Update a project."""
        if self._tables.projects.get(project.id) is None:
            raise NotFound(f"There is no project {project.id}.")
        self._tables.projects.put(project.id, in_utc(project))

    def view(self, scope: Scope, project_id: ProjectId) -> ProjectView:
        """Return one project with its numbers."""
        return self._view(self.get(scope, project_id))

    def list_page(
        self,
        scope: Scope,
        filters: ProjectFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[ProjectView], int]:
        """Return a page of projects, and their number up to `COUNT_CAP` + 1."""
        found = [
            project
            for project in self._tables.projects
            if is_visible_project(self._tables, scope, project.id)
            and filters.is_archived in {None, project.is_archived}
            and contains_text(project.name, filters.search)
        ]
        page = sort_rows(found, ordering, _KEYS)[offset : offset + limit]
        return [self._view(each) for each in page], count_rows(found)

    def _view(self, project: Project) -> ProjectView:
        boards = [
            board
            for board in self._tables.boards
            if board.project_id == project.id and board.deleted_at is None
        ]
        members = [each for each in self._tables.project_members if each.project_id == project.id]
        return ProjectView(
            project=project,
            owner=self._tables.users.rows[project.owner_id],
            board_count=len(boards),
            member_count=len(members),
        )


@define(eq=False)
class MemoryProjectMemberRepository:
    """Members of projects."""

    _tables: Tables

    def add(self, member: ProjectMember) -> ProjectMember:
        """Insert a member and return it with its id."""
        if self.find(member.project_id, member.user_id) is not None:
            raise Conflict("The user is a member already.")
        stored = evolve(in_utc(member), id=self._tables.project_members.next_id())
        self._tables.project_members.put((stored.project_id, stored.user_id), stored)
        return stored

    def find(self, project_id: ProjectId, user_id: UserId) -> ProjectMember | None:
        """Return a user's membership, or None."""
        return self._tables.project_members.get((project_id, user_id))

    def replace(self, member: ProjectMember) -> None:
        """Update the role of a member."""
        stored = self.find(member.project_id, member.user_id)
        if stored is None:
            raise NotFound(f"The user {member.user_id} is not a member.")
        changed = evolve(stored, role=member.role)
        self._tables.project_members.put((stored.project_id, stored.user_id), changed)

    def remove(self, project_id: ProjectId, user_id: UserId) -> bool:
        """Delete a membership and the user's watches in the project; False without one."""
        for key, watched_in in [*self._tables.watchers.rows.items()]:
            if watched_in == project_id and key[1] == user_id:
                self._tables.watchers.delete(key)
        was_member = self.find(project_id, user_id) is not None
        self._tables.project_members.delete((project_id, user_id))
        return was_member

    def list_of(self, project_ids: Collection[ProjectId]) -> Sequence[ProjectMemberView]:
        """Return the members of projects, by project and time of joining."""
        members = [m for m in self._tables.project_members if m.project_id in project_ids]
        members.sort(key=lambda member: (member.project_id, member.joined_at, member.id))
        users = self._tables.users.rows
        return [ProjectMemberView(member=each, user=users[each.user_id]) for each in members]

    def roles(
        self, project_id: ProjectId, user_ids: Collection[UserId]
    ) -> Mapping[UserId, ProjectRole]:
        """Return the roles of those users who are members."""
        found = (self.find(project_id, user_id) for user_id in user_ids)
        return {member.user_id: member.role for member in found if member is not None}

    def by_username(self, project_id: ProjectId, usernames: Collection[str]) -> Sequence[UserId]:
        """Return the members with one of the usernames, by id, regardless of case."""
        names = {normalise_identifier(name) for name in usernames}
        users = (
            self._tables.users.get(user_id) for _, user_id in self._tables.project_members.rows
        )
        found = {u.id for u in users if u and normalise_identifier(u.username) in names}
        return sorted(each for each in found if self.find(project_id, each) is not None)

    def administered_by(self, user_id: UserId) -> Sequence[ProjectId]:
        """Return the projects in which the user has the role ADMIN, by id."""
        scope = Scope(owner=user_id)
        return sorted(
            member.project_id
            for member in self._tables.project_members
            if member.user_id == user_id
            and member.role is ProjectRole.ADMIN
            and is_visible_project(self._tables, scope, member.project_id)
        )
