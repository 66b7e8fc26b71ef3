"""Tasks of notifications: results, permissions and cancellation."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.adapters.builtin_tasks.context import RecordedContext
from tests.services.notifications.conftest import NoticeFixture
from workbell.adapters.builtin_tasks.notification_tasks import (
    MailNotification,
    NotificationTasks,
    SummariseDay,
)
from workbell.adapters.memory.store import MemoryTx
from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.task import Cancelled
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.services.notifications.summaries import DailySummaryService

pytestmark = pytest.mark.unit


@pytest.fixture
def env() -> NoticeFixture:
    return NoticeFixture()


@pytest.fixture
def tasks(env: NoticeFixture) -> NotificationTasks[MemoryTx]:
    summaries = DailySummaryService[MemoryTx](
        store=env.store, clock=env.clock, notifier=env.notifier
    )
    composers = {NoticeKind.DAILY_SUMMARY: summaries.compose}
    return NotificationTasks(mails=evolve(env.mails, composers=composers), summaries=summaries)


def test_the_result_is_the_state_of_the_email(
    env: NoticeFixture, tasks: NotificationTasks[MemoryTx]
) -> None:
    ann, ben = env.add_user("ann"), env.add_user("ben")
    to_ann, to_ben = env.notify(ann, ben)
    env.removed.add(ben)
    sent = tasks.mail(RecordedContext(), MailNotification(notification=to_ann.id))
    assert sent == {"kind": "assignment", "state": "sent", "reason": None}
    suppressed = tasks.mail(RecordedContext(), MailNotification(notification=to_ben.id))
    assert suppressed == {"kind": "assignment", "state": "suppressed", "reason": "not_permitted"}


def test_a_run_counts_checked_and_notified_users(
    env: NoticeFixture, tasks: NotificationTasks[MemoryTx]
) -> None:
    ann = env.add_user("ann")
    email = frozenset({NoticeKind.DAILY_SUMMARY, NoticeKind.MENTION})
    env.prefer(ann, NoticePreferences(email=email))
    env.clock.at += timedelta(days=1)
    env.notify(ann, kind=NoticeKind.MENTION)
    context = RecordedContext()
    assert tasks.summarise(context, SummariseDay()) == {"checked": 1, "notified": 1}
    assert context.notes == [(1, None, "users checked")]
    _, summary = env.store._tables.notices
    tasks.mail(RecordedContext(), MailNotification(notification=summary.id))
    assert env.outbox.messages[-1].subject == "Daily summary of 2030-01-02"
    env.clock.at += timedelta(days=1)
    with pytest.raises(Cancelled):
        tasks.summarise(RecordedContext(checks_left=[0]), SummariseDay())


def test_only_superusers_and_the_system_may_send_notifications(
    tasks: NotificationTasks[MemoryTx],
) -> None:
    for task in tasks.tasks():
        assert task.check is not None
        task.check(SYSTEM, None)
        task.check(Actor(user_id=UserId(2), is_super_user=True), None)
        with pytest.raises(NotAllowed):
            task.check(Actor(user_id=UserId(1)), None)
