"""Notifications on every store."""

from collections.abc import Sequence
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON, AnyStore
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.notifications.notice import (
    MailState,
    NoticeKind,
    Notification,
    NotificationId,
)

ANN, BEN = UserId(1), UserId(2)


def a_row(key: str, user_id: UserId = ANN, **fields: Any) -> Notification:
    values: dict[str, Any] = {
        "user_id": user_id,
        "kind": NoticeKind.ASSIGNMENT,
        "key": key,
        "title": "Fix the <b>door</b>",
        "data": {"actor": "Ben", "n": [1, None, "é"]},
        "created_at": NOON,
    }
    return Notification(**values | fields)


def add(store: AnyStore, *rows: Notification) -> list[Notification]:
    with store.begin() as tx:
        return list(tx.notices.add(rows))


def page(store: AnyStore, user_id: UserId = ANN, **conditions: Any) -> Sequence[str]:
    with store.view() as tx:
        return [row.key for row in tx.notices.list_page(user_id, **conditions)[0]]


def shown(store: AnyStore, user_id: UserId = ANN) -> Notification:
    with store.view() as tx:
        found: Notification = tx.notices.list_page(user_id)[0][0]
        return found


def test_a_notification_is_stored_as_it_was_given(store: AnyStore) -> None:
    given = a_row("k", actor_id=BEN, project_id=3, object_id=4, read_at=NOON)
    (added,) = add(store, given)

    assert added.id > 0
    assert added == evolve(given, id=added.id)
    assert shown(store) == added


def test_a_user_is_notified_of_an_event_once(store: AnyStore) -> None:
    add(store, a_row("k"))
    other_kind = a_row("k", kind=NoticeKind.MENTION)

    added = add(store, a_row("k", title="again"), a_row("k", BEN), other_kind, a_row("l"))

    assert [(row.key, row.user_id, row.kind) for row in added] == [
        ("k", BEN, NoticeKind.ASSIGNMENT),
        ("k", ANN, NoticeKind.MENTION),
        ("l", ANN, NoticeKind.ASSIGNMENT),
    ]
    assert len({row.id for row in added}) == 3
    with store.view() as tx:
        assert {row.title for row in tx.notices.list_page(ANN)[0]} == {"Fix the <b>door</b>"}


def test_keys_differ_by_case(store: AnyStore) -> None:
    assert len(add(store, a_row("k"), a_row("K"))) == 2


def test_hundreds_of_rows_are_added_at_once(store: AnyStore) -> None:
    add(store, a_row("7"))
    added = add(store, *[a_row(str(number)) for number in range(600)])
    assert [row.key for row in added] == [str(n) for n in range(600) if n != 7]


