"""Repository of reminders, and their transaction."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Protocol

from workbell.domain.goals.reminder import ReminderHistory, ReminderPreferences, ReminderRecipient
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import GoalsTx
from workbell.ports.notifications.repository import NotificationsTx
from workbell.ports.schedules.repository import SchedulesTx


class ReminderRepository(Protocol):
    """Reminder preferences, and which goals each user was reminded of."""

    def preferences(self, owner: UserId) -> ReminderPreferences:
        """Return a user's preferences, or the defaults."""

    def save_preferences(self, owner: UserId, preferences: ReminderPreferences) -> None:
        """Store a user's preferences; the date of the last reminder is unchanged."""

    def idle(self, after: UserId, before: datetime, *, limit: int) -> Sequence[UserId]:
        """
        Return ids above `after`, ascending, of users with an idle open goal.

        Idle: without progress since `before`. ReminderPreferences are not checked here;
        `lock` returns them.
        """

    def due(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return users whose own reminder time has passed, longest overdue first."""

    def lock(self, owners: Sequence[UserId], before: datetime) -> Sequence[ReminderRecipient]:
        """
        Lock users' goal ledgers, by ascending id, and return the recipients.

        Until the transaction ends, no other process reminds these users and no
        progress is logged. `goals` are the open ones that are idle since `before`, by
        id. Inactive users are left out.
        """

    def mark_reminded(
        self, days: Mapping[UserId, date], goals: Mapping[int, ReminderHistory]
    ) -> None:
        """Store the day and the goals of a reminder, for users locked before."""

    def set_next_times(
        self, preferences: Mapping[UserId, ReminderPreferences], now: datetime
    ) -> None:
        """Store `zone` and `next_at` of due users, unless they changed since read."""


class RemindersTx(SchedulesTx, GoalsTx, NotificationsTx, Protocol):
    """The repositories that reminders use within one transaction."""

    @property
    def reminders(self) -> ReminderRepository:
        """The reminder preferences and histories."""
