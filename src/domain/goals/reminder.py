"""Reminders: which goals have been left alone, and when to say so."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

from attrs import evolve, frozen

from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid
from workbell.domain.goals.local_days import local_day
from workbell.domain.identity.user import UserId

INACTIVE_DAYS = 7
PAUSES: Mapping[int, int] = {1: 14, 2: 28}
"""After how many more days the next reminder follows the first, and the second."""
MAX_NAMES = 20
STEP_MINUTES = 15
"""Own times lie on quarter hours: every time zone is a multiple of these from UTC."""


@frozen
class ReminderHistory:
    """
    What a person was told of one goal since its last entry.

    `since` is the local day from which the idle days were counted; a goal
    with a later entry begins anew.
    """

    since: date
    count: int
    last: date


def next_reminder(
    since: date, before: ReminderHistory | None, inactive_days: int = INACTIVE_DAYS
) -> date | None:
    """
    Return the local day on which a goal's next reminder is due, or None for no more.

    `since` is the local day of its last entry, or of its creation if it has none.
    """
    if before is None or before.since < since:
        return since + timedelta(days=inactive_days)
    pause = PAUSES.get(before.count)
    return None if pause is None else before.last + timedelta(days=pause)


@frozen(kw_only=True)
class IdleGoal:
    """An open goal: since when it was left alone, and what was said of it."""

    id: int
    name: str
    active_at: datetime
    reminded: ReminderHistory | None = None

    def is_due(self, today: date, zone: str, inactive_days: int) -> bool:
        """Whether its owner is to be reminded on a local day, or was to be before."""
        due = next_reminder(local_day(self.active_at, zone), self.reminded, inactive_days)
        return due is not None and due <= today

    def after_reminder(self, today: date, zone: str) -> ReminderHistory:
        """Return what has been said of it once today's reminder is out."""
        since, before = local_day(self.active_at, zone), self.reminded
        again = before is not None and before.since >= since
        return ReminderHistory(since, before.count + 1 if before and again else 1, today)


@frozen(kw_only=True)
class Preferences:
    """
    Whether a person wants reminders, and at which time of their own day.

    Without a time of their own they get them with everybody else. `next_at`
    is when their own time comes next, by the clock of `zone`.
    """

    reminders: bool = True
    reminder_time: time | None = None
    zone: str = ""
    next_at: datetime | None = None

    def with_next_run(self, now: datetime, zone: str) -> "Preferences":
        """Return them with the next own time after now, if there is one."""
        if self.reminder_time is None or not self.reminders:
            return evolve(self, zone="", next_at=None)
        next_at = daily_at(self.reminder_time, zone).next_after(now)
        return evolve(self, zone=zone, next_at=next_at)


@frozen(kw_only=True)
class ReminderRecipient:
    """
    Somebody who may be reminded, and the goals that it could be of.

    `reminded_on` is the local day of the last mail.
    """

    owner: UserId
    zone: str
    preferences: Preferences
    reminded_on: date | None
    goals: Sequence[IdleGoal]

    @property
    def has_own_time(self) -> bool:
        """Whether they are not reminded with everybody else."""
        return self.preferences.next_at is not None

    def due(self, now: datetime, inactive_days: int) -> Sequence[IdleGoal]:
        """
        Return the goals to remind of now, those left alone longest first.

        There are none for who has had a mail today, or moved to another zone
        since their own time was worked out.
        """
        today, wanted = local_day(now, self.zone), self.preferences
        was_today = self.reminded_on is not None and self.reminded_on >= today
        has_moved = self.has_own_time and wanted.zone != self.zone
        if was_today or has_moved or not wanted.reminders:
            return ()
        found = [goal for goal in self.goals if goal.is_due(today, self.zone, inactive_days)]
        return sorted(found, key=lambda goal: (goal.active_at, goal.id))


def check_reminder_time(at: time | None) -> None:
    """
    Refuse times that lie between two quarter hours.

    Raises:
        Invalid: It is such a time.
    """
    if at is not None and (at.minute % STEP_MINUTES or at.second or at.microsecond or at.tzinfo):
        raise Invalid.field("reminder_time", "must be a quarter hour, such as 07:30")


def daily_at(at: time, zone: str) -> CronRule:
    """Return the rule that fires every day at a time of a zone."""
    return CronRule(f"{at.minute} {at.hour} * * *", zone)


def quarter_hours() -> CronRule:
    """Return the rule that fires at every time that a person may choose."""
    return CronRule(f"*/{STEP_MINUTES} * * * *", "UTC")


def reminder_key(owner: UserId, day: date) -> str:
    """Return the key under which a person's mail of a day is made once."""
    return f"reminder:{owner}:{day}"


def idle_cutoff(now: datetime, inactive_days: int) -> datetime:
    """Return the moment since before which a goal must have been idle, in any time zone."""
    return now - timedelta(days=max(inactive_days - 2, 0))


def compose_reminder(names: Sequence[str], count: int, days: int) -> tuple[str, str]:
    """
    Return subject and text of a reminder of so many goals.

    The names may be fewer than the goals: those of the others are not told.
    """
    goals = [" ".join(name.split()) for name in names[:MAX_NAMES]]
    one = f"{_truncate(goals[0])} " if goals else ""
    subject = f"Your goal {one}is waiting" if count == 1 else f"{count} of your goals are waiting"
    listed = "".join(f"  - {name}\n" for name in goals)
    if goals and count > len(goals):
        listed += f"  - and {count - len(goals)} more\n"
    about = f":\n\n{listed}" if goals else ".\n"
    text = (
        f"For {days} days or more nothing has been logged for"
        f" {'a goal' if count == 1 else f'{count} goals'} of yours{about}\n"
        "Log some progress, or pause, archive or complete what you are done with,\n"
        "and you will not be reminded of it again.\n"
    )
    return subject, text


def _truncate(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"
