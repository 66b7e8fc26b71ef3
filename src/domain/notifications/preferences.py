"""Preferences: which notices a user wants, on which channel, and when."""

from datetime import datetime, time
from typing import Final

from attrs import evolve, frozen

from workbell.domain.cron.rule import CronRule
from workbell.domain.errors import Invalid
from workbell.domain.notifications.notice import Channel, NoticeKind

STEP_MINUTES: Final = 15
"""Times are quarter hours: all UTC offsets are multiples of them."""
SUMMARY_TIME: Final = time(8)
"""When the daily summary is sent unless the user chose a time, in their zone."""
EMAIL_BY_DEFAULT: Final = frozenset(NoticeKind) - {
    NoticeKind.COMMENT,
    NoticeKind.STATUS,
    NoticeKind.DAILY_SUMMARY,
}
IN_APP_BY_DEFAULT: Final = frozenset(NoticeKind)


@frozen(kw_only=True)
class NoticePreferences:
    """
    Which kinds of notices a user wants by email and in the application.

    Without `summary_time` the daily summary is sent at 08:00. `summary_at` is the
    next such time in `zone`; None if the summary is not wanted.
    """

    email: frozenset[NoticeKind] = EMAIL_BY_DEFAULT
    in_app: frozenset[NoticeKind] = IN_APP_BY_DEFAULT
    summary_time: time | None = None
    zone: str = ""
    summary_at: datetime | None = None

    def wants(self, kind: NoticeKind, channel: Channel) -> bool:
        """Whether the user wants notices of this kind on a channel."""
        return kind in (self.email if channel is Channel.EMAIL else self.in_app)

    def without_email(self, kind: NoticeKind | None = None) -> "NoticePreferences":
        """Return the preferences without email of a kind, or (None) of all kinds."""
        return evolve(self, email=frozenset() if kind is None else self.email - {kind})

    def with_next_summary(self, now: datetime, zone: str) -> "NoticePreferences":
        """Return the preferences with `summary_at` computed after now."""
        if not self.wants(NoticeKind.DAILY_SUMMARY, Channel.EMAIL):
            return evolve(self, zone="", summary_at=None)
        at = daily_at(self.summary_time or SUMMARY_TIME, zone).next_after(now)
        return evolve(self, zone=zone, summary_at=at)


def check_quarter_hour(name: str, at: time | None) -> None:
    """Raise Invalid, naming the field, if a time is not a quarter hour."""
    if at is not None and (at.minute % STEP_MINUTES or at.second or at.microsecond or at.tzinfo):
        raise Invalid.field(name, "must be a quarter hour, such as 07:30")


def daily_at(at: time, zone: str) -> CronRule:
    """Return the rule of every day at a local time."""
    return CronRule(f"{at.minute} {at.hour} * * *", zone)


def quarter_hours() -> CronRule:
    """Return the rule of all times that users can choose."""
    return CronRule(f"*/{STEP_MINUTES} * * * *", "UTC")
