"""Seconds of progress per goal and local day in SQL."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, bindparam, delete, select

from workbell.adapters.sql.database.statements import chunks, insert_or_add
from workbell.adapters.sql.schema.goals import progress_days
from workbell.domain.goals.goal import Goal, GoalId
from workbell.domain.identity.user import UserId

ALL_GOALS = GoalId(0)
"""The goal id of the sums over all goals."""
days_c = progress_days.c
_DELETE_EMPTY = delete(progress_days).where(
    days_c.owner == bindparam("of_owner"),
    days_c.goal_id.in_(bindparam("goals", expanding=True)),
    days_c.local_day.in_(bindparam("days", expanding=True)),
    days_c.seconds <= 0,
)
_DELETE_GOAL = delete(progress_days).where(
    days_c.owner == bindparam("of_owner"), days_c.goal_id == bindparam("goal")
)


@frozen
class ProgressDays:
    """The sums of entries, which change in the transaction of the entries."""

    _db: Connection

    def list_days(
        self, owner: UserId, goal_id: GoalId | None, first: date | None, last: date | None
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds per day, in order."""
        query = select(days_c.local_day, days_c.seconds).where(
            days_c.owner == owner, days_c.goal_id == (goal_id or ALL_GOALS)
        )
        if first is not None:
            query = query.where(days_c.local_day >= first)
        if last is not None:
            query = query.where(days_c.local_day <= last)
        return [
            (day, int(seconds))
            for day, seconds in self._db.execute(query.order_by(days_c.local_day))
        ]

    def add(self, owner: UserId, goal_id: GoalId, seconds: Mapping[date, int]) -> None:
        """Add seconds, which may be negative, to the days of a goal and of all goals."""
        self._add(owner, (ALL_GOALS, goal_id), seconds)

    def delete_goal(self, goal: Goal) -> None:
        """Delete the days of a goal, and subtract them from those of all goals."""
        days = self.list_days(goal.owner, goal.id, None, None)
        self._add(goal.owner, (ALL_GOALS,), {day: -seconds for day, seconds in days})
        self._db.execute(_DELETE_GOAL, {"of_owner": goal.owner, "goal": goal.id})

    def _add(self, owner: UserId, goals: Sequence[GoalId], seconds: Mapping[date, int]) -> None:
        changed = [(day, some) for day, some in sorted(seconds.items()) if some]
        for part in chunks(changed):
            rows: list[dict[str, Any]] = [
                {"owner": owner, "goal_id": goal, "local_day": day, "seconds": some}
                for goal in goals
                for day, some in part
            ]
            self._db.execute(_insert_or_add(self._db.dialect.name), rows)
            if reduced := [day for day, some in part if some < 0]:
                values = {"of_owner": owner, "goals": list(goals), "days": reduced}
                self._db.execute(_DELETE_EMPTY, values)


def difference(
    after: Sequence[tuple[date, int]], before: Sequence[tuple[date, int]]
) -> Mapping[date, int]:
    """Return the seconds by which each day changes."""
    days: Counter[date] = Counter()
    for day, seconds in after:
        days[day] += seconds
    for day, seconds in before:
        days[day] -= seconds
    return days


@cache
def _insert_or_add(dialect: str) -> Any:
    return insert_or_add(progress_days, dialect, "seconds")
