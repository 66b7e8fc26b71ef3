"""Reading jobs: single jobs, runs of schedules, due and expired jobs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import Select, bindparam, func, literal_column, select

from workbell.adapters.sql.database.statements import chunks
from workbell.adapters.sql.jobs.rows import (
    ATTEMPT,
    JOB,
    LOST_COLUMNS,
    JobStaging,
    attempt_from_row,
    job_from_row,
    lost_claim_from_row,
)
from workbell.adapters.sql.schema.indexes import (
    IS_HELD_BY_KEY,
    IS_HELD_WITHOUT_KEY,
    IS_READY,
    IS_RUNNING,
    IS_SCHEDULED,
    IS_UNFINISHED_RUN,
    IS_WAITING,
)
from workbell.adapters.sql.schema.tables import attempts, jobs, queues
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Attempt, Claim
from workbell.domain.jobs.job import Job, JobId
from workbell.ports.jobs.repository import JobRef

jobs_c = jobs.c
EXPIRED = (
    select(*LOST_COLUMNS)
    .where(IS_RUNNING, jobs_c.lease_until < bindparam("now"))
    .order_by(jobs_c.lease_until, jobs_c.id)
    .limit(bindparam("limit"))
)
_REF = jobs_c.id, jobs_c.token
_EXPIRED_REFS = EXPIRED.with_only_columns(*_REF)
_DUE_REFS = (
    select(*_REF)
    .where(IS_SCHEDULED, jobs_c.due_at <= bindparam("now"))
    .order_by(jobs_c.due_at, jobs_c.id)
    .limit(bindparam("limit"))
)
NEXT_QUEUE = (
    select(jobs_c.queue)
    .where(IS_READY, jobs_c.queue > bindparam("after"))
    .order_by(jobs_c.queue)
    .limit(1)
)
_STOPPED_QUEUES = select(queues.c.name).where(queues.c.state != "running")
NEXT_DUE = select(jobs_c.due_at).where(IS_SCHEDULED).order_by(jobs_c.due_at, jobs_c.id).limit(1)
_any_job: Select[Any] = select(literal_column("1")).limit(1)
HAS_HELD = (_any_job.where(IS_HELD_BY_KEY), _any_job.where(IS_HELD_WITHOUT_KEY))


VISIBLE = JOB.where(jobs_c.id == bindparam("job_id"), jobs_c.hidden.is_(False))
_BY_KEY = JOB.where(
    jobs_c.owner == bindparam("owner"), jobs_c.idempotency_key == bindparam("idempotency_key")
)
UNFINISHED = JOB.where(
    IS_UNFINISHED_RUN, jobs_c.schedule_id.in_(bindparam("ids", expanding=True))
).order_by(jobs_c.schedule_id, jobs_c.id)
WAITING = (
    select(jobs_c.id)
    .where(IS_WAITING, jobs_c.owner == bindparam("owner"))
    .limit(bindparam("limit"))
)
_COUNT_WAITING = select(func.count()).select_from(WAITING.subquery())
_ATTEMPTS = ATTEMPT.where(attempts.c.job_id == bindparam("job_id")).order_by(attempts.c.number)


@frozen
class JobQueries(JobStaging):
    """Queries for jobs that an index selects."""

    def expired(
        self, now: datetime, *, limit: int = 500, only: JobId | None = None
    ) -> Sequence[Claim]:
        """Return running jobs whose lease has expired, oldest first, without parameters."""
        query = EXPIRED if only is None else EXPIRED.where(jobs_c.id == only)
        rows = self._db.execute(query, {"now": now, "limit": limit})
        return [lost_claim_from_row(row) for row in rows]

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return the ids and tokens of due SCHEDULED jobs."""
        rows = self._db.execute(_DUE_REFS, {"now": now, "limit": limit})
        return [(JobId(row.id), row.token) for row in rows]

    def list_expired(self, now: datetime, *, limit: int = 500) -> Sequence[JobRef]:
        """Return the ids and tokens of running jobs whose lease has expired."""
        rows = self._db.execute(_EXPIRED_REFS, {"now": now, "limit": limit})
        return [(JobId(row.id), row.token) for row in rows]

    def waiting_queues(self) -> Sequence[str]:
        """Return the running queues that have ready jobs."""
        queues: list[str] = []
        queue: str | None = ""
        while (queue := self._db.execute(NEXT_QUEUE, {"after": queue}).scalar()) is not None:
            queues.append(queue)
        stopped = set(self._db.execute(_STOPPED_QUEUES).scalars()) if queues else set()
        return [queue for queue in queues if queue not in stopped]

    def next_due(self) -> datetime | None:
        """Return when the earliest SCHEDULED job is due."""
        due_at: datetime | None = self._db.execute(NEXT_DUE).scalar()
        return due_at

    def has_held(self) -> bool:
        """Whether any job is HELD; reads at most one entry of two indexes."""
        return any(self._db.execute(query).first() is not None for query in HAS_HELD)

    def get(self, scope: Scope, job_id: JobId) -> Job:
        """Return a job visible to the scope."""
        row = self._db.execute(VISIBLE, {"job_id": job_id}).one_or_none()
        if row is None or not scope.covers(row.owner):
            raise NotFound(f"There is no job {job_id}.")
        return job_from_row(row)

    def by_idempotency_key(self, owner: UserId, key: str) -> Job | None:
        """Return an owner's job with an idempotency key."""
        values = {"owner": owner, "idempotency_key": key}
        row = self._db.execute(_BY_KEY, values).one_or_none()
        return None if row is None else job_from_row(row)

    def count_waiting(self, owner: UserId, *, limit: int) -> int:
        """Return the number of an owner's waiting jobs, at most `limit`."""
        values = {"owner": owner, "limit": limit}
        return self._db.execute(_COUNT_WAITING, values).scalar_one()

    def unfinished(self, schedule_ids: Sequence[int]) -> Mapping[int, Sequence[Job]]:
        """Return the waiting and running jobs of each schedule, oldest first."""
        found: dict[int, list[Job]] = {each: [] for each in schedule_ids}
        for some in chunks(list(found)):
            for row in self._db.execute(UNFINISHED, {"ids": some}):
                found[row.schedule_id].append(job_from_row(row))
        return found

    def attempts(self, job_id: JobId) -> Sequence[Attempt]:
        """Return a job's finished attempts, oldest first."""
        return [attempt_from_row(row) for row in self._db.execute(_ATTEMPTS, {"job_id": job_id})]
