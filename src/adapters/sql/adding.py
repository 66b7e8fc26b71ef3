"""Adding on PostgreSQL: a schedule within its limit, in one round trip."""

from collections.abc import Mapping
from typing import Any

from attrs import evolve, fields
from sqlalchemy import Connection, text

from ...domain.audit import AuditEntry
from ...domain.identity import User
from ...domain.scheduling import Schedule, ScheduleId
from .columns import as_kept, json_text
from .identity import USER_LOCKED, user_of_kept
from .schedule_rows import WRITTEN, schedule_values
from .statements import prepared, together

_NOTED = tuple(
    each.name for each in fields(AuditEntry) if each.name not in {"id", "object_id"}
)  # the entry is about the row that is added with it
_written, _noted = ", ".join(WRITTEN), ", ".join(_NOTED)
_ADD = prepared(
    text(
        f"WITH added AS (INSERT INTO schedules ({_written}) SELECT {_written} "  # noqa: S608
        "FROM json_populate_record(CAST(NULL AS schedules), CAST(:row AS json)) "
        "WHERE EXISTS (SELECT 1 FROM users WHERE users.id = :owner) "
        "AND (SELECT count(*) FROM schedules WHERE next_at IS NOT NULL "
        "AND deleted_at IS NULL AND schedules.owner = :owner) < :most RETURNING id) "
        f"INSERT INTO audit (object_id, {_noted}) SELECT CAST(added.id AS text), {_noted} "
        "FROM added, json_populate_record(CAST(NULL AS audit), CAST(:entry AS json)) "
        "RETURNING CAST(object_id AS bigint)"
    ),
    "row",
    "entry",
    "owner",
    "most",
)


def add_within(
    db: Connection, schedule: Schedule, limit: int, entry: AuditEntry
) -> tuple[Schedule, User] | None:
    """
    Lock the owner, and add a schedule with its entry if fewer than the limit are active.

    They are two statements, for the second must see what was committed while
    the first one waited for the lock.
    """
    values = schedule_values(schedule)
    row, note = _json_of(values, db), _json_of({n: getattr(entry, n) for n in _NOTED}, db)
    owners, added = together(
        db, (USER_LOCKED, (schedule.owner,)), (_ADD, (row, note, schedule.owner, limit))
    )
    if not added:
        return None
    ((new,),) = added
    return evolve(schedule, id=ScheduleId(new)), user_of_kept(db, owners[0])


def _json_of(values: Mapping[str, Any], db: Connection) -> str | None:
    return json_text(dict(zip(values, as_kept(values.values(), db.dialect), strict=True)))
