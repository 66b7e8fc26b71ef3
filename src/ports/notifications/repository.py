"""Repositories of notifications and preferences, and their transaction."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import JobId
from workbell.domain.notifications.notice import NoticeKind, Notification, NotificationId
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.ports.jobs.repository import JobsTx
from workbell.ports.rate_limits import RateLimitTx


class NoticeRepository(Protocol):
    """
    Notifications: one row per recipient of an event.

    In lists a pending email is FAILED if its job has failed, was cancelled or is
    gone; `mail_reason` is then that of the job.
    """

    def add(self, new: Sequence[Notification]) -> Sequence[Notification]:
        """
        Insert notifications, except those whose (kind, key, user) exists.

        Returns the inserted ones with their ids. Of concurrent transactions that
        insert the same row, the later ones wait and skip it.
        """

    def set_mail_jobs(self, jobs: Mapping[NotificationId, JobId]) -> None:
        """Store the job that sends the email of each notification."""

    def get_for_update(self, notification_id: NotificationId) -> Notification:
        """Return a notification as stored, and lock its row, or raise NotFound."""

    def set_mail(self, notification: Notification) -> None:
        """Store `mail_state` and `mail_reason`; the caller holds the row."""

    def list_page(
        self,
        user_id: UserId,
        *,
        is_read: bool | None = None,
        before_id: NotificationId | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> tuple[Sequence[Notification], int]:
        """
        Return a page of a user's in-app notifications, newest first, and their number.

        The number stops at `COUNT_CAP` + 1; it is 0 for pages after `before_id`.
        """

    def list_since(
        self, user_id: UserId, kinds: Collection[NoticeKind], since: datetime, *, limit: int
    ) -> Sequence[Notification]:
        """Return a user's notifications of some kinds since a time, newest first."""

    def mark_read(
        self, user_id: UserId, ids: Collection[NotificationId] | None, now: datetime
    ) -> int:
        """Mark a user's unread notifications, or (None) all, as read; return how many."""

    def prune(self, before: datetime, *, limit: int) -> int:
        """Delete up to `limit` notifications created before a time; return how many."""


class NoticePreferenceRepository(Protocol):
    """Preferences of users; users without a row have the defaults."""

    def get(self, user_id: UserId) -> NoticePreferences:
        """Return a user's preferences, or the defaults."""

    def get_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, NoticePreferences]:
        """Return the preferences of each of the users."""

    def save(self, user_id: UserId, preferences: NoticePreferences) -> None:
        """Insert or replace a user's preferences."""

    def list_due_summaries(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return users whose daily summary is due, longest overdue first."""

    def set_next_summaries(
        self, preferences: Mapping[UserId, NoticePreferences], now: datetime
    ) -> None:
        """Store `zone` and `summary_at` of users, unless no longer due since they were read."""


class NotificationsTx(JobsTx, RateLimitTx, Protocol):
    """The repositories that notifications use within one transaction."""

    @property
    def notices(self) -> NoticeRepository:
        """The notifications."""

    @property
    def preferences(self) -> NoticePreferenceRepository:
        """The preferences."""
