"""Notification preferences in SQL."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, time

from attrs import frozen
from sqlalchemy import Connection, bindparam, select, update

from workbell.adapters.sql.database.statements import AnyRow, chunks, upsert
from workbell.adapters.sql.schema.notifications import notification_preferences
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.preferences import (
    EMAIL_BY_DEFAULT,
    IN_APP_BY_DEFAULT,
    NoticePreferences,
)

preferences_c = notification_preferences.c
_AMONG = select(notification_preferences).where(
    preferences_c.user_id.in_(bindparam("ids", expanding=True))
)
_DUE = (
    select(preferences_c.user_id)
    .where(preferences_c.summary_at <= bindparam("now"))
    .order_by(preferences_c.summary_at, preferences_c.user_id)
)
_SET_NEXT = (
    update(notification_preferences)
    .where(preferences_c.user_id == bindparam("id"), preferences_c.summary_at <= bindparam("now"))
    .values(zone=bindparam("new_zone"), summary_at=bindparam("new_summary_at"))
)


@frozen
class SqlNoticePreferenceRepository:
    """Preferences of users; users without a row have the defaults."""

    _db: Connection

    def get(self, user_id: UserId) -> NoticePreferences:
        """Return a user's preferences, or the defaults."""
        return self.get_many([user_id])[user_id]

    def get_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, NoticePreferences]:
        """Return the preferences of each of the users."""
        found = dict.fromkeys(user_ids, NoticePreferences())
        for ids in chunks(sorted(found)):
            for row in self._db.execute(_AMONG, {"ids": ids}):
                found[row.user_id] = _preferences(row)
        return found

    def save(self, user_id: UserId, preferences: NoticePreferences) -> None:
        """Insert or replace a user's preferences."""
        at = preferences.summary_time
        row = {
            "user_id": user_id,
            "email": _flags(preferences.email),
            "in_app": _flags(preferences.in_app),
            "summary_time": None if at is None else at.isoformat("minutes"),
            "zone": preferences.zone,
            "summary_at": preferences.summary_at,
        }
        upsert(self._db, notification_preferences, row)

    def list_due_summaries(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return users whose daily summary is due, longest overdue first."""
        return self._db.execute(_DUE.limit(limit), {"now": now}).scalars().all()

    def set_next_summaries(
        self, preferences: Mapping[UserId, NoticePreferences], now: datetime
    ) -> None:
        """Store `zone` and `summary_at` of users, unless no longer due since they were read."""
        rows = [
            {"id": user, "now": now, "new_zone": after.zone, "new_summary_at": after.summary_at}
            for user, after in sorted(preferences.items())
        ]
        if rows:
            self._db.execute(_SET_NEXT, rows)


def _flags(kinds: frozenset[NoticeKind]) -> dict[str, bool]:
    return {str(kind): kind in kinds for kind in NoticeKind}


def _kinds(flags: Mapping[str, bool], default: frozenset[NoticeKind]) -> frozenset[NoticeKind]:
    """Return the wanted kinds; kinds that are newer than the row have their default."""
    return frozenset(kind for kind in NoticeKind if flags.get(kind, kind in default))


def _preferences(row: AnyRow) -> NoticePreferences:
    at = row.summary_time
    return NoticePreferences(
        email=_kinds(row.email, EMAIL_BY_DEFAULT),
        in_app=_kinds(row.in_app, IN_APP_BY_DEFAULT),
        summary_time=None if at is None else time.fromisoformat(at),
        zone=row.zone,
        summary_at=row.summary_at,
    )
