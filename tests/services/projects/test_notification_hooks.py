"""Contributions of projects to notifications: tasks that are due."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.notifications.digest import DigestItem
from workbell.services.projects.notification_hooks import list_due_tasks

pytestmark = pytest.mark.unit


def test_due_tasks_have_the_dates_of_the_users_time_zone(env: ProjectFixture) -> None:
    """At 20:00 UTC it is the next day in Tokyo."""
    tokyo = env.actor("tom", time_zone="Asia/Tokyo")
    project = env.project(tom="MEMBER")
    board = env.board(project)
    day = date(2030, 1, 2)
    now = datetime(2030, 1, 1, 20, tzinfo=UTC)
    for title, hours in (("overdue", -1), ("due", 1), ("next day", 24)):
        due = now + timedelta(hours=hours)
        env.task(board, title=title, due_date=due, assignee=tokyo.user_id)
    with env.people.store.view() as tx:
        user = tx.users.get(tokyo.user_id)
        overdue, due_today = list_due_tasks(tx, user, day, now)
    assert list(overdue) == [DigestItem(title="overdue", due=day)]
    assert list(due_today) == [DigestItem(title="due", due=day)]
