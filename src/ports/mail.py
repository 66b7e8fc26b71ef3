"""Mail: one message to one person."""

from typing import Protocol

from attrs import frozen


@frozen(kw_only=True)
class Email:
    """
    A plain-text message, with an HTML form beside it where there is one.

    `unsubscribe` is an address at which one POST, without signing in, ends
    mails of this kind (RFC 8058).
    """

    to: str
    subject: str
    text: str
    html: str | None = None
    message_id: str = ""
    unsubscribe: str = ""


class Mailer(Protocol):
    """Who carries a message out."""

    def send(self, message: Email) -> None:
        """
        Hand one message over.

        Raises:
            Invalid: The address or the subject cannot be sent to.
            Unavailable: The mail server did not take it; trying again may help.
        """
        ...
