"""Goals: set, change, pause, archive and delete them."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

from attrs import evolve, frozen

from workbell.domain.audit import AuditEntry, changed_since
from workbell.domain.constraints import Constraints
from workbell.domain.errors import StaleVersion
from workbell.domain.goals.goal import Category, Goal, GoalState
from workbell.domain.goals.local_days import local_day
from workbell.domain.goals.progress_entry import Timer
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.ports.goals.repository import GoalFilter, GoalsTx
from workbell.ports.serialization import Serializer
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.goals.progress import NOT_BLANK, _signed
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
    """What is asked of a goal."""

    goal_name: GoalName
    category: Category
    is_complete: bool = False
    deadline: date | None = None

    @classmethod
    def of(cls, goal: Goal) -> "NewGoal":
        """Return what a goal was asked to be, to be merged with a change."""
        return cls(
            goal_name=goal.name,
            category=goal.category,
            is_complete=goal.is_complete,
            deadline=goal.deadline,
        )


@frozen(kw_only=True)
class GoalView:
    """A goal as its owner sees it today."""

    goal: Goal
    is_overdue: bool
    timer_started_at: datetime | None = None


@frozen(kw_only=True)
class GoalService:
    """Set, list, change, pause, archive and delete a person's goals."""

    store: Store[GoalsTx]
    clock: Clock
    serializer: Serializer

    @retry_on_contention
    def create(self, actor: Actor, new: NewGoal) -> GoalView:
        """Give the actor a new goal, with their next number."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
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
            named = {"goal_name": [None, goal.name]}
            _audit(tx, actor, "CREATE", goal, now, named)
        return self._view(actor, goal, None)

    def get(self, actor: Actor, number: int) -> GoalView:
        """
        Return one of the actor's goals.

        Raises:
            NotFound: They have none with the number.
        """
        with self.store.view() as tx:
            goal, timer = tx.goals.get(actor.user_id, number), tx.timers.get(actor.user_id)
        return self._view(actor, goal, timer)

    def find(
        self, actor: Actor, filters: GoalFilter, ordering: Sequence[str], offset: int, limit: int
    ) -> tuple[Sequence[GoalView], int]:
        """Return a part of the actor's goals, and how many there are."""
        with self.store.view() as tx:
            total = tx.goals.count(actor.user_id, filters)
            found = tx.goals.find(
                actor.user_id, filters, ordering=ordering, offset=offset, limit=limit
            )  # fmt: skip
            timer = tx.timers.get(actor.user_id)
        return [self._view(actor, goal, timer) for goal in found], total

    @retry_on_contention
    def edit(
        self, actor: Actor, number: int, given: Mapping[str, Any], *, version: int | None = None
    ) -> GoalView:
        """
        Change the given fields, and leave the others.

        `version` is the one that the actor has seen, None where they do not care.

        Raises:
            NotFound: There is none.
            Invalid: A field is wrong.
            StaleVersion: It has been changed since.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = _locked(tx, actor, number, version)
            after, changes = self._changed(before, given)
            after = after.touched(now)
            tx.goals.replace(after)
            changes["version"] = [before.version, after.version]
            _audit(tx, actor, "UPDATE", after, now, changes)
            timer = tx.timers.get(actor.user_id)
        return self._view(actor, after, timer)

    def pause(self, actor: Actor, number: int) -> GoalView:
        """
        Leave a goal alone for a while; its running timer is stopped and logged.

        Raises:
            NotFound: There is none.
            GoalClosed: It is archived.
        """
        return self._move(actor, number, GoalState.PAUSED, "PAUSE")

    def resume(self, actor: Actor, number: int) -> GoalView:
        """
        Work on a paused or archived goal again.

        Raises:
            NotFound: There is none.
        """
        return self._move(actor, number, GoalState.ACTIVE, "RESUME")

    def archive(self, actor: Actor, number: int) -> GoalView:
        """
        Put a goal away; its running timer is stopped and logged.

        Raises:
            NotFound: There is none.
        """
        return self._move(actor, number, GoalState.ARCHIVED, "ARCHIVE")

    @retry_on_contention
    def delete(self, actor: Actor, number: int, *, version: int | None = None) -> None:
        """
        Remove a goal and all its progress; its number stays taken.

        Raises:
            NotFound: There is none.
            StaleVersion: It has been changed since.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = _locked(tx, actor, number, version)
            timer = tx.timers.get(actor.user_id)
            if timer is not None and timer.goal_id == goal.id:
                tx.timers.remove(actor.user_id)
            tx.goals.delete(goal)
            _audit(tx, actor, "DELETE", goal, now, {"goal_name": [goal.name, None]})

    @retry_on_contention
    def _move(self, actor: Actor, number: int, state: GoalState, action: str) -> GoalView:
        """Have a goal in another state; nothing is written where it has that state."""
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            before = _locked(tx, actor, number, None)
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
            _audit(tx, actor, action, after, now, changes)
        return self._view(actor, after, timer)

    def _view(self, actor: Actor, goal: Goal, timer: Timer | None) -> GoalView:
        runs = timer is not None and timer.goal_id == goal.id
        return GoalView(
            goal=goal,
            is_overdue=goal.is_overdue(local_day(self.clock.now(), actor.time_zone)),
            timer_started_at=timer.started_at if timer is not None and runs else None,
        )

    def _changed(self, before: Goal, given: Mapping[str, Any]) -> tuple[Goal, dict[str, Any]]:
        """Return a goal with other fields, and the changes for the audit trail."""
        old = self.serializer.unstructure(NewGoal.of(before))
        asked = self.serializer.structure({**old, **given}, NewGoal)
        new = self.serializer.unstructure(asked)
        after = evolve(
            before,
            name=asked.goal_name,
            category=asked.category,
            is_complete=asked.is_complete,
            deadline=asked.deadline,
        )
        return after, {name: [old[name], new[name]] for name in new if old[name] != new[name]}


def _locked(tx: GoalsTx, actor: Actor, number: int, version: int | None) -> Goal:
    """Return a goal under lock, if it has the version given."""
    _signed(tx, actor.user_id)
    goal = tx.goals.get_for_update(actor.user_id, number)
    if version not in {None, goal.version}:
        entries = tx.audit.list_for_object("goal", str(goal.id))
        raise StaleVersion(goal.version, changed_since(entries, version or 0))
    return goal


def _audit(
    tx: GoalsTx,
    actor: Actor,
    action: str,
    goal: Goal,
    now: datetime,
    changes: Mapping[str, Any],
) -> None:
    if not actor.is_system:
        tx.audit.add(AuditEntry.of(actor, action, "goal", goal.id, now, changes))
