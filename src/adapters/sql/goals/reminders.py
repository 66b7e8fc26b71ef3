"""Reminders in SQL: people are read, locked and marked by the page."""

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
from workbell.adapters.sql.schema.goals import goal_ledgers, goals
from workbell.adapters.sql.schema.reminders import goal_reminders, notification_preferences
from workbell.adapters.sql.schema.tables import users
from workbell.domain.goals.goal import GoalState
from workbell.domain.goals.reminder import IdleGoal, Preferences, ReminderHistory, ReminderRecipient
from workbell.domain.identity.user import UserId

_p, _g, _r, _u = notification_preferences.c, goals.c, goal_reminders.c, users.c
_b = goal_ledgers.c
_OPEN = _g.state == str(GoalState.ACTIVE), _g.is_complete.is_(False)
_IDLE = _g.active_at < bindparam("before")
_WANTED = select(_p.reminders, _p.reminder_time, _p.zone, _p.next_at)
_OF_ONE = _WANTED.where(_p.owner == bindparam("whose"))
_PAGE = (
    select(_g.owner)
    .distinct()
    .where(_g.owner > bindparam("after"), *_OPEN, _IDLE)
    .order_by(_g.owner)
)
_DUE = select(_p.owner).where(_p.next_at <= bindparam("now")).order_by(_p.next_at)
_AIMED = (
    update(notification_preferences)
    .where(_p.owner == bindparam("whose"), _p.next_at <= bindparam("now"))
    .values(zone=bindparam("by"), next_at=bindparam("at"))
)
_CHANGED = (
    update(notification_preferences)
    .where(_p.owner == bindparam("whose"))
    .values(
        reminders=bindparam("wanted"),
        reminder_time=bindparam("daily"),
        zone=bindparam("by"),
        next_at=bindparam("at"),
    )
)


@frozen
class _BulkStatements:
    """The statements about many people or goals at once."""

    lock: Any
    people: Any
    goals: Any
    reminded: Any
    new: Any
    forget: Any
    mark: Any

    @classmethod
    def of(cls, among: IsAmong) -> "_BulkStatements":
        """Return them, made with a way to say that a column is among the ids of a parameter."""
        marked = select(
            _g.id,
            bindparam("since", type_=Date),
            bindparam("count", type_=Integer),
            bindparam("last", type_=Date),
        ).where(among(_g.id, "ids"))
        return cls(
            lock=select(_b.owner)
            .where(among(_b.owner, "owners"))
            .order_by(_b.owner)
            .with_for_update(),
            people=select(_u.id, _u.time_zone, _p.reminded_on, *_WANTED.selected_columns)
            .outerjoin_from(users, notification_preferences, _p.owner == _u.id)
            .where(among(_u.id, "owners"), _u.is_active.is_(True))
            .order_by(_u.id),
            goals=select(_g.owner, _g.id, _g.name, _g.active_at, _r.since, _r.count, _r.last)
            .outerjoin_from(goals, goal_reminders, _r.goal_id == _g.id)
            .where(among(_g.owner, "owners"), *_OPEN, _IDLE)
            .order_by(_g.id),
            reminded=update(notification_preferences)
            .where(among(_p.owner, "owners"))
            .values(reminded_on=bindparam("day")),
            new=select(_u.id, true(), literal("")).where(among(_u.id, "owners")),
            forget=delete(goal_reminders).where(among(_r.goal_id, "ids")),
            mark=insert(goal_reminders).from_select(["goal_id", "since", "count", "last"], marked),
        )


@cache
def _statements(is_among: IsAmong) -> _BulkStatements:
    return _BulkStatements.of(is_among)


