"""Emails as Internet messages (RFC 5322)."""

import unicodedata
from datetime import datetime
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime, parseaddr
from typing import Any

from workbell.domain.errors import Invalid
from workbell.domain.identity.user import ascii_address
from workbell.ports.mail import Email

MAX_SUBJECT_LENGTH = 255
MAX_ADDRESS_LENGTH = 900
"""Lines have at most 998 characters (RFC 5322, section 2.1.1)."""


class _UnfoldedHeader(UnstructuredHeader, BaseHeader):
    """A header on one line, because folding would encode a long URL."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("List-Unsubscribe", _UnfoldedHeader)
_POLICY = SMTP.clone(header_factory=_HEADERS)


def to_mime(message: Email, *, sender: str, now: datetime, message_id: str) -> EmailMessage:
    """
    Convert an email; `message_id` is used unless the email has its own.

    Raises:
        Invalid: The address is not valid, or a header is not one line.
    """
    _check_line("subject", message.subject, MAX_SUBJECT_LENGTH)
    _check_line("message_id", message.message_id, MAX_SUBJECT_LENGTH)
    chosen_id = message.message_id or f"{message_id}@{host_name(sender)}"
    mime = EmailMessage(policy=_POLICY)
    mime["From"] = sender
    mime["To"] = recipient_address(message)
    mime["Subject"] = message.subject
    mime["Date"] = format_datetime(now)
    mime["Message-ID"] = f"<{chosen_id.strip('<>')}>"
    mime["Auto-Submitted"] = "auto-generated"
    if message.unsubscribe:
        _check_line("unsubscribe", message.unsubscribe, MAX_ADDRESS_LENGTH)
        mime["List-Unsubscribe"] = f"<{message.unsubscribe}>"
        mime["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mime.set_content(message.text)
    if message.html is not None:
        mime.add_alternative(message.html, subtype="html")
    return mime


def recipient_address(message: Email) -> str:
    """Return the recipient's address, with the domain in ASCII."""
    address = ascii_address(message.to)
    if address is None:
        raise Invalid.field("to", "This is not an e-mail address.")
    return address


def sender_address(sender: str) -> str:
    """Return the bare address of a sender such as `Name <a@example.com>`."""
    _check_line("mail_from", sender, MAX_SUBJECT_LENGTH)
    address = ascii_address(parseaddr(sender)[1])
    if address is None:
        raise Invalid.field("mail_from", "This is not an e-mail address.")
    return address


def host_name(sender: str) -> str:
    """Return the domain of a sender's address."""
    return sender_address(sender).rpartition("@")[2]


def _check_line(name: str, text: str, limit: int) -> None:
    if len(text) > limit or any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text):
        raise Invalid.field(name, f"This must be one line of at most {limit} characters.")
