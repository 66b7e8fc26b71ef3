"""Lists of jobs: filters, orderings, and counts that stop somewhere."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, and_, or_

from workbell.adapters.sql.database.filters import between, count_rows, equal, holds, ordered
from workbell.adapters.sql.jobs.rows import JOB, job_of
from workbell.adapters.sql.jobs.staging import JobRows
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.identity.user import Scope
from workbell.domain.jobs.job import Job, JobState, Status
from workbell.ports.jobs.repository import JobFilter

_c = jobs.c
_is_waiting = _c.state < int(JobState.RUNNING)
_STATUS: Mapping[Status, ColumnElement[bool]] = {
    Status.PENDING: and_(_is_waiting, _c.attempt == 0),
    Status.RETRYING: and_(_is_waiting, _c.attempt > 0),
    Status.RUNNING: _c.state == int(JobState.RUNNING),
    Status.SUCCEEDED: _c.state == int(JobState.SUCCEEDED),
    Status.FAILED: _c.state == int(JobState.FAILED),
    Status.CANCELLED: _c.state == int(JobState.CANCELLED),
    Status.SKIPPED: _c.state == int(JobState.SKIPPED),
}
_ORDERINGS: Mapping[str, ColumnElement[Any]] = {
    "id": _c.id,
    "created_at": _c.created_at,
    "scheduled_time": _c.due_at,
    "status": _c.state,
    "priority": _c.priority,
    "task": _c.task,
    "name": _c.name,
    "queue": _c.queue,
}


@frozen
class JobLists(JobRows):
    """The jobs that a scope may see, a part at a time."""

    def find(
        self,
        scope: Scope,
        which: JobFilter,
        *,
        ordering: Sequence[str] = ("-id",),
        offset: int = 0,
        limit: int = 20,
    ) -> Sequence[Job]:
        """Return a part of a list; hidden jobs are left out."""
        query = (
            JOB.where(*_conditions(scope, which))
            .order_by(*ordered(ordering, _ORDERINGS))
            .offset(offset)
            .limit(limit)
        )
        return [job_of(row) for row in self._db.execute(query)]

    def count(self, scope: Scope, which: JobFilter) -> int:
        """Return how many jobs the list has, counting no further than one above `COUNT_CAP`."""
        return self._db.execute(count_rows(jobs, *_conditions(scope, which))).scalar_one()


def _conditions(scope: Scope, which: JobFilter) -> Iterator[ColumnElement[bool]]:
    yield _c.hidden.is_(False)
    yield from equal(_c.owner, scope.owner)
    yield from equal(_c.owner, which.owner)
    yield from equal(_c.task, which.task)
    yield from equal(_c.queue, which.queue)
    yield from equal(_c.schedule_id, which.schedule_id)
    if which.statuses is not None:
        yield or_(False, *[_STATUS[Status(each)] for each in which.statuses])
    if which.origins is not None:
        yield _c.origin.in_([str(each) for each in which.origins])
    yield from between(_c.created_at, which.created_from, which.created_to)
    yield from between(_c.due_at, which.due_from, which.due_to)
    if which.search is not None:
        yield or_(*[holds(column, which.search) for column in (_c.name, _c.task, _c.description)])
    if which.before_id is not None:
        yield _c.id < which.before_id
