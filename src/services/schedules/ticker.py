"""Ticking: every due tick becomes one row, and its schedule moves on."""

from collections.abc import Container, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Tasks
from workbell.domain.schedules.schedule import Schedule, ScheduleId
from workbell.domain.schedules.ticks import (
    Due,
    FastPathStep,
    OverlapDecision,
    PlannedTick,
    SkipReason,
    TickPlan,
    decide_overlap,
    fast_path_step,
    plan,
    superseded,
)
from workbell.ports.schedules.repository import Advance, SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.schedules.runs import cancel_runs
from workbell.services.transaction_retry import retry_on_contention

BATCH = 1_000
PASS = 2_000
TZDATA = "tzdata"

Planned = tuple[Schedule, TickPlan]


@frozen(kw_only=True)
class Ticker:
    """
    Account for due ticks; any number of processes may do it at once.

    Cron arithmetic is done before the transaction; cursor and version,
    compared within it, tell whether it still holds.
    """

    store: Store[SchedulesTx]
    clock: Clock
    randomness: Randomness
    tasks: Tasks

    @retry_on_contention
    def tick(self, *, limit: int = PASS) -> int:
        """
        Account for the ticks of the schedules that are due; return how many those were.

        Those in the common case are taken by the batch; the others are planned.
        """
        now = self.clock.now()
        with self.store.view() as tx:
            due = tx.schedules.due(now, limit=limit)
            inactive = {d.key for d in tx.definitions.all() if not d.is_active} if due else set()
        for begin in range(0, len(due), BATCH):
            batch = due[begin : begin + BATCH]
            taken = self._fire_fast_path([each for each in batch if each.task not in inactive], now)
            left = [each.id for each in batch if each.id not in taken]
            if left:
                self._plan(left, now, inactive)
        return len(due)

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        with self.store.view() as tx:
            return tx.schedules.next_due()

    @retry_on_contention
    def recompute_after_tzdata_change(self, version: str) -> int:
        """
        Recompute every active schedule where the time zone data has changed.

        Return how many were moved.
        """
        with self.store.view() as tx:
            if tx.metadata.get(TZDATA) == version:
                return 0
        now, moved, after = self.clock.now(), 0, ScheduleId(0)
        while True:
            with self.store.view() as tx:
                page = tx.schedules.active_after(after, limit=BATCH)
            if not page:
                break
            after = page[-1].id
            changed = [schedule.id for schedule in page if _has_stale_next_run(schedule, now)]
            with self.store.begin() as tx:
                moved += sum(_recompute(tx, schedule_id, now) for schedule_id in changed)
        with self.store.begin() as tx:
            tx.metadata.set(TZDATA, version)
        return moved

    def _fire_fast_path(self, due: Sequence[Due], now: datetime) -> set[ScheduleId]:
        """Take the common steps; return the schedules that are accounted for."""
        by_task: dict[str, list[FastPathStep]] = {}
        for each in due:
            if (step := fast_path_step(each, now)) is not None:
                by_task.setdefault(each.task, []).append(step)
        taken: list[FastPathStep] = []
        if by_task:
            with self.store.begin() as tx:
                for key, steps in by_task.items():
                    if (task := self.tasks.find(key)) is not None:
                        taken += tx.jobs.add_ticks(task, steps, now)
                tx.schedules.advance_by_one(taken)
        return {step.schedule for step in taken}

    def _plan(self, ids: Sequence[ScheduleId], now: datetime, inactive: Container[str]) -> None:
        """Account for the ticks of schedules that are not in the common case."""
        with self.store.view() as tx:
            schedules = tx.schedules.active_among(ids)
        plans = [
            (schedule, plan(schedule, now, task_active=schedule.task not in inactive))
            for schedule in schedules
            if schedule.next_at is not None and schedule.next_at <= now
        ]
        for portion in _batches(plans):
            with self.store.begin() as tx:
                self._advance(tx, portion, now)

    def _advance(self, tx: SchedulesTx, plans: Sequence[Planned], now: datetime) -> None:
        locked = tx.schedules.lock(sorted(schedule.id for schedule, _ in plans))
        valid = [
            (schedule, planned)
            for schedule, planned in plans
            if locked.get(schedule.id) == (schedule.cursor, schedule.version)
        ]
        keyed = [schedule.id for schedule, _ in valid if schedule.concurrency_key is not None]
        unfinished = tx.jobs.unfinished(keyed) if keyed else {}
        jobs: list[Job] = []
        steps: list[Advance] = []
        for schedule, planned in valid:
            rows, lost = self._rows(tx, schedule, planned, unfinished.get(schedule.id, ()), now)
            jobs += rows
            steps.append(_step(schedule, planned, lost))
        tx.jobs.add(jobs, now)
        tx.schedules.advance(steps)

    def _rows(
        self,
        tx: SchedulesTx,
        schedule: Schedule,
        planned: TickPlan,
        unfinished: Sequence[Job],
        now: datetime,
    ) -> tuple[list[Job], int]:
        """Return the rows of a schedule's ticks, and how many runs overlap has cost it."""
        rows: list[Job] = []
        lost = 0
        for tick in planned.rows:
            job = self._job(schedule, tick, now)
            if tick.skipped is None:
                fresh = [row for row in rows if not row.state.ended]
                decision = decide_overlap(schedule.overlap_policy, unfinished, fresh)
                if decision is OverlapDecision.SKIP:
                    job = job.skip(now, str(SkipReason.OVERLAP))
                    lost += 1
                elif decision is not OverlapDecision.RUN:
                    lost += _displace_older(tx, decision, unfinished, rows, now)
            rows.append(job)
        return rows, lost

    def _job(self, schedule: Schedule, tick: PlannedTick, now: datetime) -> Job:
        jitter = timedelta(0)
        if schedule.jitter_seconds and tick.skipped is None:
            jitter = timedelta(seconds=self.randomness.uniform(0.0, schedule.jitter_seconds))
        job = schedule.job(
            self.tasks.find(schedule.task),
            now,
            due_at=tick.tick + jitter,
            tick=tick.tick,
            missed=tick.missed,
        )
        return job if tick.skipped is None else job.skip(now, str(tick.skipped))


