"""Notifications in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice

from attrs import define, evolve

from workbell.adapters.memory.listing import count_rows
from workbell.adapters.memory.tables import Tables
from workbell.adapters.memory.values import in_utc, isolated_copy
from workbell.domain.errors import NotFound
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobId
from workbell.domain.notifications.notice import NoticeKind, Notification, NotificationId


@define(eq=False)
class MemoryNoticeRepository:
    """Notifications: one row per recipient of an event."""

    _tables: Tables

    def add(self, new: Sequence[Notification]) -> Sequence[Notification]:
        """Insert notifications whose (kind, key, user) is new; return those with their ids."""
        added = []
        for row in new:
            key = str(row.kind), row.key, row.user_id
            if self._tables.notice_keys.get(key) is not None:
                continue
            id_ = NotificationId(self._tables.notices.next_id())
            stored = evolve(in_utc(row), id=id_, data=isolated_copy(row.data))
            self._tables.notices.put(id_, stored)
            self._tables.notice_keys.put(key, id_)
            added.append(stored)
        return added

    def set_mail_jobs(self, jobs: Mapping[NotificationId, JobId]) -> None:
        """Store the job that sends the email of each notification."""
        for id_, job in jobs.items():
            self._tables.notices.put(id_, evolve(self.get_for_update(id_), mail_job_id=job))

    def get_for_update(self, notification_id: NotificationId) -> Notification:
        """Return a notification as stored, or raise NotFound."""
        found = self._tables.notices.get(notification_id)
        if found is None:
            raise NotFound("There is no such notification.")
        return found

    def set_mail(self, notification: Notification) -> None:
        """Store `mail_state` and `mail_reason`."""
        stored = self.get_for_update(notification.id)
        state, reason = notification.mail_state, notification.mail_reason
        self._tables.notices.put(stored.id, evolve(stored, mail_state=state, mail_reason=reason))

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
        found = [
            row
            for row in self._tables.notices
            if row.user_id == user_id
            and row.in_app
            and is_read in {None, row.read_at is not None}
            and (before_id is None or row.id < before_id)
        ][::-1]
        page = [self._with_job(row) for row in found[offset : offset + limit]]
        return page, count_rows(found) if before_id is None else 0

    def list_since(
        self, user_id: UserId, kinds: Collection[NoticeKind], since: datetime, *, limit: int
    ) -> Sequence[Notification]:
        """Return a user's notifications of some kinds since a time, newest first."""
        found = [
            row
            for row in self._tables.notices
            if row.user_id == user_id and row.kind in kinds and row.created_at >= since
        ]
        found.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        return [self._with_job(row) for row in found[:limit]]

    def mark_read(
        self, user_id: UserId, ids: Collection[NotificationId] | None, now: datetime
    ) -> int:
        """Mark a user's unread notifications, or (None) all, as read; return how many."""
        unread = [
            row
            for row in self._tables.notices
            if row.user_id == user_id
            and row.in_app
            and row.read_at is None
            and (ids is None or row.id in ids)
        ]
        for row in unread:
            self._tables.notices.put(row.id, evolve(row, read_at=now))
        return len(unread)

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` notifications created before a time; return how many."""
        old = list(islice((r for r in self._tables.notices if r.created_at < before), limit))
        for row in old:
            self._tables.notices.delete(row.id)
            self._tables.notice_keys.delete((str(row.kind), row.key, row.user_id))
        return len(old)

    def _with_job(self, row: Notification) -> Notification:
        job = None if row.mail_job_id is None else self._tables.jobs.get(row.mail_job_id)
        return row.with_job(None, None) if job is None else row.with_job(job.state, job.reason)
