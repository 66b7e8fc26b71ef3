"""The sweep over held jobs, and the removal of unused concurrency keys."""

from collections.abc import Collection, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    ScalarSelect,
    bindparam,
    delete,
    func,
    literal_column,
    not_,
    select,
)

from workbell.adapters.sql.database.statements import (
    PreparedListStatement,
    PreparedStatement,
    chunks,
    prepare,
)
from workbell.adapters.sql.jobs.fair_queueing import (
    HELD_OF_KEY,
    IS_HELD_BACK,
    READY_COLUMNS,
    held_back_tasks,
)
from workbell.adapters.sql.jobs.rows import JobStaging
from workbell.adapters.sql.schema.indexes import (
    IS_BUSY,
    IS_HELD_BY_KEY,
    IS_HELD_WITHOUT_KEY,
    USES_KEY,
)
from workbell.adapters.sql.schema.tables import concurrency_keys, jobs, task_definitions
from workbell.ports.jobs.repository import Releasable

jobs_c = jobs.c
_KEY = concurrency_keys.c.key
# the whole order of the index of held jobs: PostgreSQL prefers it to others then
_HELD_ORDER = (jobs_c.concurrency_key, jobs_c.priority.desc(), jobs_c.due_at, jobs_c.id)


def _walk_keys(dialect: str) -> Executable:
    """Return the statement that reads the next keys with held jobs."""
    if dialect == "mysql":  # it cannot look up values of an outer row in a range of an index
        keys = (
            select(jobs_c.concurrency_key)
            .distinct()
            .where(IS_HELD_BY_KEY, jobs_c.concurrency_key > bindparam("after"))
        )
        return keys.order_by(jobs_c.concurrency_key).limit(bindparam("limit"))
    # Each step reads one entry of the index: a DISTINCT would read all held jobs.
    one: ColumnElement[int] = literal_column("1")
    first = select(_next_key(bindparam("after")).label("name"), one.label("nth"))
    walk = first.cte("walk", recursive=True)
    walk = walk.union_all(
        select(_next_key(walk.c.name), walk.c.nth + one).where(
            walk.c.name.is_not(None), walk.c.nth < bindparam("limit")
        )
    )
    return select(walk.c.name).where(walk.c.name.is_not(None))


def _next_key(after: ColumnElement[Any]) -> ScalarSelect[Any]:
    keys = select(jobs_c.concurrency_key).where(IS_HELD_BY_KEY, jobs_c.concurrency_key > after)
    return keys.order_by(*_HELD_ORDER).limit(literal_column("1")).scalar_subquery()


_WALK_KEYS = PreparedStatement(_walk_keys, ("after", "limit"))
# no EXISTS: MariaDB would read all held jobs to join them
_first_held = (
    select(jobs_c.id)
    .where(IS_HELD_WITHOUT_KEY, jobs_c.task == task_definitions.c.key)
    .order_by(jobs_c.task, jobs_c.id)
    .limit(literal_column("1"))
    .scalar_subquery()
)
_RELEASABLE_TASKS = prepare(
    select(task_definitions.c.key)
    .where(not_(IS_HELD_BACK), _first_held.is_not(None))
    .order_by(task_definitions.c.key)
)


def _first_task() -> ScalarSelect[Any]:
    held = select(jobs_c.task).where(IS_HELD_BY_KEY, jobs_c.concurrency_key == _KEY)
    return held.order_by(*_HELD_ORDER).limit(literal_column("1")).scalar_subquery()


_busy = (
    select(func.count())
    .select_from(jobs)
    .where(IS_BUSY, jobs_c.concurrency_key == _KEY)
    .scalar_subquery()
)
_WITH_SLOTS = PreparedListStatement(
    lambda keys: (
        select(_KEY, _first_task())
        .where(_KEY.in_(keys), _busy < concurrency_keys.c.concurrency_limit)
        .order_by(_KEY)
    )
)
_ANY_HELD = prepare(HELD_OF_KEY, "concurrency_key", "limit")
OF_TASK = (
    select(*READY_COLUMNS)
    .where(IS_HELD_WITHOUT_KEY, jobs_c.task == bindparam("task"))
    .order_by(jobs_c.task, jobs_c.id)
    .limit(bindparam("limit"))
)
HELD_OF_TASK = prepare(OF_TASK.with_for_update(skip_locked=True), "task", "limit")
_counted = OF_TASK.with_only_columns(jobs_c.id).subquery()
_COUNT_OF_TASK = prepare(select(func.count()).select_from(_counted), "task", "limit")
_is_unused = not_(select(jobs_c.id).where(USES_KEY, jobs_c.concurrency_key == _KEY).exists())
NEXT_KEYS = (
    select(_KEY, _is_unused)
    .where(bindparam("after") < _KEY)
    .order_by(_KEY)
    .limit(bindparam("limit"))
)
_NEXT_KEYS = prepare(NEXT_KEYS, "after", "limit")
_REMOVE = delete(concurrency_keys).where(_KEY.in_(bindparam("keys", expanding=True)), _is_unused)


_LOCK_FREE = PreparedListStatement(
    lambda keys: select(_KEY).where(_KEY.in_(keys)).order_by(_KEY).with_for_update(skip_locked=True)
)


def lock_free(db: Connection, keys: Collection[str]) -> Sequence[str]:
    """Lock the keys that no other transaction has locked; return them."""
    return [key for (key,) in _LOCK_FREE.fetch_all(db, sorted(keys))]


@frozen
class HeldJobs(JobStaging):
    """Queries of a sweep, which read a bounded number of rows."""

    def find_releasable(
        self, after: str = "", *, limit: int = 500, thorough: bool = True
    ) -> Releasable:
        """Walk the keys with held jobs from a cursor; lock nothing."""
        held_back = {key for (key,) in held_back_tasks.fetch_all(self._db)}
        walked = [key for (key,) in _WALK_KEYS.fetch_all(self._db, (after, limit))]
        keys = [
            key
            for key, task in _WITH_SLOTS.fetch_all(self._db, walked)
            if task not in held_back or (thorough and _ANY_HELD.fetch_all(self._db, (key, 1)))
        ]
        return Releasable(
            keys=keys,
            tasks=[task for (task,) in _RELEASABLE_TASKS.fetch_all(self._db)],
            last_key=walked[-1] if len(walked) == limit else "",
        )

    def count_held(self, key: str, *, limit: int) -> int:
        """Return the number of HELD jobs of a task that have no key, at most `limit`."""
        ((count,),) = _COUNT_OF_TASK.fetch_all(self._db, (key, limit))
        return int(count)

    def remove_unused_keys(self, after: str, *, limit: int = 500) -> tuple[int, str]:
        """Remove keys without unfinished jobs; return how many, and the last key read."""
        rows = _NEXT_KEYS.fetch_all(self._db, (after, limit))
        unused = [key for key, is_unused in rows if is_unused]
        removed = self._remove(lock_free(self._db, unused))
        return removed, rows[-1][0] if len(rows) == limit else ""

    def _remove(self, locked: Collection[str]) -> int:
        """Delete locked keys that are still unused: a newer snapshot decides."""
        parts: list[Sequence[str]] = list(chunks(sorted(locked)))
        return sum(self._db.execute(_REMOVE, {"keys": part}).rowcount for part in parts)
