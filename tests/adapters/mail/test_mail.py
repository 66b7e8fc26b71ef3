"""Emails written to a folder, and sent to a real SMTP server."""

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from attrs import define, evolve
from structlog.testing import capture_logs

from tests.adapters.mail.conftest import Listening, Receiver, free_port
from workbell.adapters.mail.folder import FolderMailer
from workbell.adapters.mail.message import to_mime
from workbell.adapters.mail.smtp import SmtpMailer, SmtpServer
from workbell.domain.errors import Invalid, Unavailable
from workbell.ports.mail import Email

NOON = datetime(2030, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
SENDER = "Workbell <bell@example.com>"
EMAIL = Email(to="ana@example.com", subject="Grüße", text="Your code is 123456.\n")


@define
class Clock:
    def now(self) -> datetime:
        return NOON


@define
class SequentialIds:
    last: int = 0

    def new(self) -> str:
        self.last += 1
        return f"id{self.last}"


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def folder_mailer(folder: Path, **fields: Any) -> FolderMailer:
    return FolderMailer(folder=folder, sender=SENDER, clock=Clock(), ids=SequentialIds(), **fields)


@pytest.fixture(autouse=True)
def _fresh_logging() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


# messages


@pytest.mark.unit
def test_an_email_becomes_a_complete_message() -> None:
    message = to_mime(EMAIL, sender=SENDER, now=NOON, message_id="abc")
    read = parsed(message.as_bytes())
    assert read["From"] == SENDER
    assert read["To"] == "ana@example.com"
    assert read["Subject"] == "Grüße"
    assert read["Message-ID"] == "<abc@example.com>"
    assert read["Date"].datetime == NOON.replace(microsecond=0)
    assert read["Auto-Submitted"] == "auto-generated"
    assert read.get_content().strip() == "Your code is 123456."


@pytest.mark.unit
def test_html_is_an_alternative_and_a_message_id_is_preserved() -> None:
    message = evolve(EMAIL, html="<p>Hi</p>", message_id="<mine@example.org>")
    read = parsed(to_mime(message, sender=SENDER, now=NOON, message_id="abc").as_bytes())
    assert read["Message-ID"] == "<mine@example.org>"
    assert [part.get_content_type() for part in read.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]


@pytest.mark.unit
def test_the_unsubscribe_header_is_one_unfolded_line() -> None:
    """RFC 8058; folding would encode a long URL and break the link."""
    link = f"https://bell.example/{'x' * 200}"
    message = evolve(EMAIL, unsubscribe=link)
    content = to_mime(message, sender=SENDER, now=NOON, message_id="abc").as_bytes()
    assert f"\r\nList-Unsubscribe: <{link}>\r\n".encode() in content
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in content
    without = to_mime(EMAIL, sender=SENDER, now=NOON, message_id="abc")
    assert "List-Unsubscribe" not in without
    with pytest.raises(Invalid):
        to_mime(evolve(message, unsubscribe="a\nBcc: b"), sender=SENDER, now=NOON, message_id="x")


@pytest.mark.unit
def test_an_international_domain_is_sent_in_ascii() -> None:
    message = evolve(EMAIL, to="ana@bücher.example")
    mime = to_mime(message, sender=SENDER, now=NOON, message_id="abc")
    assert mime["To"] == "ana@xn--bcher-kva.example"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("to", "ana@example.com\r\nBcc: bob@example.com"),
        ("to", "ana@example.com, bob@example.com"),
        ("to", "Ana <ana@example.com>"),
        ("to", ""),
        ("subject", "Hi\r\nBcc: bob@example.com"),
        ("subject", "Hi\nthere"),
        ("subject", "Hi\u2028there"),
        ("subject", "Hi\0"),
        ("subject", "x" * 256),
        ("message_id", "a\r\nBcc: bob@example.com"),
    ],
)
def test_header_injection_is_refused(name: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        folder_mailer(tmp_path).send(evolve(EMAIL, **{name: text}))
    assert list(caught.value.field_errors) == [name]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.unit
@pytest.mark.parametrize("sender", ["", "Workbell", "a@example.com\r\nBcc: b@example.com"])
def test_an_invalid_sender_is_refused_at_once(sender: str, tmp_path: Path) -> None:
    server = SmtpServer.parse("smtp://localhost")
    for make in (
        lambda: evolve(folder_mailer(tmp_path), sender=sender),
        lambda: SmtpMailer(server=server, sender=sender, clock=Clock(), ids=SequentialIds()),
    ):
        with pytest.raises(Invalid) as caught:
            make()
        assert list(caught.value.field_errors) == ["mail_from"]


# folder


@pytest.mark.unit
def test_each_email_is_a_file_and_files_sort_by_time(tmp_path: Path) -> None:
    mailer = folder_mailer(tmp_path / "new" / "mail")
    mailer.send(EMAIL)
    mailer.send(EMAIL)
    names = sorted(path.name for path in mailer.folder.iterdir())
    assert names == ["20300101T120000.000005Z-id1.eml", "20300101T120000.000005Z-id2.eml"]
    path = mailer.folder / names[0]
    assert "123456" in parsed(path.read_bytes()).get_content()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.unit
def test_the_terminal_gets_the_code_and_the_log_does_not(tmp_path: Path) -> None:
    echo = StringIO()
    with capture_logs() as logs:
        folder_mailer(tmp_path, echo=echo).send(EMAIL)
    assert "123456" not in str(logs)
    assert [(log["to"], log["subject"]) for log in logs] == [("ana@example.com", "Grüße")]
    assert logs[0]["file"].endswith("id1.eml")
    assert "123456" in echo.getvalue()
    assert "ana@example.com" in echo.getvalue()


@pytest.mark.unit
def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        folder_mailer(tmp_path / "file").send(EMAIL)


@pytest.mark.unit
def test_a_file_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(Unavailable):
        folder_mailer(tmp_path).send(EMAIL)
    assert list(tmp_path.iterdir()) == []


# server URLs


@pytest.mark.unit
@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://localhost", SmtpServer(scheme="smtp", host="localhost", port=25)),
        ("smtps://mail.example.com", SmtpServer(scheme="smtps", host="mail.example.com", port=465)),
        (
            "smtp+starttls://ana%40x:p%2Fw@mail.example.com/",
            SmtpServer(
                scheme="smtp+starttls",
                host="mail.example.com",
                port=587,
                user="ana@x",
                password="p/w",
            ),
        ),
        ("smtp://[::1]:2525", SmtpServer(scheme="smtp", host="::1", port=2525)),
    ],
)
def test_a_url_is_parsed(url: str, server: SmtpServer) -> None:
    assert SmtpServer.parse(url) == server


