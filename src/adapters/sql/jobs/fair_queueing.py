"""Fair queueing: tags order the ready jobs of a queue and priority."""

from typing import Any

from attrs import Factory, define, field
from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    literal_column,
    or_,
    select,
)

from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.schema.tables import jobs, task_definitions
from workbell.domain.jobs.job import Job, JobState, fair_tag

jobs_c = jobs.c
_ONE: ColumnElement[int] = literal_column("1")
_IS_READY = jobs_c.state == literal_column(str(int(JobState.READY)))
"""A literal, because a bind parameter never matches a partial index."""
_IS_HELD = jobs_c.state == literal_column(str(int(JobState.HELD)))
IS_HELD_BACK = or_(
    task_definitions.c.is_active.is_(False), task_definitions.c.parked_at.is_not(None)
)
"""Jobs of the task are held: it is inactive, or no worker knows it."""
held_back_tasks = prepare(select(task_definitions.c.key).where(IS_HELD_BACK))
READY_COLUMNS = (jobs_c.id, jobs_c.queue, jobs_c.priority, jobs_c.fair_key, jobs_c.weight)
HELD_OF_KEY = (
    select(*READY_COLUMNS)
    .where(
        _IS_HELD,
        jobs_c.concurrency_key.is_not(None),
        jobs_c.concurrency_key == bindparam("concurrency_key"),
        ~select(task_definitions.c.id)
        .where(task_definitions.c.key == jobs_c.task, IS_HELD_BACK)
        .exists(),
    )
    .order_by(jobs_c.concurrency_key, jobs_c.priority.desc(), jobs_c.due_at, jobs_c.id)
    .limit(bindparam("limit"))
)
"""The next held jobs of a key whose tasks are not held back."""


def lowest_tag(queue: Any, priority: Any) -> ScalarSelect[Any]:
    """Return a subquery for the lowest ready tag of a queue and priority."""
    ready = select(jobs_c.fair_tag).where(
        _IS_READY, jobs_c.queue == queue, jobs_c.priority == priority
    )
    return ready.order_by(jobs_c.fair_tag, jobs_c.id).limit(_ONE).scalar_subquery()


def highest_tag(queue: Any, priority: Any, key: Any) -> ScalarSelect[Any]:
    """Return a subquery for the highest ready tag of a fair key."""
    ready = select(jobs_c.fair_tag).where(
        _IS_READY, jobs_c.queue == queue, jobs_c.priority == priority
    )
    of_key = ready.where(jobs_c.fair_key == key)
    return of_key.order_by(jobs_c.fair_tag.desc()).limit(_ONE).scalar_subquery()


_LOWEST = lowest_tag(bindparam("queue"), bindparam("priority"))
_HIGHEST = highest_tag(bindparam("queue"), bindparam("priority"), bindparam("fair_key"))
_is_inactive = (
    select(task_definitions.c.id)
    .where(task_definitions.c.key == bindparam("task"), IS_HELD_BACK)
    .exists()
)
_tags = prepare(select(_LOWEST, _HIGHEST), "queue", "priority", "fair_key")
_tags_and_task = prepare(
    select(_is_inactive, _LOWEST, _HIGHEST), "task", "queue", "priority", "fair_key"
)

Share = tuple[str, int, str]
"""Queue, priority and fair key: the jobs that share a sequence of tags."""


def tag_single(db: Connection, job: Job) -> tuple[bool, float]:
    """Return whether a single job's task is active, and its tag, from one query."""
    values = (job.task, job.queue, job.priority, job.fairness_key)
    ((inactive, lowest, highest),) = _tags_and_task.fetch_all(db, values)
    return not inactive, fair_tag(lowest, highest, 1, job.weight)


@define(eq=False)
class FairTagAllocator:
    """Assigns tags to the jobs of one statement, with one query per share."""

    _db: Connection
    _known: dict[Share, tuple[float | None, float | None]] = field(
        init=False, default=Factory(dict)
    )
    _counts: dict[Share, int] = field(init=False, default=Factory(dict))

    def next(self, share: Share, weight: float) -> float:
        """Return the tag of the next job of a share."""
        if share not in self._known:
            ((lowest, highest),) = _tags.fetch_all(self._db, share)
            self._known[share] = lowest, highest
        nth = self._counts[share] = self._counts.get(share, 0) + 1
        lowest, highest = self._known[share]
        return fair_tag(lowest, highest, nth, weight)
