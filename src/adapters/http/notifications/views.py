"""Bodies of notifications and of their preferences."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time
from typing import Annotated, Any, Final

from attrs import Factory, asdict, frozen

from workbell.domain.constraints import Constraints
from workbell.domain.goals.reminder import ReminderPreferences
from workbell.domain.notifications.notice import MailState, NoticeKind, Notification
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.services.goals.preferences import Preferences

MAX_IDS: Final = 500
QuarterHour = Annotated[
    str | None,
    Constraints(
        pattern=r"([01][0-9]|2[0-3]):(00|15|30|45)",
        hint="must be a time in quarter hours, such as 07:30",
        example="07:30",
    ),
]


@frozen(kw_only=True, slots=False)
class EmailPreferences:
    """Which kinds of notifications are sent by email."""

    assignment: bool = True
    mention: bool = True
    comment: bool = False
    status: bool = False
    sla_warning: bool = True
    sla_breach: bool = True
    sla_escalation: bool = True
    daily_summary: bool = False


@frozen(kw_only=True, slots=False)
class InAppPreferences:
    """Which kinds of notifications are listed in the application."""

    assignment: bool = True
    mention: bool = True
    comment: bool = True
    status: bool = True
    sla_warning: bool = True
    sla_breach: bool = True
    sla_escalation: bool = True
    daily_summary: bool = True
    reminder: bool = True


@frozen(kw_only=True, slots=False)
class PreferencesBody:
    """
    Notification preferences; omitted fields are reset to their defaults.

    `reminders` are emails about idle goals, at `reminder_time`; null selects the
    default time of the service. The daily summary is sent at `daily_summary_time`;
    null selects 08:00. Both are in the time zone of the user's profile.
    """

    reminders: bool = True
    reminder_time: QuarterHour = None
    daily_summary_time: QuarterHour = None
    email: EmailPreferences = Factory(EmailPreferences)
    in_app: InAppPreferences = Factory(InAppPreferences)

    @classmethod
    def of(cls, preferences: Preferences) -> "PreferencesBody":
        """Return the body of preferences."""
        notices, reminders = preferences.notices, preferences.reminders
        return cls(
            reminders=reminders.reminders,
            reminder_time=_format_time(reminders.reminder_time),
            daily_summary_time=_format_time(notices.summary_time),
            email=EmailPreferences(**_flags(EmailPreferences(), notices.email)),
            in_app=InAppPreferences(**_flags(InAppPreferences(), notices.in_app)),
        )

    def to_preferences(self) -> Preferences:
        """Return the preferences of a body."""
        return Preferences(
            notices=NoticePreferences(
                email=_kinds(self.email),
                in_app=_kinds(self.in_app),
                summary_time=_parse_time(self.daily_summary_time),
            ),
            reminders=ReminderPreferences(
                reminders=self.reminders, reminder_time=_parse_time(self.reminder_time)
            ),
        )


@frozen(kw_only=True, slots=False)
class MailBody:
    """
    The state of a notification's email.

    `reason` says why an email was suppressed or has failed.
    """

    state: MailState
    reason: str | None


@frozen(kw_only=True, slots=False)
class NotificationBody:
    """
    A notification of the caller.

    `actor` is the id of the user who caused it; null is the service. `object_id`
    is the id of the task, if it is about one.
    """

    id: int
    kind: NoticeKind
    title: str
    project: int | None
    object_id: int | None
    actor: int | None
    data: Mapping[str, Any]
    mail: MailBody
    created_at: datetime
    read_at: datetime | None


@frozen(kw_only=True)
class ReadBody:
    """The notifications to mark as read; null means all."""

    ids: Annotated[Sequence[int] | None, Constraints(max_length=MAX_IDS)] = None


@frozen(kw_only=True, slots=False)
class MarkedBody:
    """How many notifications were unread before."""

    marked: int


def notification_body(notification: Notification) -> NotificationBody:
    """Return the body of a notification."""
    return NotificationBody(
        id=notification.id,
        kind=notification.kind,
        title=notification.title,
        project=notification.project_id,
        object_id=notification.object_id,
        actor=notification.actor_id,
        data=notification.data,
        mail=MailBody(state=notification.mail_state, reason=notification.mail_reason),
        created_at=notification.created_at,
        read_at=notification.read_at,
    )


def _flags(body: EmailPreferences | InAppPreferences, kinds: frozenset[NoticeKind]) -> Any:
    return {name: NoticeKind(name) in kinds for name in asdict(body)}


def _kinds(body: EmailPreferences | InAppPreferences) -> frozenset[NoticeKind]:
    return frozenset(NoticeKind(name) for name, is_wanted in asdict(body).items() if is_wanted)


def _format_time(at: time | None) -> str | None:
    return None if at is None else at.isoformat("minutes")


def _parse_time(text: str | None) -> time | None:
    return None if text is None else time.fromisoformat(text)
