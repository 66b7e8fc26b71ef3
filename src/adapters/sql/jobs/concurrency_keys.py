"""Concurrency keys: jobs are held while their key is at its limit."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    func,
    literal_column,
    not_,
    select,
    update,
)

from workbell.adapters.sql.database.column_types import instant_writer
from workbell.adapters.sql.database.statements import (
    AnyRow,
    PreparedListStatement,
    PreparedStatement,
    chunks,
    insert_if_absent,
    prepare,
)
from workbell.adapters.sql.jobs.fair_queueing import FairTagAllocator
from workbell.adapters.sql.schema.indexes import IS_BUSY, IS_HELD, IS_HELD_BACK
from workbell.adapters.sql.schema.tables import concurrency_keys, jobs, task_definitions
from workbell.domain.jobs.job import JobState

jobs_c = jobs.c
_READY: ColumnElement[int] = literal_column(str(int(JobState.READY)))
_busy = (
    select(func.count())
    .select_from(jobs)
    .where(jobs_c.concurrency_key == concurrency_keys.c.key, IS_BUSY)
    .scalar_subquery()
)
_occupancy = select(
    concurrency_keys.c.key, concurrency_keys.c.concurrency_limit, _busy.label("busy")
)
_OCCUPANCY = PreparedListStatement(lambda keys: _occupancy.where(concurrency_keys.c.key.in_(keys)))
_lock = select(concurrency_keys.c.key).order_by(concurrency_keys.c.key)
_LOCK = PreparedListStatement(
    lambda keys: _lock.where(concurrency_keys.c.key.in_(keys)).with_for_update()
)
_LOCK_FREE = PreparedListStatement(
    lambda keys: _lock.where(concurrency_keys.c.key.in_(keys)).with_for_update(skip_locked=True)
)
_INSERT = PreparedStatement(
    lambda dialect: insert_if_absent(concurrency_keys, dialect), ("key", "concurrency_limit")
)
_LIMIT = prepare(
    update(concurrency_keys)
    .where(concurrency_keys.c.key == bindparam("concurrency_key"))
    .values(concurrency_limit=bindparam("new_limit")),
    "new_limit",
    "concurrency_key",
)
held_back_tasks = prepare(select(task_definitions.c.key).where(IS_HELD_BACK))
_held_back = (
    select(task_definitions.c.id)
    .where(task_definitions.c.key == jobs_c.task, IS_HELD_BACK)
    .exists()
)
READY_COLUMNS = (jobs_c.id, jobs_c.queue, jobs_c.priority, jobs_c.fair_key, jobs_c.weight)
STAGE_COLUMNS = (*READY_COLUMNS, jobs_c.concurrency_key, jobs_c.task)
_ROWS = select(*STAGE_COLUMNS).where(jobs_c.id.in_(bindparam("ids", expanding=True)))
_HOLD = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(state=literal_column(str(int(JobState.HELD)))),
    "job_id",
)
HELD_CONCURRENCY_KEYS = (
    select(jobs_c.concurrency_key)
    .distinct()
    .where(IS_HELD, jobs_c.concurrency_key.is_not(None))
    .order_by(jobs_c.concurrency_key)
)
_HELD_CONCURRENCY_KEYS_AMONG = PreparedListStatement(
    lambda keys: HELD_CONCURRENCY_KEYS.where(jobs_c.concurrency_key.in_(keys))
)
# Ordering by the key, too, lets PostgreSQL read jobs without one in the order of the index.
_held = (
    select(*READY_COLUMNS)
    .where(IS_HELD)
    .order_by(jobs_c.concurrency_key, jobs_c.priority.desc(), jobs_c.due_at, jobs_c.id)
)
_HELD = _held.where(not_(_held_back))
_OF_KEY = jobs_c.concurrency_key == bindparam("concurrency_key")
_IS_OF_TASK = jobs_c.task == bindparam("task")
NEXT_HELD = _HELD.where(_OF_KEY).limit(bindparam("limit")).with_for_update()
_NEXT_HELD = prepare(NEXT_HELD, "concurrency_key", "limit")
_NEXT_HELD_OF_TASK = prepare(
    _held.where(_OF_KEY, _IS_OF_TASK).limit(bindparam("limit")).with_for_update(),
    *("concurrency_key", "limit", "task"),
)
_IS_FREE = jobs_c.concurrency_key.is_(None)
HELD_FREELY = _HELD.where(_IS_FREE).with_for_update(skip_locked=True)
_HELD_FREELY_OF_TASK = _held.where(_IS_FREE, _IS_OF_TASK).with_for_update(skip_locked=True)
_MAKE_READY = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(state=_READY, fair_tag=bindparam("new_tag"), queued_at=bindparam("now")),
    "new_tag",
    "now",
    "job_id",
)


def lock(db: Connection, keys: Collection[str]) -> None:
    """Lock concurrency keys, in sorted order."""
    _LOCK.fetch_all(db, sorted(keys))


def lock_and_set_limits(db: Connection, limits: Mapping[str, int]) -> dict[str, int]:
    """Insert and lock concurrency keys, set their limits, return each key's free slots."""
    if not limits:
        return {}
    _INSERT.execute_many(db, [(key, limits[key]) for key in sorted(limits)])
    lock(db, limits)
    found = occupancy(db, limits)
    changed = [(limits[key], key) for key, (limit, _) in found.items() if limit != limits[key]]
    _LIMIT.execute_many(db, changed)
    return {key: limit - found[key][1] for key, limit in limits.items()}


