"""Lists of jobs: filters, orderings, and counts that stop somewhere."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import BindParameter, ColumnElement, and_, func, or_, select

from workbell.adapters.sql.placing import JobRows
from workbell.adapters.sql.rows import JOB, job_of
from workbell.adapters.sql.schema import jobs
from workbell.domain.identity import Scope
from workbell.domain.jobs import Job, JobState, Status
from workbell.ports.jobs import JobFilter

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

    def count(self, scope: Scope, which: JobFilter, *, at_most: int) -> int:
        """Return how many jobs the list has, counting no further than `at_most`."""
        some = select(_c.id).where(*_conditions(scope, which)).limit(at_most).subquery()
        return self._db.execute(select(func.count()).select_from(some)).scalar_one()


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


def equal(column: ColumnElement[Any], value: object) -> Iterator[ColumnElement[bool]]:
    """Yield the condition that a column has a value, if one is asked for."""
    if value is not None:
        yield column == value


def between(
    column: ColumnElement[Any], first: datetime | None, last: datetime | None
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions that a moment lies within bounds, both included."""
    if first is not None:
        yield column >= first
    if last is not None:
        yield column <= last


def holds(column: ColumnElement[Any], part: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a text holds another, regardless of case; bind `part_of` it."""
    held = part_of(part) if isinstance(part, str) else part
    return func.lower(column).contains(held, escape="/")


def part_of(text: str) -> str:
    """Return a text as `holds` compares it: folded, and without wildcards."""
    plain = text.casefold().replace("/", "//")
    return plain.replace("%", "/%").replace("_", "/_")


def ordered(
    ordering: Sequence[str], columns: Mapping[str, ColumnElement[Any]]
) -> Iterator[ColumnElement[Any]]:
    """
    Yield the terms of an ordering by names, a minus before descending ones.

    The id breaks ties, descending where the first name is.
    """
    descending = bool(ordering) and ordering[0].startswith("-")
    for name in (*ordering, "-id" if descending else "id"):
        column = columns[name.removeprefix("-")]
        yield column.desc() if name.startswith("-") else column
