"""Moving schedules past the ticks that were handled."""

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

_c = schedules.c
_ADVANCE = prepare(
    update(schedules)
    .where(
        _c.id == bindparam("schedule_id"),
        _c.version == bindparam("was_version"),
        _c.cursor.is_not_distinct_from(bindparam("was_cursor")),
    )
    .values(
        cursor=bindparam("new_cursor"),
        next_at=bindparam("following"),
        runs=bindparam("ran"),
        paused_reason=case((bindparam("is_over"), bindparam("why")), else_=_c.paused_reason),
    ),
    "new_cursor",
    "following",
    "ran",
    "is_over",
    "why",
    "schedule_id",
    "was_version",
    "was_cursor",
)
_TAKE = prepare(
    update(schedules)
    .where(
        IS_ACTIVE,
        _c.id == bindparam("schedule_id"),
        _c.version == bindparam("was_version"),
        _c.next_at == bindparam("tick"),
    )
    .ordered_values(  # the cursor first: MySQL reads what it has set already
        (_c.cursor, _c.next_at),
        (_c.next_at, bindparam("following")),
        (_c.runs, _c.runs + literal_column("1")),
    ),
    "following",
    "schedule_id",
    "was_version",
    "tick",
)


def advance(db: Connection, steps: Sequence[Advance]) -> None:
    """Move schedules on; rows whose cursor or version has changed are skipped."""
    moment = instant_writer(db.dialect)
    _ADVANCE.execute_many(db, [_step(each, moment) for each in steps])


def advance_by_one(db: Connection, steps: Sequence[FastPathStep]) -> None:
    """Move schedules past one tick each; rows that have changed are skipped."""
    moment = cache(instant_writer(db.dialect))
    rows = [
        (moment(next_at), schedule_id, version, moment(tick))
        for schedule_id, version, tick, next_at in steps
    ]
    _TAKE.execute_many(db, rows)


def _step(step: Advance, moment: Callable[[Any], Any]) -> tuple[Any, ...]:
    return (
        moment(step.cursor),
        moment(step.next_at),
        step.runs,
        step.next_at is None,
        step.paused_reason,
        step.id,
        step.version,
        moment(step.was_cursor),
    )
