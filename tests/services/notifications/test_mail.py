"""Emails: checks at the time of sending, and recorded states."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.services.notifications.conftest import TOKENS, NoticeFixture
from workbell.domain.errors import Invalid, NotFound, Unavailable, WorkbellError
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import MailState, NoticeKind, NotificationId
from workbell.domain.notifications.preferences import NoticePreferences
from workbell.domain.notifications.unsubscribe import EmailCategory, Unsubscription

pytestmark = pytest.mark.unit


def test_an_email_goes_to_the_accounts_address_verified_or_not(
    env: NoticeFixture, ann: UserId
) -> None:
    env.change_user(ann, is_email_verified=False)
    (row,) = env.notify(ann, data={"actor": "Ben"})
    sent = env.mails.send(row.id)

    assert sent.mail_state is MailState.SENT
    assert env.row(row.id) == sent
    (message,) = env.outbox.messages
    assert (message.to, message.subject) == ("ann@example.com", "Fix the door")
    assert message.text == "{'actor': 'Ben'}"
    assert message.message_id == row.message_id("https://bell.example")


def test_an_email_can_be_unsubscribed_from_by_kind_and_from_all(
    env: NoticeFixture, ann: UserId
) -> None:
    (row,) = env.notify(ann)
    env.mails.send(row.id)
    (message,) = env.outbox.messages
    links = [link.rpartition("/")[2] for link in (message.unsubscribe, message.html or "")]
    assert [TOKENS.parse(link) for link in links] == [
        Unsubscription(ann, EmailCategory.ASSIGNMENT),
        Unsubscription(ann, EmailCategory.ALL),
    ]


def test_a_sent_email_is_not_sent_again(env: NoticeFixture, ann: UserId) -> None:
    (row,) = env.notify(ann)
    first = env.mails.send(row.id)
    assert env.mails.send(row.id) == first
    assert len(env.outbox.messages) == 1


def test_an_email_that_was_not_accepted_is_sent_under_the_same_message_id(
    env: NoticeFixture, ann: UserId
) -> None:
    (row,) = env.notify(ann)
    env.outbox.error = Unavailable("down")
    for _ in range(5):
        with pytest.raises(Unavailable):
            env.mails.send(row.id)
    assert env.row(row.id).mail_state is MailState.PENDING
    env.outbox.error = None
    env.clock.at += timedelta(hours=1)
    assert env.mails.send(row.id).mail_state is MailState.SENT
    assert env.outbox.messages[0].message_id == row.message_id("https://bell.example")


@pytest.mark.parametrize("error", [Invalid("no such address"), Unavailable("down")])
def test_a_failed_attempt_does_not_use_up_the_quota(
    env: NoticeFixture, ann: UserId, error: WorkbellError
) -> None:
    rows = [*env.notify(ann), *[row for n in range(3) for row in env.notify(ann, key=str(n))]]
    env.outbox.error = error
    with pytest.raises(type(error)):
        env.mails.send(rows[0].id)
    env.outbox.error = None
    states = [env.mails.send(row.id).mail_state for row in rows[1:]]
    assert states == [MailState.SENT] * 3


def test_a_removed_member_gets_no_email_that_was_queued_before(
    env: NoticeFixture, ann: UserId, ben: UserId
) -> None:
    to_ann, to_ben = env.notify(ann, ben)
    env.removed.add(ann)
    suppressed = env.mails.send(to_ann.id)
    assert (suppressed.mail_state, suppressed.mail_reason) == (
        MailState.SUPPRESSED,
        "not_permitted",
    )
    assert env.row(to_ann.id) == suppressed
    assert env.mails.send(to_ben.id).mail_state is MailState.SENT
    assert [message.to for message in env.outbox.messages] == ["ben@example.com"]
    env.removed.clear()
    assert env.mails.send(to_ann.id) == suppressed


def test_an_email_unsubscribed_from_after_the_event_is_not_sent(
    env: NoticeFixture, ann: UserId
) -> None:
    (row,) = env.notify(ann)
    env.prefer(ann, NoticePreferences().without_email(NoticeKind.ASSIGNMENT))
    assert env.mails.send(row.id).mail_reason == "unsubscribed"
    assert env.outbox.messages == []


def test_an_inactive_account_gets_no_email(env: NoticeFixture, ann: UserId) -> None:
    (row,) = env.notify(ann)
    env.change_user(ann, is_active=False)
    (unknown,) = env.notify(UserId(99))
    for each in (row, unknown):
        assert env.mails.send(each.id).mail_reason == "inactive_account"


def test_emails_beyond_the_quota_of_a_recipient_are_suppressed(
    env: NoticeFixture, ann: UserId, ben: UserId
) -> None:
    rows = [env.notify(ann, ben, key=str(number)) for number in range(4)]
    results = [env.mails.send(to_ann.id) for to_ann, _ in rows]
    assert [each.mail_state for each in results] == [MailState.SENT] * 3 + [MailState.SUPPRESSED]
    assert results[-1].mail_reason == "quota"
    assert env.mails.send(rows[0][1].id).mail_state is MailState.SENT
    env.clock.at += timedelta(days=1)
    (later,) = env.notify(ann, key="later")
    assert env.mails.send(later.id).mail_state is MailState.SENT


def test_without_a_quota_all_emails_are_sent(env: NoticeFixture, ann: UserId) -> None:
    env.mails = evolve(env.mails, quota=None)
    rows = [row for number in range(9) for row in env.notify(ann, key=str(number))]
    assert {env.mails.send(row.id).mail_state for row in rows} == {MailState.SENT}
    env.outbox.error = Unavailable("down")
    (row,) = env.notify(ann)
    with pytest.raises(Unavailable):
        env.mails.send(row.id)


def test_the_content_is_decided_when_the_email_is_sent(env: NoticeFixture, ann: UserId) -> None:
    content: dict[str, str] | None = {"now": "fresh"}
    env.mails = evolve(env.mails, composers={NoticeKind.ASSIGNMENT: lambda _tx, _user, _: content})
    (first,) = env.notify(ann, data={"now": "stale"})
    env.mails.send(first.id)
    assert env.outbox.messages[0].text.startswith("{'now': 'fresh'}")
    content = None
    (second,) = env.notify(ann, key="second")
    assert env.mails.send(second.id).mail_reason == "not_needed"


def test_an_unknown_notification_is_not_found(env: NoticeFixture) -> None:
    with pytest.raises(NotFound):
        env.mails.send(NotificationId(99))
