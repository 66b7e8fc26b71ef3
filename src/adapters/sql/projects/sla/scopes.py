"""Condition that a project is in a scope and not deleted."""

from typing import Any

from sqlalchemy import ColumnElement, Select, literal_column, select

from workbell.adapters.sql.schema.projects import project_members, projects
from workbell.domain.identity.actor import Scope

_ONE: Select[Any] = select(literal_column("1"))


def is_visible(scope: Scope, project_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a project is in the scope and not deleted."""
    found = _ONE.where(projects.c.id == project_id, projects.c.deleted_at.is_(None))
    if scope.owner is not None:
        members = _ONE.where(
            project_members.c.project_id == projects.c.id,
            project_members.c.user_id == scope.owner,
        )
        found = found.where(members.exists())
    return found.exists()
