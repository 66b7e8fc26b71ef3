"""Emails about a schedule, enqueued in the transaction that changes it."""

from datetime import datetime

from workbell.domain.errors import NotFound
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.schedules.repository import SchedulesTx


def mail_owner(
    tx: SchedulesTx, schedule: Schedule, event: str, sentence: str, now: datetime
) -> None:
    """Enqueue an email to a schedule's owner, if the owner is a user."""
    try:
        owner = tx.users.get(schedule.owner)
    except NotFound:  # the system, or an owner of a library user
        return
    name = " ".join(schedule.name.split())[:200] or f"#{schedule.id} ({schedule.task[:150]})"
    subject = f"Schedule {name} {event}"
    message = {
        "email": owner.email,
        "delay": 0,
        "subject": subject,
        "body": f"Your schedule {name} {sentence}.",
    }
    notice = Job(
        task="email.send",
        name=subject,
        parameters=message,
        due_at=now,
        origin=JobOrigin.MAIL,
        created_at=now,
    )
    tx.jobs.add([notice], now)
