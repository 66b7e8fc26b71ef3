"""Permissions of notifications about tasks, and tasks that are due."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from workbell.domain.cron.time_zones import load_zone
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import User, UserId
from workbell.domain.notifications.digest import DigestItem
from workbell.domain.notifications.notice import Notification
from workbell.domain.projects.work_item import WorkItemId, WorkItemStatus
from workbell.ports.projects.repository import ProjectsTx, WorkItemFilter
from workbell.services.projects.access import get_reading_scope

OPEN: Final = tuple(status for status in WorkItemStatus if status is not WorkItemStatus.DONE)
MAX_DIGEST_TASKS: Final = 100
"""How many tasks that are due a daily summary counts."""


def may_receive(tx: ProjectsTx, user_id: UserId, notification: Notification) -> bool:
    """Whether a user may still see the task of a notification; others concern no task."""
    if notification.project_id is None or notification.object_id is None:
        return True
    try:
        actor = Actor.of(tx.users.get(user_id))
        tx.work_items.get(get_reading_scope(actor), WorkItemId(notification.object_id))
    except NotFound:
        return False
    return True


def list_due_tasks(
    tx: ProjectsTx, user: User, today: date, now: datetime
) -> tuple[Sequence[DigestItem], Sequence[DigestItem]]:
    """Return the user's open tasks that are overdue, and those due today in their zone."""
    zone = load_zone(user.time_zone)
    end = datetime.combine(today + timedelta(days=1), time(), zone)
    filters = WorkItemFilter(
        assignee_id=user.id, statuses=OPEN, due_to=end.astimezone(UTC) - timedelta(microseconds=1)
    )
    scope = get_reading_scope(Actor.of(user))
    views, _ = tx.work_items.list_page(
        scope, filters, ordering=("due_date",), limit=MAX_DIGEST_TASKS
    )
    dated = [(view.item.title, view.item.due_date) for view in views if view.item.due_date]

    def list_items(*, overdue: bool) -> Sequence[DigestItem]:
        return [
            DigestItem(title=title, due=at.astimezone(zone).date())
            for title, at in dated
            if (at < now) is overdue
        ]

    return list_items(overdue=True), list_items(overdue=False)
