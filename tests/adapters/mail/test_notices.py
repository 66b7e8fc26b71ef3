"""Emails of notifications: content, inert values, and delivery to a real SMTP server."""

from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from html.parser import HTMLParser
from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from tests.adapters.mail.conftest import Listening, Receiver
from tests.contract.factories import ManualClock, a_user
from workbell.adapters.mail.message import to_mime
from workbell.adapters.mail.notices import JinjaNoticeRenderer
from workbell.adapters.mail.smtp import SmtpMailer, SmtpServer
from workbell.adapters.memory.store import MemoryStore
from workbell.adapters.system import UuidIds
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.digest import Digest, DigestItem
from workbell.domain.notifications.notice import MailState, Notice, NoticeKind, Notification
from workbell.domain.notifications.unsubscribe import UnsubscribeTokens
from workbell.ports.mail import Email
from workbell.ports.notifications.rendering import NoticeLinks, RenderedNotice
from workbell.services.notifications.dispatch import Notifier
from workbell.services.notifications.mail import NoticeMailService

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
URL = "https://bell.example"
RENDERER = JinjaNoticeRenderer()
LINKS = NoticeLinks(unsubscribe=f"{URL}/no-more", unsubscribe_all=f"{URL}/no-more-at-all")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;{{ 7 * 7 }}{% raw %}"


@define
class Elements(HTMLParser):
    """The elements and attributes of an HTML document."""

    tags: set[str] = field(factory=set[str])
    attributes: set[tuple[str, str | None]] = field(factory=set[tuple[str, str | None]])
    shown: list[str] = field(factory=list[str])

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(attrs)

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def parse(html: str) -> Elements:
    parser = Elements()
    parser.feed(html)
    parser.close()
    return parser


def render(
    kind: NoticeKind, title: str = "Fix the door", zone: str = "UTC", **data: Any
) -> RenderedNotice:
    row = Notification(user_id=UserId(1), kind=kind, key="k", title=title, created_at=NOON)
    return RENDERER.render(row, a_user("ann", time_zone=zone), data, LINKS)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("kind", "data", "subject", "sentence"),
    [
        ("assignment", {"actor": "Ben", "project": "House"}, "Assigned to you: Fix the door",
         'Ben assigned you "Fix the door" in House.'),
        ("assignment", {}, "Assigned to you: Fix the door",
         'Workbell assigned you "Fix the door".'),
        ("mention", {"actor": "Ben", "excerpt": "Look,\n@ann"}, "Ben mentioned you: Fix the door",
         'Ben mentioned you in "Fix the door".\n\n> Look,\n> @ann'),
        ("comment", {"actor": "Ben", "excerpt": "Done"}, "Ben commented: Fix the door",
         'Ben commented on "Fix the door".\n\n> Done'),
        ("status", {"actor": "Ben", "before": "TODO", "after": "DONE"},
         "Status changed: Fix the door", 'Ben moved "Fix the door" from TODO to DONE.'),
        ("sla_warning", {"clock": "first response", "deadline": "2030-01-01T16:00:00+00:00"},
         "SLA warning: Fix the door",
         ('The SLA of "Fix the door" will be breached soon: first response.\n'
         "Deadline: 2030-01-01 17:00 (Europe/Berlin)")),
        ("sla_breach", {"clock": "resolution", "deadline": "2030-01-01T16:00:00+00:00"},
         "SLA breached: Fix the door",
         ('The SLA of "Fix the door" is breached: resolution.\n'
         "The deadline was 2030-01-01 17:00 (Europe/Berlin).")),
        ("sla_escalation", {"minutes": 30}, "SLA escalation: Fix the door",
         'The SLA of "Fix the door" is still breached after 30 minutes.'),
        ("reminder", {"subject": "Your goal is waiting", "text": "You have not logged.\n"},
         "Your goal is waiting", "You have not logged."),
    ],
)  # fmt: skip
def test_each_kind_has_a_subject_and_says_what_happened(
    kind: str, data: dict[str, Any], subject: str, sentence: str
) -> None:
    rendered = render(NoticeKind(kind), zone="Europe/Berlin", **data)
    assert rendered.subject == subject
    assert f"Hello ann,\n\n{sentence}" in rendered.text
    shown = "".join(parse(rendered.html).shown)
    assert all(word in shown for word in sentence.replace('"', "").replace("> ", "").split())


@pytest.mark.unit
@pytest.mark.parametrize("kind", NoticeKind)
def test_each_email_links_to_both_ways_to_unsubscribe(kind: NoticeKind) -> None:
    rendered = render(kind)
    targets = {value for name, value in parse(rendered.html).attributes if name == "href"}
    assert targets == {LINKS.unsubscribe, LINKS.unsubscribe_all}
    for link in targets:
        assert f"{link}\n" in f"{rendered.text}\n"


