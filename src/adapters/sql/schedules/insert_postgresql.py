"""Adding on PostgreSQL: a schedule within its limit, in one round trip."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, fields
from sqlalchemy import Connection

from workbell.adapters.sql.database.column_types import as_kept, json_text
from workbell.adapters.sql.database.statements import (
    is_direct,
    plain_names,
    schema_of,
    told_as_usual,
)
from workbell.adapters.sql.identity.users import user_of_kept
from workbell.adapters.sql.schedules.rows import WRITTEN, schedule_values
from workbell.adapters.sql.schema.tables import users
from workbell.domain.audit import AuditEntry
from workbell.domain.identity.user import User
from workbell.domain.schedules.schedule import Schedule, ScheduleId

_NOTED = tuple(
    each.name for each in fields(AuditEntry) if each.name not in {"id", "object_id"}
)  # the entry is about the row that is added with it
_written, _noted = ", ".join(WRITTEN), ", ".join(_NOTED)
_owner = ", ".join(f"workbell_users.{name}" for name in plain_names(users))
_PREPARE = (
    "PREPARE workbell_lock (bigint) AS SELECT 1 FROM workbell_users WHERE id = $1 FOR UPDATE; "  # noqa: S608
    "PREPARE workbell_add (text, text, bigint, bigint) AS "
    f"WITH added AS (INSERT INTO workbell_schedules ({_written}) SELECT {_written} "
    "FROM json_populate_record(CAST(NULL AS workbell_schedules), CAST($1 AS json)) "
    "WHERE EXISTS (SELECT 1 FROM workbell_users WHERE workbell_users.id = $3) "
    # not `next_at IS NOT NULL`, which tempts PostgreSQL to read everybody's active ones
    "AND (SELECT count(next_at) FROM workbell_schedules "
    "WHERE deleted_at IS NULL AND workbell_schedules.owner = $3) < $4 RETURNING id), "
    f"noted AS (INSERT INTO workbell_audit (object_id, {_noted}) SELECT CAST(added.id AS text), {_noted} "
    "FROM added, json_populate_record(CAST(NULL AS workbell_audit), CAST($2 AS json)) "
    "RETURNING object_id) "
    f"SELECT CAST(noted.object_id AS bigint), {_owner} FROM noted, workbell_users WHERE workbell_users.id = $3"
)
_EXECUTE = (
    b"EXECUTE workbell_lock(%(owner)b); "
    b"EXECUTE workbell_add(%(row)b, %(entry)b, %(owner)b, %(most)b)"
)


def may_add(db: Connection) -> bool:
    """Whether this is PostgreSQL, and nothing has begun."""
    if not is_direct(db) or schema_of(db) is not None:
        return False
    from workbell.adapters.sql.database import libpq

    return libpq.is_free(db.connection.dbapi_connection)


def add_within(
    db: Connection, schedule: Schedule, limit: int, entry: AuditEntry
) -> tuple[Schedule, User] | None:
    """
    Lock the owner, and add a schedule with its entry if fewer than the limit are active.

    They are two statements, for the second must see what was committed while
    the first one waited for the lock.
    """
    from workbell.adapters.sql.database import libpq

    row, note = schedule_values(schedule), {name: getattr(entry, name) for name in _NOTED}
    values = {
        b"row": _json_of(row, db),
        b"entry": _json_of(note, db),
        b"owner": schedule.owner,
        b"most": limit,
    }
    with told_as_usual(db, _PREPARE, values):
        found = libpq.ask_together(db, _PREPARE, _EXECUTE, values)
    if not found:
        return None
    ((new, *owner),) = found
    return evolve(schedule, id=ScheduleId(new)), user_of_kept(db, owner)


def _json_of(values: Mapping[str, Any], db: Connection) -> str | None:
    return json_text(dict(zip(values, as_kept(values.values(), db.dialect), strict=True)))
