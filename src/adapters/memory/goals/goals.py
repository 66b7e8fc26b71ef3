"""Goals, goal ledgers, progress entries and timers in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any

from attrs import define, evolve

from workbell.adapters.memory.listing import contains_text, count_rows, in_range, sort_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc
from workbell.domain import constraints
from workbell.domain.errors import Conflict, NotFound
from workbell.domain.goals.goal import Category, Goal, GoalId, GoalLedger
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry, Timer
from workbell.domain.identity.user import UserId
from workbell.ports.goals.repository import EntryFilter, ExportRow, GoalFilter

_CATEGORIES = tuple(Category)
_GOAL_ORDERINGS: Mapping[str, Callable[[Goal], Any]] = {
    **{
        name: attrgetter(name)
        for name in ("id", "number", "created_at", "updated_at", "name", "deadline", "is_complete")
    },
    "category": lambda goal: _CATEGORIES.index(goal.category),
}
_ENTRY_ORDERINGS: Mapping[str, Callable[[ProgressEntry], Any]] = {
    **{name: attrgetter(name) for name in ("id", "number", "created_at")},
    "logged": attrgetter("logged_seconds"),
    "total": attrgetter("total_seconds"),
}


@define(eq=False)
class MemoryGoalLedgerRepository:
    """Goal ledgers, one per owner."""

    _tables: Tables

    def get(self, owner: UserId) -> GoalLedger:
        """Return an owner's ledger, or an empty one."""
        return self._tables.ledgers.get(owner) or GoalLedger(owner=owner)

    def lock(self, owner: UserId) -> GoalLedger:
        """Return an owner's ledger, inserting it if it is missing."""
        ledger = self.get(owner)
        self._tables.ledgers.put(owner, ledger)
        return ledger

    def replace(self, ledger: GoalLedger) -> None:
        """Update a ledger."""
        self._tables.ledgers.put(ledger.owner, ledger)


@define(eq=False)
class MemoryGoalRepository:
    """Goals, identified by owner and number."""

    _tables: Tables

    def add(self, goal: Goal) -> Goal:
        """Insert a goal and return it with its id."""
        if self._find(goal.owner, goal.number) is not None:
            raise Conflict(f"The owner has a goal {goal.number} already.")
        stored = evolve(in_utc(goal), id=GoalId(self._tables.goals.next_id()))
        self._tables.goals.put(stored.id, stored)
        return stored

    def get(self, owner: UserId, number: int) -> Goal:
        """Return a goal."""
        if (found := self._find(owner, number)) is None:
            raise NotFound(f"There is no goal {number}.")
        return found

    get_for_update = get

    def replace(self, goal: Goal) -> None:
        """Update a goal."""
        self.get(goal.owner, goal.number)
        self._tables.goals.put(goal.id, in_utc(goal))

    def delete(self, goal: Goal) -> None:
        """Delete a goal and its entries."""
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
        """Return a page of an owner's goals."""
        found = sort_rows(list(self._matching(owner, filters)), ordering, _GOAL_ORDERINGS)
        return found[offset : offset + limit]

    def count(self, owner: UserId, filters: GoalFilter) -> int:
        """Return the number of matching goals, at most `COUNT_CAP` + 1."""
        return count_rows(self._matching(owner, filters))

    def _find(self, owner: UserId, number: int) -> Goal | None:
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
                and in_range(goal.deadline, filters.deadline_from, filters.deadline_to)
                and contains_text(goal.name, filters.search)
            ):
                yield goal


