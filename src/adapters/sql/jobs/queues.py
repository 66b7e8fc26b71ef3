"""Queue states, counts of their jobs and worker processes in SQL."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import Connection, Select, bindparam, delete, literal_column, select, update

from workbell.adapters.sql.database.filters import count_limit, count_ordered
from workbell.adapters.sql.database.statements import row_to_dict, upsert
from workbell.adapters.sql.schema.indexes import IS_IN_QUEUE, IS_RUNNING, number
from workbell.adapters.sql.schema.tables import jobs, queues, workers
from workbell.domain import constraints
from workbell.domain.jobs.job import WAITING, JobState
from workbell.ports.jobs.queues import QueueStats, WorkerInfo

jobs_c = jobs.c
OLDEST = "oldest_ready_at"
_NEXT_QUEUE = (
    select(jobs_c.queue)
    .where(IS_IN_QUEUE, jobs_c.queue > bindparam("after"))
    .order_by(jobs_c.queue)
    .limit(1)
)
_RUNNING = select(jobs_c.queue).where(IS_RUNNING).order_by(jobs_c.lease_until, jobs_c.id)


def _waiting_in_queue(state: JobState) -> Select[Any]:
    """Return the query of the waiting jobs of a queue, longest waiting first."""
    in_queue = (IS_IN_QUEUE, jobs_c.queue == bindparam("queue"))
    # A range of one state: SQLite would replace the column in the index's condition.
    in_state = jobs_c.state.between(number(state), number(state))
    rows = select(jobs_c.queued_at).where(*in_queue, in_state)
    return rows.order_by(jobs_c.queue, jobs_c.state, jobs_c.queued_at)


OLDEST_READY = _waiting_in_queue(JobState.READY).limit(1)
_WAITING_COUNTS = select(
    *[
        count_ordered(_waiting_in_queue(state)).scalar_subquery().label(state.name.lower())
        for state in WAITING
    ],
    OLDEST_READY.scalar_subquery().label(OLDEST),
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


def waiting_queues(db: Connection) -> Iterator[str]:
    """Yield the queues that have waiting jobs, each by one index lookup."""
    name: str | None = ""
    while (name := db.execute(_NEXT_QUEUE, {"after": name}).scalar()) is not None:
        yield name


def read_waiting(db: Connection, queue: str) -> dict[str, Any]:
    """Return the capped counts of a queue's waiting jobs, and since when one is ready."""
    row = row_to_dict(db.execute(_WAITING_COUNTS, {"queue": queue}).one())
    return {
        name: value if name == OLDEST else min(value, constraints.COUNT_CAP)
        for name, value in row.items()
    }


@frozen
class SqlQueueRepository:
    """Queue states: running, draining or paused."""

    _db: Connection

    def all(self) -> Sequence[QueueStats]:
        """Return every queue with a state or unfinished jobs, by name."""
        states: dict[str, str] = {row.name: row.state for row in self._db.execute(_STATES)}
        running = Counter(self._db.execute(_RUNNING.limit(count_limit())).scalars())
        waiting = {name: read_waiting(self._db, name) for name in waiting_queues(self._db)}
        return [
            QueueStats(
                name=name,
                state=states.get(name, "running"),
                running=min(running[name], constraints.COUNT_CAP),
                **waiting.get(name, {}),
            )
            for name in sorted({*states, *running, *waiting})
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
