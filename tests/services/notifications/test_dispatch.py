"""Events notify each recipient once, on the channels that they want."""

import pytest

from tests.services.notifications.conftest import NoticeFixture
from workbell.domain.identity.user import SYSTEM_ID, UserId
from workbell.domain.jobs.job import JobOrigin
from workbell.domain.notifications.notice import MailState, Notice, NoticeChannel, NoticeKind
from workbell.domain.notifications.preferences import EMAIL_BY_DEFAULT, NoticePreferences

pytestmark = pytest.mark.unit


def test_each_recipient_but_the_actor_is_notified(
    env: NoticeFixture, ann: UserId, ben: UserId
) -> None:
    added = env.notify(ann, ben, SYSTEM_ID, actor_id=ben, project_id=3, object_id=4)
    (row,) = added
    assert (row.user_id, row.actor_id, row.project_id, row.object_id) == (ann, ben, 3, 4)
    assert row.mail_state is MailState.PENDING
    (job,) = env.jobs()
    assert (job.task, job.origin, job.owner) == ("notifications.mail", JobOrigin.MAIL, SYSTEM_ID)
    assert job.parameters == {"notification": row.id}
    assert env.row(row.id).mail_job_id == job.id


def test_a_repeated_event_notifies_only_new_recipients(
    env: NoticeFixture, ann: UserId, ben: UserId
) -> None:
    env.notify(ann)
    assert env.notify(ann) == []
    assert [row.user_id for row in env.notify(ann, ben)] == [ben]
    assert len(env.jobs()) == 2
    assert len(env.notify(ann, kind=NoticeKind.SLA_BREACH)) == 1


def test_a_notice_without_recipients_adds_nothing(env: NoticeFixture, ann: UserId) -> None:
    assert env.notify() == env.notify(ann, actor_id=ann) == []
    with env.store.begin() as tx:
        assert env.notifier.notify(tx) == ()
    assert env.jobs() == []


@pytest.mark.parametrize("kind", NoticeKind)
def test_an_email_is_enqueued_only_if_it_is_wanted(
    env: NoticeFixture, ann: UserId, kind: NoticeKind
) -> None:
    (row,) = env.notify(ann, kind=kind)
    wanted = kind in EMAIL_BY_DEFAULT or kind is NoticeKind.REMINDER
    assert row.mail_state is (MailState.PENDING if wanted else MailState.NONE)
    assert len(env.jobs()) == wanted
    assert row.in_app


def test_an_event_is_recorded_even_if_no_channel_is_wanted(env: NoticeFixture, ann: UserId) -> None:
    env.prefer(ann, NoticePreferences(email=frozenset(), in_app=frozenset()))
    (row,) = env.notify(ann)
    assert (row.in_app, row.mail_state) == (False, MailState.NONE)
    env.prefer(ann, NoticePreferences())
    assert NoticePreferences().wants(row.kind, NoticeChannel.EMAIL)
    assert env.notify(ann) == []
    assert env.jobs() == []


def test_nothing_is_notified_if_the_transaction_fails(env: NoticeFixture, ann: UserId) -> None:
    notice = Notice(kind=NoticeKind.MENTION, key="k", recipients=[ann], title="t")

    def fail() -> None:
        with env.store.begin() as tx:
            env.notifier.notify(tx, notice)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert env.jobs() == []
    assert list(env.store._tables.notices) == []
