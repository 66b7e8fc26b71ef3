"""Notification preferences in memory."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve

from workbell.adapters.memory.tables import Tables
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.preferences import NoticePreferences


@define(eq=False)
class MemoryNoticePreferenceRepository:
    """Preferences of users; users without a row have the defaults."""

    _tables: Tables

    def get(self, user_id: UserId) -> NoticePreferences:
        """Return a user's preferences, or the defaults."""
        return self._tables.notice_preferences.get(user_id) or NoticePreferences()

    def get_many(self, user_ids: Collection[UserId]) -> Mapping[UserId, NoticePreferences]:
        """Return the preferences of each of the users."""
        return {user_id: self.get(user_id) for user_id in user_ids}

    def save(self, user_id: UserId, preferences: NoticePreferences) -> None:
        """Insert or replace a user's preferences."""
        self._tables.notice_preferences.put(user_id, preferences)

    def list_due_summaries(self, now: datetime, *, limit: int) -> Sequence[UserId]:
        """Return users whose daily summary is due, longest overdue first."""
        found = [
            (row.summary_at, user_id)
            for user_id, row in self._tables.notice_preferences.rows.items()
            if row.summary_at is not None and row.summary_at <= now
        ]
        return [user_id for _, user_id in sorted(found)[:limit]]

    def set_next_summaries(
        self, preferences: Mapping[UserId, NoticePreferences], now: datetime
    ) -> None:
        """Store `zone` and `summary_at` of users, unless no longer due since they were read."""
        for user_id, after in preferences.items():
            before = self.get(user_id)
            if before.summary_at is not None and before.summary_at <= now:
                self.save(user_id, evolve(before, zone=after.zone, summary_at=after.summary_at))
