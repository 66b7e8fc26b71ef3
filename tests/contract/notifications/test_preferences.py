"""Notification preferences on every store."""

from datetime import time, timedelta

from tests.contract.factories import NOON, AnyStore
from workbell.domain.identity.user import UserId
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.preferences import NoticePreferences

ANN, BEN, CID = UserId(1), UserId(2), UserId(3)
SUMMARY = NoticePreferences(
    email=frozenset({NoticeKind.DAILY_SUMMARY, NoticeKind.COMMENT}),
    in_app=frozenset({NoticeKind.MENTION}),
    summary_time=time(7, 30),
).with_next_summary(NOON, "Asia/Kolkata")


def save(store: AnyStore, user_id: UserId, preferences: NoticePreferences) -> None:
    with store.begin() as tx:
        tx.preferences.save(user_id, preferences)


def test_preferences_are_stored_and_default_otherwise(store: AnyStore) -> None:
    for wanted in (SUMMARY, NoticePreferences(), NoticePreferences(email=frozenset())):
        save(store, ANN, wanted)
        with store.view() as tx:
            assert tx.preferences.get(ANN) == wanted
            assert tx.preferences.get(BEN) == NoticePreferences()


def test_preferences_of_many_users_are_read_at_once(store: AnyStore) -> None:
    save(store, BEN, SUMMARY)
    ids = [UserId(number) for number in range(1, 1200)]
    with store.view() as tx:
        found = dict(tx.preferences.get_many(ids))
        assert tx.preferences.get_many([]) == {}
    assert list(found) == ids
    assert found.pop(BEN) == SUMMARY
    assert set(map(repr, found.values())) == {repr(NoticePreferences())}


def test_due_summaries_are_listed_longest_overdue_first(store: AnyStore) -> None:
    at = SUMMARY.summary_at
    assert at is not None
    later = SUMMARY.with_next_summary(at, "Asia/Kolkata")
    save(store, ANN, later)
    save(store, BEN, SUMMARY)
    save(store, CID, NoticePreferences())

    with store.view() as tx:
        assert list(tx.preferences.list_due_summaries(at, limit=9)) == [BEN]
        both = at + timedelta(days=1)
        assert list(tx.preferences.list_due_summaries(both, limit=9)) == [BEN, ANN]
        assert list(tx.preferences.list_due_summaries(both, limit=1)) == [BEN]


def test_next_summaries_are_stored_unless_the_user_changed_theirs(store: AnyStore) -> None:
    at = SUMMARY.summary_at
    assert at is not None
    later = SUMMARY.with_next_summary(at, "Europe/Berlin")
    save(store, ANN, SUMMARY)
    save(store, BEN, NoticePreferences())

    with store.begin() as tx:
        tx.preferences.set_next_summaries({}, at)
        tx.preferences.set_next_summaries({ANN: later, BEN: later, CID: later}, at)

    with store.view() as tx:
        assert tx.preferences.get(ANN) == later
        assert tx.preferences.get(BEN) == tx.preferences.get(CID) == NoticePreferences()
