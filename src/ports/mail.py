"""Sending of email."""

from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Email:
    """
    A plain-text email with an optional HTML alternative.

    `unsubscribe` is a URL at which one POST, without a login, unsubscribes the
    recipient from this category (RFC 8058).
    """

    to: str
    subject: str
    text: str
    html: str | None = None
    message_id: str = ""
    unsubscribe: str = ""


class Mailer(Protocol):
    """Delivers email."""

    def send(self, message: Email) -> None:
        """
        Deliver one email.

        Raises:
            Invalid: The address or the subject is not valid.
            Unavailable: The mail server is unreachable or rejected it; retry.
        """
