"""Ticking: every due tick becomes one row, and its schedule moves on."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from ..domain.identity import EVERYTHING
from ..domain.jobs import Job, JobState
from ..domain.scheduling import Schedule, ScheduleId
from ..domain.tasks import Tasks
from ..domain.ticks import (
    Decision,
    PlannedTick,
    SkipReason,
    TickPlan,
    decide,
    plan,
    superseded,
)
from ..ports.jobs import WorkTx
from ..ports.scheduling import Advance
from ..ports.store import Store
from ..ports.system import Clock, Randomness

BATCH = 500
TZDATA = "tzdata"


@frozen(kw_only=True)
class Ticking:
    """
    Account for due ticks; any number of processes may do it at once.

    Cron arithmetic is done before the transaction; cursor and version,
    compared within it, tell whether it still holds.
    """

    store: Store[WorkTx]
    clock: Clock
    chance: Randomness
    tasks: Tasks

    def tick(self, *, limit: int = BATCH) -> int:
        """Account for the ticks of the schedules that are due; return how many those were."""
        now = self.clock.now()
        with self.store.view() as tx:
            due = tx.schedules.due(now, limit=limit)
            inactive = {d.key for d in tx.definitions.all() if not d.is_active} if due else set()
        if not due:
            return 0
        plans = {
            schedule.id: (schedule, plan(schedule, now, task_active=schedule.task not in inactive))
            for schedule in due
        }
        with self.store.begin() as tx:
            self._advance(tx, plans, now)
        return len(due)

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        with self.store.view() as tx:
            return tx.schedules.next_due()

    def follow_time_zones(self, version: str) -> int:
        """
        Recompute every active schedule where the time zone data has changed.

        Return how many were moved.
        """
        with self.store.view() as tx:
            if tx.facts.get(TZDATA) == version:
                return 0
        now, moved, after = self.clock.now(), 0, ScheduleId(0)
        while True:
            with self.store.view() as tx:
                page = tx.schedules.active_after(after, limit=BATCH)
            if not page:
                break
            after = page[-1].id
            expected = {schedule.id: schedule.recompute(now).next_at for schedule in page}
            with self.store.begin() as tx:
                for schedule in page:
                    due = schedule.next_at is not None and schedule.next_at <= now
                    if due or expected[schedule.id] == schedule.next_at:
                        continue
                    current = tx.schedules.get_for_update(EVERYTHING, schedule.id)
                    tx.schedules.replace(current.edited(now))
                    moved += 1
        with self.store.begin() as tx:
            tx.facts.set(TZDATA, version)
        return moved

    def _advance(
        self,
        tx: WorkTx,
        plans: Mapping[ScheduleId, tuple[Schedule, TickPlan]],
        now: datetime,
    ) -> None:
        locked = tx.schedules.lock(sorted(plans))
        valid = [
            (schedule, planned)
            for schedule, planned in plans.values()
            if locked.get(schedule.id) == (schedule.cursor, schedule.version)
        ]
        laned = [schedule.id for schedule, _ in valid if schedule.lane is not None]
        unfinished = tx.jobs.unfinished(laned) if laned else {}
        jobs: list[Job] = []
        steps: list[Advance] = []
        for schedule, planned in valid:
            rows, skipped = self._rows(tx, schedule, planned, unfinished.get(schedule.id, ()), now)
            jobs += rows
            steps.append(_step(schedule, planned, skipped, now))
        tx.jobs.add(jobs, now)
        tx.schedules.advance(steps)

    def _rows(
        self,
        tx: WorkTx,
        schedule: Schedule,
        planned: TickPlan,
        unfinished: Sequence[Job],
        now: datetime,
    ) -> tuple[list[Job], int]:
        """Return the jobs of a schedule's ticks, and how many overlap has skipped."""
        rows: list[Job] = []
        skipped = 0
        for tick in planned.rows:
            job = self._job(schedule, tick, now)
            fresh = [row for row in rows if not row.state.ended]
            decision = Decision.RUN
            if tick.skipped is None:
                decision = decide(schedule.overlap_policy, [*unfinished, *fresh])
            if decision is Decision.SKIP:
                skipped += 1
                job = _as_skipped(job, SkipReason.OVERLAP, now)
            elif decision is not Decision.RUN:
                self._make_way(tx, decision, unfinished, now)
                first = decision is Decision.REPLACE and not unfinished
                rows = [
                    row if row.state.ended or (first and row is fresh[0])
                    else _as_skipped(row, SkipReason.SUPERSEDED, now)
                    for row in rows
                ]  # fmt: skip
            rows.append(job)
        return rows, skipped

    def _make_way(
        self, tx: WorkTx, decision: Decision, unfinished: Sequence[Job], now: datetime
    ) -> None:
        """Cancel the runs that are not over, or skip the tick that is held."""
        if decision is Decision.CANCEL:
            for run in unfinished:
                tx.jobs.replace(run, run.cancel(now, "a newer run takes its place"))
        else:
            for run in superseded(unfinished):
                tx.jobs.replace(run, run.supersede(now))

    def _job(self, schedule: Schedule, tick: PlannedTick, now: datetime) -> Job:
        jitter = timedelta(0)
        if schedule.jitter_seconds and tick.skipped is None:
            jitter = timedelta(seconds=self.chance.uniform(0.0, schedule.jitter_seconds))
        job = schedule.job(
            self.tasks.find(schedule.task),
            now,
            due_at=tick.tick + jitter,
            tick=tick.tick,
            missed=tick.missed,
        )
        return job if tick.skipped is None else _as_skipped(job, tick.skipped, now)


def _as_skipped(job: Job, reason: SkipReason, now: datetime) -> Job:
    return evolve(job, state=JobState.SKIPPED, reason=str(reason), ended_at=now)


def _step(schedule: Schedule, planned: TickPlan, skipped: int, now: datetime) -> Advance:
    runs, next_at = planned.runs - skipped, planned.next_at
    if skipped and schedule.max_runs is not None:
        next_at = evolve(schedule, runs=runs).tick_after(max(now, planned.cursor))
    return Advance(
        id=schedule.id,
        version=schedule.version,
        was_cursor=schedule.cursor,
        cursor=planned.cursor,
        next_at=next_at,
        runs=runs,
        paused_reason=None if next_at else "ended",
    )
