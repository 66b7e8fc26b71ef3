"""Cancellations of many jobs in SQL."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from workbell.adapters.sql.database.filters import equals
from workbell.adapters.sql.database.statements import AnyRow, chunks, inserted_id, row_to_dict
from workbell.adapters.sql.jobs import concurrency_keys
from workbell.adapters.sql.schema.indexes import IS_UNFINISHED_RUN, IS_WAITING
from workbell.adapters.sql.schema.tables import cancellations, jobs
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import JobId, JobState

jobs_c, cancellations_c = jobs.c, cancellations.c
_ALL = select(cancellations).order_by(cancellations_c.id)
_NEXT = _ALL.limit(1).with_for_update(skip_locked=True)
_rows = (
    select(jobs_c.id, jobs_c.concurrency_key)
    .where(
        IS_WAITING,
        jobs_c.task.not_in(bindparam("excluded", expanding=True)),
    )
    .limit(bindparam("limit"))
)
_is_covered = jobs_c.id <= bindparam("last_job_id")
OF_SCHEDULE = _rows.where(
    IS_UNFINISHED_RUN, jobs_c.schedule_id == bindparam("schedule_id"), _is_covered
).order_by(jobs_c.id)
# an expression, because the index by owner and id would read all ended jobs
OF_OWNER = _rows.where(
    jobs_c.owner == bindparam("owner"), jobs_c.id + literal_column("0") <= bindparam("last_job_id")
)
_LAST_OF_SCHEDULE = (
    select(jobs_c.id)
    .where(IS_UNFINISHED_RUN, jobs_c.schedule_id == bindparam("schedule_id"))
    .order_by(jobs_c.id.desc())
    .limit(1)
)
_LAST_OF_OWNER = (
    select(jobs_c.id).where(jobs_c.owner == bindparam("owner")).order_by(jobs_c.id.desc()).limit(1)
)
_CANCEL = (
    update(jobs)
    .where(jobs_c.id.in_(bindparam("ids", expanding=True)), IS_WAITING)
    .values(
        state=int(JobState.CANCELLED), reason=bindparam("new_reason"), ended_at=bindparam("now")
    )
)


@frozen
class SqlCancellationRepository:
    """Unfinished cancellations of many jobs."""

    _db: Connection
    _woken: set[str]

    def last_job_id(self, owner: UserId, schedule_id: int | None) -> JobId:
        """Return the highest id of an unfinished run of a schedule, or a job of an owner."""
        query = _LAST_OF_OWNER if schedule_id is None else _LAST_OF_SCHEDULE
        values = {"owner": owner} if schedule_id is None else {"schedule_id": schedule_id}
        return JobId(self._db.execute(query, values).scalar() or 0)

    def cancel_jobs(
        self,
        cancellation: Cancellation,
        now: datetime,
        *,
        excluded_tasks: Collection[str] = (),
        limit: int = 500,
    ) -> int:
        """Cancel waiting jobs; return how many were read."""
        query, values = _query(cancellation, excluded_tasks, limit)
        rows = self._db.execute(query, values).all()
        freed = concurrency_keys.get_keys(rows)
        concurrency_keys.lock(self._db, freed)
        changes = {"new_reason": cancellation.reason, "now": now}
        for ids in chunks([row.id for row in rows]):
            self._db.execute(_CANCEL, {"ids": ids, **changes})
        if freed:
            concurrency_keys.release(self._db, freed, now, self._woken)
        return len(rows)

    def count_left(self, cancellation: Cancellation, *, limit: int) -> int:
        """Return how many jobs are to be cancelled, at most `limit`."""
        query, values = _query(cancellation, (), limit)
        counted = select(func.count()).select_from(query.subquery())
        return int(self._db.execute(counted, values).scalar_one())

    def add(self, cancellation: Cancellation) -> Cancellation:
        """Insert a cancellation and return it with its id."""
        values = asdict(cancellation)
        del values["id"]
        result = self._db.execute(insert(cancellations).values(values))
        return evolve(cancellation, id=inserted_id(result))

    def lock_next(self) -> Cancellation | None:
        """Lock and return the oldest cancellation that is not locked."""
        row = self._db.execute(_NEXT).one_or_none()
        return None if row is None else _cancellation(row)

    def record(self, cancellation: Cancellation, cancelled: int) -> None:
        """Add to the number of cancelled jobs."""
        change = update(cancellations).where(cancellations_c.id == cancellation.id)
        self._db.execute(change.values(cancelled=cancellations_c.cancelled + cancelled))

    def remove(self, cancellation: Cancellation) -> None:
        """Delete a finished cancellation."""
        self._db.execute(delete(cancellations).where(cancellations_c.id == cancellation.id))

    def all(self, scope: Scope, *, limit: int = 1_000) -> Sequence[Cancellation]:
        """Return the cancellations in a scope, oldest first."""
        query = _ALL.where(*equals(cancellations_c.owner, scope.owner)).limit(limit)
        return [_cancellation(row) for row in self._db.execute(query)]


def _query(
    cancellation: Cancellation, excluded_tasks: Collection[str], limit: int
) -> tuple[Select[Any, Any], dict[str, Any]]:
    values: dict[str, Any] = {
        "last_job_id": cancellation.last_job_id,
        "excluded": list(excluded_tasks),
        "limit": limit,
    }
    if cancellation.schedule_id is None:
        return OF_OWNER, values | {"owner": cancellation.owner}
    return OF_SCHEDULE, values | {"schedule_id": cancellation.schedule_id}


def _cancellation(row: AnyRow) -> Cancellation:
    return Cancellation(**row_to_dict(row))
