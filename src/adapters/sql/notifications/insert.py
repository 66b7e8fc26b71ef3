"""Inserting notifications, with each database's way to return the new ids."""

from collections.abc import Sequence
from typing import Any

from attrs import fields
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from workbell.adapters.sql.database.errors import is_unique_violation_mysql
from workbell.adapters.sql.database.statements import chunks, insert_if_absent, inserted_id
from workbell.adapters.sql.schema.notifications import notices
from workbell.domain.notifications.notice import Notification

Key = tuple[str, str, int]
"""Kind, key and user of a notification."""
_NAMES = tuple(each.name for each in fields(Notification) if each.name != "id")


def insert_notices_returning(db: Connection, new: Sequence[Notification]) -> dict[Key, int]:
    """Insert rows whose key is new, in one statement per 500; return their ids."""
    columns = (notices.c.kind, notices.c.key, notices.c.user_id, notices.c.id)
    statement = insert_if_absent(notices, db.dialect.name).returning(*columns)
    found: dict[Key, int] = {}
    for part in chunks(new):
        rows = db.execute(statement, [_values(row) for row in part])
        found |= {(row.kind, row.key, row.user_id): row.id for row in rows}
    return found


def insert_notices_mysql(db: Connection, new: Sequence[Notification]) -> dict[Key, int]:
    """Insert rows whose key is new, one by one: MySQL returns the id of one row only."""
    found: dict[Key, int] = {}
    for row in new:
        try:
            found[notice_key(row)] = inserted_id(db.execute(insert(notices), _values(row)))
        except IntegrityError as error:
            if not is_unique_violation_mysql(error):
                raise
    return found


def notice_key(row: Notification) -> Key:
    """Return the values that identify a notification."""
    return str(row.kind), row.key, row.user_id


def _values(row: Notification) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _NAMES}
    return values | {"kind": str(row.kind), "mail_state": str(row.mail_state)}
