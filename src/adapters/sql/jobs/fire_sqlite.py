"""Firing the due ticks of many schedules on SQLite."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
)
from sqlalchemy.dialects import sqlite

from workbell.adapters.sql.database.column_types import instant_writer, json_text
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    Values,
    insert_if_absent,
    prepare,
)
from workbell.adapters.sql.jobs.fair_queueing import Share, highest_tag, lowest_tag
from workbell.adapters.sql.schema.indexes import IS_ACTIVE, IS_BUSY, IS_UNFINISHED_RUN
from workbell.adapters.sql.schema.tables import concurrency_keys, jobs, schedules
from workbell.domain.jobs.job import JobOrigin, JobState, claim_mode, fair_tag
from workbell.domain.jobs.task import OnLost, Task
from workbell.domain.schedules.schedule import OverlapPolicy
from workbell.domain.schedules.ticks import FastPathStep

jobs_c, schedules_c = jobs.c, schedules.c
_zero: ColumnElement[Any] = literal_column("0")
_one: ColumnElement[Any] = literal_column("1")
_empty: ColumnElement[Any] = literal_column("''")
_prefix: ColumnElement[Any] = literal_column("'schedule:'")
_allow_all: ColumnElement[Any] = literal_column(f"'{OverlapPolicy.ALLOW_ALL}'")
_wanted = func.json_each(bindparam("ids")).table_valued("value", name="wanted").c.value
_may_overlap = schedules_c.overlap_policy == _allow_all
_own_concurrency_key = cast(_prefix, String) + cast(schedules_c.id, String)
_is_idle = and_(
    not_(select(jobs_c.id).where(IS_UNFINISHED_RUN, jobs_c.schedule_id == schedules_c.id).exists()),
    not_(select(jobs_c.id).where(IS_BUSY, jobs_c.concurrency_key == _own_concurrency_key).exists()),
)
_queue = func.coalesce(func.nullif(schedules_c.queue, _empty), bindparam("queue"))
_fair_key = cast(schedules_c.owner, String)


def _or_task(own: ColumnElement[int], of_task: str) -> ColumnElement[int]:
    return func.coalesce(func.nullif(own, _zero), bindparam(of_task))


_FROM_SCHEDULE = {
    "queue": _queue,
    "priority": schedules_c.priority,
    "fair_key": _fair_key,
    "weight": schedules_c.weight,
    "due_at": schedules_c.next_at,
    "concurrency_key": case((_may_overlap, null()), else_=_own_concurrency_key),
    "mode": bindparam("mode"),
    "fail_when_lost": bindparam("fails"),
    "max_attempts": _or_task(schedules_c.max_attempts, "attempts"),
    "timeout_seconds": _or_task(schedules_c.timeout_seconds, "seconds"),
    "owner": schedules_c.owner,
    "task": schedules_c.task,
    "name": schedules_c.name,
    "origin": literal_column(f"'{JobOrigin.SCHEDULE}'"),
    "schedule_id": schedules_c.id,
    "tick": schedules_c.next_at,
    "created_at": bindparam("now"),
    "queued_at": bindparam("now"),
    "parameters": schedules_c.parameters,
}
_CONSTANTS = {
    "state": literal_column(str(int(JobState.READY))),
    "concurrency_limit": _one,
    "attempt": _zero,
    "uncharged": _zero,
    "token": _zero,
    "cancel_requested": _zero,
    "hidden": _zero,
    "description": _empty,
}
_IDLE = prepare(
    select(
        lowest_tag(_queue, schedules_c.priority),
        highest_tag(_queue, schedules_c.priority, _fair_key),
        schedules_c.id,
        schedules_c.version,
        *_FROM_SCHEDULE.values(),
    )
    .select_from(_wanted.table, schedules)
    .where(IS_ACTIVE, schedules_c.id == _wanted, or_(_may_overlap, _is_idle)),
    *("ids", "queue", "mode", "fails", "attempts", "seconds", "now"),
)
_TAGGED = ("queue", "priority", "fair_tag")
_INSERT = PreparedStatement(
    lambda dialect: insert_if_absent(jobs, dialect).values(_CONSTANTS),
    (*_TAGGED, *[name for name in _FROM_SCHEDULE if name not in _TAGGED]),
)
_keys = func.json_each(bindparam("keys")).table_valued("value", name="wanted")
_new_concurrency_keys = sqlite.insert(concurrency_keys).from_select(
    ["key", "concurrency_limit"], select(_keys.c.value, _one).where(_keys.c.value.is_not(None))
)
_UPSERT_KEYS = prepare(
    _new_concurrency_keys.on_conflict_do_update(
        index_elements=[concurrency_keys.c.key],
        set_={"concurrency_limit": _one},
        where=concurrency_keys.c.concurrency_limit != _one,
    ),
    "keys",
)


def fire_ticks(
    db: Connection, task: Task, steps: Sequence[FastPathStep], now: datetime, woken: set[str]
) -> list[FastPathStep]:
    """Insert jobs for ticks of schedules that have no unfinished run."""
    to_db_time = cache(instant_writer(db.dialect))
    values = (
        json_text([step.schedule for step in steps]),
        task.queue,
        int(claim_mode(task)),
        task.on_lost is OnLost.FAIL,
        task.max_attempts,
        task.timeout_seconds,
        to_db_time(now),
    )
    expected = {step.schedule: step for step in steps}
    counts: dict[Share, int] = {}
    fired: list[FastPathStep] = []
    keys: list[str | None] = []
    rows: list[Values] = []
    for low, high, schedule_id, version, *columns in _IDLE.fetch_all(db, values):
        queue, priority, fair_key, weight, due_at, concurrency_key, *rest = columns
        step = expected[schedule_id]
        if version != step.version or due_at != to_db_time(step.tick):
            continue
        share = (queue, priority, fair_key)
        nth = counts[share] = counts.get(share, 0) + 1
        tag = fair_tag(low, high, nth, weight)
        rows.append((queue, priority, tag, fair_key, weight, due_at, concurrency_key, *rest))
        fired.append(step)
        keys.append(concurrency_key)
    _UPSERT_KEYS.execute(db, (json_text(keys),))
    _INSERT.execute_many(db, rows)
    woken.update(queue for queue, _, _ in counts)
    return fired
