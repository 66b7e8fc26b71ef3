"""One-click unsubscribe links (RFC 8058), authenticated by an HMAC."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from workbell.domain.errors import Invalid, NotFound
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import NoticeKind


class EmailCategory(StrEnum):
    """A category of email that a user can unsubscribe from; ALL is every one."""

    REMINDERS = "reminders"
    ASSIGNMENT = "assignment"
    MENTION = "mention"
    COMMENT = "comment"
    STATUS = "status"
    SLA_WARNING = "sla_warning"
    SLA_BREACH = "sla_breach"
    SLA_ESCALATION = "sla_escalation"
    DAILY_SUMMARY = "daily_summary"
    ALL = "all"

    @classmethod
    def of(cls, kind: NoticeKind) -> "EmailCategory":
        """Return the category of a kind of notice."""
        return cls.REMINDERS if kind is NoticeKind.REMINDER else cls(kind.value)

    @property
    def kind(self) -> NoticeKind | None:
        """The kind of notice; None for ALL."""
        if self is EmailCategory.ALL:
            return None
        is_reminder = self is EmailCategory.REMINDERS
        return NoticeKind.REMINDER if is_reminder else NoticeKind(self.value)

    @property
    def label(self) -> str:
        """The name of the emails in a sentence, after "no more"."""
        return _LABELS[self]


_LABELS: Final = {
    EmailCategory.REMINDERS: "reminders",
    EmailCategory.ASSIGNMENT: "emails about assignments",
    EmailCategory.MENTION: "emails about mentions",
    EmailCategory.COMMENT: "emails about comments",
    EmailCategory.STATUS: "emails about status changes",
    EmailCategory.SLA_WARNING: "SLA warnings",
    EmailCategory.SLA_BREACH: "emails about SLA breaches",
    EmailCategory.SLA_ESCALATION: "SLA escalations",
    EmailCategory.DAILY_SUMMARY: "daily summaries",
    EmailCategory.ALL: "emails about tasks, projects and goals",
}


_TOKEN = re.compile(rf"({'|'.join(EmailCategory)})-([1-9][0-9]{{0,17}})-([0-9a-f]{{32}})", re.ASCII)


@frozen
class Unsubscription:
    """The user who unsubscribes, and from which category."""

    owner: UserId
    category: EmailCategory


@frozen
class UnsubscribeTokens:
    """
    Unsubscribe tokens: 128 bits of HMAC-SHA-256, valid without a login.

    They never expire, because links in old emails must work too. The first key
    signs new tokens; tokens of former keys stay valid.
    """

    _keys: Sequence[bytes] = field(repr=False)

    def make(self, unsubscription: Unsubscription) -> str:
        """Return the token of a link; Invalid if no key is configured."""
        if not self._keys:
            raise Invalid("Set WORKBELL_SECRET_KEY: it signs the unsubscribe links of emails.")
        return f"{unsubscription.category}-{unsubscription.owner}-{_mac(self._keys[0], unsubscription)}"

    def parse(self, token: str) -> Unsubscription:
        """Verify a token and return its contents, or raise NotFound."""
        if match := _TOKEN.fullmatch(token):
            unsubscription = Unsubscription(UserId(int(match[2])), EmailCategory(match[1]))
            macs = (_mac(key, unsubscription) for key in self._keys)
            if any(hmac.compare_digest(mac, match[3]) for mac in macs):
                return unsubscription
        raise NotFound("This unsubscribe link is invalid or incomplete.")


def _mac(key: bytes, unsubscription: Unsubscription) -> str:
    message = f"workbell unsubscribe\0{unsubscription.category}\0{unsubscription.owner}"
    return hmac.new(key, message.encode(), hashlib.sha256).hexdigest()[:32]
