"""Goals, goal ledgers and timers in SQL."""

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import ColumnElement, Connection, bindparam, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.filters import contains_text, count_rows, equals
from workbell.adapters.sql.database.statements import (
    AnyRow,
    insert_if_absent,
    inserted_id,
    row_to_dict,
)
from workbell.adapters.sql.goals.progress_days import ProgressDays
from workbell.adapters.sql.schema.goals import goal_ledgers, goal_reminders, goals, timers
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, Goal, GoalId, GoalLedger, GoalState
from workbell.domain.goals.progress_entry import Timer
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import GoalFilter

ledgers_c, goals_c, timers_c = goal_ledgers.c, goals.c, timers.c
_LEDGER = select(goal_ledgers).where(ledgers_c.owner == bindparam("owner_id"))
_LOCK = _LEDGER.with_for_update()
_REPLACE_LEDGER = (
    update(goal_ledgers)
    .where(ledgers_c.owner == bindparam("owner_id"))
    .values(last_goal=bindparam("new_last_goal"), revision=bindparam("new_revision"))
)
_ONE = select(goals).where(
    goals_c.owner == bindparam("owner_id"), goals_c.number == bindparam("goal_number")
)
_INSERT = insert(goals)
_REPLACE = update(goals).where(
    goals_c.id == bindparam("goal_id"), goals_c.owner == bindparam("owner_id")
)
_TIMER = select(timers).where(timers_c.owner == bindparam("owner_id"))
_CATEGORY_RANK = case({each.value: n for n, each in enumerate(Category)}, value=goals_c.category)
_ORDERINGS: dict[str, ColumnElement[Any]] = {
    **{
        name: goals_c[name]
        for name in ("id", "number", "created_at", "updated_at", "name", "deadline", "is_complete")
    },
    "category": _CATEGORY_RANK,
}


@frozen
class SqlGoalLedgerRepository:
    """Goal ledgers: one row per owner, locked before any of the owner's goals changes."""

    _db: Connection

    def get(self, owner: UserId) -> GoalLedger:
        """Return an owner's ledger, or an empty one."""
        row = self._db.execute(_LEDGER, {"owner_id": owner}).one_or_none()
        return GoalLedger(owner=owner) if row is None else GoalLedger(**row_to_dict(row))

    def lock(self, owner: UserId) -> GoalLedger:
        """Lock and return an owner's ledger, inserting it if it is missing."""
        statement = insert_if_absent(goal_ledgers, self._db.dialect.name)
        while (row := self._db.execute(_LOCK, {"owner_id": owner}).one_or_none()) is None:
            self._db.execute(statement.values(owner=owner, last_goal=0, revision=0))
        return GoalLedger(**row_to_dict(row))

    def replace(self, ledger: GoalLedger) -> None:
        """Update a ledger, whose row is locked."""
        values = {
            "owner_id": ledger.owner,
            "new_last_goal": ledger.last_goal,
            "new_revision": ledger.revision,
        }
        self._db.execute(_REPLACE_LEDGER, values)


@frozen
class SqlGoalRepository:
    """Goals, identified by owner and number."""

    _db: Connection

    def add(self, goal: Goal) -> Goal:
        """Insert a goal and return it with its id."""
        try:
            result = self._db.execute(_INSERT, _values(goal))
        except IntegrityError as error:
            raise Conflict(f"The owner has a goal {goal.number} already.") from error
        return evolve(goal, id=GoalId(inserted_id(result)))

    def get(self, owner: UserId, number: int) -> Goal:
        """Return a goal."""
        return self._one(_ONE, owner, number)

    def get_for_update(self, owner: UserId, number: int) -> Goal:
        """Lock and return a goal."""
        return self._one(_ONE.with_for_update(), owner, number)

    def replace(self, goal: Goal) -> None:
        """Update a goal, whose owner's ledger is locked."""
        values = _values(goal) | {"goal_id": goal.id, "owner_id": goal.owner}
        if self._db.execute(_REPLACE, values).rowcount == 0:
            raise NotFound(f"There is no goal {goal.number}.")

    def delete(self, goal: Goal) -> None:
        """Delete a goal with its days; its entries are deleted by cascade."""
        ProgressDays(self._db).delete_goal(goal)
        self._db.execute(delete(goal_reminders).where(goal_reminders.c.goal_id == goal.id))
        self._db.execute(delete(goals).where(goals_c.id == goal.id, goals_c.owner == goal.owner))

    def find(
        self,
        owner: UserId,
        filters: GoalFilter,
        *,
        ordering: Sequence[str] = ("number",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Goal]:
        """Return a page of an owner's goals."""
        query = select(goals).where(*_conditions(owner, filters)).order_by(*_ordered(ordering))
        return [_goal(row) for row in self._db.execute(query.offset(offset).limit(limit))]

    def count(self, owner: UserId, filters: GoalFilter) -> int:
        """Return the number of matching goals, at most `COUNT_CAP` + 1."""
        return self._db.execute(count_rows(goals, *_conditions(owner, filters))).scalar_one()

    def _one(self, query: Any, owner: UserId, number: int) -> Goal:
        row = self._db.execute(query, {"owner_id": owner, "goal_number": number}).one_or_none()
        if row is None:
            raise NotFound(f"There is no goal {number}.")
        return _goal(row)


@frozen
class SqlTimerRepository:
    """Running timers, at most one per owner."""

    _db: Connection

    def get(self, owner: UserId) -> Timer | None:
        """Return an owner's running timer, or None."""
        row = self._db.execute(_TIMER, {"owner_id": owner}).one_or_none()
        return None if row is None else Timer(**row_to_dict(row))

    def add(self, timer: Timer) -> None:
        """Insert a running timer."""
        try:
            self._db.execute(insert(timers).values(asdict(timer)))
        except IntegrityError as error:
            raise Conflict("There is a running timer.") from error

    def remove(self, owner: UserId) -> None:
        """Delete an owner's running timer, if there is one."""
        self._db.execute(delete(timers).where(timers_c.owner == owner))


def _values(goal: Goal) -> dict[str, Any]:
    values = asdict(goal) | {"category": str(goal.category), "state": str(goal.state)}
    del values["id"]
    return values


def _goal(row: AnyRow) -> Goal:
    values = row_to_dict(row)
    values |= {"category": Category(row.category), "state": GoalState(row.state)}
    return Goal(**values)


def _conditions(owner: UserId, filters: GoalFilter) -> Iterator[ColumnElement[bool]]:
    yield goals_c.owner == owner
    if filters.ids is not None:
        yield goals_c.id.in_(filters.ids)
    yield from equals(goals_c.category, filters.category and str(filters.category))
    if filters.is_complete is not None:
        yield goals_c.is_complete.is_(filters.is_complete)
    if filters.states is not None:
        yield goals_c.state.in_([str(state) for state in filters.states])
    if filters.deadline_from is not None:
        yield goals_c.deadline >= filters.deadline_from
    if filters.deadline_to is not None:
        yield goals_c.deadline <= filters.deadline_to
    if filters.search is not None:
        yield contains_text(goals_c.name, filters.search)


def _ordered(ordering: Sequence[str]) -> Iterator[ColumnElement[Any]]:
    """Yield ORDER BY terms; goals without a deadline come last in both directions."""
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        column = _ORDERINGS[name.removeprefix("-")]
        if column is goals_c.deadline:
            yield goals_c.deadline.is_(None)
        yield column.desc() if name.startswith("-") else column
