"""Runs of a schedule: cancel pending ones, record skipped ticks."""

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from workbell.domain.constraints import FIRST_DAY
from workbell.domain.cron.time_zones import EPOCH
from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.schedules.schedule import MAX_BACKFILL, Schedule
from workbell.domain.schedules.ticks import SkipReason, skip_due_ticks
from workbell.ports.schedules.repository import SchedulesTx

RUNS_AT_ONCE = 500
"""Runs that a command cancels in its own transaction."""


def cancel_runs(
    tx: SchedulesTx, runs: Sequence[Job], now: datetime, reason: str, *, running: bool = False
) -> None:
    """Cancel waiting runs; request cancellation of running ones if wanted."""
    for run in runs:
        try:
            current = tx.jobs.get_for_update(ALL_OWNERS, run.id)
        except NotFound:  # ended and hidden since it was read
            continue
        if current.state.waiting or (running and current.state is JobState.RUNNING):
            tx.jobs.replace(current, current.cancel(now, reason))


def cancel_pending(
    tx: SchedulesTx, schedule: Schedule, now: datetime, reason: SkipReason
) -> Schedule:
    """
    Cancel waiting runs and record due ticks as skipped.

    The first 500 runs are cancelled at once, the others by the sweeper; until
    then they are not claimed.
    """
    wanted = Cancellation(
        owner=schedule.owner,
        schedule_id=schedule.id,
        last_job_id=tx.cancellations.last_job_id(schedule.owner, schedule.id),
        reason=f"schedule {reason}",
        started_at=now,
    )
    read = tx.cancellations.cancel_jobs(wanted, now, limit=RUNS_AT_ONCE)
    if read >= RUNS_AT_ONCE:
        tx.cancellations.add(evolve(wanted, cancelled=read))
    return record_skipped_ticks(tx, schedule, now, reason)


def record_skipped_ticks(
    tx: SchedulesTx, schedule: Schedule, now: datetime, reason: SkipReason
) -> Schedule:
    """Record due ticks as skipped; return the schedule past them."""
    row = skip_due_ticks(schedule, now, reason)
    if row is None:
        return schedule
    job = schedule.job(None, now, due_at=row.tick, tick=row.tick, missed=row.missed)
    tx.jobs.add([job.skip(now, str(reason))], now)
    return evolve(schedule, cursor=row.last)


def pause(
    tx: SchedulesTx, schedule: Schedule, now: datetime, reason: str | None = None
) -> Schedule:
    """Pause a locked schedule and store it; return the new version."""
    paused = cancel_pending(tx, schedule, now, SkipReason.PAUSED).pause(reason).touched(now)
    tx.schedules.replace(paused)
    return paused


def pause_without_runs(
    tx: SchedulesTx, schedule: Schedule, now: datetime, skip: SkipReason, reason: str
) -> None:
    """Pause a locked schedule and record its due ticks; waiting runs stay."""
    advanced = record_skipped_ticks(tx, schedule, now, skip)
    tx.schedules.replace(advanced.pause(reason).touched(now))


def ticks_of_range(
    schedule: Schedule, start: datetime, end: datetime, now: datetime
) -> list[datetime]:
    """Return the ticks of a past range, ends included; raises Invalid."""
    for name, instant in (("start", start), ("end", end)):
        if instant.utcoffset() is None:
            raise Invalid.field(name, f"{name} must be a date-time with its offset from UTC")
    if start < EPOCH:
        raise Invalid.field("start", f"start must not be before {FIRST_DAY}")
    if end < start:
        raise Invalid.field("end", "The end must not be before the start.")
    if end > now:
        raise Invalid.field("end", "The range must be in the past.")
    ticks: list[datetime] = []
    for tick in schedule.cron.ticks(start - datetime.resolution, end):
        ticks.append(tick)
        if len(ticks) > MAX_BACKFILL:
            raise Invalid.field("end", f"The range holds more than {MAX_BACKFILL} runs.")
    return ticks
