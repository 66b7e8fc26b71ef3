"""
Inserting a schedule, with each database's way to return the new id.

One statement counts the owner's active schedules and inserts the row. It sees what was
committed before it, so the caller locks the owner by an earlier statement.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
)

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.schedules.rows import INSERTED_COLUMNS, schedule_values
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.schedules.schedule import Schedule

_ONE: ColumnElement[int] = literal_column("1")


def count_active(owner: str, limit: str) -> Select[int]:
    """Return the count of an owner's active schedules, by the names of its parameters."""
    active: Select[Any] = (
        select(_ONE)
        .where(
            schedules.c.owner == bindparam(owner),
            schedules.c.next_at.is_not(None),
            schedules.c.deleted_at.is_(None),
        )
        .limit(bindparam(limit))
    )
    return select(func.count()).select_from(active.subquery())


_PARAMETERS = [bindparam(name, type_=schedules.c[name].type) for name in INSERTED_COLUMNS]
_ROW_BELOW_LIMIT: Select[Any] = select(*_PARAMETERS).where(
    count_active("owner", "active_limit").scalar_subquery() < bindparam("active_limit")
)
_insert = insert(schedules)
_insert_below_limit = insert(schedules).from_select(INSERTED_COLUMNS, _ROW_BELOW_LIMIT)
_INSERT = prepare(_insert, *INSERTED_COLUMNS)
_INSERT_BELOW_LIMIT = prepare(_insert_below_limit, *INSERTED_COLUMNS, "active_limit")
_INSERT_RETURNING = prepare(_insert.returning(schedules.c.id), *INSERTED_COLUMNS)
_INSERT_BELOW_LIMIT_RETURNING = prepare(
    _insert_below_limit.returning(schedules.c.id), *INSERTED_COLUMNS, "active_limit"
)


def insert_schedule(db: Connection, schedule: Schedule, active_limit: int | None) -> int | None:
    """Insert a schedule and return the driver's last row id; None at the limit."""
    values = _values(db, schedule)
    if active_limit is None:
        return int(_INSERT.execute(db, values).lastrowid)
    result = _INSERT_BELOW_LIMIT.execute(db, [*values, active_limit])
    return int(result.lastrowid) if result.rowcount else None


def insert_schedule_returning(
    db: Connection, schedule: Schedule, active_limit: int | None
) -> int | None:
    """Insert a schedule and return its id with RETURNING; None at the limit."""
    values = _values(db, schedule)
    if active_limit is None:
        rows = _INSERT_RETURNING.fetch_all(db, values)
    else:
        rows = _INSERT_BELOW_LIMIT_RETURNING.fetch_all(db, [*values, active_limit])
    return int(rows[0][0]) if rows else None


def _values(db: Connection, schedule: Schedule) -> list[Any]:
    return to_db_values(schedule_values(schedule).values(), db.dialect)