@pytest.mark.unit
@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.com",
        "http://x",
        "smtp://",
        "smtp://u:secret@x:99999",
        "smtp://x/path",
        "smtp://[::1",
    ],
)
def test_the_error_for_an_invalid_url_does_not_contain_it(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        SmtpServer.parse(url)
    assert list(caught.value.field_errors) == ["smtp_url"]
    assert "secret" not in caught.value.detail


@pytest.mark.unit
def test_the_repr_does_not_contain_the_password() -> None:
    assert "secret" not in repr(SmtpServer.parse("smtp://u:secret@x"))


# the server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return key and certificate of `localhost` in one file."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is needed to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, crt = folder / "key.pem", folder / "crt.pem"
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(crt)]
    subprocess.run([openssl, *command.split(), *names], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + crt.read_bytes())
    return both


def serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> Callable[[], ssl.SSLContext]:
    return lambda: ssl.create_default_context(cafile=str(certificate))


def smtp_mailer(url: str, **fields: Any) -> SmtpMailer:
    server = SmtpServer.parse(url)
    mailer = SmtpMailer(
        server=server, sender=SENDER, clock=Clock(), ids=SequentialIds(), timeout=5.0
    )
    return evolve(mailer, **fields)


@pytest.mark.integration
def test_a_message_arrives_as_it_was_written(receiver: Receiver, listening: Listening) -> None:
    with capture_logs() as logs:
        smtp_mailer(f"smtp://127.0.0.1:{listening()}").send(EMAIL)
    [envelope] = receiver.envelopes
    assert envelope.mail_from == "bell@example.com"
    assert envelope.rcpt_tos == ["ana@example.com"]
    assert isinstance(envelope.content, bytes)
    assert parsed(envelope.content)["Subject"] == "Grüße"
    assert "123456" in parsed(envelope.content).get_content()
    assert "123456" not in str(logs)
    assert [log["event"] for log in logs] == ["mail_sent"]


