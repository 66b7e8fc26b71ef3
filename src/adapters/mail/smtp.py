"""A mailer that sends to a mail server (RFC 5321)."""

import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from workbell.adapters.logs import get_logger
from workbell.adapters.mail.message import host_name, recipient_address, sender_address, to_mime
from workbell.domain.errors import Invalid, Unavailable
from workbell.ports.mail import Email
from workbell.ports.system import Clock, Ids

_log = get_logger(__name__)

_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@frozen(kw_only=True)
class SmtpServer:
    """Address, encryption and credentials of a mail server."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """
        Parse a URL with the scheme `smtp`, `smtps` or `smtp+starttls`.

        User and password are percent-encoded; ports default to 25, 465, 587.

        Raises:
            Invalid: The URL is not valid. The message does not contain it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = SplitResult("", "", "", "", ""), None
        if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"}:
            message = (
                "The URL must be smtp://, smtps:// or smtp+starttls://user:password@host:port."
            )
            raise Invalid.field("smtp_url", message)
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
    Sends each email over a new connection to a mail server.

    With `smtps` and `smtp+starttls` the connection must be encrypted and the
    server's certificate valid.
    """

    server: SmtpServer
    sender: str
    clock: Clock
    ids: Ids
    timeout: float = 10.0
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context

    def __attrs_post_init__(self) -> None:
        """Check the sender."""
        sender_address(self.sender)

    def send(self, message: Email) -> None:
        """
        Send an email.

        Raises:
            Invalid: The address or the subject is not valid, or the server
                has refused the address permanently.
            Unavailable: The mail server did not accept the email; retry later.
        """
        mime = to_mime(message, sender=self.sender, now=self.clock.now(), message_id=self.ids.new())
        try:
            self._deliver(mime, recipient_address(message))
        except (Invalid, Unavailable) as error:
            _log.warning("mail_failed", to=message.to, subject=message.subject, reason=error.detail)
            raise
        _log.info("mail_sent", to=message.to, subject=message.subject)

    def _deliver(self, message: EmailMessage, recipient: str) -> None:
        try:
            with self._connection() as connection:
                connection.send_message(message, sender_address(self.sender), [recipient])
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            if 500 <= code < 600:
                reason = f"The mail server refuses this address ({code})."
                raise Invalid.field("to", reason) from error
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
            with suppress(OSError, smtplib.SMTPException):  # the message is already accepted
                connection.quit()
        finally:
            connection.close()

    def _connect(self) -> smtplib.SMTP:
        host, port = self.server.host, self.server.port
        own_name = host_name(self.sender)
        if self.server.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, own_name, timeout=self.timeout, context=self.tls())
        return smtplib.SMTP(host, port, own_name, timeout=self.timeout)


def _unavailable(reason: str) -> Unavailable:
    return Unavailable(f"The mail server did not accept the message ({reason}).", retry_after=30.0)
