"""Notices, their recipients, and preferences by kind and channel."""

from datetime import UTC, date, datetime, time
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import JobState
from workbell.domain.notifications.digest import MAX_ITEMS, Digest, DigestItem
from workbell.domain.notifications.notice import (
    MailState,
    Notice,
    NoticeChannel,
    NoticeKind,
    Notification,
    one_line,
)
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.domain.notifications.unsubscribe import EmailCategory

pytestmark = pytest.mark.unit

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ANN, BEN, CID = UserId(1), UserId(2), UserId(3)


def a_notice(**fields: Any) -> Notice:
    values: dict[str, Any] = {
        "kind": NoticeKind.COMMENT,
        "key": "comment:7",
        "recipients": [ANN],
        "title": "Title",
    }
    return Notice(**values | fields)


def a_notification(**fields: Any) -> Notification:
    shown = Notification.of(a_notice(), ANN, NOON, in_app=True, email=True)
    return evolve(shown, **fields)


def test_actors_and_the_system_are_not_notified_and_repeats_count_once() -> None:
    notice = a_notice(recipients=[CID, ANN, BEN, ANN, SYSTEM_ID], actor_id=BEN)
    assert notice.addressees() == [ANN, CID]
    assert a_notice(recipients=[BEN], actor_id=BEN).addressees() == []


def test_a_key_has_at_most_128_characters() -> None:
    a_notice(key="k" * 128)
    with pytest.raises(ValueError, match="128"):
        a_notice(key="k" * 129)


def test_a_long_title_is_truncated() -> None:
    row = Notification.of(a_notice(title="x" * 600), ANN, NOON, in_app=True, email=False)
    assert row.title == "x" * 500
    assert row.mail_state is MailState.NONE


def test_a_message_id_is_the_same_for_all_attempts_and_differs_otherwise() -> None:
    row = a_notification()
    first = row.message_id("https://a.example")
    assert first == evolve(row, mail_state=MailState.SENT).message_id("https://a.example")
    others = {
        row.message_id("https://b.example"),
        evolve(row, user_id=BEN).message_id("https://a.example"),
        evolve(row, key="other").message_id("https://a.example"),
        evolve(row, kind=NoticeKind.MENTION).message_id("https://a.example"),
    }
    assert len({first, *others}) == 5


@pytest.mark.parametrize(
    ("stored", "job", "shown"),
    [
        (MailState.PENDING, JobState.RUNNING, MailState.PENDING),
        (MailState.PENDING, JobState.SCHEDULED, MailState.PENDING),
        (MailState.PENDING, JobState.FAILED, MailState.FAILED),
        (MailState.PENDING, JobState.CANCELLED, MailState.FAILED),
        (MailState.PENDING, None, MailState.FAILED),
        (MailState.SENT, JobState.FAILED, MailState.SENT),
        (MailState.SUPPRESSED, None, MailState.SUPPRESSED),
        (MailState.NONE, None, MailState.NONE),
    ],
)
def test_a_pending_email_has_failed_if_its_job_has(
    stored: MailState, job: JobState | None, shown: MailState
) -> None:
    row = a_notification(mail_state=stored).with_job(job, "no route")
    assert row.mail_state is shown
    assert row.mail_reason == ("no route" if shown is MailState.FAILED else None)


@given(st.text(), st.integers(1, 300))
def test_a_line_has_no_line_break_and_is_not_longer_than_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.splitlines() in ([line], [])
    assert not any(ord(c) < 32 or ord(c) == 127 for c in line)


def test_a_line_keeps_what_is_printable() -> None:
    assert one_line(" Grüße\r\nBcc: x\x00\u2028y ") == "Grüße Bcc: x y"
    assert one_line("x" * 300) == "x" * 199 + "…"


def test_email_is_on_by_default_for_what_concerns_the_user() -> None:
    defaults = NoticePreferences()
    off = {NoticeKind.COMMENT, NoticeKind.STATUS, NoticeKind.DAILY_SUMMARY}
    for kind in NoticeKind:
        assert defaults.wants(kind, NoticeChannel.EMAIL) is (kind not in off)
        assert defaults.wants(kind, NoticeChannel.IN_APP)


def test_email_is_turned_off_by_kind_or_entirely() -> None:
    without = NoticePreferences().without_email(NoticeKind.MENTION)
    assert not without.wants(NoticeKind.MENTION, NoticeChannel.EMAIL)
    assert without.wants(NoticeKind.ASSIGNMENT, NoticeChannel.EMAIL)
    assert without.wants(NoticeKind.MENTION, NoticeChannel.IN_APP)
    assert NoticePreferences().without_email().email == frozenset()


def test_the_next_summary_is_at_eight_or_the_users_time() -> None:
    wanted = NoticePreferences(email=frozenset({NoticeKind.DAILY_SUMMARY}))
    at_eight = wanted.with_next_summary(NOON, "Europe/Berlin")
    assert at_eight.summary_at == datetime(2030, 1, 2, 7, tzinfo=UTC)
    assert at_eight.zone == "Europe/Berlin"
    own = evolve(wanted, summary_time=time(17, 45)).with_next_summary(NOON, "Europe/Berlin")
    assert own.summary_at == datetime(2030, 1, 1, 16, 45, tzinfo=UTC)
    off = evolve(at_eight, email=frozenset()).with_next_summary(NOON, "Europe/Berlin")
    assert (off.summary_at, off.zone) == (None, "")


def test_every_kind_has_a_category_and_a_label() -> None:
    categories = {EmailCategory.of(kind) for kind in NoticeKind}
    assert categories == set(EmailCategory) - {EmailCategory.ALL}
    assert {category.kind for category in EmailCategory} == {*NoticeKind, None}
    assert len({category.label for category in EmailCategory}) == len(EmailCategory)


def test_a_digest_lists_twenty_items_of_a_section_and_counts_the_others() -> None:
    items = [DigestItem(title=str(n), due=date(2030, 1, 1)) for n in range(MAX_ITEMS + 2)]
    digest = Digest(due=items)
    assert not digest.is_empty
    assert list(digest.as_data()) == ["due"]
    section = digest.as_data()["due"]
    assert (len(section["items"]), section["more"]) == (MAX_ITEMS, 2)
    assert section["items"][0] == {"title": "0", "due": "2030-01-01"}
    assert Digest().is_empty
    assert Digest().as_data() == {}