def occupancy(db: Connection, keys: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return each key's limit and its number of ready or running jobs."""
    rows = _OCCUPANCY.fetch_all(db, sorted(keys))
    return {key: (limit, busy) for key, limit, busy in rows}


def release(
    db: Connection,
    keys: Collection[str],
    now: datetime,
    woken: set[str],
    *,
    task: str | None = None,
) -> int:
    """
    Make held jobs of locked keys READY up to the limits; return how many.

    Jobs of inactive tasks stay held. With `task` only that task's jobs are released.
    """
    return make_ready(db, _next_held(db, keys, task), now, woken)


def release_all(
    db: Connection,
    now: datetime,
    woken: set[str],
    *,
    task: str | None = None,
    limit: int | None = None,
    skips_free: bool = False,
) -> int:
    """
    Make all held jobs READY up to the limits, those without a key first.

    Keys and rows that another transaction has locked are skipped. With `task` its
    jobs are released whether it is active or not, and up to `limit` without a key.
    `skips_free` leaves out the jobs without a key.
    """
    keys = _lock_free(
        db, [key for key in db.execute(HELD_CONCURRENCY_KEYS).scalars() if key is not None]
    )
    rows: list[Sequence[Any]] = []
    if not skips_free:
        query = (HELD_FREELY if task is None else _HELD_FREELY_OF_TASK).limit(limit)
        rows += db.execute(query, {} if task is None else {"task": task})
    return make_ready(db, rows + _next_held(db, keys, task), now, woken)


def _lock_free(db: Connection, keys: Sequence[str]) -> Sequence[str]:
    """Lock the keys that no other transaction has locked; return them."""
    return [key for (key,) in _LOCK_FREE.fetch_all(db, keys)]


def _next_held(db: Connection, keys: Collection[str], task: str | None) -> list[Sequence[Any]]:
    """Lock and return the held rows that fit the limits of their keys."""
    held = [key for (key,) in _HELD_CONCURRENCY_KEYS_AMONG.fetch_all(db, sorted(keys))]
    rows: list[Sequence[Any]] = []
    for key, (limit, busy) in sorted(occupancy(db, held).items()):
        if busy >= limit:
            continue
        if task is None:
            rows += _NEXT_HELD.fetch_all(db, (key, limit - busy))
        else:
            rows += _NEXT_HELD_OF_TASK.fetch_all(db, (key, limit - busy, task))
    return rows


def make_ready(
    db: Connection, rows: Sequence[Sequence[Any]], now: datetime, woken: set[str]
) -> int:
    """Move rows with `READY_COLUMNS` to READY with fair tags; return how many."""
    if not rows:
        return 0
    tags = FairTagAllocator(db)
    queued_at = instant_writer(db.dialect)(now)
    changes = []
    for job_id, queue, priority, fair_key, weight, *_ in rows:
        changes.append((tags.next((queue, priority, fair_key), weight), queued_at, job_id))
        woken.add(queue)
    _MAKE_READY.execute_many(db, changes)
    return len(changes)


def initial_states(db: Connection, ids: Sequence[int], now: datetime, woken: set[str]) -> None:
    """Move jobs, whose concurrency keys are locked, to READY or HELD, in the given order."""
    rows: dict[int, AnyRow] = {}
    for part in chunks(ids):
        rows.update((row.id, row) for row in db.execute(_ROWS, {"ids": part}))
    stage_rows(db, [rows[job_id] for job_id in ids], now, woken)


def stage_rows(db: Connection, rows: Sequence[AnyRow], now: datetime, woken: set[str]) -> None:
    """Move rows with `STAGE_COLUMNS` to READY, or via HELD if they have a key."""
    held_back = frozenset(key for (key,) in held_back_tasks.fetch_all(db))
    ready = [row for row in rows if row.concurrency_key is None and row.task not in held_back]
    held = [row for row in rows if row.concurrency_key is not None or row.task in held_back]
    _HOLD.execute_many(db, [(row.id,) for row in held])
    make_ready(db, ready, now, woken)
    release(db, get_keys(held), now, woken)


def get_keys(rows: Iterable[Any]) -> set[str]:
    """Return the concurrency keys of rows or settlements that have one."""
    return {row.concurrency_key for row in rows if row.concurrency_key is not None}
