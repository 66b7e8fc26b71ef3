"""Reminders: which goals are idle, when to remind, and the email."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

from attrs import evolve, frozen

from workbell.domain.goals.local_days import local_day
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.daily_time import daily_at

INACTIVE_DAYS = 7
PAUSES: Mapping[int, int] = {1: 14, 2: 28}
"""Days until the next reminder, by the number of reminders already sent."""
MAX_NAMES = 20


@frozen
class ReminderHistory:
    """
    The reminders sent for one goal since its last entry.

    `since` is the local day from which idle days were counted; a later entry
    restarts the sequence.
    """

    since: date
    count: int
    last: date


def next_reminder(
    since: date, before: ReminderHistory | None, inactive_days: int = INACTIVE_DAYS
) -> date | None:
    """
    Return the local day of a goal's next reminder, or None.

    `since` is the local day of its last entry or, without one, of its creation.
    """
    if before is None or before.since < since:
        return since + timedelta(days=inactive_days)
    pause = PAUSES.get(before.count)
    return None if pause is None else before.last + timedelta(days=pause)


@frozen(kw_only=True)
class IdleGoal:
    """An open goal: when it was last active, and its reminders so far."""

    id: int
    name: str
    active_at: datetime
    reminded: ReminderHistory | None = None

    def is_due(self, today: date, zone: str, inactive_days: int) -> bool:
        """Whether a reminder is due on or before a local day."""
        due = next_reminder(local_day(self.active_at, zone), self.reminded, inactive_days)
        return due is not None and due <= today

    def after_reminder(self, today: date, zone: str) -> ReminderHistory:
        """Return the history after today's reminder."""
        since, before = local_day(self.active_at, zone), self.reminded
        if before is None or before.since < since:
            return ReminderHistory(since, 1, today)
        return ReminderHistory(since, before.count + 1, today)


@frozen(kw_only=True)
class ReminderPreferences:
    """
    Whether a user wants reminders, and at which local time.

    Without `reminder_time` they are reminded at the common time. `next_at` is the
    next occurrence of `reminder_time` in `zone`.
    """

    reminders: bool = True
    reminder_time: time | None = None
    zone: str = ""
    next_at: datetime | None = None

    def with_next_run(self, now: datetime, zone: str) -> "ReminderPreferences":
        """Return the preferences with `next_at` computed after now."""
        if self.reminder_time is None or not self.reminders:
            return evolve(self, zone="", next_at=None)
        next_at = daily_at(self.reminder_time, zone).next_after(now)
        return evolve(self, zone=zone, next_at=next_at)


@frozen(kw_only=True)
class ReminderRecipient:
    """
    A user who may be reminded, with their idle goals.

    `reminded_on` is the local day of the last email.
    """

    owner: UserId
    zone: str
    preferences: ReminderPreferences
    reminded_on: date | None
    goals: Sequence[IdleGoal]

    @property
    def has_own_time(self) -> bool:
        """Whether they chose a reminder time of their own."""
        return self.preferences.next_at is not None

    def due(self, now: datetime, inactive_days: int) -> Sequence[IdleGoal]:
        """
        Return the goals to remind of now, longest idle first.

        Empty if they got an email today, or if their time zone has changed since
        `next_at` was computed.
        """
        today, preferences = local_day(now, self.zone), self.preferences
        was_today = self.reminded_on is not None and self.reminded_on >= today
        has_moved = self.has_own_time and preferences.zone != self.zone
        if was_today or has_moved or not preferences.reminders:
            return ()
        goals = [goal for goal in self.goals if goal.is_due(today, self.zone, inactive_days)]
        return sorted(goals, key=lambda goal: (goal.active_at, goal.id))


def idle_cutoff(now: datetime, inactive_days: int) -> datetime:
    """Return the latest `active_at` of goals that may be due in any time zone."""
    return now - timedelta(days=max(inactive_days - 2, 0))


def compose_reminder(names: Sequence[str], count: int, days: int) -> tuple[str, str]:
    """
    Return the subject and text of a reminder.

    `names` may have fewer items than `count`; the others are only counted.
    """
    goals = [" ".join(name.split()) for name in names[:MAX_NAMES]]
    one = f"{_truncate(goals[0])} " if goals else ""
    subject = f"Your goal {one}is waiting" if count == 1 else f"{count} of your goals are waiting"
    listed = "".join(f"  - {name}\n" for name in goals)
    if goals and count > len(goals):
        listed += f"  - and {count - len(goals)} more\n"
    text = (
        f"You have not logged any progress for {'a day' if days == 1 else f'{days} days'} or more on"
        f" {'a goal' if count == 1 else f'{count} goals'}"
        + (f":\n\n{listed}\n" if goals else ".\n\n")
        + "Log some progress to continue. To stop these reminders, pause, archive or complete\n"
        "the goals you no longer work on.\n"
    )
    return subject, text


def _truncate(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"
