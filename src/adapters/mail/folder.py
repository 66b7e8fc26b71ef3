"""A mailer that writes to a folder, for hosts without a mail server."""

import os
from datetime import datetime
from pathlib import Path
from typing import TextIO

from attrs import field, frozen

from workbell.adapters.logs import get_logger
from workbell.adapters.mail.message import sender_address, to_mime
from workbell.domain.errors import Unavailable
from workbell.ports.mail import Email
from workbell.ports.system import Clock, Ids

_log = get_logger(__name__)
MAX_PRUNED = 10_000


@frozen(kw_only=True)
class FolderMailer:
    """
    Writes each email to an .eml file, atomically; file names sort by time.

    `echo` (a terminal) gets the text too. The log gets recipient, subject and
    file only, because texts contain one-time codes.
    """

    folder: Path
    sender: str = field()
    clock: Clock
    ids: Ids
    echo: TextIO | None = None

    def __attrs_post_init__(self) -> None:
        """Check the sender."""
        sender_address(self.sender)

    def send(self, message: Email) -> None:
        """Write an email; raise Unavailable if the folder cannot be written."""
        now, name = self.clock.now(), self.ids.new()
        mime = to_mime(message, sender=self.sender, now=now, message_id=name)
        path = self.folder / f"{now:%Y%m%dT%H%M%S.%f}Z-{name}.eml"
        try:
            self._write(path, mime.as_bytes())
        except OSError as error:
            raise Unavailable("The mail folder cannot be written.", retry_after=30.0) from error
        _log.info("mail_written", to=message.to, subject=message.subject, file=str(path))
        if self.echo is not None:
            text = f"\nTo: {message.to}\nSubject: {message.subject}\n\n{message.text}\n"
            self.echo.write(text)
            self.echo.flush()

    def prune(self, before: datetime) -> int:
        """Delete emails written before a time, at most 10,000; return how many."""
        end = f"{before:%Y%m%dT%H%M%S.%f}Z"
        try:
            names = [entry.name for entry in os.scandir(self.folder) if entry.name < end]
            old = [name for name in names if name.endswith((".eml", ".tmp"))][:MAX_PRUNED]
            for name in old:
                (self.folder / name).unlink(missing_ok=True)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise Unavailable("The mail folder cannot be pruned.", retry_after=30.0) from error
        return len(old)

    def _write(self, path: Path, content: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(".tmp")
        try:
            descriptor = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temp.replace(path)
        finally:
            temp.unlink(missing_ok=True)
