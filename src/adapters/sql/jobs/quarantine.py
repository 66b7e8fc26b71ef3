"""Quarantine: statements that decode no JSON and no times of a job."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, select, update

from workbell.adapters.sql.database.statements import AnyRow
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
_ENDED = [int(state) for state in ENDED]


def find_unfinished(
    db: Connection, job_id: JobId, token: int | None, attempt: int | None
) -> AnyRow | None:
    """Return a job that has not ended, if it has the token and the attempt."""
    guard = _guard(job_id, token, attempt)
    return db.execute(select(*_COLUMNS).where(*guard)).one_or_none()


def fail(db: Connection, row: AnyRow, reason: str, now: datetime) -> Settlement | None:
    """Fail the job of a row of `find_unfinished`, unless it has changed since."""
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
    guard = _guard(row.id, row.token, row.attempt)
    if db.execute(failed.where(*guard)).rowcount != 1:
        return None
    return Settlement(
        id=row.id,
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
    yield jobs_c.state.not_in(_ENDED)
    if token is not None:
        yield jobs_c.token == token
    if attempt is not None:
        yield jobs_c.attempt == attempt
