"""Advancing schedules past the ticks that were handled."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, bindparam, case, literal_column, update

from workbell.adapters.sql.database.column_types import instant_writer
from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.schema.indexes import IS_ACTIVE
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.schedules.ticks import FastPathStep
from workbell.ports.schedules.repository import Advance

schedules_c = schedules.c
_ADVANCE = prepare(
    update(schedules)
    .where(
        schedules_c.id == bindparam("schedule_id"),
        schedules_c.version == bindparam("was_version"),
        schedules_c.cursor.is_not_distinct_from(bindparam("was_cursor")),
    )
    .values(
        cursor=bindparam("new_cursor"),
        next_at=bindparam("new_next_at"),
        runs=bindparam("new_runs"),
        paused_reason=case(
            (bindparam("is_over"), bindparam("new_reason")), else_=schedules_c.paused_reason
        ),
    ),
    *("new_cursor", "new_next_at", "new_runs", "is_over", "new_reason"),
    *("schedule_id", "was_version", "was_cursor"),
)
_ADVANCE_BY_ONE = prepare(
    update(schedules)
    .where(
        IS_ACTIVE,
        schedules_c.id == bindparam("schedule_id"),
        schedules_c.version == bindparam("was_version"),
        schedules_c.next_at == bindparam("tick"),
    )
    .ordered_values(  # cursor first, because MySQL reads values that the UPDATE has set
        (schedules_c.cursor, schedules_c.next_at),
        (schedules_c.next_at, bindparam("new_next_at")),
        (schedules_c.runs, schedules_c.runs + literal_column("1")),
    ),
    *("new_next_at", "schedule_id", "was_version", "tick"),
)


def advance(db: Connection, steps: Sequence[Advance]) -> None:
    """Advance schedules; rows whose cursor or version has changed are skipped."""
    to_db_time = instant_writer(db.dialect)
    _ADVANCE.execute_many(db, [_step(each, to_db_time) for each in steps])


def advance_by_one(db: Connection, steps: Sequence[FastPathStep]) -> None:
    """Advance schedules by one tick each; changed rows are skipped."""
    to_db_time = cache(instant_writer(db.dialect))
    rows = [
        (to_db_time(next_at), schedule_id, version, to_db_time(tick))
        for schedule_id, version, tick, next_at in steps
    ]
    _ADVANCE_BY_ONE.execute_many(db, rows)


def _step(step: Advance, to_db_time: Callable[[Any], Any]) -> tuple[Any, ...]:
    return (
        to_db_time(step.cursor),
        to_db_time(step.next_at),
        step.runs,
        step.next_at is None,
        step.paused_reason,
        step.id,
        step.version,
        to_db_time(step.was_cursor),
    )
