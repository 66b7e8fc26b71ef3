"""Reminders in memory: preferences, and history per goal."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import ReminderRow, Tables
from workbell.domain.goals.goal import Goal, GoalId, GoalState
from workbell.domain.goals.reminder import (
    IdleGoal,
    ReminderHistory,
    ReminderPreferences,
    ReminderRecipient,
)
from workbell.domain.identity.user import UserId


@define(eq=False)
class MemoryReminderRepository:
    """Notification preferences, and reminders that were sent."""

    _tables: Tables

    def preferences(self, owner: UserId) -> ReminderPreferences:
        """Return an owner's preferences, or the defaults."""
        return self._row(owner).preferences

    def save_preferences(self, owner: UserId, preferences: ReminderPreferences) -> None:
        """Store an owner's preferences; the day of the last reminder is unchanged."""
        self._tables.reminder_rows.put(owner, evolve(self._row(owner), preferences=preferences))

    def idle(self, after: UserId, before: datetime, *, limit: int) -> Sequence[UserId]:
        """Return owners above an id with an open goal idle since before a time, by id."""
        found = {
            goal.owner
            for goal in self._tables.goals
            if goal.owner > after and _is_idle(goal, before)
        }
        return sorted(found)[:limit]

    def due(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return owners whose reminder time has come, oldest first."""
        found = [
            (row.preferences.next_at, owner)
            for owner, row in self._tables.reminder_rows.rows.items()
            if row.preferences.next_at is not None and row.preferences.next_at <= now
        ]
        return [owner for _, owner in sorted(found)[:limit]]

    def lock(self, owners: Sequence[UserId], before: datetime) -> Sequence[ReminderRecipient]:
        """Return owners with their idle goals."""
        found = (self._tables.users.get(owner) for owner in sorted(owners))
        return [
            ReminderRecipient(
                owner=user.id,
                zone=user.time_zone,
                preferences=self._row(user.id).preferences,
                reminded_on=self._row(user.id).reminded_on,
                goals=self._idle_goals(user.id, before),
            )
            for user in found
            if user is not None and user.is_active
        ]

    def mark_reminded(
        self, days: Mapping[UserId, date], goals: Mapping[int, ReminderHistory]
    ) -> None:
        """Record the day of each owner's last reminder, and the goals it named."""
        for owner, day in days.items():
            self._tables.reminder_rows.put(owner, evolve(self._row(owner), reminded_on=day))
        for goal, history in goals.items():
            self._tables.reminded.put(GoalId(goal), history)

    def set_next_times(
        self, preferences: Mapping[UserId, ReminderPreferences], now: datetime
    ) -> None:
        """Update `zone` and `next_at` of owners whose reminder time has come."""
        for owner, wanted in preferences.items():
            before = self.preferences(owner)
            if before.next_at is not None and before.next_at <= now:
                self.save_preferences(
                    owner, evolve(before, zone=wanted.zone, next_at=wanted.next_at)
                )

    def _row(self, owner: UserId) -> ReminderRow:
        return self._tables.reminder_rows.get(owner) or ReminderRow()

    def _idle_goals(self, owner: UserId, before: datetime) -> Sequence[IdleGoal]:
        return [
            IdleGoal(
                id=goal.id,
                name=goal.name,
                active_at=goal.active_at,
                reminded=self._tables.reminded.get(goal.id),
            )
            for goal in self._tables.goals
            if goal.owner == owner and _is_idle(goal, before)
        ]


def _is_idle(goal: Goal, before: datetime) -> bool:
    is_open = goal.state is GoalState.ACTIVE and not goal.is_complete
    return is_open and goal.active_at < before
