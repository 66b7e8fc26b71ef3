"""Contributions of projects to notifications: tasks that are due."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.services.projects.environment import ProjectFixture
from workbell.domain.notifications.digest import DigestItem
from workbell.domain.notifications.notice import Notice, NoticeKind, Notification
from workbell.services.notifications.dispatch import Notifier
from workbell.services.projects.notification_hooks import list_due_tasks, may_receive
from workbell.services.projects.requests import FormerProjectMember

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


def test_a_notification_about_no_task_concerns_its_recipient_only(env: ProjectFixture) -> None:
    [row] = notify(env, project_id=None, object_id=None)
    assert is_permitted(env, row)


def test_users_who_may_see_a_task_may_receive_its_notifications(env: ProjectFixture) -> None:
    project = env.project(mia="MEMBER")
    task = env.task(env.board(project))
    [row] = notify(env, project_id=project.id, object_id=task.id)
    assert is_permitted(env, row)
    former = FormerProjectMember(user_id=env.actor("mia").user_id)
    env.members.remove(env.actor("ann"), project.id, former)
    assert not is_permitted(env, row)


def notify(env: ProjectFixture, **fields: Any) -> list[Notification]:
    """Notify mia of a status."""
    mia = env.actor("mia").user_id
    notice = Notice(kind=NoticeKind.STATUS, key="1", recipients=[mia], title="Task", **fields)
    with env.people.store.begin() as tx:
        Notifier(clock=env.people.clock).notify(tx, notice)
    return env.notices("mia")


def is_permitted(env: ProjectFixture, row: Notification) -> bool:
    with env.people.store.view() as tx:
        return may_receive(tx, env.actor("mia").user_id, row)
