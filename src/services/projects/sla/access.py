"""Access to calendars and policies: visibility first, then permission."""

from collections.abc import Mapping
from typing import Any

from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check_key
from workbell.domain.projects.project import Project, ProjectId
from workbell.domain.projects.sla.calendar import BusinessCalendar, CalendarId
from workbell.domain.projects.sla.policy import PolicyId, SlaPolicy
from workbell.ports.projects.repository import ProjectsTx
from workbell.services.projects.access import get_project, get_reading_scope


def get_named_project(tx: ProjectsTx, actor: Actor, project_id: int) -> Project:
    """
    Lock and return the project that a request names, to add to it.

    Raises:
        Invalid: There is no such project, or the actor may not see it or not manage
            its service levels.
        NotAllowed: The API key is read-only.
        ProjectArchived: The project is archived.
    """
    check_key(actor, Action.MANAGE_SLA)
    try:
        return get_project(tx, actor, ProjectId(project_id), Action.MANAGE_SLA, lock=True)
    except (NotFound, NotAllowed):
        raise Invalid.field("project", "is not a project that you may use") from None


def get_calendar(
    tx: ProjectsTx, actor: Actor, calendar_id: CalendarId, action: Action
) -> BusinessCalendar:
    """Return a calendar; to change it, its project is locked. Errors as `get_project`."""
    check_key(actor, action)
    scope = get_reading_scope(actor)
    calendar = tx.sla_calendars.get(scope, calendar_id)
    is_write = action is not Action.READ_PROJECT
    get_project(tx, actor, calendar.project_id, action, lock=is_write)
    return tx.sla_calendars.get(scope, calendar_id) if is_write else calendar


def get_policy(tx: ProjectsTx, actor: Actor, policy_id: PolicyId, action: Action) -> SlaPolicy:
    """Return a policy; to change it, its project is locked. Errors as `get_project`."""
    check_key(actor, action)
    scope = get_reading_scope(actor)
    policy = tx.sla_policies.get(scope, policy_id)
    is_write = action is not Action.READ_PROJECT
    get_project(tx, actor, policy.project_id, action, lock=is_write)
    return tx.sla_policies.get(scope, policy_id) if is_write else policy


def check_same_project(current: int, updates: Mapping[str, Any]) -> None:
    """Raise Invalid if a change names another project."""
    if updates.get("project", current) != current:
        raise Invalid.field("project", "cannot be changed")
