"""Filters of the audit log, and which entries a user may read."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from workbell.domain.identity.user import UserId


@frozen(kw_only=True)
class AuditFilter:
    """
    Conditions on audit entries; None means any value.

    `date_from` and `date_to` are aware and included.
    """

    user_id: UserId | None = None
    action: str | None = None
    model_name: str | None = None
    object_id: str | None = None
    project_id: int | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None


@frozen(kw_only=True)
class AuditScope:
    """The entries that a user may read: their own and those of projects they administer."""

    user_id: UserId
    project_ids: Sequence[int] = ()
