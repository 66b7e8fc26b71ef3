"""The job repository in SQL: insert, commands, staging and settlement."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import bindparam, null, select, update

from workbell.adapters.sql.database.statements import AnyRow, chunks
from workbell.adapters.sql.database.strategy import InitialState
from workbell.adapters.sql.jobs import concurrency_keys, quarantine
from workbell.adapters.sql.jobs.claims import JobClaims
from workbell.adapters.sql.jobs.fair_queueing import FairTagAllocator, held_back_tasks, tag_single
from workbell.adapters.sql.jobs.held_jobs import HELD_OF_TASK, HeldJobs, lock_free
from workbell.adapters.sql.jobs.listing import VISIBLE, JobQueries
from workbell.adapters.sql.jobs.retention import JobRetention
from workbell.adapters.sql.jobs.rows import job_from_row, progress_value
from workbell.adapters.sql.jobs.selection import JobLists
from workbell.adapters.sql.schema.indexes import IS_READY, IS_SCHEDULED
from workbell.adapters.sql.schema.tables import attempts
from workbell.adapters.sql.schema.tables import jobs as table
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.claim_limits import UNLIMITED, ClaimLimits
from workbell.domain.jobs.job import FIRST_ROWS, Job, JobId, JobState, initial_state
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.jobs.repository import Releasable

jobs_c = table.c
_ids = jobs_c.id.in_(bindparam("ids", expanding=True))
_STILL_SCHEDULED = (
    select(jobs_c.id)
    .where(IS_SCHEDULED, _ids)
    .order_by(jobs_c.id)
    .with_for_update(skip_locked=True)
)
STAGED = (
    select(*concurrency_keys.STAGE_COLUMNS)
    .where(IS_SCHEDULED, jobs_c.due_at <= bindparam("now"))
    .order_by(jobs_c.due_at, jobs_c.id)
    .limit(bindparam("limit"))
)
_CONCURRENCY_KEYS_AMONG = select(jobs_c.concurrency_key).where(
    _ids, jobs_c.concurrency_key.is_not(None)
)
_last_attempt = attempts.c.job_id == jobs_c.id, attempts.c.number == jobs_c.attempt - 1
# Ordered, because MySQL reads values that the same UPDATE has set.
_UNCLAIM = (
    update(table)
    .where(_ids)
    .ordered_values(
        (jobs_c.state, bindparam("new_state")),
        (jobs_c.ended_at, bindparam("new_ended_at")),
        (jobs_c.started_at, select(attempts.c.started_at).where(*_last_attempt).scalar_subquery()),
        (jobs_c.worker, select(attempts.c.worker).where(*_last_attempt).scalar_subquery()),
        (jobs_c.attempt, jobs_c.attempt - 1),
        (jobs_c.token, jobs_c.token + 1),
        (jobs_c.lease_until, null()),
    )
)
_HOLD_TASK = update(table).where(_ids, IS_READY).values(state=int(JobState.HELD))
_first = (
    select(jobs_c.id, jobs_c.concurrency_key, jobs_c.task)
    .where(IS_READY, jobs_c.queue == bindparam("queue"))
    .order_by(jobs_c.priority.desc(), jobs_c.fair_tag, jobs_c.id)
    .limit(FIRST_ROWS)
    .subquery("first_rows")
)
FIRST_OF_TASKS = (
    select(_first.c.id, _first.c.concurrency_key)
    .where(_first.c.task.in_(bindparam("tasks", expanding=True)))
    .limit(bindparam("limit"))
)


@frozen
class SqlJobRepository(JobClaims, JobLists, JobQueries, HeldJobs, JobRetention):
    """Jobs of the current transaction."""

    def add(self, jobs: Sequence[Job], now: datetime) -> Sequence[Job | None]:
        """Insert jobs and return them with ids; None for each job whose key exists."""
        inserted: Sequence[Job | None]
        if _is_single(jobs) and (insert_job := self._strategy.insert_job) is not None:
            inserted = [insert_job(self._db, jobs[0], now, self._single_statement)]
        else:
            states = self._initial_states(jobs, now)
            inserted = self._strategy.insert_jobs(self._db, jobs, states)
        self._woken.update(job.queue for job in inserted if job and job.state is JobState.READY)
        skipped = [job for job, new in zip(jobs, inserted, strict=True) if new is None]
        if keys := concurrency_keys.get_keys(skipped):
            concurrency_keys.release(self._db, keys, now, self._woken)
        return inserted

    def add_ticks(
        self, task: Task, steps: Sequence[FastPathStep], now: datetime
    ) -> Sequence[FastPathStep]:
        """Insert the jobs of due ticks where possible; return the steps handled."""
        fire_ticks = self._strategy.fire_ticks
        if fire_ticks is None or task.key in self._held_back_tasks():
            return []
        return fire_ticks(self._db, task, steps, now, self._woken)

    def get_for_update(self, scope: Scope, job_id: JobId) -> Job:
        """Lock a job's concurrency key, then its row, and return the job."""
        concurrency_key = self.get(scope, job_id).concurrency_key
        concurrency_keys.lock(self._db, [] if concurrency_key is None else [concurrency_key])
        query = VISIBLE.with_for_update()
        row = self._db.execute(query, {"job_id": job_id}).one_or_none()
        if row is None or not scope.covers(row.owner):
            raise NotFound(f"There is no job {job_id}.")
        return job_from_row(row)

    def replace(self, before: Job, after: Job) -> bool:
        """Write a job changed by a command, unless its state or token has changed."""
        now = self.now()
        values: dict[str, Any] = {
            "state": int(after.state),
            "due_at": after.due_at,
            "token": after.token,
            "max_attempts": after.max_attempts,
            "cancel_requested": after.cancel_requested,
            "reason": after.reason,
            "result": after.result,
            "progress": progress_value(after.progress),
            "ended_at": after.ended_at,
            "hidden": after.hidden,
        }
        if before.state is JobState.RUNNING and after.state is not JobState.RUNNING:
            values["lease_until"] = None
        keys = concurrency_keys.get_keys([before])
        # the caller may have read the job without a lock, and ended jobs leave no key
        concurrency_keys.insert_and_lock(self._db, dict.fromkeys(keys, before.concurrency_limit))
        guard = (
            jobs_c.id == before.id,
            jobs_c.state == int(before.state),
            jobs_c.token == before.token,
        )
        if self._db.execute(update(table).where(*guard).values(values)).rowcount != 1:
            return False
        if after.state is JobState.RUNNING and after.cancel_requested and after.worker:
            self._stopped.add((after.worker, after.id))
        stays = before.state is JobState.READY and after.state is JobState.READY
        if after.state.waiting and after.due_at <= now and not stays:
            concurrency_keys.initial_states(self._db, [before.id], now, self._woken)
        if keys:
            concurrency_keys.release(self._db, keys, now, self._woken)
        return True

    def stage(self, now: datetime, *, limit: int = 500, only: JobId | None = None) -> int:
        """Move due SCHEDULED jobs to READY or HELD, oldest due first."""
        query = STAGED if only is None else STAGED.where(jobs_c.id == only)
        rows = self._db.execute(query, {"now": now, "limit": limit}).all()
        if not rows:
            return 0
        concurrency_keys.lock(self._db, concurrency_keys.get_keys(rows))
        rows = self._still_scheduled(rows)
        concurrency_keys.stage_rows(self._db, rows, now, self._woken)
        return len(rows)

    def settle_and_claim(
        self,
        settlements: Sequence[Settlement],
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
        limits: ClaimLimits = UNLIMITED,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Settle, then claim; in one statement where the database supports it."""
        settle_and_claim = self._strategy.settle_and_claim
        # the jobs that run everywhere are counted between the two steps
        is_single = limits.owner_running is None and not any(map(_readies_a_job, settlements))
        if settle_and_claim is not None and is_single:
            request = (queue, limit, free_threads, lease_until, worker, now)
            return settle_and_claim(self._db, settlements, request, limits, self._single_statement)
        accepted = self.settle(settlements)
        claims = self.claim(
            queue,
            worker=worker,
            now=now,
            lease_until=lease_until,
            limit=limit,
            free_threads=free_threads,
            limits=limits,
        )
        return claims, accepted

    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """Write outcomes and attempts; return the ids of the accepted ones."""
        if not settlements:
            return set()
        freed = concurrency_keys.get_keys(settlements)
        concurrency_keys.lock(self._db, freed)
        accepted = self._strategy.write_settlements(self._db, settlements)
        if not accepted:
            return set()
        now = max(each.ended_at for each in accepted.values())
        if due := [each.id for each in accepted.values() if _is_due_at_once(each)]:
            concurrency_keys.initial_states(self._db, due, now, self._woken)
        if freed:
            concurrency_keys.release(self._db, freed, now, self._woken)
        return set(accepted)

    def release(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """Return unstarted claims to READY, or CANCELLED if that was requested."""
        self._lock_concurrency_keys(claims)
        rows = self._running(claims)
        if not rows:
            return set()
        now = self.now()
        cancelled = [row for row in rows if row.cancel_requested]
        others = [row for row in rows if not row.cancel_requested]
        self._unclaim(others, JobState.READY, None)
        self._unclaim(cancelled, JobState.CANCELLED, now)
        self._woken.update(row.queue for row in others)
        freed = concurrency_keys.get_keys(cancelled)
        concurrency_keys.release(self._db, freed, now, self._woken)
        return {JobId(row.id) for row in rows}

    def quarantine(
        self,
        job_id: JobId,
        reason: str,
        now: datetime,
        *,
        token: int | None = None,
        attempt: int | None = None,
    ) -> Settlement | None:
        """Fail a job whose row cannot be processed."""
        row = quarantine.find_unfinished(self._db, job_id, token, attempt)
        if row is None:
            return None
        keys = concurrency_keys.get_keys([row])
        concurrency_keys.lock(self._db, keys)
        settlement = quarantine.fail(self._db, row, reason, now)
        concurrency_keys.release(self._db, keys, now, self._woken)
        return settlement

    def hold_first(self, tasks: Sequence[str], *, limit: int) -> int:
        """Move READY jobs among the first of each queue to HELD; return how many."""
        held = 0
        for queue in self.waiting_queues():
            values = {"queue": queue, "tasks": tasks, "limit": limit}
            held += self._hold(self._db.execute(FIRST_OF_TASKS, values).all())
        return held

    def _hold(self, rows: Sequence[AnyRow]) -> int:
        freed = concurrency_keys.get_keys(rows)
        concurrency_keys.lock(self._db, freed)
        held = 0
        for ids in chunks(sorted(row.id for row in rows)):
            held += self._db.execute(_HOLD_TASK, {"ids": ids}).rowcount
        if freed:
            concurrency_keys.release(self._db, freed, self.now(), self._woken)
        return held

    def release_held(self, found: Releasable, now: datetime, *, limit: int = 500) -> int:
        """Make held jobs of keys and tasks READY; return how many."""
        released = 0
        for task in found.tasks:
            released += self.release_task(task, now, limit=limit - released)
        keys = lock_free(self._db, found.keys)
        return released + concurrency_keys.release(self._db, keys, now, self._woken)

    def release_task(self, key: str, now: datetime, *, limit: int) -> int:
        """Move HELD jobs of a task that have no concurrency key to READY."""
        rows = HELD_OF_TASK.fetch_all(self._db, (key, limit)) if limit > 0 else ()
        return concurrency_keys.make_ready(self._db, rows, now, self._woken)

    def _held_back_tasks(self) -> frozenset[str]:
        return frozenset(key for (key,) in held_back_tasks.fetch_all(self._db))

    def _initial_states(self, jobs: Sequence[Job], now: datetime) -> list[InitialState]:
        if _is_single(jobs):
            return [self._initial_state(jobs[0], now)]
        limits = {
            job.concurrency_key: job.concurrency_limit
            for job in jobs
            if job.concurrency_key is not None and job.state.waiting
        }
        free_slots = concurrency_keys.lock_and_set_limits(self._db, limits)
        held_back = self._held_back_tasks()
        states: list[JobState] = []
        for job in jobs:
            if job.state.ended:
                states.append(job.state)
                continue
            free = job.concurrency_key is None or free_slots[job.concurrency_key] > 0
            state = initial_state(
                job, now, task_active=job.task not in held_back, concurrency_key_free=free
            )
            if state is JobState.READY and job.concurrency_key is not None:
                free_slots[job.concurrency_key] -= 1
            states.append(state)
        return self._with_tags(jobs, states, now)

    def _initial_state(self, job: Job, now: datetime) -> InitialState:
        if job.due_at > now:
            return JobState.SCHEDULED, job.fair_tag, job.queued_at
        is_active, tag = tag_single(self._db, job)
        if is_active:
            return JobState.READY, tag, now
        return JobState.HELD, job.fair_tag, job.queued_at

    def _with_tags(
        self, jobs: Sequence[Job], states: Sequence[JobState], now: datetime
    ) -> list[InitialState]:
        tags = FairTagAllocator(self._db)
        return [
            (state, tags.next((job.queue, job.priority, job.fairness_key), job.weight), now)
            if state is JobState.READY
            else (state, job.fair_tag, job.queued_at)
            for job, state in zip(jobs, states, strict=True)
        ]

    def _still_scheduled(self, rows: Sequence[AnyRow]) -> list[AnyRow]:
        """Lock rows in id order; skip those that are locked or no longer SCHEDULED."""
        locked: set[int] = set()
        for ids in chunks(sorted(row.id for row in rows)):
            locked.update(self._db.execute(_STILL_SCHEDULED, {"ids": ids}).scalars())
        return [row for row in rows if row.id in locked]

    def _lock_concurrency_keys(self, claims: Sequence[tuple[JobId, int]]) -> None:
        """Lock the concurrency keys of claims; must precede locking their rows."""
        keys: set[str] = set()
        for ids in chunks([job_id for job_id, _ in claims]):
            keys.update(self._db.execute(_CONCURRENCY_KEYS_AMONG, {"ids": ids}).scalars())
        concurrency_keys.lock(self._db, keys)

    def _unclaim(self, rows: Sequence[AnyRow], state: JobState, ended_at: datetime | None) -> None:
        values = {"new_state": int(state), "new_ended_at": ended_at}
        for ids in chunks([row.id for row in rows]):
            self._db.execute(_UNCLAIM, {"ids": ids, **values})


def _is_single(jobs: Sequence[Job]) -> bool:
    """Whether there is one job, waiting and without a concurrency key."""
    return len(jobs) == 1 and jobs[0].concurrency_key is None and jobs[0].state.waiting


def _is_due_at_once(settlement: Settlement) -> bool:
    due_at = settlement.due_at
    is_due = due_at is None or due_at <= settlement.ended_at
    return settlement.state is JobState.SCHEDULED and is_due


def _readies_a_job(settlement: Settlement) -> bool:
    """Whether an outcome frees a concurrency key or makes its job READY at once."""
    return settlement.concurrency_key is not None or _is_due_at_once(settlement)
