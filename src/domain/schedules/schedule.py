"""Schedules: run a task at the times of a cron expression."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Self

from attrs import Factory, evolve, frozen

from workbell.domain.clock_check import MAX_LEAP
from workbell.domain.cron.preview import jitter_problem
from workbell.domain.cron.rule import CronRule, min_interval
from workbell.domain.errors import Invalid, LimitReached
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import Job, JobOrigin, MissedTicks, claim_mode
from workbell.domain.jobs.task import OnLost, Task

ScheduleId = NewType("ScheduleId", int)

FAILURES_TO_PAUSE = 5
MAX_BACKFILL = 1000
ENDED = "ended"
"""The `paused_reason` of a schedule without a tick left."""
ALERT_RECHECK_INTERVAL = timedelta(seconds=60)
"""How often an overdue schedule is checked for recovery."""


class MisfirePolicy(StrEnum):
    """What happens to ticks that are more than a minute late."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class OverlapPolicy(StrEnum):
    """What happens to a tick while an earlier run is unfinished."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    CANCEL_OTHER = "cancel_other"
    ALLOW_ALL = "allow_all"


@frozen(kw_only=True)
class Schedule:
    """
    Runs a task at the times of a cron expression.

    It is active while `next_at` is set. `cursor` is the last tick accounted for;
    `runs` counts the jobs created for ticks. With `alert_after_seconds` each tick
    must be followed by a successful run within that time: this is checked at
    `alert_at`, and `overdue_since` is when the owner was notified of a missed run.
    `max_attempts` and `timeout_seconds` default to the task's (None).
    """

    id: ScheduleId = ScheduleId(0)
    owner: UserId = SYSTEM_ID
    task: str
    name: str = ""
    cron: CronRule
    parameters: Mapping[str, Any] = Factory(dict[str, Any])
    misfire_policy: MisfirePolicy = MisfirePolicy.LATEST
    overlap_policy: OverlapPolicy = OverlapPolicy.SKIP
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    max_runs: int | None = None
    jitter_seconds: int = 0
    queue: str | None = None
    priority: int = 0
    weight: float = 1.0
    max_attempts: int | None = None
    timeout_seconds: int | None = None
    schema_version: int = 1
    next_at: datetime | None = None
    cursor: datetime | None = None
    runs: int = 0
    version: int = 1
    fail_streak: int = 0
    alert_after_seconds: int | None = None
    alert_at: datetime | None = None
    overdue_since: datetime | None = None
    paused_reason: str | None = None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether a next tick is set."""
        return self.next_at is not None

    @property
    def concurrency_key(self) -> str | None:
        """The key that prevents overlapping runs, or None if they are allowed."""
        if self.overlap_policy is OverlapPolicy.ALLOW_ALL:
            return None
        return f"schedule:{self.id}"

    def tick_after(self, instant: datetime) -> datetime | None:
        """Return the first tick after an instant, within start, end and max_runs."""
        if self.max_runs is not None and self.runs >= self.max_runs:
            return None
        if self.starts_at is not None and instant < self.starts_at:
            instant = _just_before(self.starts_at)
        tick = self.cron.next_after(instant)
        is_over = tick is not None and self.ends_at is not None and tick > self.ends_at
        return None if is_over else tick

    def resume(self, now: datetime) -> Self:
        """Set the first tick after now and the cursor; Invalid if there is none."""
        current = self._without_future_cursor(now)
        next_at = current.tick_after(max(now, current.cursor or now))
        if next_at is None:
            raise Invalid.field("is_active", "The schedule has no runs left before its end.")
        return evolve(current, next_at=next_at, paused_reason=None).with_alert()

    def pause(self, reason: str | None = None) -> Self:
        """Deactivate the schedule."""
        return self._with_next_run(None, reason)

    def with_alert(self) -> Self:
        """Return the schedule with the alert time of its next tick."""
        return self._with_next_run(self.next_at, self.paused_reason)

    def _with_next_run(self, next_at: datetime | None, reason: str | None) -> Self:
        alert_at = self._alert_time(next_at)
        return evolve(
            self, next_at=next_at, paused_reason=reason, alert_at=alert_at, overdue_since=None
        )

    @property
    def alert_baseline(self) -> datetime:
        """The time after which a success satisfies the current alert."""
        assert self.alert_at is not None and self.alert_after_seconds is not None
        return (self.overdue_since or self.alert_at) - timedelta(seconds=self.alert_after_seconds)

    def evaluate_alert(self, now: datetime, succeeded_at: datetime | None) -> Self:
        """
        Return the schedule after checking a due alert.

        `succeeded_at` is the newest success since `alert_baseline`; it satisfies
        every tick before it. Without one the schedule is overdue and is checked again
        after a minute.
        """
        if succeeded_at is None:
            since = self.overdue_since or now
            return evolve(self, alert_at=now + ALERT_RECHECK_INTERVAL, overdue_since=since)
        tick = self.tick_after(max(succeeded_at, self.alert_baseline))
        return evolve(self, alert_at=self._alert_time(tick), overdue_since=None)

    def _alert_time(self, tick: datetime | None) -> datetime | None:
        if tick is None or self.alert_after_seconds is None:
            return None
        return tick + timedelta(seconds=self.alert_after_seconds)

    def recompute(self, now: datetime) -> Self:
        """Return an active schedule with its next tick computed again."""
        if self.next_at is None:
            return self
        current = self._without_future_cursor(now)
        next_at = current.tick_after(max(now, current.cursor or now))
        reason = None if next_at else ENDED
        return evolve(current, next_at=next_at, paused_reason=reason).with_alert()

    def corrected(self, now: datetime) -> Self:
        """
        Return the schedule without a next run that only a leaped clock explains.

        Its rule gives an earlier next run from now. The same object is returned if
        there is nothing to correct. Also resumes a schedule that has ended too early.
        """
        if self.next_at is None and self.paused_reason != ENDED:
            return self
        current = self._without_future_cursor(now)
        next_at = current.tick_after(max(now, current.cursor or now))
        if next_at is None or (self.next_at is not None and self.next_at <= next_at):
            return self
        return evolve(current, next_at=next_at, paused_reason=None).with_alert()

    def _without_future_cursor(self, now: datetime) -> Self:
        """Replace a cursor that was set while the clock was ahead by now."""
        is_ahead = self.cursor is not None and self.cursor > now + MAX_LEAP
        return evolve(self, cursor=now) if is_ahead else self

    def edited(self, now: datetime) -> Self:
        """Return the next version; past ticks are neither repeated nor added."""
        return self.recompute(now).touched(now)

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def has_same_ticks(self, other: "Schedule") -> bool:
        """Whether both schedules have the same rule, start, end and max_runs."""
        return (self.cron, self.starts_at, self.ends_at, self.max_runs) == (
            other.cron,
            other.starts_at,
            other.ends_at,
            other.max_runs,
        )

    def job(
        self,
        task: Task | None,
        now: datetime,
        *,
        due_at: datetime,
        origin: JobOrigin = JobOrigin.SCHEDULE,
        tick: datetime | None = None,
        for_tick: datetime | None = None,
        missed: MissedTicks | None = None,
    ) -> Job:
        """Build a job; `task` is None if it is not registered in this process."""
        return Job(
            owner=self.owner,
            task=self.task,
            name=self.name,
            parameters=self.parameters,
            due_at=due_at,
            queue=self.queue or (task.queue if task else "default"),
            priority=self.priority,
            weight=self.weight,
            concurrency_key=self.concurrency_key,
            mode=claim_mode(task),
            fail_when_lost=task is not None and task.on_lost is OnLost.FAIL,
            max_attempts=self.max_attempts or (task.max_attempts if task else 3),
            timeout_seconds=self.timeout_seconds or (task.timeout_seconds if task else 300),
            origin=origin,
            schedule_id=self.id,
            tick=tick,
            for_tick=for_tick,
            missed=missed,
            created_at=now,
        )

    def failed(self) -> Self:
        """Increment the failure streak; only a success resets it."""
        return evolve(self, fail_streak=self.fail_streak + 1)

    @property
    def has_failed_too_often(self) -> bool:
        """Whether to pause it: after every fifth failure in a row."""
        return self.is_active and self.fail_streak % FAILURES_TO_PAUSE == 0 < self.fail_streak


def _just_before(instant: datetime) -> datetime:
    return instant - datetime.resolution


def check_active_limit(active: int, limit: int) -> None:
    """Raise LimitReached if an owner has `limit` active schedules already."""
    if active >= limit:
        raise active_limit_reached(active, limit)


def active_limit_reached(active: int, limit: int) -> LimitReached:
    """Build the error of an owner with too many active schedules."""
    return LimitReached(f"You have {active} of {limit} active schedules.", used=active, limit=limit)


def check_times(schedule: Schedule, now: datetime) -> None:
    """
    Check the fields that decide when a schedule runs against one another.

    Raises:
        Invalid: It does not end after it starts, or its jitter is larger than the
            shortest time between two runs.
    """
    if schedule.starts_at and schedule.ends_at and schedule.ends_at <= schedule.starts_at:
        raise Invalid.field("ends_at", "The end must be after the start.")
    if schedule.jitter_seconds:
        gap = min_interval(schedule.cron, max(now, schedule.starts_at or now))
        if (problem := jitter_problem(schedule.jitter_seconds, gap)) is not None:
            raise Invalid.field("jitter_seconds", f"jitter_seconds {problem}.")
