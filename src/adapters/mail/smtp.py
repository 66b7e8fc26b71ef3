"""Mail to a mail server (RFC 5321)."""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
from attrs import field, frozen

from workbell.adapters.mail.message import host_name, recipient_address, sender_address, to_mime
from workbell.domain.errors import Invalid, Unavailable
from workbell.ports.mail import Email
from workbell.ports.system import Clock, Ids

_log = structlog.stdlib.get_logger(__name__)

_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@frozen(kw_only=True)
class SmtpServer:
    """Where a mail server is, how to speak to it and as whom."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        Return the server of a URL: `smtp`, `smtps` or `smtp+starttls`.

        User and password are percent-encoded; ports default to 25, 465, 587.

        Raises:
            Invalid: It is no such URL. The message never shows the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = SplitResult("", "", "", "", ""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"}:
            said = "A mail server is smtp://, smtps:// or smtp+starttls://user:password@host:port."
            raise Invalid.field("smtp_url", said)
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


@frozen(kw_only=True)
class SmtpMailer:
    """
    Hands each message to a mail server, over a connection of its own.

    With `smtps` and `smtp+starttls` the server's certificate is checked, and
    a server that does not encrypt gets nothing.
    """

    server: SmtpServer
    sender: str
    clock: Clock
    ids: Ids
    timeout: float = 10.0
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def __attrs_post_init__(self) -> None:
        """Refuse a sender that is no address."""
        sender_address(self.sender)

    def send(self, message: Email) -> None:
        """
        Hand one message over.

        Raises:
            Invalid: The address or the subject cannot be sent to, or the
                server says that it never will be.
            Unavailable: The mail server did not take it; trying again may help.
        """
        mime = to_mime(message, sender=self.sender, now=self.clock.now(), message_id=self.ids.new())
        try:
            self._hand_over(mime, recipient_address(message))
        except (Invalid, Unavailable) as error:
            _log.warning("mail_failed", to=message.to, subject=message.subject, why=error.detail)
            raise
        _log.info("mail_sent", to=message.to, subject=message.subject)

    def _hand_over(self, message: EmailMessage, recipient: str) -> None:
        try:
            with self._connection() as connection:
                connection.send_message(message, sender_address(self.sender), [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            if 500 <= code < 600:
                said = f"The mail server refuses this address ({code})."
                raise Invalid.field("to", said) from error
            raise _unavailable(f"recipient, {code}") from error
        except smtplib.SMTPResponseException as error:
            raise _unavailable(f"{type(error).__name__}, {error.smtp_code}") from error
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise _unavailable(type(error).__name__) from error

    @contextmanager
    def _connection(self) -> Iterator[smtplib.SMTP]:
        connection = self._connect()
        try:
            if self.server.scheme == "smtp+starttls":
                connection.starttls(context=self.tls())
            if self.server.user:
                connection.login(self.server.user, self.server.password)
            yield connection
            with suppress(OSError, smtplib.SMTPException):  # it has the message already
                connection.quit()
        finally:
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        host, port = self.server.host, self.server.port
        own_name = host_name(self.sender)
        if self.server.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, own_name, timeout=self.timeout, context=self.tls())
        return smtplib.SMTP(host, port, own_name, timeout=self.timeout)


def _unavailable(why: str) -> Unavailable:
    return Unavailable(f"The mail server did not take the message ({why}).", retry_after=30.0)
