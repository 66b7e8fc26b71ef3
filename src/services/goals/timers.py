"""Use cases of the timer that logs time as it passes, one per user."""

from datetime import datetime, timedelta
from typing import Annotated

from attrs import frozen

from workbell.domain.constraints import MAX_TEXT, Constraints
from workbell.domain.errors import Conflict, Invalid
from workbell.domain.goals.goal import Goal
from workbell.domain.goals.progress_entry import (
    ProgressEntry,
    TimeEntry,
    Timer,
    check_time,
    whole_seconds,
)
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.permissions import Action, check
from workbell.domain.validation import check_request
from workbell.ports.goals.repository import GoalsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.audit.entries import audit_command, created_values
from workbell.services.goals.progress import audit, audited_values, insert_entry, lock_goal
from workbell.services.transaction_retry import retry_on_contention


class NoTimer(Conflict):
    """No timer is running for this goal."""

    code = "no_timer"


@frozen(kw_only=True)
class TimerStop:
    """Note and total of a stopped timer; by default the logged time."""

    progress: Annotated[str, Constraints(max_length=MAX_TEXT)] = ""
    total_hours: timedelta | None = None


@frozen(kw_only=True)
class StartedTimer:
    """A running timer, and the entry of the timer it replaced."""

    timer: Timer
    stopped: ProgressEntry | None = None


@frozen(kw_only=True)
class TimerService:
    """
    Starts and stops the actor's timer.

    Methods raise `NotFound` if the actor has no such goal.
    """

    store: Store[GoalsTx]
    clock: Clock

    @retry_on_contention
    def start(self, actor: Actor, goal_number: int) -> StartedTimer:
        """
        Start the timer for a goal; stop and log a timer of another goal.

        A timer that already runs for this goal is left unchanged.

        Raises:
            GoalClosed: The goal is paused or archived.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = lock_goal(tx, actor.user_id, goal_number)
            goal.check_timer()
            running = tx.timers.get(actor.user_id)
            if running is not None and running.goal_id == goal.id:
                return StartedTimer(timer=running)
            stopped = None
            if running is not None:
                other = tx.goals.get_for_update(actor.user_id, running.goal_number)
                stopped = stop_timer(tx, actor, other, running, now)
            timer = Timer(
                owner=goal.owner,
                goal_id=goal.id,
                goal_number=goal.number,
                started_at=now,
                zone=actor.time_zone,
            )
            tx.timers.add(timer)
            changes = {"timer_started_at": [None, now.isoformat()]}
            audit_command(tx.audit, actor, "START_TIMER", "goal", goal.id, now, changes)
        return StartedTimer(timer=timer, stopped=stopped)

    @retry_on_contention
    def stop(self, actor: Actor, goal_number: int, request: TimerStop) -> ProgressEntry:
        """
        Stop the timer and log its time.

        Raises:
            NoTimer: No timer is running for the goal.
            Invalid: The total is less than the logged time, or too long.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        check_request(request)
        now = self.clock.now()
        with self.store.begin() as tx:
            goal = lock_goal(tx, actor.user_id, goal_number)
            running = tx.timers.get(actor.user_id)
            if running is None or running.goal_id != goal.id:
                raise NoTimer
            return stop_timer(tx, actor, goal, running, now, request)


def stop_timer(
    tx: GoalsTx,
    actor: Actor,
    goal: Goal,
    timer: Timer,
    now: datetime,
    request: TimerStop | None = None,
) -> ProgressEntry:
    """Remove a timer and log its time for its locked goal; may raise Invalid."""
    seconds = total = timer.seconds(now)
    if request is not None and request.total_hours is not None:
        total = whole_seconds(request.total_hours, "total_hours")
        if total < seconds:
            raise Invalid.field("total_hours", "total_hours must not be less than the logged time")
        check_time(seconds, total)
    tx.timers.remove(timer.owner)
    time = TimeEntry(logged=seconds, total=total, started_at=timer.started_at)
    entry = insert_entry(tx, goal, time, request.progress if request else "", timer.zone, now)
    audit(tx, actor, "STOP_TIMER", entry, now, created_values(audited_values(entry)))
    return entry