def test_concurrent_transactions_notify_a_user_once(store: AnyStore) -> None:
    barrier, added = Barrier(4), list[Notification]()

    def notify() -> None:
        barrier.wait()
        added.extend(add(store, *[a_row(str(number)) for number in range(20)]))

    threads = [Thread(target=notify) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(row.key for row in added) == sorted(map(str, range(20)))


def test_a_page_has_the_newest_in_app_notifications_of_the_user(store: AnyStore) -> None:
    rows = add(store, a_row("a"), a_row("b"), a_row("c", in_app=False), a_row("d"), a_row("e", BEN))

    assert page(store) == ["d", "b", "a"]
    assert page(store, limit=1, offset=1) == ["b"]
    assert page(store, before_id=rows[1].id) == ["a"]
    assert page(store, UserId(99)) == []
    with store.view() as tx:
        assert tx.notices.list_page(ANN, limit=1)[1] == 3
        assert tx.notices.list_page(ANN, before_id=rows[3].id)[1] == 0


def test_only_a_users_own_unread_notifications_are_marked_as_read(store: AnyStore) -> None:
    a, b, c, d = add(store, a_row("a"), a_row("b"), a_row("c"), a_row("d", BEN))

    with store.begin() as tx:
        assert tx.notices.mark_read(ANN, [a.id, d.id, NotificationId(999)], NOON) == 1
    assert page(store, is_read=True) == ["a"]
    assert page(store, is_read=False) == ["c", "b"]
    assert page(store, BEN, is_read=False) == ["d"]

    later = NOON + timedelta(hours=1)
    with store.begin() as tx:
        assert tx.notices.mark_read(ANN, [], later) == 0
        assert tx.notices.mark_read(ANN, None, later) == 2
        assert tx.notices.mark_read(ANN, None, later) == 0
    with store.view() as tx:
        read = {row.id: row.read_at for row in tx.notices.list_page(ANN)[0]}
    assert read == {a.id: NOON, b.id: later, c.id: later}


def test_notifications_since_a_time_are_listed_by_kind(store: AnyStore) -> None:
    hour, mention = timedelta(hours=1), NoticeKind.MENTION
    add(
        store,
        a_row("old", created_at=NOON - hour),
        a_row("now"),
        a_row("mail only", in_app=False, kind=mention, created_at=NOON + hour),
        a_row("status", kind=NoticeKind.STATUS),
        a_row("of ben", BEN),
    )
    with store.view() as tx:
        wanted = [NoticeKind.ASSIGNMENT, mention]
        found = [row.key for row in tx.notices.list_since(ANN, wanted, NOON, limit=9)]
        first = [row.key for row in tx.notices.list_since(ANN, wanted, NOON, limit=1)]
    assert found == ["mail only", "now"]
    assert first == ["mail only"]


def test_the_state_of_the_email_is_stored(store: AnyStore) -> None:
    (row,) = add(store, a_row("k", mail_state=MailState.PENDING))
    suppressed = evolve(row, mail_state=MailState.SUPPRESSED, mail_reason="quota")

    with store.begin() as tx:
        assert tx.notices.get_for_update(row.id) == row
        tx.notices.set_mail(suppressed)

    assert shown(store) == suppressed


def test_an_unknown_notification_is_not_found(store: AnyStore) -> None:
    with pytest.raises(NotFound), store.begin() as tx:
        tx.notices.get_for_update(NotificationId(999))


@pytest.mark.parametrize("state", [JobState.READY, JobState.CANCELLED, JobState.FAILED])
def test_a_pending_email_has_failed_if_its_job_has(store: AnyStore, state: JobState) -> None:
    (row,) = add(store, a_row("k", mail_state=MailState.PENDING))
    with store.begin() as tx:
        (job,) = tx.jobs.add([Job(task="t", due_at=NOON, created_at=NOON)], NOON)
        assert job is not None
        tx.notices.set_mail_jobs({row.id: job.id})
    assert shown(store).mail_state is MailState.PENDING
    with store.begin() as tx:
        before = tx.jobs.get_for_update(ALL_OWNERS, job.id)
        tx.jobs.replace(before, evolve(before, state=state, reason="no route"))

    failed = state is not JobState.READY
    assert shown(store).mail_state is (MailState.FAILED if failed else MailState.PENDING)
    assert shown(store).mail_reason == ("no route" if failed else None)


def test_a_pending_email_whose_job_is_gone_has_failed(store: AnyStore) -> None:
    (row,) = add(store, a_row("k", mail_state=MailState.PENDING))
    with store.begin() as tx:
        tx.notices.set_mail_jobs({row.id: JobId(12345)})

    assert shown(store).mail_state is MailState.FAILED
    with store.begin() as tx:
        tx.notices.set_mail(evolve(row, mail_state=MailState.SENT))
    assert shown(store).mail_state is MailState.SENT


def test_old_notifications_are_pruned_in_parts(store: AnyStore) -> None:
    old = NOON - timedelta(days=1)
    add(store, *[a_row(key, created_at=old) for key in "abc"], a_row("d"))

    with store.begin() as tx:
        assert tx.notices.prune(NOON, limit=2) == 2
        assert tx.notices.prune(NOON, limit=2) == 1
        assert tx.notices.prune(NOON, limit=2) == 0
    assert page(store) == ["d"]
    assert add(store, a_row("a")) != []
