"""Schedules: one task, run whenever a cron expression fires."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NewType, Self

from attrs import Factory, evolve, frozen

from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid, LimitReached
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import Job, JobOrigin, MissedTicks, claim_mode
from workbell.domain.jobs.task import OnLost, Task

ScheduleId = NewType("ScheduleId", int)

FAILURES_TO_PAUSE = 5
MAX_BACKFILL = 1000
ALERT_RECHECK_INTERVAL = timedelta(seconds=60)
"""How often an overdue schedule is looked at, for its recovery."""


class MisfirePolicy(StrEnum):
    """What becomes of ticks that are more than a minute late."""

    LATEST = "latest"
    ALL = "all"
    SKIP = "skip"


class OverlapPolicy(StrEnum):
    """What becomes of a tick while an earlier run is not over."""

    SKIP = "skip"
    BUFFER_ONE = "buffer_one"
    CANCEL_OTHER = "cancel_other"
    ALLOW_ALL = "allow_all"


@frozen(kw_only=True)
class Schedule:
    """
    One task, run whenever a cron expression fires.

    It is active exactly as long as it knows its next tick. `cursor` is the
    last tick that is accounted for; `runs` counts the jobs made for ticks.
    Where `alert_after_seconds` is given, each tick is expected to be followed
    by a success within that time: at `alert_at` somebody looks, and
    `overdue_since` is when the owner was told that there was none.
    `max_attempts` and `timeout_seconds` are the task's where they are None.
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
        """The concurrency key that keeps its runs apart, or None where they may overlap."""
        if self.overlap_policy is OverlapPolicy.ALLOW_ALL:
            return None
        return f"schedule:{self.id}"

    def tick_after(self, instant: datetime) -> datetime | None:
        """Return the next tick after a moment, within start, end and run count."""
        if self.max_runs is not None and self.runs >= self.max_runs:
            return None
        if self.starts_at is not None and instant < self.starts_at:
            instant = _just_before(self.starts_at)
        tick = self.cron.next_after(instant)
        over = tick is not None and self.ends_at is not None and tick > self.ends_at
        return None if over else tick

    def resume(self, now: datetime) -> Self:
        """
        Set the next tick, after now and after every tick accounted for.

        Raises:
            Invalid: It has no tick left.
        """
        next_at = self.tick_after(max(now, self.cursor or now))
        if next_at is None:
            raise Invalid.field("is_active", "The schedule has no run left before its end.")
        return self._with_next_run(next_at, None)

    def pause(self, reason: str | None = None) -> Self:
        """Forget the next tick."""
        return self._with_next_run(None, reason)

    def with_alert(self) -> Self:
        """Expect the next tick's success in time, if there is one and that is asked for."""
        return self._with_next_run(self.next_at, self.paused_reason)

    def _with_next_run(self, next_at: datetime | None, reason: str | None) -> Self:
        alert_at = self._alert_time(next_at)
        return evolve(
            self, next_at=next_at, paused_reason=reason, alert_at=alert_at, overdue_since=None
        )

    @property
    def alert_baseline(self) -> datetime:
        """The time after which a success is what an alert that is set waits for."""
        assert self.alert_at is not None and self.alert_after_seconds is not None
        return (self.overdue_since or self.alert_at) - timedelta(seconds=self.alert_after_seconds)

    def evaluate_alert(self, now: datetime, succeeded_at: datetime | None) -> Self:
        """
        Return what an alert that is due comes to.

        `succeeded_at` is the newest success since `expected_since`. A success
        stands for every tick before it; without one the schedule is overdue,
        and looked at again a minute later.
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
        """Aim at the next tick by the rule as it stands, if it is active."""
        if self.next_at is None:
            return self
        next_at = self.tick_after(max(now, self.cursor or now))
        reason = None if next_at else "ended"
        return evolve(self, next_at=next_at, paused_reason=reason).with_alert()

    def edited(self, now: datetime) -> Self:
        """Return the next version; ticks neither repeat nor fire in retrospect."""
        return self.recompute(now).touched(now)

    def touched(self, now: datetime) -> Self:
        """Return the next version, changed now."""
        return evolve(self, version=self.version + 1, updated_at=now)

    def has_same_ticks(self, other: "Schedule") -> bool:
        """Whether both have the same ticks: the rule, the start, the end and the run count."""
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
        """Return a job of this schedule; `task` is None where nobody here knows it."""
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
        """
        Count one more failed run in a row.

        Resuming keeps the count, so that the next success can say recovered.
        """
        return evolve(self, fail_streak=self.fail_streak + 1)

    @property
    def has_failed_too_often(self) -> bool:
        """Whether it is to be paused: at every fifth failure in a row."""
        return self.is_active and self.fail_streak % FAILURES_TO_PAUSE == 0 < self.fail_streak


def _just_before(moment: datetime) -> datetime:
    return moment - datetime.resolution


def check_active_limit(active: int, limit: int) -> None:
    """
    Refuse one more active schedule than the limit.

    Raises:
        LimitReached: The owner has as many as they may have.
    """
    if active >= limit:
        raise LimitReached(
            f"You have {active} of {limit} active schedules.", used=active, limit=limit
        )


def check_window(schedule: Schedule) -> None:
    """
    Refuse a schedule that could never run.

    Raises:
        Invalid: It ends before it starts.
    """
    if schedule.starts_at and schedule.ends_at and schedule.ends_at <= schedule.starts_at:
        raise Invalid.field("ends_at", "The end must lie after the start.")
