"""The schedule repository in SQL: commands, due ticks and alerts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import (
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from workbell.adapters.sql.database.column_types import instant_reader, instant_writer
from workbell.adapters.sql.database.statements import AnyRow, chunks, prepare, row_to_dict
from workbell.adapters.sql.schedules import advance
from workbell.adapters.sql.schedules.insert import count_active
from workbell.adapters.sql.schedules.listing import ScheduleLists
from workbell.adapters.sql.schedules.quarantine import DUE_ALERTS, ScheduleFaults
from workbell.adapters.sql.schedules.rows import rule_from_row, schedule_from_row, schedule_values
from workbell.adapters.sql.schema.indexes import (
    IS_ACTIVE,
    IS_DELETED,
    IS_STARTED_RUN,
    IS_UNFINISHED_RUN,
)
from workbell.adapters.sql.schema.tables import jobs, schedules, users
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobState
from workbell.domain.schedules.schedule import ENDED, Schedule, ScheduleId, active_limit_reached
from workbell.domain.schedules.ticks import Due, FastPathStep
from workbell.ports.schedules.repository import RECENT_RUNS, Advance

schedules_c = schedules.c
_ids = schedules_c.id.in_(bindparam("ids", expanding=True))
_VISIBLE = select(schedules).where(
    schedules_c.id == bindparam("schedule_id"), schedules_c.deleted_at.is_(None)
)
_VISIBLE_LOCKED = _VISIBLE.with_for_update()
_is_plain = and_(
    schedules_c.starts_at.is_(None),
    schedules_c.ends_at.is_(None),
    schedules_c.max_runs.is_(None),
    schedules_c.jitter_seconds == literal_column("0"),
)
_due = (
    select(
        schedules_c.id,
        schedules_c.version,
        schedules_c.task,
        schedules_c.next_at,
        _is_plain.label("is_plain"),
        schedules_c.cron,
        schedules_c.zone,
        schedules_c.dst_gap,
        schedules_c.dst_overlap,
        schedules_c.owner,
    )
    .where(IS_ACTIVE, schedules_c.next_at <= bindparam("now"))
    .order_by(schedules_c.next_at, schedules_c.id)
    .limit(bindparam("limit"))
    .subquery("due")  # a join with few users would read and sort all due schedules
)
DUE = prepare(
    select(
        *[column for column in _due.c if column.name != "owner"],
        or_(users.c.id.is_(None), users.c.is_active).label("owner_active"),
        or_(users.c.id.is_(None), users.c.is_email_verified).label("owner_verified"),
    ).select_from(_due.outerjoin(users, users.c.id == _due.c.owner)),
    "now",
    "limit",
)
_ACTIVE_AMONG = select(schedules).where(IS_ACTIVE, _ids)
_DELETED = (
    select(schedules_c.id)
    .where(
        IS_DELETED,
        schedules_c.deleted_at < bindparam("before"),
        ~exists().where(IS_UNFINISHED_RUN, jobs.c.schedule_id == schedules_c.id),
    )
    .order_by(schedules_c.deleted_at)
    .limit(bindparam("max_rows"))
)
_COUNT_ACTIVE = prepare(count_active("owner", "limit"), "owner", "limit")
NEXT_DUE = (
    select(schedules_c.next_at)
    .where(IS_ACTIVE)
    .order_by(schedules_c.next_at, schedules_c.id)
    .limit(1)
)
_LOCK = (
    select(schedules_c.id, schedules_c.cursor, schedules_c.version)
    .where(IS_ACTIVE, _ids)
    .order_by(schedules_c.id)
    .with_for_update(skip_locked=True)
)
_STREAKS = select(schedules_c.id, schedules_c.fail_streak).where(_ids, schedules_c.fail_streak > 0)
_CLEAR_STREAKS = update(schedules).where(_ids, schedules_c.fail_streak > 0).values(fail_streak=0)
_SAVE_ALERT = (
    update(schedules)
    .where(
        schedules_c.id == bindparam("schedule_id"),
        schedules_c.version == bindparam("was_version"),
        schedules_c.alert_at == bindparam("was_alert_at"),
    )
    .values(alert_at=bindparam("new_alert_at"), overdue_since=bindparam("new_overdue_since"))
)
_NEWEST_RUNS = (
    select(jobs.c.state, jobs.c.ended_at)
    .where(IS_STARTED_RUN, jobs.c.schedule_id == bindparam("schedule_id"))
    .order_by(jobs.c.id.desc())
    .limit(RECENT_RUNS)
    # Without the hint MySQL and MariaDB sort all runs.
    .with_hint(jobs, "FORCE INDEX (workbell_jobs_started_idx_plain)", "mysql")
    .with_hint(jobs, "FORCE INDEX (workbell_jobs_started_idx_plain)", "mariadb")
    .subquery()
)
LAST_SUCCESS = select(func.max(_NEWEST_RUNS.c.ended_at)).where(
    _NEWEST_RUNS.c.state == int(JobState.SUCCEEDED), _NEWEST_RUNS.c.ended_at >= bindparam("since")
)
_ACTIVE_AFTER = (
    select(schedules)
    .where(IS_ACTIVE, schedules_c.id > bindparam("after_id"))
    .order_by(schedules_c.id)
    .limit(bindparam("limit"))
)
_AHEAD = (
    select(schedules)
    .where(
        schedules_c.deleted_at.is_(None),
        schedules_c.id > bindparam("after_id"),
        or_(
            schedules_c.next_at > bindparam("bound"),
            and_(
                schedules_c.next_at.is_(None),
                schedules_c.paused_reason == ENDED,
                schedules_c.ends_at > bindparam("bound"),
            ),
        ),
    )
    .order_by(schedules_c.id)
    .limit(bindparam("limit"))
)


@frozen
class SqlScheduleRepository(ScheduleLists, ScheduleFaults):
    """All schedules that are not deleted."""

    def add(self, schedule: Schedule, *, active_limit: int | None = None) -> Schedule:
        """Insert a schedule and return it with its id; may raise LimitReached."""
        new = self._strategy.insert_schedule(self._db, schedule, active_limit)
        if new is None:
            assert active_limit is not None
            raise active_limit_reached(active_limit, active_limit)
        return evolve(schedule, id=ScheduleId(new))

    def get(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """Return a schedule visible to the scope."""
        return self._one(_VISIBLE, scope, schedule_id)

    def get_for_update(self, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        """Lock and return a schedule visible to the scope."""
        return self._one(_VISIBLE_LOCKED, scope, schedule_id)

    def replace(self, schedule: Schedule) -> None:
        """Update a schedule, whose row is locked."""
        change = update(schedules).where(
            schedules_c.id == schedule.id, schedules_c.deleted_at.is_(None)
        )
        if self._db.execute(change.values(schedule_values(schedule))).rowcount == 0:
            raise NotFound(f"There is no schedule {schedule.id}.")

    def count_active(self, owner: UserId, *, limit: int) -> int:
        """Return the number of an owner's active schedules, at most `limit`."""
        ((count,),) = _COUNT_ACTIVE.fetch_all(self._db, (owner, limit))
        return int(count)

    def due(self, now: datetime, *, limit: int = 500) -> Sequence[Due]:
        """Return the due active schedules, oldest first, without locking them."""
        dialect = self._db.dialect
        read_time = cache(instant_reader(dialect))
        rows = DUE.fetch_all(self._db, (instant_writer(dialect)(now), limit))
        due = [
            Due(
                id_,
                version,
                task,
                rule_from_row(*rule),
                read_time(next_at),
                bool(is_plain),
                bool(owner_active),
                bool(owner_verified),
            )
            for id_, version, task, next_at, is_plain, *rule, owner_active, owner_verified in rows
        ]
        return sorted(due, key=attrgetter("tick", "id"))

    def active_among(self, ids: Sequence[ScheduleId]) -> Sequence[Schedule]:
        """Return the active schedules among ids, in the given order, without locking them."""
        active: dict[int, Schedule] = {}
        for part in chunks(ids):
            active |= {each.id: each for each in self._schedules(_ACTIVE_AMONG, {"ids": part})}
        return [active[each] for each in ids if each in active]

    def next_due(self) -> datetime | None:
        """Return when the earliest schedule is due."""
        next_at: datetime | None = self._db.execute(NEXT_DUE).scalar()
        return next_at

    def lock(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, tuple[datetime | None, int]]:
        """Lock active schedules, skipping locked rows; return {id: (cursor, version)}."""
        locked: dict[ScheduleId, tuple[datetime | None, int]] = {}
        for part in chunks(sorted(ids)):
            for row in self._db.execute(_LOCK, {"ids": part}):
                locked[ScheduleId(row.id)] = row.cursor, row.version
        return locked

    def advance(self, steps: Sequence[Advance]) -> None:
        """Advance schedules; rows whose cursor or version has changed are skipped."""
        advance.advance(self._db, steps)

    def advance_by_one(self, steps: Sequence[FastPathStep]) -> None:
        """Advance schedules by one tick each; changed rows are skipped."""
        self._strategy.advance_by_one(self._db, steps)

    def failure_streaks(self, ids: Sequence[ScheduleId]) -> dict[ScheduleId, int]:
        """Return the non-zero failure streaks among ids, without locking rows."""
        streaks: dict[ScheduleId, int] = {}
        for part in chunks(ids):
            for row in self._db.execute(_STREAKS, {"ids": part}):
                streaks[ScheduleId(row.id)] = row.fail_streak
        return streaks

    def clear_failure_streaks(self, ids: Sequence[ScheduleId]) -> None:
        """Set the failure streaks of schedules to 0."""
        for part in chunks(sorted(ids)):
            self._db.execute(_CLEAR_STREAKS, {"ids": part})

    def purge(self, before: datetime, *, limit: int) -> int:
        """Delete schedules that were deleted before a time; return how many."""
        ids = self._db.execute(_DELETED, {"before": before, "max_rows": limit}).scalars().all()
        if ids:
            self._db.execute(delete(schedules).where(schedules_c.id.in_(ids)))
        return len(ids)

    def due_alerts(
        self, now: datetime, *, limit: int = 100, only: ScheduleId | None = None
    ) -> Sequence[Schedule]:
        """Return schedules whose alert check is due, oldest first, without locking them."""
        query = DUE_ALERTS if only is None else DUE_ALERTS.where(schedules_c.id == only)
        return self._schedules(query, {"now": now, "limit": limit})

    def save_alert(self, before: Schedule, after: Schedule) -> bool:
        """Write the result of an alert check, unless the row has changed."""
        values = {
            "schedule_id": before.id,
            "was_version": before.version,
            "was_alert_at": before.alert_at,
            "new_alert_at": after.alert_at,
            "new_overdue_since": after.overdue_since,
        }
        return self._db.execute(_SAVE_ALERT, values).rowcount == 1

    def last_success(self, schedule_id: ScheduleId, since: datetime) -> datetime | None:
        """Return when the last successful run ended, or None if that was before `since`."""
        values = {"schedule_id": schedule_id, "since": since}
        ended_at: datetime | None = self._db.execute(LAST_SUCCESS, values).scalar()
        return ended_at

    def active_after(
        self, after: ScheduleId, *, owner: UserId | None = None, limit: int = 500
    ) -> Sequence[Schedule]:
        """Return the active schedules with ids above an id, by id."""
        query = _ACTIVE_AFTER if owner is None else _ACTIVE_AFTER.where(schedules_c.owner == owner)
        return self._schedules(query, {"after_id": after, "limit": limit})

    def list_ahead(
        self, bound: datetime, *, after: ScheduleId, limit: int = 500
    ) -> Sequence[Schedule]:
        """Return schedules whose next run, or unreached end, is after a time, by id."""
        return self._schedules(_AHEAD, {"after_id": after, "bound": bound, "limit": limit})

    def _one(self, query: Any, scope: Scope, schedule_id: ScheduleId) -> Schedule:
        row = self._db.execute(query, {"schedule_id": schedule_id}).one_or_none()
        if row is None or not scope.covers(row.owner):
            raise NotFound(f"There is no schedule {schedule_id}.")
        return schedule_from_row(row_to_dict(row))

    def _schedules(self, query: Any, values: Mapping[str, Any]) -> list[Schedule]:
        rows: Sequence[AnyRow] = self._db.execute(query, values).all()
        return [schedule_from_row(row_to_dict(row)) for row in rows]
