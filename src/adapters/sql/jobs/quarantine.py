"""Quarantine: failing jobs whose rows cannot be processed."""

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen
from sqlalchemy import ColumnElement, select, update

from workbell.adapters.sql.jobs import concurrency_keys
from workbell.adapters.sql.jobs.rows import JobStaging
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.jobs.attempt import Outcome, Settlement
from workbell.domain.jobs.job import ENDED, ClaimMode, JobId, JobState

jobs_c = jobs.c
_COLUMNS = (
    jobs_c.id,
    jobs_c.token,
    jobs_c.attempt,
    jobs_c.uncharged,
    jobs_c.concurrency_key,
    jobs_c.schedule_id,
)


@frozen
class JobQuarantine(JobStaging):
    """Statements that decode no JSON and no times of a row."""

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
        guard = tuple(_guard(job_id, token, attempt))
        row = self._db.execute(select(*_COLUMNS).where(*guard)).one_or_none()
        if row is None:
            return None
        keys = concurrency_keys.get_keys([row])
        concurrency_keys.lock(self._db, keys)
        # Every value that is replaced may be the one that cannot be decoded.
        failed = update(jobs).values(
            state=int(JobState.FAILED),
            mode=int(ClaimMode.ORDINARY),
            reason=reason,
            due_at=now,
            ended_at=now,
            lease_until=None,
            progress=None,
            result=None,
        )
        if self._db.execute(failed.where(*guard)).rowcount != 1:
            return None
        concurrency_keys.release(self._db, keys, now, self._woken)
        return Settlement(
            id=job_id,
            token=row.token,
            attempt=row.attempt,
            uncharged=row.uncharged,
            state=JobState.FAILED,
            outcome=Outcome.FAILED,
            concurrency_key=row.concurrency_key,
            queued_at=None,
            started_at=now,
            ended_at=now,
            mode=ClaimMode.ORDINARY,
            error=reason,
            schedule_id=row.schedule_id,
        )


def _guard(job_id: JobId, token: int | None, attempt: int | None) -> Iterator[ColumnElement[bool]]:
    yield jobs_c.id == job_id
    yield jobs_c.state.not_in([int(state) for state in ENDED])
    if token is not None:
        yield jobs_c.token == token
    if attempt is not None:
        yield jobs_c.attempt == attempt
