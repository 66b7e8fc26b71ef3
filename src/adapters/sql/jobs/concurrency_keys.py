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
from workbell.adapters.sql.jobs.fair_queueing import (
    HELD_OF_KEY,
    READY_COLUMNS,
    FairTagAllocator,
    held_back_tasks,
)
from workbell.adapters.sql.schema.indexes import IS_BUSY, IS_HELD_BY_KEY
from workbell.adapters.sql.schema.tables import concurrency_keys, jobs
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
STAGE_COLUMNS = (*READY_COLUMNS, jobs_c.concurrency_key, jobs_c.task)
_ROWS = select(*STAGE_COLUMNS).where(jobs_c.id.in_(bindparam("ids", expanding=True)))
_HOLD = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(state=literal_column(str(int(JobState.HELD)))),
    "job_id",
)
_HELD_CONCURRENCY_KEYS_AMONG = PreparedListStatement(
    lambda keys: (
        select(jobs_c.concurrency_key)
        .distinct()
        .where(IS_HELD_BY_KEY, jobs_c.concurrency_key.in_(keys))
        .order_by(jobs_c.concurrency_key)
    )
)
NEXT_HELD = HELD_OF_KEY.with_for_update()
_NEXT_HELD = prepare(NEXT_HELD, "concurrency_key", "limit")
_MAKE_READY = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(state=_READY, fair_tag=bindparam("new_tag"), queued_at=bindparam("now")),
    "new_tag",
    "now",
    "job_id",
)


def lock(db: Connection, keys: Collection[str]) -> Collection[str]:
    """Lock concurrency keys, in sorted order; return those that exist."""
    return {key for (key,) in _LOCK.fetch_all(db, sorted(keys))}


def insert_and_lock(db: Connection, limits: Mapping[str, int]) -> None:
    """Lock concurrency keys; insert those that do not exist, with their limits."""
    missing = set(limits)
    while missing:  # a key may be removed between the two statements
        _INSERT.execute_many(db, [(key, limits[key]) for key in sorted(missing)])
        missing -= set(lock(db, limits))


def lock_and_set_limits(db: Connection, limits: Mapping[str, int]) -> dict[str, int]:
    """Insert and lock concurrency keys, set their limits, return each key's free slots."""
    if not limits:
        return {}
    insert_and_lock(db, limits)
    found = occupancy(db, limits)
    changed = [(limits[key], key) for key, (limit, _) in found.items() if limit != limits[key]]
    _LIMIT.execute_many(db, changed)
    return {key: limit - found[key][1] for key, limit in limits.items()}


def occupancy(db: Connection, keys: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return each key's limit and its number of ready or running jobs."""
    rows = _OCCUPANCY.fetch_all(db, sorted(keys))
    return {key: (limit, busy) for key, limit, busy in rows}


def release(db: Connection, keys: Collection[str], now: datetime, woken: set[str]) -> int:
    """
    Make held jobs of locked keys READY up to the limits; return how many.

    Jobs of inactive tasks stay held.
    """
    held = [key for (key,) in _HELD_CONCURRENCY_KEYS_AMONG.fetch_all(db, sorted(keys))]
    rows: list[Sequence[Any]] = []
    for key, (limit, busy) in sorted(occupancy(db, held).items()):
        if busy < limit:
            rows += _NEXT_HELD.fetch_all(db, (key, limit - busy))
    return make_ready(db, rows, now, woken)


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
