"""Bounded counts of jobs by status, in SQL."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen
from sqlalchemy import ColumnElement, Connection, bindparam, case, false, func, select

from workbell.adapters.sql.database.filters import count_limit, count_ordered, equals
from workbell.adapters.sql.jobs.queues import count_oldest, oldest_ready
from workbell.adapters.sql.jobs.selection import IndexScan, JobSelection
from workbell.adapters.sql.schema.indexes import (
    IS_ACTIVE,
    IS_ENDED_JOB,
    IS_ENDED_RUN,
    IS_EXPECTED,
    IS_OVERDUE,
    IS_RUNNING,
    IS_SHOWN,
    IS_WAITING,
)
from workbell.adapters.sql.schema.tables import jobs, schedules
from workbell.domain import constraints
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.jobs.job import ENDED, JobState, Status
from workbell.ports.jobs.queues import JobStats
from workbell.ports.jobs.repository import JobFilter

jobs_c = jobs.c
_RUNNING = count_ordered(
    select(jobs_c.id).where(IS_RUNNING).order_by(jobs_c.lease_until, jobs_c.id)
)
_FEW = 1_000
"""Waiting jobs, in the order of ids, among which the oldest ready one is looked for."""
_STATES = (JobState.SUCCEEDED, JobState.FAILED)
_LATELY = (
    select(jobs_c.state, jobs_c.hidden)
    .where(jobs_c.ended_at > bindparam("since"))
    .order_by(jobs_c.ended_at.desc())
)
_LATELY_IN_STATE = _LATELY.where(IS_ENDED_JOB, jobs_c.state == bindparam("state"))
_LATELY_RUN = _LATELY.where(IS_ENDED_RUN)
_WAITING = IndexScan(
    "workbell_jobs_waiting_idx",
    jobs_c.owner,
    conditions=(IS_WAITING, IS_SHOWN),
    plain="workbell_jobs_owner_status_idx_plain",
)


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
            Status.RUNNING: self._db.execute(_RUNNING).scalar_one(),
        }
        oldest = oldest_ready(self._db, count_oldest(self._db, _FEW))
        return counts, min(oldest.values(), default=None)

    def _of_owner(self, scope: Scope) -> tuple[dict[Status, int], datetime | None]:
        """Return the same of one owner, from the first waiting jobs."""
        assert scope.owner is not None
        waiting = evolve(_WAITING, value=scope.owner)
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
        queries = [(_LATELY_IN_STATE, {"state": int(state)}) for state in _STATES]
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
