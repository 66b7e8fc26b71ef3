"""Goals, their books, entries and timers in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import between, count_rows, ordered
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, Goal, GoalId, GoalLedger
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry, Timer
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import EntryFilter, ExportRow, GoalDay, GoalFilter

_CATEGORIES = tuple(Category)
_GOAL_ORDERINGS: Mapping[str, Callable[[Goal], Any]] = {
    "id": lambda goal: goal.id,
    "number": lambda goal: goal.number,
    "created_at": lambda goal: goal.created_at,
    "updated_at": lambda goal: goal.updated_at,
    "name": lambda goal: goal.name,
    "category": lambda goal: _CATEGORIES.index(goal.category),
    "deadline": lambda goal: goal.deadline,
    "is_complete": lambda goal: goal.is_complete,
}
_ENTRY_ORDERINGS: Mapping[str, Callable[[ProgressEntry], Any]] = {
    "id": lambda entry: entry.id,
    "number": lambda entry: entry.number,
    "created_at": lambda entry: entry.created_at,
    "logged": lambda entry: entry.logged_seconds,
    "total": lambda entry: entry.total_seconds,
}


@define(eq=False)
class MemoryGoalLedgerRepository:
    """One book a person; whoever writes is alone in any case."""

    _tables: Tables

    def get(self, owner: UserId) -> GoalLedger:
        """Return a person's book, an empty one where nothing was ever written."""
        return self._tables.ledgers.get(owner) or GoalLedger(owner=owner)

    def lock(self, owner: UserId) -> GoalLedger:
        """Return a person's book; there is one from now on."""
        ledger = self.get(owner)
        self._tables.ledgers.put(owner, ledger)
        return ledger

    def replace(self, ledger: GoalLedger) -> None:
        """Keep a book as it now stands."""
        self._tables.ledgers.put(ledger.owner, ledger)