@pytest.mark.integration
def test_an_error_after_the_message_is_ignored(receiver: Receiver, listening: Listening) -> None:
    receiver.breaks = True
    smtp_mailer(f"smtp://127.0.0.1:{listening()}").send(EMAIL)
    assert len(receiver.envelopes) == 1


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_user_and_password_are_sent(receiver: Receiver, listening: Listening) -> None:
    port = listening(
        authenticator=receiver.authenticate, auth_require_tls=False, auth_required=True
    )
    smtp_mailer(f"smtp://ana:right@127.0.0.1:{port}").send(EMAIL)
    assert receiver.logins == [(b"ana", b"right")]
    with pytest.raises(Unavailable, match="535"), capture_logs() as logs:
        smtp_mailer(f"smtp://ana:wrong@127.0.0.1:{port}").send(EMAIL)
    assert "wrong" not in str(logs)
    with pytest.raises(Unavailable):
        smtp_mailer(f"smtp://ana:w%C3%BCrong@127.0.0.1:{port}").send(EMAIL)


@pytest.mark.integration
def test_a_permanently_refused_address_is_invalid(receiver: Receiver, listening: Listening) -> None:
    receiver.to_recipients = "550 No such user"
    with pytest.raises(Invalid) as caught, capture_logs() as logs:
        smtp_mailer(f"smtp://127.0.0.1:{listening()}").send(EMAIL)
    assert list(caught.value.field_errors) == ["to"]
    assert [log["event"] for log in logs] == ["mail_failed"]


@pytest.mark.integration
def test_a_temporarily_refused_email_can_be_retried(
    receiver: Receiver, listening: Listening
) -> None:
    mailer = smtp_mailer(f"smtp://127.0.0.1:{listening()}")
    receiver.to_recipients = "450 Try later"
    with pytest.raises(Unavailable, match="450"):
        mailer.send(EMAIL)
    receiver.to_recipients, receiver.to_data = "250 OK", "554 Looks like spam"
    with pytest.raises(Unavailable, match="554"):
        mailer.send(EMAIL)


@pytest.mark.integration
def test_a_missing_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        smtp_mailer(f"smtp://127.0.0.1:{free_port()}").send(EMAIL)


@pytest.mark.integration
def test_a_silent_server_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mailer = smtp_mailer(f"smtp://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        with pytest.raises(Unavailable):
            mailer.send(EMAIL)


@pytest.mark.integration
def test_starttls_encrypts_and_checks_the_certificate(
    receiver: Receiver, listening: Listening, certificate: Path
) -> None:
    port = listening(tls_context=serving(certificate), require_starttls=True)
    url = f"smtp+starttls://localhost:{port}"
    smtp_mailer(url, tls=trusting(certificate)).send(EMAIL)
    assert len(receiver.envelopes) == 1
    with pytest.raises(Unavailable, match="SSLCertVerificationError"):
        smtp_mailer(url).send(EMAIL)
    assert len(receiver.envelopes) == 1


@pytest.mark.integration
def test_a_server_without_starttls_gets_nothing(receiver: Receiver, listening: Listening) -> None:
    with pytest.raises(Unavailable, match="SMTPNotSupportedError"):
        smtp_mailer(f"smtp+starttls://127.0.0.1:{listening()}").send(EMAIL)
    assert receiver.envelopes == []


@pytest.mark.integration
def test_smtps_encrypts_from_the_start(
    receiver: Receiver, certificate: Path, listening: Listening
) -> None:
    port = listening(ssl_context=serving(certificate), server_hostname="localhost")
    smtp_mailer(f"smtps://localhost:{port}", tls=trusting(certificate)).send(EMAIL)
    assert len(receiver.envelopes) == 1


def test_old_emails_in_the_folder_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "mail"
    mailer = FolderMailer(folder=folder, sender=SENDER, clock=Clock(), ids=SequentialIds())
    assert mailer.prune(NOON) == 0
    mailer.send(EMAIL)
    (folder / "notes.txt").touch()
    assert mailer.prune(NOON) == 0
    assert mailer.prune(NOON + timedelta(seconds=1)) == 1
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
