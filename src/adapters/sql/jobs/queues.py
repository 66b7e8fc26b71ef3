"""Queue states, worker processes and job statistics in SQL."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    delete,
    func,
    literal_column,
    select,
    update,
)

from workbell.adapters.sql.database.filters import equals
from workbell.adapters.sql.database.statements import row_to_dict, upsert
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.schema.indexes import (
    IS_ACTIVE,
    IS_EXPECTED,
    IS_OVERDUE,
    IS_READY,
    IS_RUNNING,
    IS_UNFINISHED,
)
from workbell.adapters.sql.schema.tables import jobs, queues, schedules, workers
from workbell.domain.identity.actor import Scope
from workbell.domain.jobs.job import JobState, public_status
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo

jobs_c = jobs.c
_COUNTS = (
    select(
        jobs_c.queue,
        jobs_c.state,
        func.count().label("rows"),
        func.min(jobs_c.queued_at).label("oldest"),
    )
    .where(IS_UNFINISHED)
    .group_by(jobs_c.queue, jobs_c.state)
)
_STATES = select(queues.c.name, queues.c.state)
_DRAINING: Select[Any] = select(literal_column("1")).where(queues.c.state == "draining").limit(1)
_FINISH_DRAINS = (
    update(queues)
    .where(
        queues.c.state == "draining",
        ~select(jobs_c.id).where(IS_RUNNING, jobs_c.queue == queues.c.name).exists(),
    )
    .values(state="paused", changed_at=bindparam("now"))
)
_WORKERS = select(workers).order_by(workers.c.started_at.desc(), workers.c.id.desc())


@frozen
class SqlQueueRepository:
    """Queue states: running, draining or paused."""

    _db: Connection

    def all(self) -> Sequence[QueueStats]:
        """Return every queue with a state or unfinished jobs, by name."""
        found = {
            row.name: QueueStats(name=row.name, state=row.state)
            for row in self._db.execute(_STATES)
        }
        for queue, number, count, oldest in self._db.execute(_COUNTS):
            state = STATES[number]
            stats = found.get(queue) or QueueStats(name=queue, state="running")
            ready = {"oldest_ready_at": oldest} if state is JobState.READY else {}
            found[queue] = evolve(stats, **{state.name.lower(): count}, **ready)
        return [found[name] for name in sorted(found)]

    def set_state(self, name: str, state: str, now: datetime) -> None:
        """Set a queue's state: 'running', 'draining' or 'paused'."""
        upsert(self._db, queues, {"name": name, "state": state, "changed_at": now})

    def any_draining(self) -> bool:
        """Whether any queue is draining."""
        return self._db.execute(_DRAINING).first() is not None

    def finish_drains(self, now: datetime) -> int:
        """Pause draining queues without running jobs; return how many."""
        return self._db.execute(_FINISH_DRAINS, {"now": now}).rowcount


@frozen
class SqlWorkerRepository:
    """Running worker processes."""

    _db: Connection

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Insert or update a process's row."""
        lists = {"queues": list(worker.queues), "knows": list(worker.knows)}
        upsert(self._db, workers, asdict(worker) | lists)

    def remove(self, worker_id: str) -> None:
        """Delete a process's row."""
        self._db.execute(delete(workers).where(workers.c.id == worker_id))

    def all(self) -> Sequence[WorkerInfo]:
        """Return the processes, newest first."""
        rows = self._db.execute(_WORKERS)
        return [_worker(row_to_dict(row)) for row in rows]

    def remove_stale(self, before: datetime) -> None:
        """Delete processes whose last heartbeat was before a time."""
        self._db.execute(delete(workers).where(workers.c.seen_at < before))


def _worker(values: dict[str, Any]) -> WorkerInfo:
    excluded: Mapping[str, str] = values.pop("excluded")
    since = {key: datetime.fromisoformat(text) for key, text in excluded.items()}
    return WorkerInfo(**values, excluded=since)


@frozen
class SqlStatisticsRepository:
    """Job statistics of a scope."""

    _db: Connection

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the statistics of the jobs visible to a scope."""
        visible = (jobs_c.hidden.is_(False), *equals(jobs_c.owner, scope.owner))
        attempted = (jobs_c.attempt > 0).label("attempted")
        by_state = (
            select(jobs_c.state, attempted, func.count())
            .where(*visible)
            .group_by(jobs_c.state, attempted)
        )
        recent = (
            select(jobs_c.state, func.count())
            .where(*visible, jobs_c.ended_at > now - timedelta(hours=1))
            .group_by(jobs_c.state)
        )
        oldest = select(func.min(jobs_c.queued_at)).where(*visible, IS_READY)
        by_status: Counter[str] = Counter()
        for state, was_attempted, count in self._db.execute(by_state):
            by_status[str(public_status(STATES[state], int(was_attempted)))] += count
        ended = {STATES[state]: count for state, count in self._db.execute(recent)}
        return JobStats(
            by_status=by_status,
            finished_last_hour=ended.get(JobState.SUCCEEDED, 0) + ended.get(JobState.FAILED, 0),
            failed_last_hour=ended.get(JobState.FAILED, 0),
            oldest_ready_at=self._db.execute(oldest).scalar(),
            schedules_active=self._schedules(scope, IS_ACTIVE),
            schedules_overdue=self._schedules(scope, IS_EXPECTED, IS_OVERDUE),
        )

    def _schedules(self, scope: Scope, *filters: ColumnElement[bool]) -> int:
        owned = tuple(equals(schedules.c.owner, scope.owner))
        query = select(func.count()).select_from(schedules).where(*filters, *owned)
        return self._db.execute(query).scalar_one()
