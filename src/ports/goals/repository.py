"""Goals, progress entries and timers as the store keeps them."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.goals.goal import Category, Goal, GoalId, GoalLedger, GoalState
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry, Timer
from workbell.domain.identity.user import UserId
from workbell.ports.audit import AuditRepository


@frozen(kw_only=True)
class GoalFilter:
    """Which goals a list shows; None leaves a matter open. Both dates are included."""

    ids: Sequence[int] | None = None
    category: Category | None = None
    is_complete: bool | None = None
    states: Sequence[GoalState] | None = None
    deadline_from: date | None = None
    deadline_to: date | None = None
    search: str | None = None


@frozen(kw_only=True)
class EntryFilter:
    """Which entries a list shows; None leaves a matter open. Both times are included."""

    goal_id: GoalId | None = None
    is_complete: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    search: str | None = None


@frozen(kw_only=True)
class GoalDay:
    """What was logged for one goal on one local day, in seconds."""

    day: date
    goal_number: int
    category: Category
    seconds: int


@frozen(kw_only=True)
class ExportRow:
    """An entry with what an export tells of its goal."""

    entry: ProgressEntry
    goal_name: str
    category: Category


class GoalLedgerRepository(Protocol):
    """One row a person, locked before anything of theirs is changed."""

    def get(self, owner: UserId) -> GoalLedger:
        """Return a person's book, an empty one where nothing was ever written."""
        ...

    def lock(self, owner: UserId) -> GoalLedger:
        """
        Return a person's book and lock it; there is one from now on.

        Nobody else gets past this call for the same person until the
        transaction ends.
        """
        ...

    def replace(self, ledger: GoalLedger) -> None:
        """Keep a book as it now stands; it is locked already."""
        ...


class GoalRepository(Protocol):
    """Everybody's goals; each is found by its owner and number only."""

    def add(self, goal: Goal) -> Goal:
        """
        Keep a new goal, and return it with its id.

        Raises:
            Conflict: The owner has another with its number.
        """
        ...

    def get(self, owner: UserId, number: int) -> Goal:
        """
        Return one goal.

        Raises:
            NotFound: The owner has none with the number.
        """
        ...

    def get_for_update(self, owner: UserId, number: int) -> Goal:
        """
        Return one goal and lock its row.

        Raises:
            NotFound: The owner has none with the number.
        """
        ...

    def replace(self, goal: Goal) -> None:
        """Keep a goal as it now stands; its owner's book is locked already."""
        ...

    def delete(self, goal: Goal) -> None:
        """Remove a goal, its entries and what they share out; its number stays taken."""
        ...

    def find(
        self,
        owner: UserId,
        filters: GoalFilter,
        *,
        ordering: Sequence[str] = ("number",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Goal]:
        """
        Return a part of a person's goals.

        `search` looks in the name, regardless of case. `ordering` holds names
        of `number, created_at, updated_at, name, category, deadline,
        is_complete`, a minus before descending ones; categories come in the
        order of their weight, Primary first. The id breaks ties; goals without
        a deadline come last in both directions.
        """
        ...

    def count(self, owner: UserId, filters: GoalFilter) -> int:
        """Return how many goals the list has, counting no further than one above `COUNT_CAP`."""
        ...


class ProgressEntryRepository(Protocol):
    """Everybody's progress entries, and what they share out over local days."""

    def add(self, entry: ProgressEntry) -> ProgressEntry:
        """
        Keep a new entry and its shares, and return it with its id.

        Raises:
            Conflict: The goal has another with its number.
        """
        ...

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """
        Return one entry.

        Raises:
            NotFound: The goal has none with the number, or is not the owner's.
        """
        ...

    def replace(self, entry: ProgressEntry) -> None:
        """Keep an entry as it now stands, and its shares; the book is locked already."""
        ...

    def delete(self, entry: ProgressEntry) -> None:
        """Remove an entry and its shares."""
        ...

    def find(
        self,
        owner: UserId,
        filters: EntryFilter,
        *,
        ordering: Sequence[str] = ("-created_at",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[ProgressEntry]:
        """
        Return a part of a person's entries.

        `search` looks in the note. `ordering` holds names of `number,
        created_at, logged, total`, a minus before descending ones; the id
        breaks ties, descending where the first name is.
        """
        ...

    def count(self, owner: UserId, filters: EntryFilter) -> int:
        """Return how many entries the list has, counting no further than one above `COUNT_CAP`."""
        ...

    def latest_before(
        self, owner: UserId, moment: datetime, *, except_id: EntryId | None = None
    ) -> ProgressEntry | None:
        """Return the timed entry that started last before a moment, perhaps but for one."""
        ...

    def export(
        self, owner: UserId, *, after: EntryId | None = None, limit: int = 500
    ) -> Sequence[ExportRow]:
        """Return entries by id, above an id: to walk over all of them."""
        ...

    def days(
        self,
        owner: UserId,
        goal_id: GoalId | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds of each local day that has any, in order; both bounds are included."""
        ...

    def days_by_goal(
        self, owner: UserId, first: date | None = None, last: date | None = None
    ) -> Sequence[GoalDay]:
        """Return the seconds of each local day and goal, by day and number."""
        ...


class TimerRepository(Protocol):
    """The running timers, at most one a person."""

    def get(self, owner: UserId) -> Timer | None:
        """Return a person's running timer, if there is one."""
        ...

    def add(self, timer: Timer) -> None:
        """
        Keep a person's running timer.

        Raises:
            Conflict: They have one that runs.
        """
        ...

    def remove(self, owner: UserId) -> None:
        """Forget a person's running timer, if there is one."""
        ...


class GoalsTx(Protocol):
    """What goals may touch within one transaction."""

    @property
    def ledgers(self) -> GoalLedgerRepository:
        """The books."""
        ...

    @property
    def goals(self) -> GoalRepository:
        """The goals."""
        ...

    @property
    def entries(self) -> ProgressEntryRepository:
        """The progress entries."""
        ...

    @property
    def timers(self) -> TimerRepository:
        """The running timers."""
        ...

    @property
    def audit(self) -> AuditRepository:
        """The audit trail."""
        ...
