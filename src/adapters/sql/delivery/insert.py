"""Inserting events and deliveries, with each database's way to return ids."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, make_url, text
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.column_types import json_text, to_db_values
from workbell.adapters.sql.database.errors import is_unique_violation_mysql
from workbell.adapters.sql.database.statements import (
    PreparedStatement,
    column_names,
    insert_if_absent,
    prepare,
)
from workbell.adapters.sql.delivery.rows import delivery_values, event_values
from workbell.adapters.sql.schema.delivery import deliveries, events
from workbell.domain.delivery.delivery import Delivery
from workbell.domain.delivery.event import Event

_EVENT_NAMES, _NAMES = column_names(events)[1:], column_names(deliveries)[1:]
_NEW_EVENT = PreparedStatement(lambda dialect: insert_if_absent(events, dialect), _EVENT_NAMES)
_NEW_EVENT_RETURNING = prepare(
    insert_if_absent(events, "postgresql").returning(events.c.id), *_EVENT_NAMES
)
_PLAIN_EVENT = prepare(insert(events), *_EVENT_NAMES)
_DELIVERY = prepare(insert(deliveries), *_NAMES)
_DELIVERY_WITH_ID = prepare(insert(deliveries), "id", *_NAMES)
_LAST_ID = text("SELECT seq FROM sqlite_sequence WHERE name = 'workbell_deliveries'")
_dialect = make_url("postgresql+psycopg://").get_dialect()()
_typed = ", ".join(f"{name} {deliveries.c[name].type.compile(_dialect)}" for name in _NAMES)
# The ids increase in the order of the rows; RETURNING does not show which row an id belongs to.
_DELIVERIES_RETURNING = prepare(
    text(
        f"INSERT INTO workbell_deliveries ({', '.join(_NAMES)}) SELECT {', '.join(_NAMES)} "  # noqa: S608 - the schema's own names
        f"FROM ROWS FROM (json_to_recordset(CAST(:rows AS json)) AS ({_typed})) "
        f"WITH ORDINALITY AS input({', '.join(_NAMES)}, position) ORDER BY position RETURNING id"
    ),
    "rows",
)


def insert_event_postgresql(db: Connection, event: Event) -> int | None:
    """Insert an event and return its id, or None if its key exists."""
    rows = _NEW_EVENT_RETURNING.fetch_all(db, _event_values(db, event))
    return int(rows[0][0]) if rows else None


def insert_event_sqlite(db: Connection, event: Event) -> int | None:
    """Insert an event and return its id, or None if its key exists."""
    result = _NEW_EVENT.execute(db, _event_values(db, event))
    return result.lastrowid if result.rowcount == 1 else None


def insert_event_mysql(db: Connection, event: Event) -> int | None:
    """Insert an event and return its id, or None if its key exists."""
    try:
        return _PLAIN_EVENT.execute(db, _event_values(db, event)).lastrowid
    except IntegrityError as error:
        if is_unique_violation_mysql(error):
            return None
        raise


def insert_deliveries_postgresql(db: Connection, new: Sequence[Delivery]) -> Sequence[int]:
    """Insert deliveries in one statement and return their ids."""
    rows = [dict(zip(_NAMES, each, strict=True)) for each in _delivery_values(db, new)]
    return sorted(int(row[0]) for row in _DELIVERIES_RETURNING.fetch_all(db, (json_text(rows),)))


def insert_deliveries_sqlite(db: Connection, new: Sequence[Delivery]) -> Sequence[int]:
    """Insert deliveries with ids chosen here, which is safe because SQLite has one writer."""
    first = (db.execute(_LAST_ID).scalar() or 0) + 1
    ids = range(first, first + len(new))
    rows = zip(ids, _delivery_values(db, new), strict=True)
    _DELIVERY_WITH_ID.execute_many(db, [(new_id, *row) for new_id, row in rows])
    return ids


def insert_deliveries_mysql(db: Connection, new: Sequence[Delivery]) -> Sequence[int]:
    """Insert deliveries one by one: MySQL returns the id of one row only."""
    return [_DELIVERY.execute(db, row).lastrowid for row in _delivery_values(db, new)]


def _event_values(db: Connection, event: Event) -> Sequence[Any]:
    values = event_values(event)
    return to_db_values([values[name] for name in _EVENT_NAMES], db.dialect)


def _delivery_values(db: Connection, new: Sequence[Delivery]) -> Sequence[Sequence[Any]]:
    dicts = map(delivery_values, new)
    return [to_db_values([each[name] for name in _NAMES], db.dialect) for each in dicts]
