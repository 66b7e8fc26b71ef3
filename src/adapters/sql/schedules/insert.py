"""Inserting a schedule, by the way in which a database returns the new id."""

from sqlalchemy import Connection, insert

from workbell.adapters.sql.database.column_types import to_db_values
from workbell.adapters.sql.database.statements import prepare
from workbell.adapters.sql.schedules.rows import WRITTEN, schedule_values
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.schedules.schedule import Schedule

_INSERT = prepare(insert(schedules), *WRITTEN)
_INSERT_RETURNING = prepare(insert(schedules).returning(schedules.c.id), *WRITTEN)


def insert_schedule(db: Connection, schedule: Schedule) -> int:
    """Insert a schedule and return the id that the driver reports."""
    values = to_db_values(schedule_values(schedule).values(), db.dialect)
    return int(_INSERT.execute(db, values).lastrowid)


def insert_schedule_returning(db: Connection, schedule: Schedule) -> int:
    """Insert a schedule and return the id from RETURNING."""
    values = to_db_values(schedule_values(schedule).values(), db.dialect)
    ((new,),) = _INSERT_RETURNING.fetch_all(db, values)
    return int(new)
