"""A letter as an Internet message (RFC 5322)."""

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
"""A line may have 998 characters (RFC 5322, section 2.1.1)."""


class _UnfoldedHeader(UnstructuredHeader, BaseHeader):
    """A header that stays on one line: folded, a long address would be encoded."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        return f"{self.name}: {self}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("List-Unsubscribe", _UnfoldedHeader)
_POLICY = SMTP.clone(header_factory=_HEADERS)


def to_mime(letter: Email, *, sender: str, now: datetime, message_id: str) -> EmailMessage:
    """
    Return the message to send; `message_id` is used unless the letter has one.

    Raises:
        Invalid: The address or a header is not one line of plain text.
    """
    _check_line("subject", letter.subject, MAX_SUBJECT_LENGTH)
    _check_line("message_id", letter.message_id, MAX_SUBJECT_LENGTH)
    chosen = letter.message_id or f"{message_id}@{host_name(sender)}"
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = recipient_address(letter)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{chosen.strip('<>')}>"
    message["Auto-Submitted"] = "auto-generated"
    if letter.unsubscribe:
        _check_line("unsubscribe", letter.unsubscribe, MAX_ADDRESS_LENGTH)
        message["List-Unsubscribe"] = f"<{letter.unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
    return message


def recipient_address(letter: Email) -> str:
    """
    Return the one address that a letter goes to, as mail servers take it.

    Raises:
        Invalid: It is not an address.
    """
    address = ascii_address(letter.to)
    if address is None:
        raise Invalid.field("to", "This is not an e-mail address.")
    return address


def sender_address(sender: str) -> str:
    """
    Return the bare address of a sender such as `Workbell <bell@example.com>`.

    Raises:
        Invalid: There is none in it.
    """
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
        raise Invalid.field(name, f"This is not one line of at most {limit} characters.")