@pytest.mark.unit
def test_a_daily_summary_lists_its_sections() -> None:
    digest = Digest(
        overdue=[DigestItem(title="Pay", due=date(2029, 12, 31))],
        assigned=[DigestItem(title=f"Task {n}") for n in range(22)],
    )
    row = render(NoticeKind.DAILY_SUMMARY, "Daily summary of 2030-01-01", **digest.as_data())
    assert row.subject == "Daily summary of 2030-01-01"
    assert "Overdue:\n  - Pay (2029-12-31)\n\nAssigned to you:\n  - Task 0\n" in row.text
    assert "  - Task 19\n  - and 2 more\n" in row.text
    assert "Due today" not in row.text
    assert "Pay (2029-12-31)" in "".join(parse(row.html).shown)


@pytest.mark.unit
@pytest.mark.parametrize("kind", NoticeKind)
def test_hostile_values_are_shown_as_text(kind: NoticeKind) -> None:
    item = DigestItem(title=HOSTILE)
    data = dict.fromkeys(
        ("actor", "project", "excerpt", "before", "after", "clock", "text"), HOSTILE
    )
    rendered = render(kind, HOSTILE, subject=HOSTILE, **data, **Digest(due=[item]).as_data())
    document = parse(rendered.html)
    plain = parse(render(kind, subject="x").html)
    assert document.tags <= plain.tags | {"blockquote", "h2", "ul", "li"}
    assert {name for name, _ in document.attributes} <= {
        "lang", "charset", "name", "content", "style", "href"
    }  # fmt: skip
    assert HOSTILE in "".join(document.shown)


@pytest.mark.unit
@given(st.text(max_size=300), st.sampled_from(NoticeKind))
def test_no_title_injects_a_header(title: str, kind: NoticeKind) -> None:
    rendered = render(kind, title, actor=title, subject=title)
    email = Email(to="ann@example.com", subject=rendered.subject, text="x")
    mime = to_mime(email, sender="w@example.com", now=NOON, message_id="m")
    names = message_from_bytes(mime.as_bytes(), policy=policy.default).keys()
    assert set(names) == set(to_mime(email, sender="w@example.com", now=NOON, message_id="m"))
    assert "Bcc" not in names


@pytest.mark.unit
def test_control_characters_are_removed_and_long_excerpts_truncated() -> None:
    rendered = render(NoticeKind.COMMENT, excerpt=f"\x1b[31mred\r\n{'x' * 600}", actor="B\x00en")
    assert "> [31mred\n> xxx" in rendered.text
    assert "\x1b" not in rendered.text + rendered.html
    assert "Ben commented" in rendered.text
    assert f"{'x' * 480}" in rendered.text
    assert "x…" in rendered.text
    assert "x" * 500 not in rendered.text


@pytest.mark.integration
def test_a_notification_arrives_at_a_mail_server(listening: Listening, receiver: Receiver) -> None:
    clock = ManualClock()
    store, port = MemoryStore(clock), listening()
    mailer = SmtpMailer(
        server=SmtpServer.parse(f"smtp://127.0.0.1:{port}"),
        sender="Workbell <bell@example.com>",
        clock=clock,
        ids=UuidIds(),
    )
    service = NoticeMailService(
        store=store,
        clock=clock,
        mailer=mailer,
        renderer=RENDERER,
        tokens=UnsubscribeTokens([b"k" * 32]),
        public_url=URL,
    )
    with store.begin() as tx:
        ann = tx.users.add(a_user("ann")).id
        notice = Notice(
            kind=NoticeKind.SLA_BREACH,
            key="clock:1",
            recipients=[ann],
            title="Fix <b>it</b>\r\nBcc: eve@example.com",
        )
        (row,) = Notifier(clock=clock).notify(tx, notice)

    assert service.send(row.id).mail_state is MailState.SENT

    (envelope,) = receiver.envelopes
    assert envelope.rcpt_tos == ["ann@example.com"]
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=policy.default)
    assert message["Subject"] == "SLA breached: Fix <b>it</b> Bcc: eve@example.com"
    assert message["Bcc"] is None
    assert message["Message-ID"] == row.message_id(URL)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(message["List-Unsubscribe"]).strip("<>")
    assert link.startswith(f"{URL}/api/v1/unsubscribe/sla_breach-{ann}-")
    text, html = (part.get_content() for part in message.iter_parts())
    assert link in text
    assert "Fix &lt;b&gt;it&lt;/b&gt;" in html
