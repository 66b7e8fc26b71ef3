"""Repositories of goals, progress entries and timers; the transaction."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Protocol

from attrs import frozen

from workbell.domain.goals.goal import Category, Goal, GoalId, GoalLedger, GoalState
from workbell.domain.goals.progress_entry import EntryId, ProgressEntry, Timer
from workbell.domain.identity.user import UserId
from workbell.ports.audit import AuditTx


@frozen(kw_only=True)
class GoalFilter:
    """Conditions of a list of goals; None means any. Dates are inclusive."""

    ids: Sequence[int] | None = None
    category: Category | None = None
    is_complete: bool | None = None
    states: Sequence[GoalState] | None = None
    deadline_from: date | None = None
    deadline_to: date | None = None
    search: str | None = None


@frozen(kw_only=True)
class EntryFilter:
    """Conditions of a list of entries; None means any. Bounds are inclusive."""

    goal_id: GoalId | None = None
    is_complete: bool | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    search: str | None = None

    def needs_window(self, ordering: Sequence[str]) -> bool:
        """
        Whether a list reads the newest `SEARCH_WINDOW` entries.

        Entries of an owner have an index by creation time, those of a goal by number;
        the other filters and orderings apply to the window.
        """
        filtered: list[object] = [self.is_complete, self.search]
        if self.goal_id is not None:
            filtered += [self.created_from, self.created_to]
        indexed = "created_at" if self.goal_id is None else "number"
        has_index = [name.removeprefix("-") for name in ordering] == [indexed]
        return not has_index or any(value is not None for value in filtered)


@frozen(kw_only=True)
class ExportRow:
    """A progress entry with the name and category of its goal."""

    entry: ProgressEntry
    goal_name: str
    category: Category


class GoalLedgerRepository(Protocol):
    """One row per user, locked before any of their goals is changed."""

    def get(self, owner: UserId) -> GoalLedger:
        """Return a user's ledger, or an empty one."""

    def lock(self, owner: UserId) -> GoalLedger:
        """
        Lock a user's ledger and return it; inserts the row if it is missing.

        Other transactions wait here until this one ends.
        """

    def replace(self, ledger: GoalLedger) -> None:
        """Update a locked ledger."""


class GoalRepository(Protocol):
    """Goals of all users, identified by owner and number."""

    def add(self, goal: Goal) -> Goal:
        """Insert a goal and return it with its id; Conflict if its number exists."""

    def get(self, owner: UserId, number: int) -> Goal:
        """Return one goal, or raise NotFound."""

    def get_for_update(self, owner: UserId, number: int) -> Goal:
        """Return one goal and lock its row, or raise NotFound."""

    def replace(self, goal: Goal) -> None:
        """Update a goal; the caller holds its owner's ledger."""

    def delete(self, goal: Goal) -> None:
        """Delete a goal with its entries; its number is not reused."""

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
        Return one page of a user's goals.

        `search` matches part of the name, case-insensitively. `ordering` holds
        `number`, `created_at`, `updated_at`, `name`, `category`, `deadline` or
        `is_complete`, with a leading minus for descending; ties are ordered by id.
        Categories sort by importance, Primary first. Goals without a deadline come
        last in both directions.
        """

    def count(self, owner: UserId, filters: GoalFilter) -> int:
        """Return how many goals match, counting up to `COUNT_CAP` + 1."""


class ProgressEntryRepository(Protocol):
    """Progress entries of all users, and their seconds per local day."""

    def add(self, entry: ProgressEntry) -> ProgressEntry:
        """
        Insert an entry with its seconds per day, and return it with its id.

        Raises:
            Conflict: The goal already has an entry with this number.
        """

    def get(self, owner: UserId, goal_id: GoalId, number: int) -> ProgressEntry:
        """Return one entry of the owner's goal, or raise NotFound."""

    def replace(self, entry: ProgressEntry) -> None:
        """Update an entry and its seconds per day; the caller holds the ledger."""

    def delete(self, entry: ProgressEntry) -> None:
        """Delete an entry and its seconds per day."""

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
        Return one page of a user's entries.

        `search` matches part of the note. `ordering` holds `number`, `created_at`,
        `logged` or `total`, with a leading minus for descending; ties are ordered by
        id, descending if the first name is. Only entries of the window are found if
        one is needed, see `EntryFilter.needs_window`.
        """

    def count(
        self, owner: UserId, filters: EntryFilter, *, ordering: Sequence[str] = ("-created_at",)
    ) -> int:
        """Return how many entries `find` finds, counting up to `COUNT_CAP` + 1."""

    def exceeds_window(self, owner: UserId, filters: EntryFilter) -> bool:
        """Whether there are older entries than those of the window."""

    def latest_before(
        self, owner: UserId, instant: datetime, *, except_id: EntryId | None = None
    ) -> ProgressEntry | None:
        """Return the timed entry with the latest start before an instant, or None."""

    def export(
        self, owner: UserId, *, after: ProgressEntry | None = None, limit: int = 500
    ) -> Sequence[ExportRow]:
        """Return entries created after another, by creation time and id."""

    def days(
        self,
        owner: UserId,
        goal_id: GoalId | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Sequence[tuple[date, int]]:
        """Return the seconds per local day, ascending; both bounds are inclusive."""


class TimerRepository(Protocol):
    """Running timers, at most one per user."""

    def get(self, owner: UserId) -> Timer | None:
        """Return a user's running timer, or None."""

    def add(self, timer: Timer) -> None:
        """Insert a timer, or raise Conflict if the user has a running one."""

    def remove(self, owner: UserId) -> None:
        """Delete a user's running timer, if any."""


class GoalsTx(AuditTx, Protocol):
    """The repositories that goals use within one transaction."""

    @property
    def ledgers(self) -> GoalLedgerRepository:
        """The goal ledgers."""

    @property
    def goals(self) -> GoalRepository:
        """The goals."""

    @property
    def entries(self) -> ProgressEntryRepository:
        """The progress entries."""

    @property
    def timers(self) -> TimerRepository:
        """The running timers."""
