"""What operators look at: queues and their switches, workers, counts."""

from collections import Counter
from collections.abc import Sequence
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
from workbell.domain.jobs.job import JobState, status_of
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo

jobs_c = jobs.c
_STANDING = (
    select(
        jobs_c.queue,
        jobs_c.state,
        func.count().label("rows"),
        func.min(jobs_c.queued_at).label("oldest"),
    )
    .where(IS_UNFINISHED)
    .group_by(jobs_c.queue, jobs_c.state)
)
_SWITCHES = select(queues.c.name, queues.c.state)
_DRAINING: Select[Any] = select(literal_column("1")).where(queues.c.state == "draining").limit(1)
_SETTLE_DRAINS = (
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
    """The switches of the queues: running, draining or paused."""

    _db: Connection

    def all(self) -> Sequence[QueueStats]:
        """Return every queue that has a switch or unfinished rows, by name."""
        found = {
            row.name: QueueStats(name=row.name, state=row.state)
            for row in self._db.execute(_SWITCHES)
        }
        for queue, number, count, oldest in self._db.execute(_STANDING):
            state = STATES[number]
            stats = found.get(queue) or QueueStats(name=queue, state="running")
            ready = {"oldest_ready_at": oldest} if state is JobState.READY else {}
            found[queue] = evolve(stats, **{state.name.lower(): count}, **ready)
        return [found[name] for name in sorted(found)]

    def set_state(self, name: str, state: str, now: datetime) -> None:
        """Set a switch: 'running', 'draining' or 'paused'."""
        upsert(self._db, queues, {"name": name, "state": state, "changed_at": now})

    def any_draining(self) -> bool:
        """Whether any queue is draining: a cheap read."""
        return self._db.execute(_DRAINING).first() is not None

    def finish_drains(self, now: datetime) -> int:
        """Turn draining queues without a running row into paused ones."""
        return self._db.execute(_SETTLE_DRAINS, {"now": now}).rowcount


@frozen
class SqlWorkerRepository:
    """Who runs jobs."""

    _db: Connection

    def heartbeat(self, worker: WorkerInfo) -> None:
        """Write or renew a process's row."""
        upsert(self._db, workers, {**asdict(worker), "queues": list(worker.queues)})

    def remove(self, worker_id: str) -> None:
        """Remove a process's row."""
        self._db.execute(delete(workers).where(workers.c.id == worker_id))

    def all(self) -> Sequence[WorkerInfo]:
        """Return the processes, the newest first."""
        rows = self._db.execute(_WORKERS)
        return [WorkerInfo(**row_to_dict(row)) for row in rows]

    def remove_stale(self, before: datetime) -> None:
        """Remove rows that were last seen before a time."""
        self._db.execute(delete(workers).where(workers.c.seen_at < before))


@frozen
class SqlStatisticsRepository:
    """Counts over a scope."""

    _db: Connection

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the counts of a scope."""
        seen = (jobs_c.hidden.is_(False), *equals(jobs_c.owner, scope.owner))
        tried = (jobs_c.attempt > 0).label("tried")
        standing = (
            select(jobs_c.state, tried, func.count()).where(*seen).group_by(jobs_c.state, tried)
        )
        lately = (
            select(jobs_c.state, func.count())
            .where(*seen, jobs_c.ended_at > now - timedelta(hours=1))
            .group_by(jobs_c.state)
        )
        oldest = select(func.min(jobs_c.queued_at)).where(*seen, IS_READY)
        by_status: Counter[str] = Counter()
        for state, was_tried, count in self._db.execute(standing):
            by_status[str(status_of(STATES[state], int(was_tried)))] += count
        ended = {STATES[state]: count for state, count in self._db.execute(lately)}
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
