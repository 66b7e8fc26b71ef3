"""Notices: an event, and the notification of it that each recipient gets."""

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, NewType

from attrs import Factory, evolve, field, frozen, validators

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import JobId, JobState

NotificationId = NewType("NotificationId", int)

MAX_KEY_LENGTH: Final = 128
MAX_TITLE_LENGTH: Final = 500
MAX_SUBJECT_LENGTH: Final = 200
_LOST: Final = frozenset({None, JobState.FAILED, JobState.CANCELLED})
_NOT_PRINTED: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class NoticeKind(StrEnum):
    """The kind of event that a notice announces."""

    ASSIGNMENT = "assignment"
    MENTION = "mention"
    COMMENT = "comment"
    STATUS = "status"
    SLA_WARNING = "sla_warning"
    SLA_BREACH = "sla_breach"
    SLA_ESCALATION = "sla_escalation"
    DAILY_SUMMARY = "daily_summary"
    REMINDER = "reminder"


class NoticeChannel(StrEnum):
    """A way in which a notification reaches its recipient."""

    IN_APP = "in_app"
    EMAIL = "email"


class MailState(StrEnum):
    """
    The state of a notification's email.

    NONE: not wanted when the event happened. SUPPRESSED: no longer wanted or not
    allowed when it was due to be sent. FAILED: its job has failed, was cancelled
    or is gone.
    """

    NONE = "none"
    PENDING = "pending"
    SENT = "sent"
    SUPPRESSED = "suppressed"
    FAILED = "failed"


class SuppressionReason(StrEnum):
    """Why an email was not sent."""

    INACTIVE_ACCOUNT = "inactive_account"
    UNSUBSCRIBED = "unsubscribed"
    NOT_PERMITTED = "not_permitted"
    QUOTA = "quota"
    NOT_NEEDED = "not_needed"


@frozen(kw_only=True)
class Notice:
    """
    An event of which users are to be notified.

    Attributes:
        kind: The kind of event.
        key: Identifies the event within its kind, at most 128 characters: an
            event with the same kind and key notifies each recipient once.
        recipients: Users; the actor and the system are left out.
        actor_id: The user who caused it; None is the service itself.
        project_id: Its project, or None.
        object_id: Its object, such as a work item, or None.
        title: The title of the object, as plain text of any kind.
        data: JSON values for the templates; see `docs/notifications.md`.
    """

    kind: NoticeKind
    key: str = field(validator=validators.max_len(MAX_KEY_LENGTH))
    recipients: Sequence[UserId]
    actor_id: UserId | None = None
    project_id: int | None = None
    object_id: int | None = None
    title: str
    data: Mapping[str, Any] = Factory(dict[str, Any])

    def addressees(self) -> Sequence[UserId]:
        """Return the recipients by id, without repeats, the actor and the system."""
        return sorted(set(self.recipients) - {SYSTEM_ID, self.actor_id})


@frozen(kw_only=True)
class Notification:
    """
    A notice as one recipient gets it.

    `in_app`: whether the recipient's list shows it. `mail_job_id` is the job that
    sends the email; `mail_reason` says why an email was suppressed or has failed.
    """

    id: NotificationId = NotificationId(0)
    user_id: UserId
    kind: NoticeKind
    key: str
    actor_id: UserId | None = None
    project_id: int | None = None
    object_id: int | None = None
    title: str
    data: Mapping[str, Any] = Factory(dict[str, Any])
    in_app: bool = True
    mail_state: MailState = MailState.NONE
    mail_reason: str | None = None
    mail_job_id: JobId | None = None
    created_at: datetime
    read_at: datetime | None = None

    @classmethod
    def of(
        cls, notice: Notice, user_id: UserId, now: datetime, *, in_app: bool, email: bool
    ) -> "Notification":
        """Return the notification of a recipient who wants it on these channels."""
        return cls(
            user_id=user_id,
            kind=notice.kind,
            key=notice.key,
            actor_id=notice.actor_id,
            project_id=notice.project_id,
            object_id=notice.object_id,
            title=notice.title[:MAX_TITLE_LENGTH],
            data=notice.data,
            in_app=in_app,
            mail_state=MailState.PENDING if email else MailState.NONE,
            created_at=now,
        )

    def with_job(self, state: JobState | None, reason: str | None) -> "Notification":
        """Return it as FAILED if it is pending and its job (None: gone) has not sent it."""
        if self.mail_state is not MailState.PENDING or state not in _LOST:
            return self
        return evolve(self, mail_state=MailState.FAILED, mail_reason=reason)

    def message_id(self, origin: str) -> str:
        """Return the Message-ID of the email, the same for all attempts to send it."""
        parts = (origin, self.kind, self.key, str(self.user_id), self.created_at.isoformat())
        return f"<{sha256(chr(0).join(parts).encode()).hexdigest()[:32]}@workbell>"


def one_line(text: str, limit: int = MAX_SUBJECT_LENGTH) -> str:
    """Return a text as one line without control characters, at most `limit` long."""
    shown = (" " if unicodedata.category(c) in _NOT_PRINTED else c for c in text)
    line = " ".join("".join(shown).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
