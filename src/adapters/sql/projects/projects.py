"""Projects in SQL."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    insert,
    select,
    update,
)

from workbell.adapters.sql.database.filters import contains_text, count_rows, equals, order_by
from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    PreparedStatement,
    inserted_id,
    prepare,
)
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.identity.users import user_from_row
from workbell.adapters.sql.projects.rows import PROJECT_READER, project_from_row
from workbell.adapters.sql.projects.scopes import MEMBER, is_member, member_of
from workbell.adapters.sql.schema.projects import boards, project_members, projects
from workbell.adapters.sql.schema.tables import users
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.project import Project, ProjectId
from workbell.ports.projects.repository import ProjectFilter, ProjectView

projects_c = projects.c
_EXISTS = projects_c.deleted_at.is_(None)
_ONE = select(projects).where(
    projects_c.id == bindparam("project_id"), _EXISTS, is_member(projects_c.id)
)
_PROJECT = prepare(_ONE, "project_id", MEMBER)
_PROJECT_LOCKED = prepare(_ONE.with_for_update(), "project_id", MEMBER)
_PROJECT_SHARED = prepare(_ONE.with_for_update(read=True), "project_id", MEMBER)
_key = bindparam("key", type_=BigInteger)
_EXCLUSIVELY = prepare(select(func.pg_advisory_xact_lock(_key)), "key")
_SHARED = prepare(select(func.pg_advisory_xact_lock_shared(_key)), "key")
_board_count = (
    select(func.count())
    .select_from(boards)
    .where(boards.c.project_id == projects_c.id, boards.c.deleted_at.is_(None))
)
_member_count = (
    select(func.count())
    .select_from(project_members)
    .where(project_members.c.project_id == projects_c.id)
)
_views: Select[Any] = select(
    *projects_c, *users.c, _board_count.scalar_subquery(), _member_count.scalar_subquery()
).join(users, users.c.id == projects_c.owner_id)
_VIEWS = PreparedListStatement(lambda ids: _views.where(projects_c.id.in_(ids), _EXISTS))
_USER_AT = len(PROJECT_READER.names)
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {
    name: projects_c[name] for name in ("id", "created_at", "updated_at", "name")
}


@frozen
class SqlProjectRepository:
    """Projects that are not deleted."""

    _db: Connection
    _strategy: Strategy

    def add(self, project: Project) -> Project:
        """Insert a project and return it with its id."""
        result = self._db.execute(insert(projects), _values(project))
        return evolve(project, id=ProjectId(inserted_id(result)))

    def get(self, scope: Scope, project_id: ProjectId) -> Project:
        """Return a project in the scope."""
        return self._one(_PROJECT, scope, project_id)

    def get_for_update(self, scope: Scope, project_id: ProjectId) -> Project:
        """Lock and return a project in the scope."""
        self._queue(_EXCLUSIVELY, project_id)
        return self._one(_PROJECT_LOCKED, scope, project_id)

    def get_for_write(self, scope: Scope, project_id: ProjectId) -> Project:
        """Return a project in the scope; on servers, hold a shared lock on its row."""
        self._queue(_SHARED, project_id)
        return self._one(_PROJECT_SHARED, scope, project_id)

    def replace(self, project: Project) -> None:
        """Update a project, whose row is locked."""
        change = update(projects).where(projects_c.id == project.id)
        if self._db.execute(change, _values(project)).rowcount == 0:
            raise NotFound(f"There is no project {project.id}.")

    def view(self, scope: Scope, project_id: ProjectId) -> ProjectView:
        """Return one project with its numbers."""
        project = self.get(scope, project_id)
        for view in self._views([project.id]):
            return view
        raise NotFound(f"There is no project {project_id}.")

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
        conditions = list(_conditions(scope, filters))
        query = select(projects_c.id).where(*conditions).order_by(*order_by(ordering, _ORDERINGS))
        ids = self._db.execute(query.offset(offset).limit(limit)).scalars().all()
        total = self._db.execute(count_rows(projects, *conditions)).scalar_one()
        return self._views(ids), total

    def _views(self, ids: Sequence[int]) -> Sequence[ProjectView]:
        """Return projects with their numbers, in the order of the ids."""
        found: dict[int, ProjectView] = {}
        for row in _VIEWS.fetch_all(self._db, ids):
            project = project_from_row(self._db, row[:_USER_AT])
            found[project.id] = ProjectView(
                project=project,
                owner=user_from_row(self._db, row[_USER_AT:-2]),
                board_count=row[-2],
                member_count=row[-1],
            )
        return [found[each] for each in ids if each in found]

    def _queue(self, lock: PreparedStatement, project_id: ProjectId) -> None:
        """
        Wait for earlier requests for the project's row, on PostgreSQL.

        There, transactions that share a row's lock overtake one that waits to lock
        it alone, which might never get it; advisory locks are granted in order.
        """
        if self._strategy.queues_row_locks:
            lock.fetch_all(self._db, (-project_id,))

    def _one(self, query: PreparedStatement, scope: Scope, project_id: ProjectId) -> Project:
        rows = query.fetch_all(self._db, (project_id, member_of(scope)))
        if not rows:
            raise NotFound(f"There is no project {project_id}.")
        return project_from_row(self._db, rows[0])


def _values(project: Project) -> dict[str, Any]:
    values = asdict(project)
    del values["id"]
    return values


def _conditions(scope: Scope, filters: ProjectFilter) -> Iterator[ColumnElement[bool]]:
    yield _EXISTS
    yield from equals(projects_c.is_archived, filters.is_archived)
    if filters.search is not None:
        yield contains_text(projects_c.name, filters.search)
    if scope.owner is not None:
        member = project_members.c.user_id == scope.owner
        yield projects_c.id.in_(select(project_members.c.project_id).where(member))