@define(eq=False)
class MemoryProgressEntryRepository:
    """Progress entries; seconds per day are computed when they are read."""

    _tables: Tables

    def add(self, entry: ProgressEntry) -> ProgressEntry:
        """Insert an entry and return it with its id."""
        if self._find(entry.owner, entry.goal_id, entry.number) is not None:
            raise Conflict(f"The goal has an entry {entry.number} already.")
        stored = evolve(in_utc(entry), id=EntryId(self._tables.entries.next_id()))
        self._tables.entries.put(stored.id, stored)
        return stored

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """Return an entry."""
        if (found := self._find(owner, goal_id, number)) is None:
            raise NotFound(f"There is no entry {number}.")
        return found

    def replace(self, entry: ProgressEntry) -> None:
        """Update an entry."""
        self.get(entry.owner, entry.goal_id, entry.number)
        self._tables.entries.put(entry.id, in_utc(entry))

    def delete(self, entry: ProgressEntry) -> None:
        """Delete an entry."""
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
        """Return a page of an owner's entries."""
        found = sort_rows(
            list(self._matching(owner, filters, ordering)), ordering, _ENTRY_ORDERINGS
        )
        return found[offset : offset + limit]

    def count(
        self, owner: UserId, filters: EntryFilter, *, ordering: Sequence[str] = ("-created_at",)
    ) -> int:
        """Return the number of matching entries, at most `COUNT_CAP` + 1."""
        return count_rows(self._matching(owner, filters, ordering))

    def exceeds_window(self, owner: UserId, filters: EntryFilter) -> bool:
        """Whether there are older entries than those of the window."""
        return len(self._scope(owner, filters)) > constraints.SEARCH_WINDOW

    def latest_before(
        self, owner: UserId, instant: datetime, *, except_id: EntryId | None = None
    ) -> ProgressEntry | None:
        """Return the last timed entry that started before a time, ignoring `except_id`."""
        started = [
            (entry.started_at, entry.id, entry)
            for entry in self._of(owner)
            if entry.id != except_id and entry.started_at is not None and entry.started_at < instant
        ]
        return max(started)[-1] if started else None

    def export(
        self, owner: UserId, *, after: ProgressEntry | None = None, limit: int = 500
    ) -> Sequence[ExportRow]:
        """Return entries created after another, by creation time and id."""
        above = sorted(self._of(owner), key=_created)
        if after is not None:
            above = [entry for entry in above if _created(entry) > _created(after)]
        goals = self._tables.goals.rows
        rows = [(entry, goals[entry.goal_id]) for entry in above[:limit]]
        return [ExportRow(entry=e, goal_name=g.name, category=g.category) for e, g in rows]

    def days(
        self,
        owner: UserId,
        goal_id: GoalId | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds of each local day with progress, in order."""
        sums: dict[date, int] = {}
        for entry, day, seconds in self._shares(owner, first, last):
            if goal_id is None or entry.goal_id == goal_id:
                sums[day] = sums.get(day, 0) + seconds
        return sorted(sums.items())

    def _of(self, owner: UserId) -> Iterator[ProgressEntry]:
        return (entry for entry in self._tables.entries if entry.owner == owner)

    def _find(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry | None:
        of_goal = (entry for entry in self._of(owner) if entry.goal_id == goal_id)
        return next((entry for entry in of_goal if entry.number == number), None)

    def _shares(
        self, owner: UserId, first: date | None, last: date | None
    ) -> Iterator[tuple[ProgressEntry, date, int]]:
        for entry in self._of(owner):
            for day, seconds in entry.seconds_by_day():
                if in_range(day, first, last):
                    yield entry, day, seconds

    def _scope(self, owner: UserId, filters: EntryFilter) -> Sequence[ProgressEntry]:
        """Return the entries from which a window is selected, newest first."""
        if filters.goal_id is not None:
            of_goal = (entry for entry in self._of(owner) if entry.goal_id == filters.goal_id)
            return sorted(of_goal, key=attrgetter("number"), reverse=True)
        created = filters.created_from, filters.created_to
        found = (entry for entry in self._of(owner) if in_range(entry.created_at, *created))
        return sorted(found, key=_created, reverse=True)

    def _matching(
        self, owner: UserId, filters: EntryFilter, ordering: Sequence[str]
    ) -> Iterator[ProgressEntry]:
        found = self._scope(owner, filters)
        if filters.needs_window(ordering):
            found = found[: constraints.SEARCH_WINDOW]
        for entry in found:
            if (
                filters.is_complete in {None, entry.is_complete}
                and in_range(entry.created_at, filters.created_from, filters.created_to)
                and contains_text(entry.note, filters.search)
            ):
                yield entry


def _created(entry: ProgressEntry) -> tuple[datetime, EntryId]:
    return entry.created_at, entry.id


@define(eq=False)
class MemoryTimerRepository:
    """Running timers, at most one per owner."""

    _tables: Tables

    def get(self, owner: UserId) -> Timer | None:
        """Return an owner's running timer, or None."""
        return self._tables.timers.get(owner)

    def add(self, timer: Timer) -> None:
        """Insert a running timer."""
        if self.get(timer.owner) is not None:
            raise Conflict("There is a running timer.")
        self._tables.timers.put(timer.owner, in_utc(timer))

    def remove(self, owner: UserId) -> None:
        """Delete an owner's running timer, if there is one."""
        self._tables.timers.delete(owner)
