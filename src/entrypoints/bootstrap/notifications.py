"""Services of notifications and goal reminders."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from workbell.adapters.builtin_tasks.goal_reminders import GoalReminders
from workbell.adapters.builtin_tasks.notification_tasks import NotificationTasks
from workbell.adapters.mail.notices import JinjaNoticeRenderer
from workbell.domain.jobs.task import Task
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.domain.rate_limits.policy import Policy, Rate, Subject
from workbell.entrypoints.bootstrap.backends import Backends
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.projects.repository import ProjectsTx
from workbell.services.goals.preferences import PreferenceService
from workbell.services.goals.reminders import ReminderService
from workbell.services.notifications.dispatch import Notifier
from workbell.services.notifications.inbox import NotificationService
from workbell.services.notifications.mail import NoticeMailService
from workbell.services.notifications.summaries import DailySummaryService
from workbell.services.projects.notification_hooks import list_due_tasks, may_receive


class AllTx(RemindersTx, ProjectsTx, Protocol):
    """A transaction over goal reminders and projects."""


@frozen(kw_only=True)
class NotificationServices:
    """The use cases of notifications and goal reminders, and the tasks of their jobs."""

    notifier: Notifier
    inbox: NotificationService
    preferences: PreferenceService
    reminders: ReminderService
    mails: NoticeMailService[AllTx]
    summaries: DailySummaryService[AllTx]

    def tasks(self) -> Sequence[Task]:
        """Return the tasks."""
        notices = NotificationTasks(mails=self.mails, summaries=self.summaries)
        return (*GoalReminders(self.reminders).tasks(), *notices.tasks())


def make_notifications(
    backends: Backends,
    keys: Sequence[bytes],
) -> NotificationServices:
    """Return the services; `keys` sign unsubscribe links, the current one first."""
    settings, store, clock = backends.settings, backends.store, backends.clock
    public_url, tokens = settings.public_url.rstrip("/"), UnsubscribeTokens(keys)
    notifier = Notifier(clock=clock)
    reminders = ReminderService(
        store=store, clock=clock, notifier=notifier, inactive_days=settings.inactive_days
    )
    summaries = DailySummaryService[AllTx](
        store=store, clock=clock, notifier=notifier, digest=list_due_tasks, may_receive=may_receive
    )
    return NotificationServices(
        notifier=notifier,
        inbox=NotificationService(store=store, clock=clock),
        preferences=PreferenceService(store=store, clock=clock, tokens=tokens),
        reminders=reminders,
        summaries=summaries,
        mails=NoticeMailService[AllTx](
            store=store,
            clock=clock,
            mailer=backends.mailer,
            renderer=JinjaNoticeRenderer(),
            tokens=tokens,
            public_url=public_url,
            quota=_email_policy(settings.email_quota),
            may_receive=may_receive,
            composers={
                NoticeKind.REMINDER: reminders.compose,
                NoticeKind.DAILY_SUMMARY: summaries.compose,
            },
        ),
    )


def _email_policy(rate: Rate | None) -> Policy | None:
    """Return the limit of emails per recipient."""
    if rate is None:
        return None
    return Policy(name="email", rate=rate, subject=Subject.USER, exact=True)
