"""Quarantine: schedules whose rows cannot be processed."""

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen
from sqlalchemy import Connection, bindparam, null, select, update

from workbell.adapters.sql.schema.indexes import IS_ACTIVE, IS_EXPECTED
from workbell.adapters.sql.schema.tables import schedules
from workbell.domain.schedules.schedule import ScheduleId

schedules_c = schedules.c
DUE_ALERTS = (
    select(schedules)
    .where(IS_EXPECTED, schedules_c.alert_at <= bindparam("now"))
    .order_by(schedules_c.alert_at, schedules_c.id)
    .limit(bindparam("limit"))
)
_DUE_ALERT_IDS = DUE_ALERTS.with_only_columns(schedules_c.id)
_DUE_IDS = (
    select(schedules_c.id)
    .where(IS_ACTIVE, schedules_c.next_at <= bindparam("now"))
    .order_by(schedules_c.next_at, schedules_c.id)
    .limit(bindparam("limit"))
)
_ACTIVE_IDS = (
    select(schedules_c.id)
    .where(IS_ACTIVE, schedules_c.id > bindparam("after_id"))
    .order_by(schedules_c.id)
    .limit(bindparam("limit"))
)
_of_id = schedules_c.id == bindparam("schedule_id")
_PAUSE = (
    update(schedules)
    .where(IS_ACTIVE, _of_id)
    .values(
        next_at=null(),
        alert_at=null(),
        cursor=bindparam("now"),
        updated_at=bindparam("now"),
        paused_reason=bindparam("reason"),
        version=schedules_c.version + 1,
    )
)
_STOP_ALERTS = update(schedules).where(_of_id).values(alert_at=null())


@frozen(slots=False)
class ScheduleQuarantine:
    """Statements that decode nothing but the ids of rows."""

    _db: Connection

    def list_due(self, now: datetime, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of the due active schedules, oldest first."""
        rows = self._db.execute(_DUE_IDS, {"now": now, "limit": limit})
        return [ScheduleId(schedule_id) for (schedule_id,) in rows]

    def list_active(self, after: ScheduleId, *, limit: int = 500) -> Sequence[ScheduleId]:
        """Return the ids of active schedules above an id, in order."""
        rows = self._db.execute(_ACTIVE_IDS, {"after_id": after, "limit": limit})
        return [ScheduleId(schedule_id) for (schedule_id,) in rows]

    def list_due_alerts(self, now: datetime, *, limit: int = 100) -> Sequence[ScheduleId]:
        """Return the ids of the schedules whose alert check is due."""
        rows = self._db.execute(_DUE_ALERT_IDS, {"now": now, "limit": limit})
        return [ScheduleId(schedule_id) for (schedule_id,) in rows]

    def quarantine(self, schedule_id: ScheduleId, reason: str, now: datetime) -> None:
        """Pause an active schedule whose row cannot be processed."""
        values = {"schedule_id": schedule_id, "reason": reason, "now": now}
        self._db.execute(_PAUSE, values)

    def stop_alerts(self, schedule_id: ScheduleId) -> None:
        """Set no next alert for a schedule."""
        self._db.execute(_STOP_ALERTS, {"schedule_id": schedule_id})
