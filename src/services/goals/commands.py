"""Use cases of goals: create, edit, pause, archive and delete them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from attrs import evolve, frozen

from workbell.domain.audit.entry import changed_since
from workbell.domain.constraints import NOT_BLANK, Constraints, Day
from workbell.domain.errors import StaleVersion
from workbell.domain.goals.goal import Category, Goal, GoalState
from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.progress_entry import Timer
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.validation import check_request
from workbell.ports.goals.repository import GoalFilter, GoalsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import (
    audit_command,
    changed_values,
    created_values,
    deleted_values,
)
from workbell.services.goals.progress import lock_goal
from workbell.services.goals.timers import stop_timer
from workbell.services.transaction_retry import retry_on_contention

GoalName = Annotated[
    str,
    Constraints(
        min_length=1,
        max_length=500,
        pattern=NOT_BLANK,
        hint="must not be blank",
        example="Learn to swim",
    ),
]


@frozen(kw_only=True)
class NewGoal:
    """Request for a goal, before validation."""

    goal_name: GoalName
    category: Category
    is_complete: bool = False
    deadline: Day | None = None

    @classmethod
    def of(cls, goal: Goal) -> "NewGoal":
        """Return a goal's current fields, to merge a change into."""
        return cls(
            goal_name=goal.name,
            category=goal.category,
            is_complete=goal.is_complete,
            deadline=goal.deadline,
        )


@frozen(kw_only=True)
class GoalView:
    """A goal with what its owner sees of it today."""

    goal: Goal
    is_overdue: bool
    timer_started_at: datetime | None = None


@frozen(kw_only=True)
class GoalService:
    """
    Creates, lists, edits, pauses, archives and deletes the actor's goals.

    Methods that take a goal number raise `NotFound` if the actor has no such
    goal. `version` is the version that the actor has seen (None: any); they
    raise `StaleVersion` if the goal has another.
    """

    store: Store[GoalsTx]
    clock: Clock
    serializer: Serializer

    @retry_on_contention
    def create(self, actor: Actor, new: NewGoal) -> GoalView:
        """Create a goal with the actor's next goal number."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        check_request(new)
        now = self.clock.now()
        with self.store.begin() as tx:
            ledger = tx.ledgers.lock(actor.user_id).numbered()
            tx.ledgers.replace(ledger)
            goal = tx.goals.add(
                Goal(
                    owner=actor.user_id,
                    number=ledger.last_goal,
                    name=new.goal_name,
                    category=new.category,
                    is_complete=new.is_complete,
                    deadline=new.deadline,
                    active_at=now,
                    created_at=now,
                    updated_at=now,
                )
            )
            changes = created_values(self.serializer.unstructure(NewGoal.of(goal)))
            audit_command(tx.audit, actor, "CREATE", "goal", goal.id, now, changes)
        return self._view(actor, goal, None)

    def get(self, actor: Actor, number: int) -> GoalView:
        """Return one of the actor's goals."""
        with self.store.view() as tx:
            goal, timer = tx.goals.get(actor.user_id, number), tx.timers.get(actor.user_id)
        return self._view(actor, goal, timer)

    def find(
        self, actor: Actor, filters: GoalFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[GoalView], int]:
        """Return a page of the actor's goals, and the total number."""
        with self.store.view() as tx:
            total = tx.goals.count(actor.user_id, filters)
            goals = tx.goals.find(
                actor.user_id, filters, ordering=ordering, offset=offset, limit=limit
            )  # fmt: skip
            timer = tx.timers.get(actor.user_id)
        return [self._view(actor, goal, timer) for goal in goals], total

    @retry_on_contention
    def edit(
        self,
        actor: Actor,
        number: int,
        updates: Mapping[str, Any],
        *,
        version: int | None = None,
    ) -> GoalView:
        """Change the given fields; raises Invalid if one is wrong."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = _lock(tx, actor, number, version)
            after, changes = self._merge(before, updates)
            after = after.touched(now)
            tx.goals.replace(after)
            changes["version"] = [before.version, after.version]
            audit_command(tx.audit, actor, "UPDATE", "goal", after.id, now, changes)
            timer = tx.timers.get(actor.user_id)
        return self._view(actor, after, timer)

    def pause(self, actor: Actor, number: int) -> GoalView:
        """Pause a goal and log its running timer; GoalClosed if archived."""
        return self._set_state(actor, number, GoalState.PAUSED, "PAUSE")

    def resume(self, actor: Actor, number: int) -> GoalView:
        """Make a paused or archived goal active again."""
        return self._set_state(actor, number, GoalState.ACTIVE, "RESUME")

    def archive(self, actor: Actor, number: int) -> GoalView:
        """Archive a goal and log its running timer."""
        return self._set_state(actor, number, GoalState.ARCHIVED, "ARCHIVE")

    @retry_on_contention
    def delete(self, actor: Actor, number: int, *, version: int | None = None) -> None:
        """Delete a goal and its progress; its number is not reused."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = _lock(tx, actor, number, version)
            timer = tx.timers.get(actor.user_id)
            if timer is not None and timer.goal_id == goal.id:
                tx.timers.remove(actor.user_id)
            tx.goals.delete(goal)
            changes = deleted_values(self.serializer.unstructure(NewGoal.of(goal)))
            audit_command(tx.audit, actor, "DELETE", "goal", goal.id, now, changes)

    @retry_on_contention
    def _set_state(self, actor: Actor, number: int, state: GoalState, action: str) -> GoalView:
        """Change a goal's state; write nothing if it has that state."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = _lock(tx, actor, number, None)
            after = before.in_state(state, now)
            timer = tx.timers.get(actor.user_id)
            if after is before:
                return self._view(actor, before, timer)
            tx.goals.replace(after)
            if timer is not None and timer.goal_id == after.id:
                stop_timer(tx, actor, after, timer, now)
                after, timer = tx.goals.get(actor.user_id, number), None
            changes: dict[str, Any] = {"state": [str(before.state), str(state)]}
            changes["version"] = [before.version, after.version]
            audit_command(tx.audit, actor, action, "goal", after.id, now, changes)
        return self._view(actor, after, timer)

    def _view(self, actor: Actor, goal: Goal, timer: Timer | None) -> GoalView:
        return GoalView(
            goal=goal,
            is_overdue=goal.is_overdue(local_day(self.clock.now(), actor.time_zone)),
            timer_started_at=timer.started_at if timer and timer.goal_id == goal.id else None,
        )

    def _merge(self, before: Goal, updates: Mapping[str, Any]) -> tuple[Goal, dict[str, Any]]:
        """Return the edited goal, and the changes for the audit entry."""
        old = self.serializer.unstructure(NewGoal.of(before))
        request = self.serializer.structure({**old, **updates}, NewGoal)
        new = self.serializer.unstructure(request)
        after = evolve(
            before,
            name=request.goal_name,
            category=request.category,
            is_complete=request.is_complete,
            deadline=request.deadline,
        )
        return after, changed_values(old, new)


def _lock(tx: GoalsTx, actor: Actor, number: int, version: int | None) -> Goal:
    """Lock the ledger and the goal; check the goal's version."""
    goal = lock_goal(tx, actor.user_id, number)
    if version not in {None, goal.version}:
        entries = tx.audit.list_for_object("goal", str(goal.id))
        raise StaleVersion(goal.version, changed_since(entries, version or 0))
    return goal
