"""Notices: mails about a schedule, as jobs of the same transaction."""

from datetime import datetime

from workbell.domain.errors import NotFound
from workbell.domain.jobs.job import Job, JobOrigin
from workbell.domain.schedules.schedule import Schedule
from workbell.ports.schedules.repository import SchedulesTx


def mail_owner(tx: SchedulesTx, schedule: Schedule, word: str, what: str, now: datetime) -> None:
    """Mail a schedule's owner, by a job of the same transaction."""
    try:
        owner = tx.users.get(schedule.owner)
    except NotFound:  # the system, or an owner that only the library's user knows
        return
    name = " ".join(schedule.name.split())[:200] or f"#{schedule.id} ({schedule.task[:150]})"
    subject = f"Schedule {name} {word}"
    message = {
        "email": owner.email,
        "delay": 0,
        "subject": subject,
        "body": f"Your schedule {name} {what}.",
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
