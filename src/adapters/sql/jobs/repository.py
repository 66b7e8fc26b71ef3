"""Jobs: adding them, commands on one, and a schedule's unfinished runs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import bindparam, func, select, update

from workbell.adapters.sql.database.statements import chunks, is_postgresql, is_sqlite
from workbell.adapters.sql.jobs import fire_postgresql as firing
from workbell.adapters.sql.jobs import fire_sqlite as ticks
from workbell.adapters.sql.jobs import lanes
from workbell.adapters.sql.jobs.engine import JobEngine
from workbell.adapters.sql.jobs.fair_queueing import Tags, tag_of_one
from workbell.adapters.sql.jobs.insert import Entry, insert_jobs
from workbell.adapters.sql.jobs.insert_postgresql import enter_one
from workbell.adapters.sql.jobs.listing import JobLists
from workbell.adapters.sql.jobs.retention import JobRetention
from workbell.adapters.sql.jobs.rows import ATTEMPT, JOB, attempt_of, job_of, progress_value
from workbell.adapters.sql.jobs.staging import place
from workbell.adapters.sql.schema.indexes import IS_UNFINISHED_RUN, IS_WAITING
from workbell.adapters.sql.schema.tables import attempts
from workbell.adapters.sql.schema.tables import jobs as table
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt
from workbell.domain.jobs.job import Job, JobId, JobState, placed
from workbell.domain.jobs.task import Task
from workbell.domain.schedules.ticks import Step

_c = table.c
_VISIBLE = JOB.where(_c.id == bindparam("job_id"), _c.hidden.is_(False))
_BY_KEY = JOB.where(
    _c.owner == bindparam("owner"), _c.idempotency_key == bindparam("idempotency_key")
)
UNFINISHED = JOB.where(
    IS_UNFINISHED_RUN, _c.schedule_id.in_(bindparam("ids", expanding=True))
).order_by(_c.schedule_id, _c.id)
WAITING = (
    select(_c.id).where(IS_WAITING, _c.owner == bindparam("owner")).limit(bindparam("at_most"))
)
_COUNT_WAITING = select(func.count()).select_from(WAITING.subquery())
_ATTEMPTS = ATTEMPT.where(attempts.c.job_id == bindparam("job_id")).order_by(attempts.c.number)


@frozen
class SqlJobs(JobEngine, JobLists, JobRetention):
    """
    Every piece of work, within a connection's transaction.

    `SqlJobs(connection).add(jobs, now)` enqueues within a caller's own
    transaction: it only executes, and neither commits nor wakes.
    """

    def add(self, jobs: Sequence[Job], now: datetime) -> Sequence[Job | None]:
        """Keep new jobs and return them with ids; None where a key is taken."""
        if _is_lone(jobs) and is_postgresql(self._db):
            kept_one = enter_one(self._db, jobs[0], now, committing=self._sole)
            if kept_one is not None and kept_one.state is JobState.READY:
                self._woken.add(kept_one.queue)
            return [kept_one]
        states = self._states(jobs, now)
        kept = insert_jobs(self._db, jobs, states)
        self._woken.update(
            job.queue for job in kept if job is not None and job.state is JobState.READY
        )
        refused = {job.lane for job, one in zip(jobs, kept, strict=True) if one is None}
        if lanes_left := {lane for lane in refused if lane is not None}:
            lanes.release(self._db, lanes_left, now, self._woken)
        return kept

    def add_ticks(self, task: Task, steps: Sequence[Step], now: datetime) -> Sequence[Step]:
        """Keep the jobs of due ticks in the common case; return the steps accounted for."""
        if is_postgresql(self._db):
            return firing.fire(self._db, task, steps, now, self._woken)
        if not is_sqlite(self._db):
            return []
        return ticks.add_ticks(self._db, task, steps, now, self._woken)

    def get(self, scope: Scope, job_id: JobId) -> Job:
        """Return one job that whoever asks may see."""
        row = self._db.execute(_VISIBLE, {"job_id": job_id}).one_or_none()
        if row is None or not scope.covers(row.owner):
            raise NotFound(f"There is no job {job_id}.")
        return job_of(row)

    def get_for_update(self, scope: Scope, job_id: JobId) -> Job:
        """Return one job and lock its row, and first its lane's."""
        if is_sqlite(self._db):
            return self.get(scope, job_id)
        lane = self.get(scope, job_id).lane
        lanes.lock(self._db, [] if lane is None else [lane])
        query = _VISIBLE.with_for_update()
        row = self._db.execute(query, {"job_id": job_id}).one_or_none()
        if row is None or not scope.covers(row.owner):
            raise NotFound(f"There is no job {job_id}.")
        return job_of(row)

    def replace(self, before: Job, after: Job) -> bool:
        """Write a job that a command has moved, if it still stands as before."""
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
        if before.lane is not None:  # a caller that read the job unlocked has not locked it
            lanes.lock(self._db, [before.lane])
        guard = (_c.id == before.id, _c.state == int(before.state), _c.token == before.token)
        if self._db.execute(update(table).where(*guard).values(values)).rowcount != 1:
            return False
        stays = before.state is JobState.READY and after.state is JobState.READY
        if after.state.waiting and after.due_at <= now and not stays:
            place(self._db, [before.id], now, self._woken)
        if before.lane is not None:
            lanes.release(self._db, [before.lane], now, self._woken)
        return True

    def by_idempotency_key(self, owner: UserId, key: str) -> Job | None:
        """Return the job that an owner has made under a key."""
        values = {"owner": owner, "idempotency_key": key}
        row = self._db.execute(_BY_KEY, values).one_or_none()
        return None if row is None else job_of(row)

    def count_waiting(self, owner: UserId, *, at_most: int) -> int:
        """Return how many jobs of an owner wait, counting no further than `at_most`."""
        values = {"owner": owner, "at_most": at_most}
        return self._db.execute(_COUNT_WAITING, values).scalar_one()

    def unfinished(self, schedule_ids: Sequence[int]) -> Mapping[int, Sequence[Job]]:
        """Return the waiting and running jobs of some schedules, oldest first."""
        found: dict[int, list[Job]] = {each: [] for each in schedule_ids}
        for some in chunks(list(found)):
            for row in self._db.execute(UNFINISHED, {"ids": some}):
                found[row.schedule_id].append(job_of(row))
        return found

    def attempts(self, job_id: JobId) -> Sequence[Attempt]:
        """Return the closed attempts of a job, oldest first."""
        return [attempt_of(row) for row in self._db.execute(_ATTEMPTS, {"job_id": job_id})]

    def _states(self, jobs: Sequence[Job], now: datetime) -> list[Entry]:
        """Decide where each job enters: its state, its tag, and when it was queued."""
        if _is_lone(jobs):
            return [self._state_of_one(jobs[0], now)]
        limits = {
            job.lane: job.lane_limit for job in jobs if job.lane is not None and job.state.waiting
        }
        room = lanes.enter(self._db, limits)
        inactive = frozenset(lanes.inactive_tasks.run(self._db).scalars())
        states: list[JobState] = []
        for job in jobs:
            if job.state.ended:
                states.append(job.state)
                continue
            free = job.lane is None or room[job.lane] > 0
            state = placed(job, now, task_active=job.task not in inactive, lane_free=free)
            if state is JobState.READY and job.lane is not None:
                room[job.lane] -= 1
            states.append(state)
        return self._tagged(jobs, states, now)

    def _state_of_one(self, job: Job, now: datetime) -> Entry:
        if job.due_at > now:
            return JobState.SCHEDULED, job.fair_tag, job.queued_at
        is_active, tag = tag_of_one(self._db, job)
        if is_active:
            return JobState.READY, tag, now
        return JobState.HELD, job.fair_tag, job.queued_at

    def _tagged(
        self, jobs: Sequence[Job], states: Sequence[JobState], now: datetime
    ) -> list[Entry]:
        tags = Tags(self._db)
        tags.probe(
            (job.queue, job.priority, job.share_key)
            for job, state in zip(jobs, states, strict=True)
            if state is JobState.READY
        )
        return [
            (state, tags.next((job.queue, job.priority, job.share_key), job.weight), now)
            if state is JobState.READY
            else (state, job.fair_tag, job.queued_at)
            for job, state in zip(jobs, states, strict=True)
        ]


def _is_lone(jobs: Sequence[Job]) -> bool:
    """Whether it is one job that waits, in no lane."""
    return len(jobs) == 1 and jobs[0].lane is None and jobs[0].state.waiting
