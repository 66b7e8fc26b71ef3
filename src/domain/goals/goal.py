"""Goals and their completion."""

from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import NewType, Self

from attrs import evolve, frozen

from workbell.domain.errors import Conflict
from workbell.domain.identity.user import UserId

GoalId = NewType("GoalId", int)

_TWO_PLACES = Decimal("0.01")


class Category(StrEnum):
    """The importance of a goal."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    MINOR = "Minor"


class GoalState(StrEnum):
    """
    Whether a goal is being worked on.

    A paused goal gets no reminders and accepts progress but no timer; an archived
    one accepts neither.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class GoalClosed(Conflict):
    """The goal is archived or paused: resume it first."""

    code = "goal_closed"


@frozen(kw_only=True)
class GoalLedger:
    """
    The lock and counters of one user's goals.

    Every change of the user's goals, entries and timers locks it first and
    increments `revision`. `last_goal` is the highest goal number in use.
    """

    owner: UserId
    last_goal: int = 0
    revision: int = 0

    def changed(self) -> Self:
        """Return the ledger after one more change."""
        return evolve(self, revision=self.revision + 1)

    def numbered(self) -> Self:
        """Return the ledger after assigning a new goal number, `last_goal`."""
        return evolve(self.changed(), last_goal=self.last_goal + 1)


@frozen(kw_only=True)
class Goal:
    """
    A goal and how much of its planned time is done.

    `logged_seconds` and `total_seconds` are sums over its entries, `last_entry` is
    the highest entry number assigned so far. `active_at` is when its newest entry
    (or, without one, the goal) was created. `version` counts changes of the goal
    itself, not of its entries.
    """

    id: GoalId = GoalId(0)
    owner: UserId
    number: int
    name: str
    category: Category
    is_complete: bool = False
    deadline: date | None = None
    state: GoalState = GoalState.ACTIVE
    logged_seconds: int = 0
    total_seconds: int = 0
    last_entry: int = 0
    version: int = 1
    active_at: datetime
    created_at: datetime
    updated_at: datetime

    @property
    def completion_percentage(self) -> Decimal:
        """The share of the planned time that was logged, with two decimals."""
        return percentage(self.logged_seconds, self.total_seconds)

    def is_overdue(self, today: date) -> bool:
        """Whether the deadline is before a day and the goal is not complete."""
        return self.deadline is not None and self.deadline < today and not self.is_complete

    def in_state(self, state: GoalState, now: datetime) -> Self:
        """Return the goal in a state; GoalClosed if archived and to be paused."""
        if self.state is state:
            return self
        if self.state is GoalState.ARCHIVED and state is GoalState.PAUSED:
            raise GoalClosed(f"Goal {self.number} is archived; resume it first.")
        return evolve(self, state=state).touched(now)

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def check_progress(self) -> None:
        """Raise GoalClosed if the goal is archived."""
        if self.state is GoalState.ARCHIVED:
            raise GoalClosed(f"Goal {self.number} is archived; resume it first.")

    def check_timer(self) -> None:
        """Raise GoalClosed if the goal is paused or archived."""
        if self.state is not GoalState.ACTIVE:
            raise GoalClosed(f"Goal {self.number} is {self.state}; resume it first.")

    def with_entry(self, logged: int, total: int, now: datetime) -> Self:
        """Return the goal with one more entry, numbered `last_entry`."""
        return evolve(
            self.with_time(logged, total), last_entry=self.last_entry + 1, active_at=now
        )  # fmt: skip

    def with_time(self, logged: int, total: int) -> Self:
        """Return the goal with seconds added (or subtracted, if negative)."""
        return evolve(
            self,
            logged_seconds=self.logged_seconds + logged,
            total_seconds=self.total_seconds + total,
        )


def percentage(logged: int, total: int) -> Decimal:
    """Return the logged share of a total, with two decimals; 0 for no total."""
    if total == 0:
        return Decimal("0.00")
    return (Decimal(100 * logged) / total).quantize(_TWO_PLACES, ROUND_HALF_UP)
