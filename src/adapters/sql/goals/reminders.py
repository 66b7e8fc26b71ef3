"""Reminders in SQL: preferences, and history per goal."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from functools import cache
from typing import Any

from attrs import frozen
from sqlalchemy import (
    Connection,
    Date,
    Integer,
    bindparam,
    delete,
    insert,
    literal,
    select,
    true,
    update,
)

from workbell.adapters.sql.database.statements import AnyRow, chunks, insert_if_absent
from workbell.adapters.sql.database.strategy import IsAmong, Strategy
from workbell.adapters.sql.schema.goals import (
    IS_OPEN,
    goal_ledgers,
    goal_reminders,
    goals,
    reminder_preferences,
)
from workbell.adapters.sql.schema.tables import users
from workbell.domain.goals.reminder import (
    IdleGoal,
    ReminderHistory,
    ReminderPreferences,
    ReminderRecipient,
)
from workbell.domain.identity.user import UserId

preferences_c, goals_c, reminders_c, users_c = (
    reminder_preferences.c,
    goals.c,
    goal_reminders.c,
    users.c,
)
ledgers_c = goal_ledgers.c
_IS_IDLE = goals_c.active_at < bindparam("before")
_PREFERENCES = select(
    preferences_c.reminders, preferences_c.reminder_time, preferences_c.zone, preferences_c.next_at
)
_OF_OWNER = _PREFERENCES.where(preferences_c.owner == bindparam("owner_id"))
_IDLE_OWNERS = (
    select(goals_c.owner)
    .distinct()
    .where(goals_c.owner > bindparam("after"), IS_OPEN, _IS_IDLE)
    .order_by(goals_c.owner)
)
_DUE_OWNERS = (
    select(preferences_c.owner)
    .where(preferences_c.next_at <= bindparam("now"))
    .order_by(preferences_c.next_at)
)
_SET_NEXT_TIME = (
    update(reminder_preferences)
    .where(preferences_c.owner == bindparam("owner_id"), preferences_c.next_at <= bindparam("now"))
    .values(zone=bindparam("new_zone"), next_at=bindparam("new_next_at"))
)
_SAVE_PREFERENCES = (
    update(reminder_preferences)
    .where(preferences_c.owner == bindparam("owner_id"))
    .values(
        reminders=bindparam("new_reminders"),
        reminder_time=bindparam("new_time"),
        zone=bindparam("new_zone"),
        next_at=bindparam("new_next_at"),
    )
)


@frozen
class _BulkStatements:
    """Statements for many owners or goals at once."""

    lock: Any
    recipients: Any
    idle_goals: Any
    reminded: Any
    missing: Any
    delete_history: Any
    insert_history: Any

    @classmethod
    def of(cls, among: IsAmong) -> "_BulkStatements":
        """Build the statements with the given IN condition (expanded list, or PostgreSQL array)."""
        history = select(
            goals_c.id,
            bindparam("since", type_=Date),
            bindparam("count", type_=Integer),
            bindparam("last", type_=Date),
        ).where(among(goals_c.id, "ids"))
        return cls(
            lock=select(ledgers_c.owner)
            .where(among(ledgers_c.owner, "owners"))
            .order_by(ledgers_c.owner)
            .with_for_update(),
            recipients=select(
                users_c.id,
                users_c.time_zone,
                preferences_c.reminded_on,
                *_PREFERENCES.selected_columns,
            )
            .outerjoin_from(users, reminder_preferences, preferences_c.owner == users_c.id)
            .where(among(users_c.id, "owners"), users_c.is_active.is_(True))
            .order_by(users_c.id),
            idle_goals=select(
                goals_c.owner,
                goals_c.id,
                goals_c.name,
                goals_c.active_at,
                reminders_c.since,
                reminders_c.count,
                reminders_c.last,
            )
            .outerjoin_from(goals, goal_reminders, reminders_c.goal_id == goals_c.id)
            .where(among(goals_c.owner, "owners"), IS_OPEN, _IS_IDLE)
            .order_by(goals_c.id),
            reminded=update(reminder_preferences)
            .where(among(preferences_c.owner, "owners"))
            .values(reminded_on=bindparam("day")),
            missing=select(users_c.id, true(), literal("")).where(among(users_c.id, "owners")),
            delete_history=delete(goal_reminders).where(among(reminders_c.goal_id, "ids")),
            insert_history=insert(goal_reminders).from_select(
                ["goal_id", "since", "count", "last"], history
            ),
        )


@cache
def _statements(is_among: IsAmong) -> _BulkStatements:
    return _BulkStatements.of(is_among)


@frozen
class SqlReminderRepository:
    """Notification preferences, and reminders that were sent."""

    _db: Connection
    _strategy: Strategy

    @property
    def _bulk(self) -> _BulkStatements:
        return _statements(self._strategy.is_among)

    def preferences(self, owner: UserId) -> ReminderPreferences:
        """Return an owner's preferences, or the defaults."""
        row = self._db.execute(_OF_OWNER, {"owner_id": owner}).one_or_none()
        return ReminderPreferences() if row is None else _preferences(row)

    def save_preferences(self, owner: UserId, preferences: ReminderPreferences) -> None:
        """Store an owner's preferences; the day of the last reminder is unchanged."""
        self._ensure_rows([owner])
        at = preferences.reminder_time
        values = {
            "owner_id": owner,
            "new_reminders": preferences.reminders,
            "new_time": None if at is None else at.isoformat("minutes"),
            "new_zone": preferences.zone,
            "new_next_at": preferences.next_at,
        }
        self._db.execute(_SAVE_PREFERENCES, values)

    def idle(self, after: UserId, before: datetime, *, limit: int) -> Sequence[UserId]:
        """Return owners above an id with an open goal idle since before a time, by id."""
        values = {"after": after, "before": before}
        return self._db.execute(_IDLE_OWNERS.limit(limit), values).scalars().all()

    def due(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return owners whose reminder time has come, oldest first."""
        return self._db.execute(_DUE_OWNERS.limit(limit), {"now": now}).scalars().all()

    def lock(self, owners: Sequence[UserId], before: datetime) -> Sequence[ReminderRecipient]:
        """Lock the ledgers of owners in id order; return the owners with their idle goals."""
        self._db.execute(self._bulk.lock, {"owners": owners}).all()
        found: dict[int, list[IdleGoal]] = {}
        for row in self._db.execute(self._bulk.idle_goals, {"owners": owners, "before": before}):
            found.setdefault(row.owner, []).append(_goal(row))
        return [
            ReminderRecipient(
                owner=row.id,
                zone=row.time_zone,
                preferences=ReminderPreferences() if row.reminders is None else _preferences(row),
                reminded_on=row.reminded_on,
                goals=found.get(row.id, ()),
            )
            for row in self._db.execute(self._bulk.recipients, {"owners": owners})
        ]

    def mark_reminded(
        self, days: Mapping[UserId, date], goals: Mapping[int, ReminderHistory]
    ) -> None:
        """Record the day of the last reminder of locked owners, and the goals it named."""
        self._ensure_rows(sorted(days))
        by_day: dict[date, list[UserId]] = {}
        for owner, day in days.items():
            by_day.setdefault(day, []).append(owner)
        for day, owners in by_day.items():
            self._db.execute(self._bulk.reminded, {"day": day, "owners": owners})
        for ids in chunks(sorted(goals)):
            self._db.execute(self._bulk.delete_history, {"ids": ids})
        alike: dict[ReminderHistory, list[int]] = {}
        for goal, history in goals.items():
            alike.setdefault(history, []).append(goal)
        for history, some in alike.items():
            values = {"since": history.since, "count": history.count, "last": history.last}
            for ids in chunks(sorted(some)):
                self._db.execute(self._bulk.insert_history, {**values, "ids": ids})

    def set_next_times(
        self, preferences: Mapping[UserId, ReminderPreferences], now: datetime
    ) -> None:
        """Update `zone` and `next_at` of owners whose reminder time has come."""
        rows = [
            {"owner_id": owner, "now": now, "new_zone": wanted.zone, "new_next_at": wanted.next_at}
            for owner, wanted in sorted(preferences.items())
        ]
        if rows:
            self._db.execute(_SET_NEXT_TIME, rows)

    def _ensure_rows(self, owners: Sequence[UserId]) -> None:
        """Insert the missing preference rows of owners."""
        provide = insert_if_absent(reminder_preferences, self._db.dialect.name)
        rows = provide.from_select(["owner", "reminders", "zone"], self._bulk.missing)
        self._db.execute(rows, {"owners": owners})


def _preferences(row: AnyRow) -> ReminderPreferences:
    at = row.reminder_time
    return ReminderPreferences(
        reminders=row.reminders,
        reminder_time=None if at is None else time.fromisoformat(at),
        zone=row.zone,
        next_at=row.next_at,
    )


def _goal(row: AnyRow) -> IdleGoal:
    history = None if row.since is None else ReminderHistory(row.since, row[5], row.last)
    return IdleGoal(id=row.id, name=row.name, active_at=row.active_at, reminded=history)
