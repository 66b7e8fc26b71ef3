"""Conditions on rows of projects: in a scope, and not deleted."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
)

from workbell.adapters.sql.database.filters import equals_number
from workbell.adapters.sql.schema.projects import boards, project_members, projects
from workbell.domain.identity.actor import Scope
from workbell.domain.projects.board import BoardId
from workbell.domain.projects.project import ProjectId

MEMBER = "member"
"""The parameter of the conditions; its value is that of `member_of`."""
_EVERYONE = -1
_ONE: Select[Any] = select(literal_column("1"))
_EXISTING = and_(boards.c.deleted_at.is_(None), projects.c.deleted_at.is_(None))
_board_in_project = projects.c.id == boards.c.project_id


def member_of(scope: Scope) -> int:
    """Return the value of the parameter `MEMBER`."""
    return _EVERYONE if scope.owner is None else scope.owner


def is_member(project_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the owner of the scope is a member of a project."""
    member = bindparam(MEMBER, type_=BigInteger)
    found = _ONE.where(
        project_members.c.project_id == project_id, project_members.c.user_id == member
    )
    return or_(member == literal_column(str(_EVERYONE)), found.exists())


def is_visible_project(project_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a project is in the scope and not deleted."""
    conditions = (projects.c.id == project_id, projects.c.deleted_at.is_(None))
    return _ONE.where(*conditions, is_member(projects.c.id)).exists()


def is_visible_board(board_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a board is in the scope and not deleted, nor its project."""
    found = _ONE.select_from(boards.join(projects, _board_in_project))
    return found.where(boards.c.id == board_id, _EXISTING, is_member(projects.c.id)).exists()


def visible_boards(
    scope: Scope, *, board_id: BoardId | None = None, project_id: ProjectId | None = None
) -> Select[int]:
    """Return the query for the ids of boards in a scope, also of one board or project only."""
    joined = boards.join(projects, _board_in_project)
    query = select(boards.c.id).where(_EXISTING)
    if scope.owner is not None:
        joined = joined.join(project_members, project_members.c.project_id == projects.c.id)
        query = query.where(equals_number(project_members.c.user_id, scope.owner))
    if board_id is not None:
        query = query.where(equals_number(boards.c.id, board_id))
    if project_id is not None:
        query = query.where(equals_number(boards.c.project_id, project_id))
    return query.select_from(joined)
