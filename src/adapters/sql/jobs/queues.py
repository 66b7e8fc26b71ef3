"""Queue states, worker processes, and bounded counts of jobs in SQL."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, evolve, frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    false,
    func,
    literal_column,
    select,
    update,
)

from workbell.adapters.sql.database.filters import count_limit, count_ordered, equals
from workbell.adapters.sql.database.statements import row_to_dict, upsert
from workbell.adapters.sql.jobs.listing import NEXT_QUEUE
from workbell.adapters.sql.jobs.rows import STATES
from workbell.adapters.sql.jobs.selection import IndexScan, JobSelection
from workbell.adapters.sql.schema.indexes import (
    IS_ACTIVE,
    IS_ENDED_JOB,
    IS_ENDED_RUN,
    IS_EXPECTED,
    IS_OVERDUE,
    IS_READY,
    IS_RUNNING,
    IS_SHOWN,
    IS_WAITING,
)
from workbell.adapters.sql.schema.tables import jobs, queues, schedules, workers
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.jobs.job import ENDED, UNFINISHED, JobState, Status
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo
from workbell.ports.jobs.views import JobFilter

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
_COUNT_RUNNING = count_ordered(
    select(jobs_c.id).where(IS_RUNNING).order_by(jobs_c.lease_until, jobs_c.id)
)
_FEW = 1_000
"""Waiting jobs, in the order of ids, among which the oldest ready one is looked for."""
_OUTCOMES = (JobState.SUCCEEDED, JobState.FAILED)
_LATELY = (
    select(jobs_c.state, jobs_c.hidden)
    .where(jobs_c.ended_at > bindparam("since"))
    .order_by(jobs_c.ended_at.desc())
)
_LATELY_IN_STATE = _LATELY.where(IS_ENDED_JOB, jobs_c.state == bindparam("state"))
_LATELY_RUN = _LATELY.where(IS_ENDED_RUN)
_WAITING_OF_OWNER = IndexScan(
    "workbell_jobs_waiting_idx",
    jobs_c.owner,
    conditions=(IS_WAITING, IS_SHOWN),
    plain="workbell_jobs_owner_status_idx_plain",
)


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


@frozen
class SqlStatisticsRepository:
    """Job statistics of a scope; each count reads at most `COUNT_CAP` + 1 rows."""

    _db: Connection

    def jobs(self, scope: Scope, now: datetime) -> JobStats:
        """Return the statistics of the jobs visible to a scope."""
        since = now - timedelta(hours=1)
        if scope.owner is None:
            counts = {Status[s.name]: self._count(scope, Status[s.name]) for s in ENDED}
            lately = self._lately(since)
        else:
            ended = {state: self._ended(scope, state, since) for state in ENDED}
            counts = {Status[state.name]: total for state, (total, _) in ended.items()}
            lately = Counter({state: recent for state, (_, recent) in ended.items()})
        unfinished, oldest = self._of_all() if scope.owner is None else self._of_owner(scope)
        counts |= unfinished
        active, overdue = self._schedules(scope)
        cap, failed = constraints.COUNT_CAP, lately[JobState.FAILED]
        return JobStats(
            by_status={str(status): min(count, cap) for status, count in counts.items() if count},
            finished_last_hour=lately[JobState.SUCCEEDED] + failed,
            failed_last_hour=failed,
            oldest_ready_at=oldest,
            schedules_active=min(active, cap),
            schedules_overdue=min(overdue, cap),
            count_capped=max(active, overdue, *counts.values()) > cap,
        )

    def _of_all(self) -> tuple[dict[Status, int], datetime | None]:
        """Return the counts of unfinished jobs, and since when one is ready."""
        counts = {
            Status.PENDING: self._count(ALL_OWNERS, Status.PENDING),
            Status.RETRYING: self._count(ALL_OWNERS, Status.RETRYING),
            Status.RUNNING: self._db.execute(_COUNT_RUNNING).scalar_one(),
        }
        oldest = oldest_ready(self._db, count_oldest(self._db, _FEW))
        return counts, min(oldest.values(), default=None)

    def _of_owner(self, scope: Scope) -> tuple[dict[Status, int], datetime | None]:
        """Return the same of one owner, from the first waiting jobs."""
        assert scope.owner is not None
        waiting = evolve(_WAITING_OF_OWNER, value=scope.owner)
        columns, dialect = (jobs_c.state, jobs_c.attempt, jobs_c.queued_at), self._db.dialect.name
        first = waiting.read_in_order(columns, dialect, limit=count_limit(), descending=False)
        rows = first.subquery("waiting")
        attempted = func.count(case((rows.c.attempt > 0, 1)))
        ready = case((rows.c.state == int(JobState.READY), rows.c.queued_at))
        total, retrying, oldest = self._db.execute(
            select(func.count(), attempted, func.min(ready)).select_from(rows)
        ).one()
        counts = {Status.PENDING: total - retrying, Status.RETRYING: retrying}
        return {**counts, Status.RUNNING: self._count(scope, Status.RUNNING)}, oldest

    def _count(self, scope: Scope, status: Status) -> int:
        count: int = self._db.execute(self._select(scope, status).count()).scalar_one()
        return count

    def _lately(self, since: datetime) -> Counter[JobState]:
        """Return how many jobs of all owners ended after a time, by the index of their ends."""
        lately: Counter[JobState] = Counter()
        queries = [(_LATELY_IN_STATE, {"state": int(state)}) for state in _OUTCOMES]
        for query, values in (*queries, (_LATELY_RUN, {})):
            rows = query.limit(count_limit()).subquery("lately")
            shown = select(rows.c.state, func.count()).where(rows.c.hidden == false())
            found = self._db.execute(shown.group_by(rows.c.state), {**values, "since": since})
            lately += Counter({JobState(state): count for state, count in found})
        return lately

    def _ended(self, scope: Scope, state: JobState, since: datetime) -> tuple[int, int]:
        """Return the number of jobs in a final state, and how many of them ended lately."""
        filters = JobFilter(statuses=[Status[state.name]])
        selection = JobSelection(scope, filters, self._db.dialect.name)
        conditions: Sequence[ColumnElement[bool]] = ()
        if filters.is_by_status(scope):
            rows = selection.read(jobs_c.id, jobs_c.ended_at, limit=count_limit()).subquery("ended")
        else:
            rows, conditions = selection.window("ended_at")
        is_recent = case((rows.c.ended_at > since, 1))
        query = select(func.count(), func.count(is_recent)).select_from(rows).where(*conditions)
        row = self._db.execute(query).one()
        return row[0], row[1]

    def _select(self, scope: Scope, status: Status) -> JobSelection:
        return JobSelection(scope, JobFilter(statuses=[status]), self._db.dialect.name)

    def _schedules(self, scope: Scope) -> tuple[int, int]:
        """Return how many schedules are active and overdue."""
        owned = [*equals(schedules.c.owner, scope.owner)]
        active = select(schedules.c.id).where(IS_ACTIVE, *owned)
        if scope.owner is None:
            active = active.order_by(schedules.c.next_at, schedules.c.id)
        overdue = select(schedules.c.id).where(IS_EXPECTED, IS_OVERDUE, *owned)
        counts = [count_ordered(active), count_ordered(overdue.order_by(schedules.c.owner))]
        row = self._db.execute(select(*[each.scalar_subquery() for each in counts])).one()
        return row[0], row[1]
