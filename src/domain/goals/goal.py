"""Goals: what somebody wants to reach, and how far it is."""

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
    """How much a goal matters."""

    PRIMARY = "Primary"
    SECONDARY = "Secondary"
    MINOR = "Minor"


class GoalState(StrEnum):
    """
    Whether a goal is worked on.

    A paused goal is not asked after, and takes progress but no timer; an
    archived one takes neither.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class GoalClosed(Conflict):
    """The goal is archived, or paused: resume it first."""

    code = "goal_closed"


@frozen(kw_only=True)
class GoalLedger:
    """
    What is known of all goals of one person.

    Every change of their goals, entries and timers locks it first and raises
    `revision`; it also gives the goals their numbers.
    """

    owner: UserId
    last_goal: int = 0
    revision: int = 0

    def changed(self) -> Self:
        """Return the book after one more change."""
        return evolve(self, revision=self.revision + 1)

    def numbered(self) -> Self:
        """Return the book after a change that needs the next number, which is `last_goal`."""
        return evolve(self.changed(), last_goal=self.last_goal + 1)


@frozen(kw_only=True)
class Goal:
    """
    What somebody wants to reach, and how much of it is done.

    `logged_seconds` and `total_seconds` are the sums of its entries,
    `last_entry` the highest number that an entry of it has had, and
    `active_at` when the newest entry, or else the goal, was made. `version`
    counts the changes of the goal itself, not those of its entries.
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
        """How much of the planned time was spent, with two places."""
        return percentage(self.logged_seconds, self.total_seconds)

    def is_overdue(self, today: date) -> bool:
        """Whether it should have been complete before a day."""
        return self.deadline is not None and self.deadline < today and not self.is_complete

    def in_state(self, state: GoalState, now: datetime) -> Self:
        """
        Return the goal in another state, or as it is where it has that state.

        Raises:
            GoalClosed: It is archived and would be paused.
        """
        if self.state is state:
            return self
        if self.state is GoalState.ARCHIVED and state is GoalState.PAUSED:
            raise GoalClosed(f"Goal {self.number} is archived; resume it first.")
        return evolve(self, state=state).touched(now)

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def check_progress(self) -> None:
        """
        Refuse progress on an archived goal.

        Raises:
            GoalClosed: It is archived.
        """
        if self.state is GoalState.ARCHIVED:
            raise GoalClosed(f"Goal {self.number} is archived; resume it first.")

    def check_timer(self) -> None:
        """
        Refuse a timer on a goal that is not worked on.

        Raises:
            GoalClosed: It is paused or archived.
        """
        if self.state is not GoalState.ACTIVE:
            raise GoalClosed(f"Goal {self.number} is {self.state}; resume it first.")

    def with_entry(self, logged: int, total: int, now: datetime) -> Self:
        """Return the goal with one more entry, whose number is `last_entry`."""
        return evolve(
            self.with_time(logged, total), last_entry=self.last_entry + 1, active_at=now
        )  # fmt: skip

    def with_time(self, logged: int, total: int) -> Self:
        """Return the goal with more seconds, or fewer where they are negative."""
        return evolve(
            self,
            logged_seconds=self.logged_seconds + logged,
            total_seconds=self.total_seconds + total,
        )


def percentage(logged: int, total: int) -> Decimal:
    """Return how much of a total was logged, with two places; 0 of nothing."""
    if total == 0:
        return Decimal("0.00")
    return (Decimal(100 * logged) / total).quantize(_TWO_PLACES, ROUND_HALF_UP)
