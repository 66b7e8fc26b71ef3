"""Concurrency keys, and the rows that become ready or are held while a concurrency key is full."""

from collections.abc import Collection, Mapping, Sequence
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
from workbell.adapters.sql.database.statements import AnyRow, chunks, insert_if_absent, prepare
from workbell.adapters.sql.jobs.fair_queueing import FairTagAllocator
from workbell.adapters.sql.schema.indexes import IS_BUSY, IS_HELD
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
_wanted = concurrency_keys.c.key.in_(bindparam("keys", expanding=True))
STANDING = select(
    concurrency_keys.c.key, concurrency_keys.c.concurrency_limit, _busy.label("busy")
).where(_wanted)
_LOCK = (
    select(concurrency_keys.c.key).where(_wanted).order_by(concurrency_keys.c.key).with_for_update()
)
_LOCK_FREE = _LOCK.with_for_update(skip_locked=True)
_LIMIT = prepare(
    update(concurrency_keys)
    .where(concurrency_keys.c.key == bindparam("concurrency_key"))
    .values(concurrency_limit=bindparam("new_limit")),
    "new_limit",
    "concurrency_key",
)
inactive_tasks = prepare(select(task_definitions.c.key).where(not_(task_definitions.c.is_active)))
_inactive = (
    select(task_definitions.c.id)
    .where(task_definitions.c.key == jobs_c.task, not_(task_definitions.c.is_active))
    .exists()
)
READIED = (jobs_c.id, jobs_c.queue, jobs_c.priority, jobs_c.fair_key, jobs_c.weight)
STAGE_COLUMNS = (*READIED, jobs_c.concurrency_key, jobs_c.task)
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
_HELD_CONCURRENCY_KEYS_OF = HELD_CONCURRENCY_KEYS.where(
    jobs_c.concurrency_key.in_(bindparam("keys", expanding=True))
)
_HELD = (
    select(*READIED)
    .where(IS_HELD, not_(_inactive))
    .order_by(jobs_c.priority.desc(), jobs_c.due_at, jobs_c.id)
)
_IS_OF_TASK = jobs_c.task == bindparam("task")
NEXT_HELD = (
    _HELD.where(jobs_c.concurrency_key == bindparam("concurrency_key"))
    .limit(bindparam("limit"))
    .with_for_update()
)
_NEXT_HELD_OF_TASK = NEXT_HELD.where(_IS_OF_TASK)
HELD_FREELY = _HELD.where(jobs_c.concurrency_key.is_(None)).with_for_update(skip_locked=True)
_HELD_FREELY_OF_TASK = HELD_FREELY.where(_IS_OF_TASK)
_MAKE_READY = prepare(
    update(jobs)
    .where(jobs_c.id == bindparam("job_id"))
    .values(state=_READY, fair_tag=bindparam("new_tag"), queued_at=bindparam("now")),
    "new_tag",
    "now",
    "job_id",
)


def lock(db: Connection, keys: Collection[str]) -> None:
    """Lock concurrency keys in the order of their keys."""
    for some in chunks(sorted(keys)):
        db.execute(_LOCK, {"keys": some}).all()


def lock_and_set_limits(db: Connection, limits: Mapping[str, int]) -> dict[str, int]:
    """Lock concurrency keys that get rows, set their limits, and return how much room each has."""
    if not limits:
        return {}
    rows = [{"key": key, "concurrency_limit": limits[key]} for key in sorted(limits)]
    db.execute(insert_if_absent(concurrency_keys, db.dialect.name), rows)
    lock(db, limits)
    found = occupancy(db, limits)
    changed = [(limits[key], key) for key, (limit, _) in found.items() if limit != limits[key]]
    _LIMIT.execute_many(db, changed)
    return {key: limit - found[key][1] for key, limit in limits.items()}


def occupancy(db: Connection, keys: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return the limit of each concurrency key, and how many of its rows are ready or running."""
    found: dict[str, tuple[int, int]] = {}
    for some in chunks(sorted(keys)):
        for key, limit, busy in db.execute(STANDING, {"keys": some}):
            found[key] = limit, busy
    return found


def release(
    db: Connection,
    keys: Collection[str],
    now: datetime,
    woken: set[str],
    *,
    task: str | None = None,
) -> int:
    """
    Make held rows of locked concurrency keys ready as far as there is room; return how many.

    Rows of inactive tasks stay held; `task` leaves all but one task's alone.
    """
    return make_ready(db, _released(db, keys, task), now, woken)


def release_all(db: Connection, now: datetime, woken: set[str], *, task: str | None = None) -> int:
    """
    Make every held row ready that may be, those without a concurrency key first.

    Concurrency keys and rows that others have locked are theirs to release.
    """
    keys = _lock_free(
        db, [key for key in db.execute(HELD_CONCURRENCY_KEYS).scalars() if key is not None]
    )
    query = HELD_FREELY if task is None else _HELD_FREELY_OF_TASK
    rows = list(db.execute(query, {} if task is None else {"task": task}))
    return make_ready(db, rows + _released(db, keys, task), now, woken)


def _lock_free(db: Connection, keys: Sequence[str]) -> Sequence[str]:
    """Lock the concurrency keys that nobody else has locked; return them."""
    free: list[str] = []
    for some in chunks(keys):
        free += db.execute(_LOCK_FREE, {"keys": some}).scalars()
    return free


def _released(db: Connection, keys: Collection[str], task: str | None) -> list[AnyRow]:
    held: list[Any] = []
    for some in chunks(sorted(keys)):
        held += db.execute(_HELD_CONCURRENCY_KEYS_OF, {"keys": some}).scalars()
    rows: list[AnyRow] = []
    for key, (limit, busy) in sorted(occupancy(db, held).items()):
        if busy >= limit:
            continue
        values = {"concurrency_key": key, "limit": limit - busy}
        if task is None:
            rows += db.execute(NEXT_HELD, values)
        else:
            rows += db.execute(_NEXT_HELD_OF_TASK, {**values, "task": task})
    return rows


def make_ready(db: Connection, rows: Sequence[AnyRow], now: datetime, woken: set[str]) -> int:
    """Make rows of `READIED` ready, with their fair tags; return how many."""
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
    """Move rows, whose concurrency keys are locked, to READY or HELD, in the order of their ids here."""
    found: dict[int, AnyRow] = {}
    for some in chunks(ids):
        found.update((row.id, row) for row in db.execute(_ROWS, {"ids": some}))
    stage_rows(db, [found[each] for each in ids], now, woken)


def stage_rows(db: Connection, rows: Sequence[AnyRow], now: datetime, woken: set[str]) -> None:
    """Move rows of `PLACED` to READY or HELD; keyed ones wait for their concurrency key's next turn."""
    inactive = frozenset(inactive_tasks.execute(db).scalars())
    ready = [row for row in rows if row.concurrency_key is None and row.task not in inactive]
    held = [row for row in rows if row.concurrency_key is not None or row.task in inactive]
    _HOLD.execute_many(db, [(row.id,) for row in held])
    make_ready(db, ready, now, woken)
    release(
        db, {row.concurrency_key for row in held if row.concurrency_key is not None}, now, woken
    )
