"""Projects, which own boards and tasks, and their members."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, NewType, Self

from attrs import evolve, frozen

from workbell.domain.constraints import NOT_BLANK, Constraints
from workbell.domain.errors import Conflict, Invalid
from workbell.domain.identity.permissions import Relation
from workbell.domain.identity.user import UserId

ProjectId = NewType("ProjectId", int)
ProjectName = Annotated[
    str,
    Constraints(
        min_length=1,
        max_length=255,
        pattern=NOT_BLANK,
        hint="must not be blank",
        example="Website",
    ),
]
MAX_MEMBERS: Final = 1_000
"""How many members a project may have."""


class ProjectArchived(Conflict):
    """The project is archived: restore it before anything in it is changed."""

    code = "project_archived"


class ProjectRole(StrEnum):
    """The role of a member: see `RULES` in domain/identity/permissions.py."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    MEMBER = "MEMBER"

    @property
    def relation(self) -> Relation:
        """The relation of a member with this role to the project."""
        return Relation(f"project {self.value}")


@frozen(kw_only=True)
class Project:
    """
    A group of boards with its own members.

    The owner is a member with the role ADMIN as long as the project exists. An
    archived project is read-only and its SLA clocks are paused.
    """

    id: ProjectId = ProjectId(0)
    name: str
    description: str = ""
    owner_id: UserId
    is_archived: bool = False
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    def check_writable(self) -> None:
        """Raise ProjectArchived if the project is archived."""
        if self.is_archived:
            raise ProjectArchived(f"Project {self.id} is archived; restore it first.")

    def check_removable(self, user_id: UserId) -> None:
        """Raise Invalid if the user is the owner: owners stay members."""
        if user_id == self.owner_id:
            raise Invalid.field("user_id", "is the owner; the owner of a project stays a member")

    def delete(self, now: datetime) -> Self:
        """Return the project as deleted."""
        return evolve(self, deleted_at=now, updated_at=now)


@frozen(kw_only=True)
class ProjectMember:
    """A user's role in a project; unique per project and user."""

    id: int = 0
    project_id: ProjectId
    user_id: UserId
    role: ProjectRole
    joined_at: datetime
