"""Notification Mail and Daily Summary: the tasks of notifications."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from attrs import frozen

from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Task, TaskContext
from workbell.domain.notifications.notice import NotificationId
from workbell.ports.notifications.repository import NotificationsTx
from workbell.services.notifications.dispatch import MAIL_ATTEMPTS, MAIL_TASK
from workbell.services.notifications.mail import NoticeMailService
from workbell.services.notifications.summaries import DailySummaryService

SUMMARY_TASK = "notifications.summarise"

TxT = TypeVar("TxT", bound=NotificationsTx)


@frozen(kw_only=True)
class MailNotification:
    """The id of the notification."""

    notification: int


@frozen(kw_only=True)
class SummariseDay:
    """Daily Summary has no parameters."""


@frozen(kw_only=True)
class NotificationTasks(Generic[TxT]):
    """The tasks that send emails of notifications, and that summarise a day."""

    mails: NoticeMailService[TxT]
    summaries: DailySummaryService[TxT]

    def check(self, actor: Actor, _: object) -> None:
        """Raise NotAllowed unless a superuser or the system."""
        if not actor.is_super_user:
            raise NotAllowed("Only superusers may send notifications.")

    def mail(self, context: TaskContext, parameters: MailNotification) -> dict[str, Any]:
        """
        Send the email of a notification, unless it is no longer wanted or permitted.

        Raises:
            Invalid: The address is not valid.
            NotFound: The notification was deleted.
            Unavailable: The mail server did not accept the email.
        """
        context.check()
        row = self.mails.send(NotificationId(parameters.notification))
        return {"kind": row.kind, "state": row.mail_state, "reason": row.mail_reason}

    def summarise(self, context: TaskContext, _: SummariseDay) -> dict[str, Any]:
        """Notify each user whose summary is due."""

        def report(users: int) -> None:
            context.progress(users, note="users checked")
            context.check()

        checked, notified = self.summaries.run(report)
        context.log.info("days_summarised", checked=checked, notified=notified)
        return {"checked": checked, "notified": notified}

    def tasks(self) -> Sequence[Task]:
        """Return both tasks."""
        return (
            Task(
                key=MAIL_TASK,
                name="Notification Mail",
                description="Sends the email of a notification; the service creates these jobs.",
                parameters=MailNotification,
                body=self.mail,
                check=self.check,
                max_attempts=MAIL_ATTEMPTS,
                timeout_seconds=120,
            ),
            Task(
                key=SUMMARY_TASK,
                name="Daily Summary",
                description="Notifies users of their tasks at the time they chose.",
                parameters=SummariseDay,
                body=self.summarise,
                check=self.check,
                max_attempts=10,
                timeout_seconds=3600,
            ),
        )
