"""The engine's statements: stage, claim, settle, extend, give back, reap."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import Select, bindparam, literal_column, null, select, update

from workbell.adapters.sql.database.column_types import json_text, moment_writer
from workbell.adapters.sql.database.statements import (
    AnyRow,
    chunks,
    is_postgresql,
    is_sqlite,
    prepared,
)
from workbell.adapters.sql.jobs import lanes
from workbell.adapters.sql.jobs.rows import CLAIM_COLUMNS, MODES, STATES, claim_of, progress_value
from workbell.adapters.sql.jobs.settle_and_claim_postgresql import exchange, may_exchange
from workbell.adapters.sql.jobs.settlement import write_settlements
from workbell.adapters.sql.jobs.staging import PLACED, JobRows, place, place_rows
from workbell.adapters.sql.schema.indexes import IS_HELD, IS_READY, IS_RUNNING, IS_SCHEDULED
from workbell.adapters.sql.schema.tables import attempts, jobs, queues
from workbell.domain.jobs.attempt import Claim, Settlement
from workbell.domain.jobs.job import JobId, JobState, Progress, pick

_c = jobs.c
_ids = _c.id.in_(bindparam("ids", expanding=True))
STAGED = (
    select(*PLACED)
    .where(IS_SCHEDULED, _c.due_at <= bindparam("now"))
    .order_by(_c.due_at, _c.id)
    .limit(bindparam("most"))
)
_STILL_SCHEDULED = (
    select(_c.id).where(IS_SCHEDULED, _ids).order_by(_c.id).with_for_update(skip_locked=True)
)
CLAIMED = (
    select(*CLAIM_COLUMNS)
    .where(
        IS_READY,
        _c.queue == bindparam("queue"),
        _c.cancel_requested.is_(False),
        ~select(queues.c.name)
        .where(queues.c.name == bindparam("queue"), queues.c.state != "running")
        .exists(),
    )
    .order_by(_c.priority.desc(), _c.fair_tag, _c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_claim = update(jobs).values(
    state=literal_column(str(int(JobState.RUNNING))),
    lease_until=bindparam("lease"),
    worker=bindparam("claimer"),
    started_at=bindparam("now"),
    attempt=_c.attempt + literal_column("1"),
    token=_c.token + literal_column("1"),
)
_CLAIM = prepared(_claim.where(_c.id == bindparam("job_id")), "lease", "claimer", "now", "job_id")
_CLAIM_TOGETHER = _claim.where(_ids)
RUNNING = select(_c.id, _c.token, _c.state, _c.cancel_requested, _c.lane, _c.queue).where(_ids)
_LOCK_RUNNING = RUNNING.order_by(_c.id).with_for_update()
_EXTEND = update(jobs).where(_ids).values(lease_until=bindparam("lease"))
_last_attempt = attempts.c.job_id == _c.id, attempts.c.number == _c.attempt - 1
# In this order: MySQL reads what it has set already.
_UNCLAIM = (
    update(jobs)
    .where(_ids)
    .ordered_values(
        (_c.state, bindparam("to")),
        (_c.ended_at, bindparam("ended")),
        (_c.started_at, select(attempts.c.started_at).where(*_last_attempt).scalar_subquery()),
        (_c.worker, select(attempts.c.worker).where(*_last_attempt).scalar_subquery()),
        (_c.attempt, _c.attempt - 1),
        (_c.token, _c.token + 1),
        (_c.lease_until, null()),
    )
)
EXPIRED = (
    select(*CLAIM_COLUMNS)
    .where(IS_RUNNING, _c.lease_until < bindparam("now"))
    .order_by(_c.lease_until, _c.id)
    .limit(bindparam("most"))
)
NEXT_QUEUE = (
    select(_c.queue).where(IS_READY, _c.queue > bindparam("after")).order_by(_c.queue).limit(1)
)
_SWITCHED_OFF = select(queues.c.name).where(queues.c.state != "running")
_HOLD_TASK = update(jobs).where(_ids, IS_READY).values(state=int(JobState.HELD))
_READY_OF_TASK = select(_c.id, _c.lane).where(IS_READY, _c.task == bindparam("task"))
_PROGRESS = prepared(
    update(jobs)
    .where(_c.id == bindparam("job_id"), _c.token == bindparam("under"), IS_RUNNING)
    .values(progress=bindparam("told")),
    "told",
    "job_id",
    "under",
)
NEXT_DUE = select(_c.due_at).where(IS_SCHEDULED).order_by(_c.due_at, _c.id).limit(1)
HAS_HELD: Select[Any] = select(literal_column("1")).where(IS_HELD).limit(1)


@frozen
class JobEngine(JobRows):
    """What workers and sweepers do to jobs."""

    def stage(self, now: datetime, *, limit: int = 500) -> int:
        """Move due SCHEDULED jobs to READY or HELD, oldest due first."""
        rows = self._db.execute(STAGED, {"now": now, "most": limit}).all()
        if not rows:
            return 0
        lanes.lock(self._db, {row.lane for row in rows if row.lane is not None})
        if not is_sqlite(self._db):
            rows = self._still_scheduled(rows)
        place_rows(self._db, rows, now, self._woken)
        return len(rows)

    def claim(
        self,
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
    ) -> Sequence[Claim]:
        """Take ready rows of a queue that is not paused."""
        if is_postgresql(self._db):
            asked = (queue, limit, free_threads, lease_until, worker, now)
            return exchange(self._db, (), asked, committing=self._sole)[0]
        rows = self._claimable(queue, limit, free_threads)
        if not rows:
            return []
        self._mark_claimed([row.id for row in rows], worker, now, lease_until)
        return [
            claim_of(
                row,
                token=row.token + 1,
                attempt=row.attempt + 1,
                started_at=now,
                lease_until=lease_until,
                worker=worker,
            )
            for row in rows
        ]

    def exchange(
        self,
        settlements: Sequence[Settlement],
        queue: str,
        *,
        worker: str,
        now: datetime,
        lease_until: datetime,
        limit: int,
        free_threads: int,
    ) -> tuple[Sequence[Claim], set[JobId]]:
        """Settle, then claim: by one statement where there is one for both."""
        if is_postgresql(self._db) and may_exchange(settlements):
            asked = (queue, limit, free_threads, lease_until, worker, now)
            return exchange(self._db, settlements, asked, committing=self._sole)
        accepted = self.settle(settlements)
        claims = self.claim(
            queue,
            worker=worker,
            now=now,
            lease_until=lease_until,
            limit=limit,
            free_threads=free_threads,
        )
        return claims, accepted

    def settle(self, settlements: Sequence[Settlement]) -> set[JobId]:
        """Write outcomes and their attempts; return the ids that were accepted."""
        if not settlements:
            return set()
        freed = {each.lane for each in settlements if each.lane is not None}
        lanes.lock(self._db, freed)
        accepted = write_settlements(self._db, settlements)
        if not accepted:
            return set()
        now = max(each.ended_at for each in accepted.values())
        due = [
            each.id
            for each in accepted.values()
            if each.state is JobState.SCHEDULED
            and (each.due_at is None or each.due_at <= each.ended_at)
        ]
        if due:
            place(self._db, due, now, self._woken)
        if freed:
            lanes.release(self._db, freed, now, self._woken)
        return set(accepted)

    def extend(
        self, claims: Sequence[tuple[JobId, int]], lease_until: datetime
    ) -> Mapping[JobId, bool]:
        """Renew leases; return for each renewed one whether to cancel it."""
        renewed = {JobId(row.id): bool(row.cancel_requested) for row in self._running(claims)}
        for some in chunks(list(renewed)):
            self._db.execute(_EXTEND, {"ids": some, "lease": lease_until})
        return renewed

    def give_back(self, claims: Sequence[tuple[JobId, int]]) -> set[JobId]:
        """Return unstarted claims to READY, or to CANCELLED where that was asked for."""
        self._lock_lanes_of(claims)
        rows = self._running(claims)
        if not rows:
            return set()
        now = self.now()
        cancelled = [row for row in rows if row.cancel_requested]
        others = [row for row in rows if not row.cancel_requested]
        self._unclaim(others, JobState.READY, None)
        self._unclaim(cancelled, JobState.CANCELLED, now)
        self._woken.update(row.queue for row in others)
        freed = {row.lane for row in cancelled if row.lane is not None}
        lanes.release(self._db, freed, now, self._woken)
        return {JobId(row.id) for row in rows}

    def expired(self, now: datetime, *, limit: int = 500) -> Sequence[Claim]:
        """Return running rows whose lease ended before now, oldest first."""
        rows = self._db.execute(EXPIRED, {"now": now, "most": limit})
        return [claim_of(row) for row in rows]

    def release_lanes(self, now: datetime) -> int:
        """Ready held rows whose lane has room and whose task is active."""
        return lanes.release_everywhere(self._db, now, self._woken)

    def waiting_queues(self) -> Sequence[str]:
        """Return the queues, neither paused nor draining, in which ready rows wait."""
        found: list[str] = []
        queue: str | None = ""
        while (queue := self._db.execute(NEXT_QUEUE, {"after": queue}).scalar()) is not None:
            found.append(queue)
        off = set(self._db.execute(_SWITCHED_OFF).scalars()) if found else set()
        return [queue for queue in found if queue not in off]

    def hold_task(self, key: str) -> int:
        """Move the READY rows of a task to HELD; return how many."""
        rows = self._db.execute(_READY_OF_TASK, {"task": key}).all()
        freed = {row.lane for row in rows if row.lane is not None}
        lanes.lock(self._db, freed)
        held = 0
        for some in chunks(sorted(row.id for row in rows)):
            held += self._db.execute(_HOLD_TASK, {"ids": some}).rowcount
        if freed:
            lanes.release(self._db, freed, self.now(), self._woken)
        return held

    def release_task(self, key: str, now: datetime) -> int:
        """Move the HELD rows of a task to READY as far as lanes allow."""
        return lanes.release_everywhere(self._db, now, self._woken, task=key)

    def note_progress(self, notes: Sequence[tuple[JobId, int, Progress]]) -> None:
        """Write the progress of (id, token) pairs that are still running."""
        rows = [
            (json_text(progress_value(told)), job_id, token)
            for job_id, token, told in sorted(notes, key=lambda note: note[0])
        ]
        _PROGRESS.run_many(self._db, rows)

    def next_due(self) -> datetime | None:
        """Return when the earliest SCHEDULED job is due."""
        found: datetime | None = self._db.execute(NEXT_DUE).scalar()
        return found

    def has_held(self) -> bool:
        """Whether any row is HELD: one index probe."""
        return self._db.execute(HAS_HELD).first() is not None

    def _mark_claimed(
        self, ids: Sequence[int], worker: str, now: datetime, lease_until: datetime
    ) -> None:
        """Write claims: where a round trip costs more than a plan, by one statement."""
        if is_sqlite(self._db) or len(ids) == 1:
            moment = moment_writer(self._db.dialect)
            until, begun = moment(lease_until), moment(now)
            _CLAIM.run_many(self._db, [(until, worker, begun, each) for each in ids])
            return
        values = {"ids": ids, "lease": lease_until, "claimer": worker, "now": now}
        self._db.execute(_CLAIM_TOGETHER, values)

    def _claimable(self, queue: str, limit: int, free_threads: int) -> Sequence[AnyRow]:
        """Return the rows that one claim may take, reading on only where it may take more."""
        with closing(self._db.execute(CLAIMED, {"queue": queue, "most": limit})) as found:
            rows = list(found.fetchmany(free_threads + 1))
            if pick([MODES[row.mode] for row in rows], free_threads) == len(rows):
                rows += found.fetchall()
        return rows[: pick([MODES[row.mode] for row in rows], free_threads)]

    def _still_scheduled(self, rows: Sequence[AnyRow]) -> list[AnyRow]:
        """Lock candidates by id; keep those that nobody has moved or locked."""
        locked: set[int] = set()
        for some in chunks(sorted(row.id for row in rows)):
            locked.update(self._db.execute(_STILL_SCHEDULED, {"ids": some}).scalars())
        return [row for row in rows if row.id in locked]

    def _lock_lanes_of(self, claims: Sequence[tuple[JobId, int]]) -> None:
        """Lock the lanes of claims, before their rows are locked."""
        if is_sqlite(self._db):
            return
        keys: set[str] = set()
        for some in chunks([job_id for job_id, _ in claims]):
            rows = self._db.execute(RUNNING, {"ids": some})
            keys.update(row.lane for row in rows if row.lane is not None)
        lanes.lock(self._db, keys)

    def _running(self, claims: Iterable[tuple[JobId, int]]) -> list[AnyRow]:
        """Lock rows by id; return those that are RUNNING under the tokens."""
        tokens = dict(claims)
        rows: list[AnyRow] = []
        for some in chunks(sorted(tokens)):
            rows += self._db.execute(_LOCK_RUNNING, {"ids": some})
        return [
            row
            for row in rows
            if STATES[row.state] is JobState.RUNNING and row.token == tokens[row.id]
        ]

    def _unclaim(self, rows: Sequence[AnyRow], to: JobState, ended: datetime | None) -> None:
        ids = [row.id for row in rows]
        for some in chunks(ids):
            self._db.execute(_UNCLAIM, {"ids": some, "to": int(to), "ended": ended})
