"""Reminders: which goals have been left alone, and when to say so."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, time, timedelta

from attrs import evolve, frozen

from .cron import CronRule
from .errors import Invalid
from .identity import UserId

INACTIVE_DAYS = 7
PAUSES: Mapping[int, int] = {1: 14, 2: 28}
"""After how many more days the next reminder follows the first, and the second."""
STEP_MINUTES = 15
"""Own times lie on quarter hours: every time zone is a multiple of these from UTC."""


@frozen
class Reminded:
    """
    What a person was told of one goal since its last entry.

    `since` is the local day from which the idle days were counted; a goal
    with a later entry begins anew.
    """

    since: date
    count: int
    last: date


def next_reminder(
    since: date, before: Reminded | None, inactive_days: int = INACTIVE_DAYS
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
    """An open goal: how long it was left alone, and what was said of it."""

    id: int
    name: str
    since: date
    reminded: Reminded | None = None

    def is_due(self, today: date, inactive_days: int) -> bool:
        """Whether its owner is to be reminded on a local day, or was to be before."""
        due = next_reminder(self.since, self.reminded, inactive_days)
        return due is not None and due <= today

    def told(self, today: date) -> Reminded:
        """Return what has been said of it once today's reminder is out."""
        again = self.reminded is not None and self.reminded.since >= self.since
        count = self.reminded.count + 1 if again and self.reminded else 1
        return Reminded(self.since, count, today)


@frozen(kw_only=True)
class Candidate:
    """A person who may be reminded, and the goals that it could be of."""

    owner: UserId
    today: date
    goals: Sequence[IdleGoal]

    def due(self, inactive_days: int) -> Sequence[IdleGoal]:
        """Return the goals that are due, those left alone longest first."""
        found = [goal for goal in self.goals if goal.is_due(self.today, inactive_days)]
        return sorted(found, key=lambda goal: (goal.since, goal.id))


@frozen(kw_only=True)
class Preferences:
    """
    Whether a person wants reminders, and at which time of their own day.

    Without a time of their own they get them with everybody else.
    """

    reminders: bool = True
    reminder_time: time | None = None

    def unsubscribed(self) -> "Preferences":
        """Return them without reminders."""
        return evolve(self, reminders=False)


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


def every_step() -> CronRule:
    """Return the rule that fires at every time that a person may choose."""
    return CronRule(f"*/{STEP_MINUTES} * * * *", "UTC")


def mail_key(owner: UserId, day: date) -> str:
    """Return the key under which a person's mail of a day is made once."""
    return f"reminder:{owner}:{day}"


def message(names: Iterable[str], days: int) -> tuple[str, str]:
    """Return subject and text of a reminder; `days` is how long the first was left alone."""
    goals = [" ".join(name.split()) for name in names]
    subject = (
        f"Your goal {_short(goals[0])} is waiting"
        if len(goals) == 1
        else f"{len(goals)} of your goals are waiting"
    )
    listed = "".join(f"  - {name}\n" for name in goals)
    text = (
        f"Nothing has been logged for {days} days or more. This is a reminder of:\n\n{listed}\n"
        "Log some progress, or pause, archive or complete what you are done with,\n"
        "and you will not be reminded of it again.\n"
    )
    return subject, text


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:79]}…"
