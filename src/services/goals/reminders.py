"""Reminders of idle goals, at most one email per user and day."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from attrs import frozen

from workbell.domain.goals.goal import Goal, GoalState
from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.reminder import (
    INACTIVE_DAYS,
    IdleGoal,
    ReminderPreferences,
    ReminderRecipient,
    compose_reminder,
    idle_cutoff,
)
from workbell.domain.identity.user import User, UserId
from workbell.domain.notifications.notice import Notice, NoticeKind, Notification
from workbell.ports.goals.reminders import RemindersTx
from workbell.ports.goals.repository import GoalFilter
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.notifications.dispatch import Notifier
from workbell.services.transaction_retry import retry_on_contention

PAGE = 200  # users per transaction
MAX_GOALS = 1_000
ONE_DAY = timedelta(days=1)

OnPage = Callable[[int], None]
"""Called after each page with the number of users checked; may raise to stop."""


@frozen(kw_only=True)
class ReminderService:
    """
    Finds users to remind, and composes their emails.

    One transaction locks a page of users, notifies them and marks them as
    reminded, so a run that fails can be repeated without duplicates.
    """

    store: Store[RemindersTx]
    clock: Clock
    notifier: Notifier
    inactive_days: int = INACTIVE_DAYS

    def remind_at_default_time(self, on_page: OnPage) -> tuple[int, int]:
        """Remind users without their own time; return counts checked, reminded."""
        checked = reminded = 0
        after = UserId(0)
        while True:
            before = idle_cutoff(self.clock.now(), self.inactive_days)
            with self.store.view() as tx:
                owners = tx.reminders.idle(after, before, limit=PAGE)
            if not owners:
                return checked, reminded
            reminded += self._remind(owners, own_times=False)
            checked, after = checked + len(owners), owners[-1]
            on_page(checked)

    def remind_at_own_times(self, on_page: OnPage) -> tuple[int, int]:
        """Remind users whose own time is due; return counts as above."""
        checked = reminded = 0
        while True:
            with self.store.view() as tx:
                owners = tx.reminders.due(self.clock.now(), limit=PAGE)
            if not owners:
                return checked, reminded
            reminded += self._remind(owners, own_times=True)
            checked += len(owners)
            on_page(checked)

    def compose(
        self, tx: RemindersTx, user: User, notification: Notification
    ) -> Mapping[str, Any] | None:
        """
        Return the subject and text of a reminder, or None if it is no longer wanted.

        Goals that are no longer idle, open and active are left out.
        """
        day, goals = date.fromisoformat(notification.data["day"]), notification.data["goals"]
        open_goals = tx.goals.find(
            user.id,
            GoalFilter(ids=goals, states=[GoalState.ACTIVE], is_complete=False),
            ordering=["id"],
            limit=MAX_GOALS,
        )
        idle_goals = [goal for goal in open_goals if _is_idle(goal, user, day)]
        if not idle_goals or not tx.reminders.preferences(user.id).reminders:
            return None
        # goal names go to verified addresses only
        names = [goal.name for goal in idle_goals] if user.is_email_verified else []
        subject, text = compose_reminder(names, len(idle_goals), self.inactive_days)
        return {"subject": subject, "text": text}

    @retry_on_contention
    def _remind(self, owners: Sequence[UserId], *, own_times: bool) -> int:
        """Remind the due users of a page; return how many were reminded."""
        now = self.clock.now()
        with self.store.begin() as tx:
            locked = tx.reminders.lock(owners, idle_cutoff(now, self.inactive_days))
            users = [user for user in locked if user.has_own_time is own_times]
            to_remind = [
                (user, goals) for user in users if (goals := user.due(now, self.inactive_days))
            ]
            if to_remind:
                days = {user.owner: local_day(now, user.zone) for user, _ in to_remind}
                self.notifier.notify(
                    tx, *[_make_notice(user, goals, days[user.owner]) for user, goals in to_remind]
                )
                marks = {
                    goal.id: goal.after_reminder(days[user.owner], user.zone)
                    for user, goals in to_remind
                    for goal in goals
                }
                tx.reminders.mark_reminded(days, marks)
            if own_times:
                tx.reminders.set_next_times(self._next_times(owners, users), now)
        return len(to_remind)

    def _next_times(
        self, owners: Sequence[UserId], users: Sequence[ReminderRecipient]
    ) -> dict[UserId, ReminderPreferences]:
        """Return preferences with the next time of users with their own."""
        now = self.clock.now()
        # users who are inactive now may be active tomorrow: check them again then
        absent = set(owners) - {user.owner for user in users}
        later = {owner: ReminderPreferences(next_at=now + ONE_DAY) for owner in absent}
        scheduled = {
            user.owner: user.preferences.with_next_run(now, user.zone)
            for user in users
            if user.preferences.next_at is not None
        }
        return later | scheduled


def _make_notice(user: ReminderRecipient, goals: Sequence[IdleGoal], day: date) -> Notice:
    title, _ = compose_reminder([goal.name for goal in goals], len(goals), 0)
    return Notice(
        kind=NoticeKind.REMINDER,
        key=day.isoformat(),
        recipients=[user.owner],
        title=title,
        data={"day": day.isoformat(), "goals": [goal.id for goal in goals[:MAX_GOALS]]},
    )


def _is_idle(goal: Goal, user: User, day: date) -> bool:
    """Whether nothing was logged on the reminder's day or later."""
    return local_day(goal.active_at, user.time_zone) < day