@frozen
class SqlReminderRepository:
    """Who wants reminders and when, and what of which goal was said."""

    _db: Connection
    _strategy: Strategy

    @property
    def _of_many(self) -> _BulkStatements:
        return _statements(self._strategy.is_among)

    def preferences(self, owner: UserId) -> Preferences:
        """Return what a person prefers, or the defaults."""
        row = self._db.execute(_OF_ONE, {"whose": owner}).one_or_none()
        return Preferences() if row is None else _preferences(row)

    def save_preferences(self, owner: UserId, preferences: Preferences) -> None:
        """Keep what a person prefers; when they were reminded last stays."""
        self._ensure_rows([owner])
        at = preferences.reminder_time
        values = {
            "whose": owner,
            "wanted": preferences.reminders,
            "daily": None if at is None else at.isoformat("minutes"),
            "by": preferences.zone,
            "at": preferences.next_at,
        }
        self._db.execute(_CHANGED, values)

    def idle(self, after: UserId, before: datetime, *, limit: int) -> Sequence[UserId]:
        """Return people above an id, by id, who have an open goal idle since before a moment."""
        values = {"after": after, "before": before}
        return self._db.execute(_PAGE.limit(limit), values).scalars().all()

    def due(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return people whose own time has come, the longest ago first."""
        return self._db.execute(_DUE.limit(limit), {"now": now}).scalars().all()

    def lock(self, owners: Sequence[UserId], before: datetime) -> Sequence[ReminderRecipient]:
        """Lock people's books, in the order of their ids, and return them as they stand."""
        self._db.execute(self._of_many.lock, {"owners": owners}).all()
        found: dict[int, list[IdleGoal]] = {}
        for row in self._db.execute(self._of_many.goals, {"owners": owners, "before": before}):
            found.setdefault(row.owner, []).append(_goal(row))
        return [
            ReminderRecipient(
                owner=row.id,
                zone=row.time_zone,
                preferences=Preferences() if row.reminders is None else _preferences(row),
                reminded_on=row.reminded_on,
                goals=found.get(row.id, ()),
            )
            for row in self._db.execute(self._of_many.people, {"owners": owners})
        ]

    def mark_reminded(
        self, days: Mapping[UserId, date], goals: Mapping[int, ReminderHistory]
    ) -> None:
        """Keep on which day people, who are locked, were reminded last, and of which goals."""
        self._ensure_rows(sorted(days))
        by_day: dict[date, list[UserId]] = {}
        for owner, day in days.items():
            by_day.setdefault(day, []).append(owner)
        for day, owners in by_day.items():
            self._db.execute(self._of_many.reminded, {"day": day, "owners": owners})
        for ids in chunks(sorted(goals)):
            self._db.execute(self._of_many.forget, {"ids": ids})
        alike: dict[ReminderHistory, list[int]] = {}
        for goal, told in goals.items():
            alike.setdefault(told, []).append(goal)
        for told, some in alike.items():
            values = {"since": told.since, "count": told.count, "last": told.last}
            for ids in chunks(sorted(some)):
                self._db.execute(self._of_many.mark, {**values, "ids": ids})

    def set_next_times(self, people: Mapping[UserId, Preferences], now: datetime) -> None:
        """Keep the `zone` and `next_at` of people whose own time has come."""
        rows = [
            {"whose": owner, "now": now, "by": wanted.zone, "at": wanted.next_at}
            for owner, wanted in sorted(people.items())
        ]
        if rows:
            self._db.execute(_AIMED, rows)

    def _ensure_rows(self, owners: Sequence[UserId]) -> None:
        """Have a row for each of some people."""
        provide = insert_if_absent(notification_preferences, self._db.dialect.name)
        rows = provide.from_select(["owner", "reminders", "zone"], self._of_many.new)
        self._db.execute(rows, {"owners": owners})


def _preferences(row: AnyRow) -> Preferences:
    at = row.reminder_time
    return Preferences(
        reminders=row.reminders,
        reminder_time=None if at is None else time.fromisoformat(at),
        zone=row.zone,
        next_at=row.next_at,
    )


def _goal(row: AnyRow) -> IdleGoal:
    told = None if row.since is None else ReminderHistory(row.since, row[5], row.last)
    return IdleGoal(id=row.id, name=row.name, active_at=row.active_at, reminded=told)
