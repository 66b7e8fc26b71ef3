"""Audit entries: which user did what, to which object, from where."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from attrs import Factory, frozen

from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId


@frozen(kw_only=True)
class AuditEntry:
    """
    One command that was executed, or rejected for a security reason.

    `changes` maps each field to its value before and after; it never contains
    secrets. `project_id` is the project that the object belongs to, if any.
    """

    id: int = 0
    user_id: UserId
    action: str
    model_name: str
    object_id: str
    project_id: int | None = None
    changes: Mapping[str, Any] = Factory(dict[str, Any])
    address: str = ""
    user_agent: str = ""
    request_id: str = ""
    at: datetime

    @classmethod
    def of(
        cls,
        actor: Actor,
        action: str,
        model_name: str,
        object_id: object,
        at: datetime,
        changes: Mapping[str, Any] | None = None,
        *,
        project_id: int | None = None,
    ) -> Self:
        """Build the entry of an actor's command; truncates texts to their columns."""
        return cls(
            user_id=actor.user_id,
            action=action,
            model_name=model_name,
            object_id=str(object_id),
            project_id=project_id,
            changes=changes or {},
            address=actor.client_info.address[:64],
            user_agent=actor.client_info.user_agent[:256],
            request_id=actor.client_info.request_id[:64],
            at=at,
        )


def changed_since(entries: Iterable[AuditEntry], version: int) -> list[str]:
    """Return the names of fields changed by versions later than the given one."""
    names = {
        name
        for entry in entries
        if "version" in entry.changes and entry.changes["version"][1] > version
        for name in entry.changes
    }
    return sorted(names - {"version"})
