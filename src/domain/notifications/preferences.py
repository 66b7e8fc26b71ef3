"""Preferences: which notices a user wants, on which channel, and when."""

from datetime import datetime, time
from typing import Final

from attrs import evolve, frozen

from workbell.domain.notifications.daily_time import daily_at
from workbell.domain.notifications.notice import NoticeChannel, NoticeKind

SUMMARY_TIME: Final = time(8)
"""When the daily summary is sent unless the user chose a time, in their zone."""
EMAIL_KINDS: Final = frozenset(NoticeKind) - {NoticeKind.REMINDER}
"""Kinds with a preference for email here; that of reminders belongs to the goals."""
EMAIL_BY_DEFAULT: Final = EMAIL_KINDS - {
    NoticeKind.COMMENT,
    NoticeKind.STATUS,
    NoticeKind.DAILY_SUMMARY,
}
IN_APP_BY_DEFAULT: Final = frozenset(NoticeKind)


@frozen(kw_only=True)
class NoticePreferences:
    """
    Which kinds of notices a user wants by email and in the application.

    Emails of reminders are created only for users who want them.

    Without `summary_time` the daily summary is sent at 08:00. `summary_at` is the
    next such time in `zone`; None if the summary is not wanted.
    """

    email: frozenset[NoticeKind] = EMAIL_BY_DEFAULT
    in_app: frozenset[NoticeKind] = IN_APP_BY_DEFAULT
    summary_time: time | None = None
    zone: str = ""
    summary_at: datetime | None = None

    def wants(self, kind: NoticeKind, channel: NoticeChannel) -> bool:
        """Whether the user wants notices of this kind on a channel."""
        if channel is NoticeChannel.IN_APP:
            return kind in self.in_app
        return kind in self.email or kind not in EMAIL_KINDS

    def without_email(self, kind: NoticeKind | None = None) -> "NoticePreferences":
        """Return the preferences without email of a kind, or (None) of all kinds."""
        return evolve(self, email=frozenset() if kind is None else self.email - {kind})

    def with_next_summary(self, now: datetime, zone: str) -> "NoticePreferences":
        """Return the preferences with `summary_at` computed after now."""
        if not self.wants(NoticeKind.DAILY_SUMMARY, NoticeChannel.EMAIL):
            return evolve(self, zone="", summary_at=None)
        at = daily_at(self.summary_time or SUMMARY_TIME, zone).next_after(now)
        return evolve(self, zone=zone, summary_at=at)
