"""Ticks: which due ticks run, and how the others are recorded."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from attrs import frozen

from workbell.domain.cron.rule import CronRule
from workbell.domain.identity.standing import StandingProblem
from workbell.domain.identity.user import User
from workbell.domain.jobs.job import Job, JobState, MissedTicks
from workbell.domain.schedules.schedule import MisfirePolicy, OverlapPolicy, Schedule, ScheduleId

MISFIRE_GRACE = timedelta(seconds=60)
CATCH_UP_WINDOW = timedelta(hours=24)
CATCH_UP_LIMIT = 100


class SkipReason(StrEnum):
    """Why a tick was not run."""

    MISFIRE = "misfire"
    OVERLAP = "overlap"
    SUPERSEDED = "superseded"
    TASK_INACTIVE = "task_inactive"
    PAUSED = "paused"
    EDITED = "edited"
    DELETED = "deleted"
    OWNER_INACTIVE = "owner_inactive"
    OWNER_UNVERIFIED = "owner_unverified"
    OWNER_NOT_PERMITTED = "owner_not_permitted"

    @classmethod
    def of_standing(cls, problem: StandingProblem) -> "SkipReason":
        """Return the reason for an owner's problem."""
        is_inactive = problem is StandingProblem.INACTIVE
        return cls.OWNER_INACTIVE if is_inactive else cls.OWNER_UNVERIFIED


@frozen(kw_only=True)
class PlannedTick:
    """A row to write: the job of a tick, or a record of skipped ticks."""

    tick: datetime
    skipped: SkipReason | None = None
    missed: MissedTicks | None = None

    @property
    def last(self) -> datetime:
        """The last tick that the row accounts for."""
        return self.missed.last if self.missed else self.tick


@frozen(kw_only=True)
class TickPlan:
    """
    The rows for a schedule's due ticks, and its next state.

    The rows account for every tick up to the cursor. `catches_up` means that they
    include all missed ticks, which run one after another.
    """

    rows: Sequence[PlannedTick]
    cursor: datetime
    next_at: datetime | None
    runs: int
    catches_up: bool = False


class Due(NamedTuple):
    """
    A due schedule, reduced to what the fast path needs.

    `is_plain` means that the ticks depend on the cron rule alone: the schedule
    has no start, end, max_runs or jitter. `owner_active` and `owner_verified` are
    true for an owner without a user.
    """

    id: ScheduleId
    version: int
    task: str
    cron: CronRule
    tick: datetime
    is_plain: bool
    owner_active: bool = True
    owner_verified: bool = True

    @classmethod
    def from_schedule(cls, schedule: Schedule, owner: User | None = None) -> "Due":
        """Build from an active schedule."""
        assert schedule.next_at is not None
        bounds = (schedule.starts_at, schedule.ends_at, schedule.max_runs)
        is_plain = bounds == (None, None, None) and not schedule.jitter_seconds
        return cls(
            id=schedule.id,
            version=schedule.version,
            task=schedule.task,
            cron=schedule.cron,
            tick=schedule.next_at,
            is_plain=is_plain,
            owner_active=owner is None or owner.is_active,
            owner_verified=owner is None or owner.is_email_verified,
        )


class FastPathStep(NamedTuple):
    """One tick of a schedule becomes a job, and the next one is set."""

    schedule: ScheduleId
    version: int
    tick: datetime
    next_at: datetime

    def applies_to(self, schedule: Schedule) -> bool:
        """Whether the schedule is unchanged since the step was computed."""
        current = (schedule.version, schedule.next_at, schedule.deleted_at)
        return current == (self.version, self.tick, None)


def fast_path_step(due: Due, now: datetime) -> FastPathStep | None:
    """
    Return the result of `plan` for one punctual tick of a plain schedule.

    None if the fast path does not apply.
    """
    if not due.is_plain or now - due.tick > MISFIRE_GRACE:
        return None
    next_at = due.cron.next_after(due.tick)
    if next_at is None or next_at <= now:
        return None
    return FastPathStep(due.id, due.version, due.tick, next_at)


def plan(schedule: Schedule, now: datetime, *, skip: SkipReason | None = None) -> TickPlan:
    """
    Account for every due tick of a schedule; with `skip` none of them runs.

    A tick is late after one minute. With `latest` the newest due tick replaces
    all others, `all` runs those of the last 24 hours (at most 100), `skip` runs
    no late ones. Each contiguous range of ticks that do not run becomes one
    skipped row. Ticks beyond `max_runs` are not recorded.
    """
    first = schedule.next_at
    assert first is not None and first <= now
    newest, is_late = _newest_due(schedule, first, now), now - first > MISFIRE_GRACE
    if skip is not None:
        rows = [_skipped_row(_range(schedule, first, newest), skip)]
    elif not is_late:
        rows = [PlannedTick(tick=tick) for tick in _due_ticks(schedule, first, newest)]
    else:
        rows = _plan_late(schedule, first, newest, now)
    rows, runs = _within_max_runs(schedule, rows)
    is_done = schedule.max_runs is not None and runs >= schedule.max_runs
    return TickPlan(
        rows=rows,
        cursor=rows[-1].last if rows else newest,
        next_at=None if is_done else schedule.tick_after(max(now, newest)),
        runs=runs,
        catches_up=is_late and schedule.misfire_policy is MisfirePolicy.ALL,
    )


