"""Members of projects in SQL."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import BigInteger, Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    inserted_id,
    prepare,
)
from workbell.adapters.sql.identity.users import user_from_row
from workbell.adapters.sql.projects.rows import MEMBER_READER, member_from_row
from workbell.adapters.sql.schema.projects import project_members, projects, watchers
from workbell.adapters.sql.schema.tables import users
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.identity.user import UserId, normalise_identifier
from workbell.domain.projects.project import ProjectId, ProjectMember, ProjectRole
from workbell.ports.projects.repository import ProjectMemberView

members_c = project_members.c
_of_project = members_c.project_id == bindparam("project_id", type_=BigInteger)
_of_user = members_c.user_id == bindparam("user_id", type_=BigInteger)
_with_user = project_members.join(users, users.c.id == members_c.user_id)
_FIND = prepare(select(project_members).where(_of_project, _of_user), "project_id", "user_id")
_LIST = PreparedListStatement(
    lambda ids: (
        select(*members_c, *users.c).select_from(_with_user).where(members_c.project_id.in_(ids))
    )
)
_ROLES = select(members_c.user_id, members_c.role).where(
    _of_project, members_c.user_id.in_(bindparam("user_ids", expanding=True))
)
_BY_USERNAME = (
    select(members_c.user_id)
    .select_from(_with_user)
    .where(_of_project, users.c.username_key.in_(bindparam("names", expanding=True)))
    .order_by(members_c.user_id)
)
_ADMINISTERED = prepare(
    select(members_c.project_id)
    .join(projects, projects.c.id == members_c.project_id)
    .where(_of_user, members_c.role == bindparam("role"), projects.c.deleted_at.is_(None))
    .order_by(members_c.project_id),
    "user_id",
    "role",
)
_USER_AT = len(MEMBER_READER.names)


@frozen
class SqlProjectMemberRepository:
    """Members of projects."""

    _db: Connection

    def add(self, member: ProjectMember) -> ProjectMember:
        """Insert a member and return it with its id."""
        try:
            result = self._db.execute(insert(project_members), _values(member))
        except IntegrityError as error:
            raise Conflict("The user is a member already.") from error
        return evolve(member, id=inserted_id(result))

    def find(self, project_id: ProjectId, user_id: UserId) -> ProjectMember | None:
        """Return a user's membership, or None."""
        rows = _FIND.fetch_all(self._db, (project_id, user_id))
        return member_from_row(self._db, rows[0]) if rows else None

    def replace(self, member: ProjectMember) -> None:
        """Update the role of a member."""
        change = (
            update(project_members)
            .where(members_c.project_id == member.project_id, members_c.user_id == member.user_id)
            .values(role=str(member.role))
        )
        if self._db.execute(change).rowcount == 0:
            raise NotFound(f"The user {member.user_id} is not a member.")

    def remove(self, project_id: ProjectId, user_id: UserId) -> bool:
        """Delete a membership and the user's watches in the project; False without one."""
        watches, membership = (
            delete(table).where(table.c.project_id == project_id, table.c.user_id == user_id)
            for table in (watchers, project_members)
        )
        self._db.execute(watches)
        return self._db.execute(membership).rowcount == 1

    def list_of(self, project_ids: Collection[ProjectId]) -> Sequence[ProjectMemberView]:
        """Return the members of projects, by project and time of joining."""
        found = [
            ProjectMemberView(
                member=member_from_row(self._db, row[:_USER_AT]),
                user=user_from_row(self._db, row[_USER_AT:]),
            )
            for row in _LIST.fetch_all(self._db, sorted(set(project_ids)))
        ]
        return sorted(found, key=lambda each: _position(each.member))

    def roles(
        self, project_id: ProjectId, user_ids: Collection[UserId]
    ) -> Mapping[UserId, ProjectRole]:
        """Return the roles of those users who are members."""
        values = {"project_id": project_id, "user_ids": list(user_ids)}
        rows = self._db.execute(_ROLES, values)
        return {UserId(user_id): ProjectRole(role) for user_id, role in rows}

    def by_username(self, project_id: ProjectId, usernames: Collection[str]) -> Sequence[UserId]:
        """Return the members with one of the usernames, by id, regardless of case."""
        names = sorted({normalise_identifier(name) for name in usernames})
        values = {"project_id": project_id, "names": names}
        return self._db.execute(_BY_USERNAME, values).scalars().all()

    def administered_by(self, user_id: UserId) -> Sequence[ProjectId]:
        """Return the projects in which the user has the role ADMIN, by id."""
        rows = _ADMINISTERED.fetch_all(self._db, (user_id, str(ProjectRole.ADMIN)))
        return [ProjectId(project_id) for (project_id,) in rows]


def _values(member: ProjectMember) -> dict[str, Any]:
    values = asdict(member) | {"role": str(member.role)}
    del values["id"]
    return values


def _position(member: ProjectMember) -> tuple[Any, ...]:
    return member.project_id, member.joined_at, member.id