def _batches(plans: Iterable[Planned]) -> Iterator[Sequence[Planned]]:
    """Yield plans by as many as come to one batch of rows: a transaction stays short."""
    portion: list[Planned] = []
    rows = 0
    for schedule, planned in plans:
        if portion and rows + len(planned.rows) > BATCH:
            yield portion
            portion, rows = [], 0
        portion.append((schedule, planned))
        rows += len(planned.rows)
    if portion:
        yield portion


def _displace_older(
    tx: SchedulesTx,
    decision: OverlapDecision,
    unfinished: Sequence[Job],
    rows: list[Job],
    now: datetime,
) -> int:
    """
    Skip or cancel what a newer tick takes the place of; return how many were skipped.

    `rows` are the earlier ones of the same pass, not kept yet. Where nothing
    else is under way, the first of them is the one that the newer tick waits for.
    """
    replacing = decision is OverlapDecision.REPLACE
    fresh = [n for n, row in enumerate(rows) if not row.state.ended]
    skipped = fresh[1:] if replacing and not unfinished else fresh
    for n in skipped:
        rows[n] = rows[n].supersede(now)
    if not replacing:
        cancel_runs(tx, unfinished, now, "a newer run takes its place", running=True)
        return len(skipped)
    held = superseded(unfinished)
    return len(skipped) + sum(tx.jobs.replace(run, run.supersede(now)) for run in held)


def _step(schedule: Schedule, planned: TickPlan, lost: int) -> Advance:
    runs, next_at = planned.runs - lost, planned.next_at
    if lost and schedule.max_runs is not None:
        next_at = evolve(schedule, runs=runs).tick_after(planned.cursor)
    return Advance(
        id=schedule.id,
        version=schedule.version,
        was_cursor=schedule.cursor,
        cursor=planned.cursor,
        next_at=next_at,
        runs=runs,
        paused_reason=None if next_at else "ended",
    )


def _has_stale_next_run(schedule: Schedule, now: datetime) -> bool:
    """Whether a schedule's next tick, not due yet, is not the one that its rule now has."""
    due = schedule.next_at is not None and schedule.next_at <= now
    return not due and schedule.recompute(now).next_at != schedule.next_at


def _recompute(tx: SchedulesTx, schedule_id: ScheduleId, now: datetime) -> bool:
    try:
        current = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
    except NotFound:  # deleted meanwhile
        return False
    if not _has_stale_next_run(current, now):
        return False
    tx.schedules.replace(current.edited(now))
    return True
