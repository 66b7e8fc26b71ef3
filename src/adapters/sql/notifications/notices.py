"""Notifications in SQL."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import ColumnElement, Connection, bindparam, delete, select, true, update

from workbell.adapters.sql.database.filters import count_ordered, force_index
from workbell.adapters.sql.database.statements import (
    AnyRow,
    chunks,
    row_to_dict,
)
from workbell.adapters.sql.database.strategy import Strategy
from workbell.adapters.sql.notifications.insert import notice_key
from workbell.adapters.sql.schema.notifications import notices
from workbell.adapters.sql.schema.tables import jobs
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobId, JobState
from workbell.domain.notifications.notice import (
    MailState,
    NoticeKind,
    Notification,
    NotificationId,
)

notices_c = notices.c
_IS_IN_APP = notices_c.in_app == true()  # MySQL has no index for "IS TRUE"
_WITH_JOB = select(notices, jobs.c.state, jobs.c.reason).outerjoin_from(
    notices, jobs, jobs.c.id == notices_c.mail_job_id
)
_ids = notices_c.id.in_(bindparam("ids", expanding=True))
_LOCK = select(notices).where(notices_c.id == bindparam("notice_id")).with_for_update()
_SET_JOB = (
    update(notices)
    .where(notices_c.id == bindparam("notice_id"))
    .values(mail_job_id=bindparam("job_id"))
)
_SET_MAIL = (
    update(notices)
    .where(notices_c.id == bindparam("notice_id"))
    .values(mail_state=bindparam("new_state"), mail_reason=bindparam("new_reason"))
)
_OLD = (
    select(notices_c.id)
    .where(notices_c.created_at < bindparam("before"))
    .order_by(notices_c.created_at)
    .limit(bindparam("limit"))
)


@frozen
class SqlNoticeRepository:
    """Notifications: one row per recipient of an event."""

    _db: Connection
    _strategy: Strategy

    def add(self, new: Sequence[Notification]) -> Sequence[Notification]:
        """Insert notifications whose (kind, key, user) is new; return those with their ids."""
        ids = self._strategy.insert_notices(self._db, new)
        known = ((ids.pop(notice_key(row), None), row) for row in new)
        return [evolve(row, id=NotificationId(id_)) for id_, row in known if id_ is not None]

    def set_mail_jobs(self, jobs: Mapping[NotificationId, JobId]) -> None:
        """Store the job that sends the email of each notification."""
        rows = [{"notice_id": key, "job_id": job} for key, job in sorted(jobs.items())]
        self._db.execute(_SET_JOB, rows)

    def get_for_update(self, notification_id: NotificationId) -> Notification:
        """Return a notification as stored, and lock its row, or raise NotFound."""
        row = self._db.execute(_LOCK, {"notice_id": notification_id}).one_or_none()
        if row is None:
            raise NotFound("There is no such notification.")
        return _from_values(row_to_dict(row))

    def set_mail(self, notification: Notification) -> None:
        """Store `mail_state` and `mail_reason`; the caller holds the row."""
        values = {
            "notice_id": notification.id,
            "new_state": str(notification.mail_state),
            "new_reason": notification.mail_reason,
        }
        self._db.execute(_SET_MAIL, values)

    def list_page(
        self,
        user_id: UserId,
        *,
        is_read: bool | None = None,
        before_id: NotificationId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Notification], int]:
        """Return a page of a user's in-app notifications, newest first, and their number."""
        index = "unread" if is_read is False else "user"
        newest = force_index(
            select(notices_c.id)
            .where(notices_c.user_id == user_id, _IS_IN_APP, *_is_read(is_read))
            .order_by(notices_c.id.desc()),
            notices,
            f"workbell_notices_{index}_idx",
        )
        page = newest if before_id is None else newest.where(notices_c.id < before_id)
        found = self._list(self._db.execute(page.offset(offset).limit(limit)).scalars().all())
        if before_id is not None:
            return found, 0
        return found, self._db.execute(count_ordered(newest)).scalar_one()

    def list_since(
        self, user_id: UserId, kinds: Collection[NoticeKind], since: datetime, *, limit: int
    ) -> Sequence[Notification]:
        """Return a user's notifications of some kinds since a time, newest first."""
        newest = (
            select(notices_c.id)
            .where(
                notices_c.user_id == user_id,
                notices_c.kind.in_(sorted(map(str, kinds))),
                notices_c.created_at >= since,
            )
            .order_by(notices_c.created_at.desc(), notices_c.id.desc())
        )
        return self._list(self._db.execute(newest.limit(limit)).scalars().all())

    def mark_read(
        self, user_id: UserId, ids: Collection[NotificationId] | None, now: datetime
    ) -> int:
        """Mark a user's unread notifications, or (None) all, as read; return how many."""
        unread = (
            update(notices)
            .where(
                notices_c.user_id == user_id,
                _IS_IN_APP,
                notices_c.read_at.is_(None),
            )
            .values(read_at=now)
        )
        if ids is None:
            return self._db.execute(unread).rowcount
        parts = chunks(sorted(set(ids)))
        return sum(self._db.execute(unread.where(_ids), {"ids": part}).rowcount for part in parts)

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` notifications created before a time; return how many."""
        ids = self._db.execute(_OLD, {"before": before, "limit": limit}).scalars().all()
        return self._db.execute(delete(notices).where(_ids), {"ids": ids}).rowcount if ids else 0

    def _list(self, ids: Sequence[int]) -> Sequence[Notification]:
        if not ids:
            return ()
        rows = {row.id: row for row in self._db.execute(_WITH_JOB.where(_ids), {"ids": ids})}
        return [_with_job(rows[id_]) for id_ in ids]


def _is_read(is_read: bool | None) -> Iterator[ColumnElement[bool]]:
    if is_read is not None:
        yield notices_c.read_at.is_not(None) if is_read else notices_c.read_at.is_(None)


def _with_job(row: AnyRow) -> Notification:
    values = row_to_dict(row)
    state, reason = values.pop("state"), values.pop("reason")
    return _from_values(values).with_job(None if state is None else JobState(state), reason)


def _from_values(values: dict[str, Any]) -> Notification:
    kind, state = NoticeKind(values["kind"]), MailState(values["mail_state"])
    return Notification(**values | {"kind": kind, "mail_state": state})
