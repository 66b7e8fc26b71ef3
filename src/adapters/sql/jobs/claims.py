"""Claiming ready jobs, renewing leases and recording progress."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import Select, bindparam, func, literal_column, or_, select, true, update

from workbell.adapters.sql.database.column_types import instant_writer, json_text
from workbell.adapters.sql.database.statements import AnyRow, chunks, prepare
from workbell.adapters.sql.jobs.rows import (
    CLAIM_COLUMNS,
    MODES,
    STATES,
    JobStaging,
    claim_from_row,
    progress_value,
)
from workbell.adapters.sql.schema.indexes import IS_READY, IS_RUNNING, IS_SCHEDULED
from workbell.adapters.sql.schema.tables import cancellations, jobs, queues, task_definitions
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.claim_limits import UNLIMITED, ClaimLimits, select_within_limits
from workbell.domain.jobs.job import ClaimMode, JobId, JobState, Progress, select_claimable

jobs_c = jobs.c
_ids = jobs_c.id.in_(bindparam("ids", expanding=True))
# a subquery with one value, because PostgreSQL would turn NOT EXISTS into a join
_task_is_active = func.coalesce(
    select(task_definitions.c.is_active)
    .where(task_definitions.c.key == jobs_c.task)
    .scalar_subquery(),
    true(),
)
# one OR, for the same reason
_is_not_cancelled = or_(
    jobs_c.schedule_id.is_(None),
    ~select(cancellations.c.id)
    .where(
        cancellations.c.schedule_id == jobs_c.schedule_id, cancellations.c.last_job_id >= jobs_c.id
    )
    .exists(),
)
CLAIMED = (
    select(*CLAIM_COLUMNS)
    .where(
        IS_READY,
        jobs_c.queue == bindparam("queue"),
        jobs_c.cancel_requested.is_(False),
        _task_is_active,
        _is_not_cancelled,
        ~select(queues.c.name)
        .where(queues.c.name == bindparam("queue"), queues.c.state != "running")
        .exists(),
    )
    .order_by(jobs_c.priority.desc(), jobs_c.fair_tag, jobs_c.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_IS_KNOWN = jobs_c.task.not_in(bindparam("excluded_tasks", expanding=True))
_HAS_SLOTS = jobs_c.fair_key.not_in(bindparam("saturated_keys", expanding=True))
_QUERIES = {  # by whether tasks and keys are left out
    (False, False): CLAIMED,
    (True, False): CLAIMED.where(_IS_KNOWN),
    (False, True): CLAIMED.where(_HAS_SLOTS),
    (True, True): CLAIMED.where(_IS_KNOWN, _HAS_SLOTS),
}
RUNNING_BY_KEY = prepare(
    select(jobs_c.fair_key, func.count())
    .where(
        IS_RUNNING,
        jobs_c.owner != literal_column(str(SYSTEM_ID)),
        jobs_c.mode != literal_column(str(int(ClaimMode.BATCH))),
    )
    .group_by(jobs_c.fair_key)
)
_REF_COLUMNS = (
    jobs_c.id,
    jobs_c.token,
    jobs_c.mode,
    jobs_c.owner,
    jobs_c.fair_key.label("fairness_key"),
)
_CLAIM_ROW = select(*CLAIM_COLUMNS).where(jobs_c.id == bindparam("job_id"))
_claim = update(jobs).values(
    state=literal_column(str(int(JobState.RUNNING))),
    lease_until=bindparam("new_lease"),
    worker=bindparam("claimed_by"),
    started_at=bindparam("now"),
    attempt=jobs_c.attempt + literal_column("1"),
    token=jobs_c.token + literal_column("1"),
)
_CLAIM = prepare(
    _claim.where(jobs_c.id == bindparam("job_id")), "new_lease", "claimed_by", "now", "job_id"
)
_CLAIM_TOGETHER = _claim.where(_ids)
_SHORTEN = (
    update(jobs)
    .where(IS_RUNNING, jobs_c.lease_until > bindparam("after"))
    .values(lease_until=bindparam("new_lease"))
)
_HASTEN = (
    update(jobs)
    .where(
        IS_SCHEDULED,
        jobs_c.due_at > bindparam("after"),
        jobs_c.attempt > 0,
        jobs_c.started_at > bindparam("after"),
    )
    .values(due_at=bindparam("new_due_at"))
)
RUNNING = select(
    jobs_c.id,
    jobs_c.token,
    jobs_c.state,
    jobs_c.cancel_requested,
    jobs_c.concurrency_key,
    jobs_c.queue,
).where(_ids)
_LOCK_RUNNING = RUNNING.order_by(jobs_c.id).with_for_update()
_CANCELLED = select(jobs_c.id, jobs_c.token).where(
    _ids, IS_RUNNING, jobs_c.cancel_requested.is_(True)
)
_EXTEND = update(jobs).where(_ids).values(lease_until=bindparam("new_lease"))
_PROGRESS = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"), jobs_c.token == bindparam("claim_token"), IS_RUNNING)
    .values(progress=bindparam("new_progress")),
    *("new_progress", "job_id", "claim_token"),
)


@frozen
class JobClaims(JobStaging):
    """The operations of workers on the jobs that they claim."""

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
        limits: ClaimLimits = UNLIMITED,
        row_by_row: bool = False,
    ) -> Sequence[Claim]:
        """Claim ready jobs of a running queue."""
        if limits.owner_running is not None:
            counts = dict(RUNNING_BY_KEY.fetch_all(self._db))
            limits = evolve(limits, running_everywhere=counts)
        if row_by_row:
            rows = self._claimable_refs(queue, limit, free_threads, limits)
            return self._claim_row_by_row(rows, worker, now, lease_until)
        if (settle_and_claim := self._strategy.settle_and_claim) is not None:
            request = (queue, limit, free_threads, lease_until, worker, now)
            return settle_and_claim(self._db, (), request, limits, self._single_statement)[0]
        rows = self._claimable(queue, limit, free_threads, limits)
        if not rows:
            return []
        self._mark_claimed([row.id for row in rows], worker, now, lease_until)
        return [
            claim_from_row(
                row,
                token=row.token + 1,
                attempt=row.attempt + 1,
                started_at=now,
                lease_until=lease_until,
                worker=worker,
            )
            for row in rows
        ]

    def renew_leases(
        self, claims: Sequence[tuple[JobId, int]], lease_until: datetime
    ) -> Mapping[JobId, bool]:
        """Renew leases; return, for each renewed job, whether to cancel it."""
        renewed = {JobId(row.id): bool(row.cancel_requested) for row in self._running(claims)}
        for ids in chunks(list(renewed)):
            self._db.execute(_EXTEND, {"ids": ids, "new_lease": lease_until})
        return renewed

    def find_cancelled(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """Return the running jobs of claims whose cancellation was requested."""
        tokens = dict(claims)
        return {
            JobId(job_id)
            for ids in chunks(sorted(tokens))
            for job_id, token in self._db.execute(_CANCELLED, {"ids": ids})
            if token == tokens[job_id]
        }

    def shorten_leases(self, after: datetime, lease_until: datetime) -> int:
        """Set leases that end after a time to another end; return how many."""
        values = {"after": after, "new_lease": lease_until}
        return self._db.execute(_SHORTEN, values).rowcount

    def hasten_retries(self, after: datetime, due_at: datetime) -> int:
        """Set another due time for retries of attempts that began after a time."""
        values = {"after": after, "new_due_at": due_at}
        return self._db.execute(_HASTEN, values).rowcount

    def record_progress(self, notes: Sequence[tuple[JobId, int, Progress]]) -> None:
        """Write the progress of jobs that still run under the given tokens."""
        rows = [
            (json_text(progress_value(progress)), job_id, token)
            for job_id, token, progress in sorted(notes, key=lambda note: note[0])
        ]
        _PROGRESS.execute_many(self._db, rows)

    def _claim_row_by_row(
        self, rows: Sequence[AnyRow], worker: str, now: datetime, lease_until: datetime
    ) -> Sequence[Claim]:
        """Claim rows by id, then decode each by itself."""
        if rows:
            self._mark_claimed([row.id for row in rows], worker, now, lease_until)
        return [self._decode(JobId(row.id), row.token + 1, now) for row in rows]

    def _claimable_refs(
        self, queue: str, limit: int, free_threads: int, limits: ClaimLimits
    ) -> Sequence[AnyRow]:
        """Return what a claim needs of its rows, without the columns that may be unreadable."""
        query, values = _candidates(limits)
        values |= {"queue": queue, "limit": limit}
        read = self._db.execute(query.with_only_columns(*_REF_COLUMNS), values).all()
        rows = _select_within_limits(read, limits)
        modes = [_mode(row) for row in rows]
        return rows[: select_claimable(modes, free_threads)]

    def _decode(self, job_id: JobId, token: int, now: datetime) -> Claim:
        """Return the claim of a claimed row, which may be unreadable."""
        try:
            return claim_from_row(self._db.execute(_CLAIM_ROW, {"job_id": job_id}).one())
        except Exception as error:  # noqa: BLE001 - the driver decodes, too
            return Claim.of_unreadable(job_id, token, str(error), now)

    def _mark_claimed(
        self, ids: Sequence[int], worker: str, now: datetime, lease_until: datetime
    ) -> None:
        """Write the claims of locked rows in one statement."""
        if len(ids) == 1:
            to_db_time = instant_writer(self._db.dialect)
            _CLAIM.execute(self._db, (to_db_time(lease_until), worker, to_db_time(now), ids[0]))
            return
        values = {"ids": ids, "new_lease": lease_until, "claimed_by": worker, "now": now}
        self._db.execute(_CLAIM_TOGETHER, values)

    def _claimable(
        self, queue: str, limit: int, free_threads: int, limits: ClaimLimits
    ) -> Sequence[AnyRow]:
        """Return the rows to claim; read all `limit` rows only if they may be claimed."""
        query, values = _candidates(limits)
        values |= {"queue": queue, "limit": limit}
        with closing(self._db.execute(query, values)) as found:
            read = found.fetchmany(free_threads + 1)
            rows = _select_within_limits(read, limits)
            if select_claimable([MODES[row.mode] for row in rows], free_threads) == len(rows):
                rows = _select_within_limits([*read, *found.fetchall()], limits)
        return rows[: select_claimable([MODES[row.mode] for row in rows], free_threads)]

    def _running(self, claims: Iterable[tuple[JobId, int]]) -> list[AnyRow]:
        """Lock rows in id order; return those that are RUNNING under the tokens."""
        tokens = dict(claims)
        rows: list[AnyRow] = []
        for ids in chunks(sorted(tokens)):
            rows += self._db.execute(_LOCK_RUNNING, {"ids": ids})
        return [
            row
            for row in rows
            if STATES[row.state] is JobState.RUNNING and row.token == tokens[row.id]
        ]


def _mode(row: AnyRow) -> ClaimMode:
    """Return the mode of a row; an unreadable one is claimed as an ordinary job."""
    return MODES[row.mode] if 0 <= row.mode < len(MODES) else ClaimMode.ORDINARY


def _candidates(limits: ClaimLimits) -> tuple[Select[Any], dict[str, Any]]:
    """Return the query for the rows that a claim may consider, and its extra values."""
    values: dict[str, Any] = {}
    if limits.excluded_tasks:
        values["excluded_tasks"] = limits.excluded_tasks
    if limits.saturated_keys:
        values["saturated_keys"] = limits.saturated_keys
    return _QUERIES[bool(limits.excluded_tasks), bool(limits.saturated_keys)], values


def _select_within_limits(rows: Sequence[AnyRow], limits: ClaimLimits) -> list[AnyRow]:
    slots = limits.fewest_slots
    if slots is None or len(rows) <= slots:
        return list(rows)
    keys = [(row.fairness_key, UserId(row.owner), _mode(row)) for row in rows]
    return [rows[position] for position in select_within_limits(keys, limits)]
