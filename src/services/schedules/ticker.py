"""Ticker: inserts a job for each due tick and advances its schedule."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from workbell.domain.errors import NotFound, Unavailable
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.standing import find_standing_problem
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Tasks
from workbell.domain.schedules.schedule import ENDED, Schedule, ScheduleId
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
from workbell.ports.quarantine import NO_REPORTER, QuarantineReporter
from workbell.ports.schedules.repository import Advance, SchedulesTx
from workbell.ports.store import Store
from workbell.ports.system import Clock, Randomness
from workbell.services.schedules.quarantine import ScheduleQuarantine
from workbell.services.schedules.runs import cancel_runs
from workbell.services.transaction_retry import retry_on_contention

BATCH = 1_000
MAX_PER_PASS = 2_000
TZDATA = "tzdata"

Planned = tuple[Schedule, TickPlan]


@frozen(kw_only=True)
class Ticker:
    """
    Processes due ticks; any number of processes may do so concurrently.

    Ticks are computed before the transaction. The transaction compares cursor
    and version, and leaves out schedules that have changed since.
    """

    store: Store[SchedulesTx]
    clock: Clock
    randomness: Randomness
    tasks: Tasks
    require_verified_email: bool = False
    reporter: QuarantineReporter = NO_REPORTER

    @property
    def quarantine(self) -> ScheduleQuarantine:
        """The quarantine of schedules that cannot be processed."""
        return ScheduleQuarantine(store=self.store, clock=self.clock, reporter=self.reporter)

    @retry_on_contention
    def tick(self, *, limit: int = MAX_PER_PASS) -> int:
        """
        Process the schedules that are due; return how many there were.

        Schedules with one due tick and no special case take the fast path.
        """
        now = self.clock.now()
        try:
            due, inactive = self._find_due(now, limit)
            self._process(due, now, inactive)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the schedules
            return self._process_each(now, limit)
        return len(due)

    def _find_due(self, now: datetime, limit: int) -> tuple[Sequence[Due], Container[str]]:
        """Return the due schedules, and the keys of inactive tasks."""
        with self.store.view() as tx:
            due = tx.schedules.due(now, limit=limit)
            inactive = {d.key for d in tx.definitions.all() if not d.is_active} if due else set()
        return due, inactive

    def _process_each(self, now: datetime, limit: int) -> int:
        """Process each due schedule by itself; quarantine those for which that fails."""
        with self.store.view() as tx:
            ids = tx.schedules.list_due(now, limit=limit)
        self.quarantine.tick_each(ids, self._check_readable)
        due, inactive = self._find_due(now, limit)
        by_id = {each.id: each for each in due}
        self.quarantine.tick_each(by_id, lambda each: self._process([by_id[each]], now, inactive))
        return len(ids)

    def _check_readable(self, schedule_id: ScheduleId) -> None:
        with self.store.view() as tx:
            tx.schedules.active_among([schedule_id])

    def _process(self, due: Sequence[Due], now: datetime, inactive: Container[str]) -> None:
        skips = self._find_skips(due, inactive)
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            done = self._fire_fast_path([each for each in batch if each.id not in skips], now)
            remaining = [each.id for each in batch if each.id not in done]
            if remaining:
                self._plan_and_advance(remaining, now, skips)

    def _find_skips(
        self, due: Sequence[Due], inactive: Container[str]
    ) -> dict[ScheduleId, SkipReason]:
        """Return why no tick of a schedule may run: its task or its owner is inactive."""
        skips: dict[ScheduleId, SkipReason] = {}
        for each in due:
            problem = find_standing_problem(
                is_active=each.owner_active,
                is_email_verified=each.owner_verified,
                require_verified_email=self.require_verified_email,
            )
            if problem is not None:
                skips[each.id] = SkipReason.of_standing(problem)
            elif each.task in inactive:
                skips[each.id] = SkipReason.TASK_INACTIVE
        return skips

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        with self.store.view() as tx:
            return tx.schedules.next_due()

    @retry_on_contention
    def recompute_after_tzdata_change(self, version: str) -> int:
        """
        Recompute all active schedules if the time zone data has changed.

        Returns how many schedules have another next run.
        """
        with self.store.view() as tx:
            if tx.metadata.get(TZDATA) == version:
                return 0
        now, changed_count, after = self.clock.now(), 0, ScheduleId(0)
        while True:
            page = self._active_after(after)
            if not page:
                break
            after = page[-1].id
            changed = [schedule.id for schedule in page if _has_stale_next_run(schedule, now)]
            with self.store.begin() as tx:
                changed_count += sum(_recompute(tx, schedule_id, now) for schedule_id in changed)
        with self.store.begin() as tx:
            tx.metadata.set(TZDATA, version)
        return changed_count

    def _active_after(self, after: ScheduleId) -> Sequence[Schedule]:
        """Return a page of schedules, after those that cannot be read were quarantined."""
        try:
            with self.store.view() as tx:
                return tx.schedules.active_after(after, limit=BATCH)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - of one of the schedules
            with self.store.view() as tx:
                ids = tx.schedules.list_active(after, limit=BATCH)
        self.quarantine.tick_each(ids, self._check_readable)
        with self.store.view() as tx:
            return tx.schedules.active_after(after, limit=BATCH)

    def _fire_fast_path(self, due: Sequence[Due], now: datetime) -> set[ScheduleId]:
        """Process fast-path schedules; return those that are done."""
        by_task: dict[str, list[FastPathStep]] = {}
        for each in due:
            if (step := fast_path_step(each, now)) is not None:
                by_task.setdefault(each.task, []).append(step)
        fired: list[FastPathStep] = []
        if by_task:
            with self.store.begin() as tx:
                for key, steps in by_task.items():
                    if (task := self.tasks.find(key)) is not None:
                        fired += tx.jobs.add_ticks(task, steps, now)
                tx.schedules.advance_by_one(fired)
        return {step.schedule for step in fired}

    def _plan_and_advance(
        self, ids: Sequence[ScheduleId], now: datetime, skips: Mapping[ScheduleId, SkipReason]
    ) -> None:
        """Process the schedules that the fast path left out."""
        with self.store.view() as tx:
            schedules = tx.schedules.active_among(ids)
        plans = [
            (schedule, plan(schedule, now, skip=skips.get(schedule.id)))
            for schedule in schedules
            if schedule.next_at is not None and schedule.next_at <= now
        ]
        for batch in _batches(plans):
            with self.store.begin() as tx:
                self._advance(tx, batch, now)

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
            rows, skipped = self._make_rows(
                tx, schedule, planned, unfinished.get(schedule.id, ()), now
            )
            jobs += rows
            steps.append(_to_advance(schedule, planned, skipped))
        tx.jobs.add(jobs, now)
        tx.schedules.advance(steps)

    def _make_rows(
        self,
        tx: SchedulesTx,
        schedule: Schedule,
        planned: TickPlan,
        unfinished: Sequence[Job],
        now: datetime,
    ) -> tuple[list[Job], int]:
        """Return the jobs of a plan, and how many runs overlap has skipped."""
        rows: list[Job] = []
        skipped = 0
        for tick in planned.rows:
            job = self._make_job(schedule, tick, now)
            if tick.skipped is None:
                pending = [row for row in rows if not row.state.ended]
                decision = decide_overlap(
                    schedule.overlap_policy, unfinished, pending, catches_up=planned.catches_up
                )
                if decision is OverlapDecision.SKIP:
                    job = job.skip(now, str(SkipReason.OVERLAP))
                    skipped += 1
                elif decision is not OverlapDecision.RUN:
                    skipped += _displace_older(tx, decision, unfinished, rows, now)
            rows.append(job)
        return rows, skipped

    def _make_job(self, schedule: Schedule, tick: PlannedTick, now: datetime) -> Job:
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
    """Split plans into transactions of at most BATCH rows."""
    batch: list[Planned] = []
    rows = 0
    for schedule, planned in plans:
        if batch and rows + len(planned.rows) > BATCH:
            yield batch
            batch, rows = [], 0
        batch.append((schedule, planned))
        rows += len(planned.rows)
    if batch:
        yield batch


def _displace_older(
    tx: SchedulesTx,
    decision: OverlapDecision,
    unfinished: Sequence[Job],
    rows: list[Job],
    now: datetime,
) -> int:
    """
    Skip or cancel runs that a newer tick displaces; return how many.

    `rows` are the earlier jobs of this pass, not inserted yet. If no other run
    is unfinished, the first of them stays, and the newer tick waits for it.
    """
    replacing = decision is OverlapDecision.REPLACE
    pending = [n for n, row in enumerate(rows) if not row.state.ended]
    skipped = pending[1:] if replacing and not unfinished else pending
    for n in skipped:
        rows[n] = rows[n].supersede(now)
    if not replacing:
        cancel_runs(tx, unfinished, now, "a newer run takes its place", running=True)
        return len(skipped)
    held = superseded(unfinished)
    return len(skipped) + sum(tx.jobs.replace(run, run.supersede(now)) for run in held)


def _to_advance(schedule: Schedule, planned: TickPlan, skipped: int) -> Advance:
    runs, next_at = planned.runs - skipped, planned.next_at
    if skipped and schedule.max_runs is not None:
        next_at = evolve(schedule, runs=runs).tick_after(planned.cursor)
    return Advance(
        id=schedule.id,
        version=schedule.version,
        was_cursor=schedule.cursor,
        cursor=planned.cursor,
        next_at=next_at,
        runs=runs,
        paused_reason=None if next_at else ENDED,
    )


def _has_stale_next_run(schedule: Schedule, now: datetime) -> bool:
    """Whether the next run is not due and differs from the rule's."""
    due = schedule.next_at is not None and schedule.next_at <= now
    return not due and schedule.recompute(now).next_at != schedule.next_at


def _recompute(tx: SchedulesTx, schedule_id: ScheduleId, now: datetime) -> bool:
    try:
        current = tx.schedules.get_for_update(ALL_OWNERS, schedule_id)
    except NotFound:  # deleted since it was read
        return False
    if not _has_stale_next_run(current, now):
        return False
    tx.schedules.replace(current.edited(now))
    return True
