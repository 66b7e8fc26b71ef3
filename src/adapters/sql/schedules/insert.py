"""Inserting a schedule, with each database's way to return the new id."""

from sqlalchemy import Connection, insert

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.schedules.rows import INSERTED_COLUMNS, schedule_values
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.schedules.schedule import Schedule

_INSERT = prepare(insert(schedules), *INSERTED_COLUMNS)
_INSERT_RETURNING = prepare(insert(schedules).returning(schedules.c.id), *INSERTED_COLUMNS)


def insert_schedule(db: Connection, schedule: Schedule) -> int:
    """Insert a schedule and return the driver's last row id."""
    values = to_db_values(schedule_values(schedule).values(), db.dialect)
    return int(_INSERT.execute(db, values).lastrowid)


def insert_schedule_returning(db: Connection, schedule: Schedule) -> int:
    """Insert a schedule and return its id with RETURNING."""
    values = to_db_values(schedule_values(schedule).values(), db.dialect)
    ((new,),) = _INSERT_RETURNING.fetch_all(db, values)
    return int(new)