def skip_due_ticks(schedule: Schedule, now: datetime, reason: SkipReason) -> PlannedTick | None:
    """Return one skipped row for all due ticks, or None if none is due."""
    first = schedule.next_at
    if first is None or first > now:
        return None
    return _skipped_row(_range(schedule, first, _newest_due(schedule, first, now)), reason)


def _plan_late(
    schedule: Schedule, first: datetime, newest: datetime, now: datetime
) -> list[PlannedTick]:
    if schedule.misfire_policy is MisfirePolicy.LATEST:
        return [PlannedTick(tick=newest, missed=_range(schedule, first, newest))]
    ticks = _due_ticks(schedule, first, newest, _earliest_late_tick(schedule, now))
    if schedule.misfire_policy is MisfirePolicy.ALL:
        ticks = ticks[-CATCH_UP_LIMIT:]
    rows = [PlannedTick(tick=tick) for tick in ticks]
    if not ticks or first < ticks[0]:
        before = ticks[0] - datetime.resolution if ticks else newest
        rows.insert(0, _skipped_row(_range(schedule, first, before), SkipReason.MISFIRE))
    return rows


def _earliest_late_tick(schedule: Schedule, now: datetime) -> datetime:
    """Return the earliest time of late ticks that still run."""
    runs_all = schedule.misfire_policy is MisfirePolicy.ALL
    return now - (CATCH_UP_WINDOW if runs_all else MISFIRE_GRACE)


def _due_ticks(
    schedule: Schedule, first: datetime, last: datetime, earliest: datetime | None = None
) -> list[datetime]:
    """
    Return the ticks from first to last, both inclusive.

    `first` was announced, so it is included even if newer time zone data would
    move it; ticks before `earliest` are left out.
    """
    if earliest is not None and first < earliest:
        return list(schedule.cron.ticks(earliest - datetime.resolution, last))
    return [first, *schedule.cron.ticks(first, last)]


def _newest_due(schedule: Schedule, first: datetime, now: datetime) -> datetime:
    following = schedule.cron.next_after(first)
    until = now if schedule.ends_at is None else min(now, schedule.ends_at)
    if following is None or following > until:
        return first
    return _range(schedule, first, until).last


def _range(schedule: Schedule, first: datetime, last: datetime) -> MissedTicks:
    later = schedule.cron.summarise_range(first, last)
    return MissedTicks(first, later[1], later[2] + 1) if later else MissedTicks(first, first, 1)


def _skipped_row(missed: MissedTicks, reason: SkipReason) -> PlannedTick:
    return PlannedTick(tick=missed.first, skipped=reason, missed=missed)


def _within_max_runs(schedule: Schedule, rows: list[PlannedTick]) -> tuple[list[PlannedTick], int]:
    """Limit the jobs to `max_runs`; return the rows and the new run count."""
    runs = schedule.runs
    for index, row in enumerate(rows):
        if row.skipped is None:
            if schedule.max_runs is not None and runs >= schedule.max_runs:
                return rows[:index], runs
            runs += 1
    return rows, runs


class OverlapDecision(StrEnum):
    """What happens to a tick while earlier runs are unfinished."""

    RUN = "run"
    SKIP = "skip"
    REPLACE = "replace"
    CANCEL = "cancel"


def decide_overlap(
    policy: OverlapPolicy,
    unfinished: Sequence[Job],
    planned: Sequence[Job],
    *,
    catches_up: bool = False,
) -> OverlapDecision:
    """
    Decide what to do with one tick, given its schedule's unfinished runs.

    `unfinished` runs are stored, `planned` ones come from earlier ticks of the
    same pass. RUN inserts the job (HELD if its concurrency key is full), SKIP
    inserts a skipped row, REPLACE inserts the job and skips the held tick, CANCEL
    inserts it and cancels the others. Runs waiting for a retry are unfinished.
    With `catches_up` a missed tick waits for them where SKIP would drop it.
    """
    if policy is OverlapPolicy.ALLOW_ALL or not (unfinished or planned):
        return OverlapDecision.RUN
    if policy is OverlapPolicy.SKIP:
        return OverlapDecision.RUN if catches_up else OverlapDecision.SKIP
    if policy is OverlapPolicy.CANCEL_OTHER:
        return OverlapDecision.CANCEL
    return (
        OverlapDecision.SKIP if _has_delayed_buffered_tick(unfinished) else OverlapDecision.REPLACE
    )


def _has_delayed_buffered_tick(unfinished: Sequence[Job]) -> bool:
    """Whether a tick delayed by jitter is buffered; it cannot be replaced."""
    return len(unfinished) > 1 and any(
        _is_untried_tick(job) and job.state is JobState.SCHEDULED for job in unfinished
    )


def superseded(unfinished: Sequence[Job]) -> list[Job]:
    """Return the buffered ticks that a newer tick replaces: held and untried."""
    return [job for job in unfinished if _is_untried_tick(job) and job.state is JobState.HELD]


def _is_untried_tick(job: Job) -> bool:
    return job.tick is not None and job.attempt == 0
