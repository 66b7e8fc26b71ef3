"""Dispatch: notifications of events, and the jobs that send their emails."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from attrs import frozen

from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.notifications.notice import (
    MailState,
    Notice,
    NoticeChannel,
    NoticeKind,
    Notification,
)
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.system import Clock

MAIL_TASK: Final = "notifications.mail"
MAIL_ATTEMPTS: Final = 10


@frozen(kw_only=True)
class Notifier:
    """Notifies users of events, in the transaction of the event."""

    clock: Clock

    def notify(self, tx: NotificationsTx, *notices: Notice) -> Sequence[Notification]:
        """
        Insert a notification per recipient, and a job per wanted email.

        A notice whose kind and key exist adds only recipients that have none yet.
        Actors are never notified of their own actions. Returns the new rows.
        """
        now = self.clock.now()
        users = {user_id for notice in notices for user_id in notice.addressees()}
        preferences = tx.preferences.get_many(users) if users else {}
        rows = [
            Notification.of(
                notice,
                user_id,
                now,
                in_app=preferences[user_id].wants(notice.kind, NoticeChannel.IN_APP),
                email=preferences[user_id].wants(notice.kind, NoticeChannel.EMAIL),
            )
            for notice in notices
            for user_id in notice.addressees()
        ]
        added = tx.notices.add(rows) if rows else ()
        _enqueue(tx, [row for row in added if row.mail_state is MailState.PENDING], now)
        return added


def _enqueue(tx: NotificationsTx, rows: Sequence[Notification], now: datetime) -> None:
    """Insert the jobs that send emails."""
    if not rows:
        return
    jobs = tx.jobs.add([_mail_job(row, now) for row in rows], now)
    pairs = zip(rows, jobs, strict=True)
    tx.notices.set_mail_jobs({row.id: job.id for row, job in pairs if job is not None})


def _mail_job(row: Notification, now: datetime) -> Job:
    return Job(
        task=MAIL_TASK,
        name=f"Notification {row.id}",
        parameters={"notification": row.id},
        due_at=now,
        max_attempts=MAIL_ATTEMPTS,
        origin=JobOrigin.REMINDER if row.kind is NoticeKind.REMINDER else JobOrigin.MAIL,
        fair_key=MAIL_TASK,  # many emails do not delay other jobs of the system
        idempotency_key=f"notification:{row.id}",
        created_at=now,
    )
