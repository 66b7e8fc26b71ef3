"""Timers: time that is logged while it passes, one timer a person."""

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
from workbell.ports.goals.repository import GoalsTx
from workbell.ports.store import Store
from workbell.ports.system import Clock
from workbell.services.goals.progress import _signed, audit, record
from workbell.services.transaction_retry import retry_on_contention


class NoTimer(Conflict):
    """No timer is running for this goal."""

    code = "no_timer"


@frozen(kw_only=True)
class TimerStop:
    """What is noted down when a timer is stopped; the total is what was logged by default."""

    progress: Annotated[str, Constraints(max_length=MAX_TEXT)] = ""
    total_hours: timedelta | None = None


@frozen(kw_only=True)
class StartedTimer:
    """A running timer, and the entry of the one that it has stopped, if there was one."""

    timer: Timer
    stopped: ProgressEntry | None = None


@frozen(kw_only=True)
class TimerService:
    """Start and stop a person's timer."""

    store: Store[GoalsTx]
    clock: Clock

    @retry_on_contention
    def start(self, actor: Actor, goal_number: int) -> StartedTimer:
        """
        Have the actor's timer run for a goal, and stop the one that runs.

        If it runs for this goal already, nothing happens.

        Raises:
            NotFound: They have no such goal.
            GoalClosed: The goal is paused or archived.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            _signed(tx, actor.user_id)
            goal = tx.goals.get_for_update(actor.user_id, goal_number)
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
        return StartedTimer(timer=timer, stopped=stopped)

    @retry_on_contention
    def stop(self, actor: Actor, goal_number: int, asked: TimerStop) -> ProgressEntry:
        """
        Stop the actor's timer, and log what it has counted.

        Raises:
            NotFound: They have no such goal.
            NoTimer: No timer is running for it.
            Invalid: The total is less than what was counted, or too long.
        """
        check(actor, Action.USE_GOALS, owner=actor.user_id)
        now = self.clock.now()
        with self.store.begin() as tx:
            _signed(tx, actor.user_id)
            goal = tx.goals.get_for_update(actor.user_id, goal_number)
            running = tx.timers.get(actor.user_id)
            if running is None or running.goal_id != goal.id:
                raise NoTimer
            return stop_timer(tx, actor, goal, running, now, asked)


def stop_timer(
    tx: GoalsTx,
    actor: Actor,
    goal: Goal,
    timer: Timer,
    now: datetime,
    asked: TimerStop | None = None,
) -> ProgressEntry:
    """
    Remove a running timer, and keep its time as an entry of its locked goal.

    Raises:
        Invalid: The total that was asked for does not fit.
    """
    seconds = total = timer.seconds(now)
    if asked is not None and asked.total_hours is not None:
        total = whole_seconds(asked.total_hours, "total_hours")
        if total < seconds:
            raise Invalid.field("total_hours", "total_hours must be at least what was logged")
        check_time(seconds, total)
    tx.timers.remove(timer.owner)
    time = TimeEntry(logged=seconds, total=total, started_at=timer.started_at)
    entry = record(tx, goal, time, asked.progress if asked else "", timer.zone, now)
    audit(tx, actor, "STOP_TIMER", entry, now)
    return entry