@define(eq=False)
class MemoryGoalRepository:
    """Everybody's goals; each is found by its owner and number only."""

    _tables: Tables

    def add(self, goal: Goal) -> Goal:
        """Keep a new goal, and return it with its id."""
        if self._found(goal.owner, goal.number) is not None:
            raise Conflict(f"There is another goal {goal.number}.")
        kept = evolve(in_utc(goal), id=GoalId(self._tables.goals.next_id()))
        self._tables.goals.put(kept.id, kept)
        return kept

    def get(self, owner: UserId, number: int) -> Goal:
        """Return one goal."""
        if (found := self._found(owner, number)) is None:
            raise NotFound(f"There is no goal {number}.")
        return found

    def get_for_update(self, owner: UserId, number: int) -> Goal:
        """Return one goal; the transaction is alone in any case."""
        return self.get(owner, number)

    def replace(self, goal: Goal) -> None:
        """Keep a goal as it now stands."""
        self.get(goal.owner, goal.number)
        self._tables.goals.put(goal.id, in_utc(goal))

    def delete(self, goal: Goal) -> None:
        """Remove a goal and its entries."""
        self._tables.goals.delete(goal.id)
        self._tables.reminded.delete(goal.id)
        for entry in [each for each in self._tables.entries if each.goal_id == goal.id]:
            self._tables.entries.delete(entry.id)

    def find(
        self,
        owner: UserId,
        filters: GoalFilter,
        *,
        ordering: Sequence[str] = ("number",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Goal]:
        """Return a part of a person's goals."""
        found = ordered(list(self._matching(owner, filters)), ordering, _GOAL_ORDERINGS)
        return found[offset : offset + limit]

    def count(self, owner: UserId, filters: GoalFilter) -> int:
        """Return how many goals the list has, counting no further than one above `COUNT_CAP`."""
        return count_rows(self._matching(owner, filters))

    def _found(self, owner: UserId, number: int) -> Goal | None:
        of_owner = (goal for goal in self._tables.goals if goal.owner == owner)
        return next((goal for goal in of_owner if goal.number == number), None)

    def _matching(self, owner: UserId, filters: GoalFilter) -> Iterator[Goal]:
        for goal in self._tables.goals:
            if (
                goal.owner == owner
                and (filters.ids is None or goal.id in filters.ids)
                and filters.category in {None, goal.category}
                and filters.is_complete in {None, goal.is_complete}
                and (filters.states is None or goal.state in filters.states)
                and _on_days(goal.deadline, filters.deadline_from, filters.deadline_to)
                and _holds(goal.name, filters.search)
            ):
                yield goal


@define(eq=False)
class MemoryProgressEntryRepository:
    """Everybody's progress entries; their shares are worked out when asked for."""

    _tables: Tables

    def add(self, entry: ProgressEntry) -> ProgressEntry:
        """Keep a new entry, and return it with its id."""
        if self._found(entry.owner, entry.goal_id, entry.number) is not None:
            raise Conflict(f"There is another entry {entry.number}.")
        kept = evolve(in_utc(entry), id=EntryId(self._tables.entries.next_id()))
        self._tables.entries.put(kept.id, kept)
        return kept

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """Return one entry."""
        if (found := self._found(owner, goal_id, number)) is None:
            raise NotFound(f"There is no entry {number}.")
        return found

    def replace(self, entry: ProgressEntry) -> None:
        """Keep an entry as it now stands."""
        self.get(entry.owner, entry.goal_id, entry.number)
        self._tables.entries.put(entry.id, in_utc(entry))

    def delete(self, entry: ProgressEntry) -> None:
        """Remove an entry."""
        self._tables.entries.delete(entry.id)

    def find(
        self,
        owner: UserId,
        filters: EntryFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ProgressEntry]:
        """Return a part of a person's entries."""
        found = ordered(list(self._matching(owner, filters)), ordering, _ENTRY_ORDERINGS)
        return found[offset : offset + limit]

    def count(self, owner: UserId, filters: EntryFilter) -> int:
        """Return how many entries the list has, counting no further than one above `COUNT_CAP`."""
        return count_rows(self._matching(owner, filters))

    def latest_before(
        self, owner: UserId, instant: datetime, *, except_id: EntryId | None = None
    ) -> ProgressEntry | None:
        """Return the timed entry that started last before a moment, perhaps but for one."""
        started = [
            (entry.started_at, entry.id, entry)
            for entry in self._of(owner)
            if entry.id != except_id and entry.started_at is not None and entry.started_at < instant
        ]
        return max(started)[-1] if started else None

    def export(
        self, owner: UserId, *, after: EntryId | None = None, limit: int = 500
    ) -> Sequence[ExportRow]:
        """Return entries by id, above an id."""
        above = sorted((e for e in self._of(owner) if e.id > (after or 0)), key=lambda e: e.id)
        goals = self._tables.goals.rows
        return [
            ExportRow(
                entry=entry,
                goal_name=goals[entry.goal_id].name,
                category=goals[entry.goal_id].category,
            )
            for entry in above[:limit]
        ]

    def days(
        self,
        owner: UserId,
        goal_id: GoalId | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds of each local day that has any, in order."""
        sums: dict[date, int] = {}
        for entry, day, seconds in self._shares(owner, first, last):
            if goal_id is None or entry.goal_id == goal_id:
                sums[day] = sums.get(day, 0) + seconds
        return sorted(sums.items())

    def days_by_goal(
        self, owner: UserId, first: date | None = None, last: date | None = None
    ) -> Sequence[GoalDay]:
        """Return the seconds of each local day and goal, by day and number."""
        sums: dict[tuple[date, int, GoalId], int] = {}
        for entry, day, seconds in self._shares(owner, first, last):
            key = (day, entry.goal_number, entry.goal_id)
            sums[key] = sums.get(key, 0) + seconds
        goals = self._tables.goals.rows
        return [
            GoalDay(
                day=day, goal_number=number, category=goals[goal_id].category, seconds=seconds
            )
            for (day, number, goal_id), seconds in sorted(sums.items())
        ]  # fmt: skip

    def _of(self, owner: UserId) -> Iterator[ProgressEntry]:
        return (entry for entry in self._tables.entries if entry.owner == owner)

    def _found(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry | None:
        of_goal = (entry for entry in self._of(owner) if entry.goal_id == goal_id)
        return next((entry for entry in of_goal if entry.number == number), None)

    def _shares(
        self, owner: UserId, first: date | None, last: date | None
    ) -> Iterator[tuple[ProgressEntry, date, int]]:
        for entry in self._of(owner):
            for day, seconds in entry.seconds_by_day():
                if _on_days(day, first, last):
                    yield entry, day, seconds

    def _matching(self, owner: UserId, filters: EntryFilter) -> Iterator[ProgressEntry]:
        for entry in self._of(owner):
            if (
                filters.goal_id in {None, entry.goal_id}
                and filters.is_complete in {None, entry.is_complete}
                and between(entry.created_at, filters.created_from, filters.created_to)
                and _holds(entry.note, filters.search)
            ):
                yield entry


@define(eq=False)
class MemoryTimerRepository:
    """The running timers, at most one a person."""

    _tables: Tables

    def get(self, owner: UserId) -> Timer | None:
        """Return a person's running timer, if there is one."""
        return self._tables.timers.get(owner)

    def add(self, timer: Timer) -> None:
        """Keep a person's running timer."""
        if self.get(timer.owner) is not None:
            raise Conflict("There is a running timer.")
        self._tables.timers.put(timer.owner, in_utc(timer))

    def remove(self, owner: UserId) -> None:
        """Forget a person's running timer, if there is one."""
        self._tables.timers.delete(owner)


def _on_days(day: date | None, first: date | None, last: date | None) -> bool:
    """Whether a date lies within bounds, both included; none is in no range."""
    if day is None:
        return first is None and last is None
    return (first is None or day >= first) and (last is None or day <= last)


def _holds(text: str, part: str | None) -> bool:
    return part is None or part.casefold() in text.casefold()
