"""Queue states, counts of their jobs and worker processes in SQL."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, Select, bindparam, delete, func, literal_column, select, update

from workbell.adapters.sql.database.filters import count_limit, count_ordered
from workbell.adapters.sql.database.statements import row_to_dict, upsert
from workbell.adapters.sql.jobs.listing import NEXT_QUEUE
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.jobs.selection import JobSelection
from workbell.adapters.sql.schema.indexes import IS_READY, IS_RUNNING
from workbell.adapters.sql.schema.tables import jobs, queues, workers
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.job import UNFINISHED, JobState, Status
from workbell.ports.jobs.queues import QueueStats, WorkerInfo
from workbell.ports.jobs.repository import JobFilter

jobs_c = jobs.c
_FIRST = 100
"""Ready jobs of a queue, in the order of claims, among which the oldest is looked for."""
_RUNNING = select(jobs_c.queue).where(IS_RUNNING).order_by(jobs_c.lease_until, jobs_c.id)
_CLAIM_ORDER = (jobs_c.queue, jobs_c.priority.desc(), jobs_c.fair_tag, jobs_c.id)
_READY = (
    select(jobs_c.queued_at)
    .where(IS_READY, jobs_c.queue == bindparam("queue"))
    .order_by(*_CLAIM_ORDER)
)
_COUNT_READY = count_ordered(_READY.with_only_columns(jobs_c.id))
_first = _READY.limit(_FIRST).subquery("first")
_OLDEST_OF_FIRST = select(func.min(_first.c.queued_at))
_WAITING = JobFilter(statuses=[Status.PENDING, Status.RETRYING])
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


def ready_queues(db: Connection) -> Iterator[str]:
    """Yield the queues that have ready jobs, each by one index lookup."""
    name: str | None = ""
    while (name := db.execute(NEXT_QUEUE, {"after": name}).scalar()) is not None:
        yield name


def count_oldest(db: Connection, limit: int) -> list[tuple[str, JobState, int, datetime | None]]:
    """
    Return queues and states of the oldest waiting jobs.

    Each comes with the number of jobs, and the least time at which one became ready.
    At most `limit` jobs are read, in the order of ids.
    """
    selection = JobSelection(ALL_OWNERS, _WAITING, db.dialect.name)
    columns = (jobs_c.id, jobs_c.queue, jobs_c.state, jobs_c.queued_at)
    rows = selection.read(*columns, limit=limit, descending=False).subquery("oldest")
    groups = select(rows.c.queue, rows.c.state, func.count(), func.min(rows.c.queued_at))
    found = db.execute(groups.group_by(rows.c.queue, rows.c.state)).all()
    return [(queue, STATES[state], count, since) for queue, state, count, since in found]


def oldest_ready(
    db: Connection, counts: Iterable[tuple[str, JobState, int, datetime | None]]
) -> dict[str, datetime]:
    """
    Return since when each queue has had a ready job.

    That is the oldest job of `count_oldest`. Queues without any of these have the
    oldest of their first jobs in the order of claims.
    """
    found = {
        queue: since
        for queue, state, _, since in counts
        if state is JobState.READY and since is not None
    }
    others = (queue for queue in ready_queues(db) if queue not in found)
    first = {queue: db.execute(_OLDEST_OF_FIRST, {"queue": queue}).scalar() for queue in others}
    return found | {queue: since for queue, since in first.items() if since is not None}


@frozen
class SqlQueueRepository:
    """Queue states: running, draining or paused."""

    _db: Connection

    def all(self) -> Sequence[QueueStats]:
        """Return every queue with a state or unfinished jobs, by name."""
        states: dict[str, str] = {row.name: row.state for row in self._db.execute(_STATES)}
        counts: dict[str, Counter[JobState]] = {name: Counter() for name in states}
        waiting = count_oldest(self._db, count_limit())
        for queue, state, count, _ in waiting:
            counts.setdefault(queue, Counter())[state] = count
        for queue in ready_queues(self._db):
            ready = self._db.execute(_COUNT_READY, {"queue": queue}).scalar_one()
            counts.setdefault(queue, Counter())[JobState.READY] = ready
        for queue in self._db.execute(_RUNNING.limit(count_limit())).scalars():
            counts.setdefault(queue, Counter())[JobState.RUNNING] += 1
        oldest = oldest_ready(self._db, waiting)
        return [
            QueueStats(
                name=name,
                state=states.get(name, "running"),
                oldest_ready_at=oldest.get(name),
                **{
                    state.name.lower(): min(counts[name][state], constraints.COUNT_CAP)
                    for state in UNFINISHED
                },
            )
            for name in sorted(counts)
        ]

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
