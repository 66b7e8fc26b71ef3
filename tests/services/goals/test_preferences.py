"""Preferences: one resource, private, audited, and changed by links."""

from datetime import UTC, datetime, time

import pytest
from attrs import evolve

from tests.contract.factories import ManualClock, a_user
from workbell.adapters.memory.store import MemoryStore
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.goals.reminder import ReminderPreferences
from workbell.domain.identity.actor import Actor, ClientInfo
from workbell.domain.identity.user import KeyScope, UserId
from workbell.domain.notifications.notice import NoticeKind
from workbell.domain.notifications.preferences import EMAIL_BY_DEFAULT, NoticePreferences
from workbell.domain.notifications.unsubscribe import (
    EmailCategory,
    UnsubscribeTokens,
    Unsubscription,
)
from workbell.services.goals.preferences import Preferences, PreferenceService

pytestmark = pytest.mark.unit

TOKENS = UnsubscribeTokens([b"k" * 32])
SUMMARY = frozenset({NoticeKind.DAILY_SUMMARY})


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(ManualClock())


@pytest.fixture
def service(store: MemoryStore) -> PreferenceService:
    return PreferenceService(store=store, clock=store.clock, tokens=TOKENS)


@pytest.fixture
def ann(store: MemoryStore) -> Actor:
    with store.begin() as tx:
        return Actor(user_id=tx.users.add(a_user("ann", time_zone="Asia/Kolkata")).id)


@pytest.fixture
def ben(store: MemoryStore) -> Actor:
    with store.begin() as tx:
        return Actor(user_id=tx.users.add(a_user("ben")).id)


def token(actor: Actor, category: EmailCategory) -> str:
    return TOKENS.make(Unsubscription(actor.user_id, category))


def test_all_preferences_are_replaced_at_once(service: PreferenceService, ann: Actor) -> None:
    assert service.get(ann) == Preferences()
    wanted = Preferences(
        notices=NoticePreferences(email=SUMMARY, in_app=SUMMARY, summary_time=time(18)),
        reminders=ReminderPreferences(reminder_time=time(7, 30)),
    )
    service.save(ann, wanted)
    stored = service.get(ann)
    assert stored.notices.summary_at == datetime(2030, 1, 1, 12, 30, tzinfo=UTC)
    assert stored.reminders.next_at == datetime(2030, 1, 2, 2, tzinfo=UTC)
    assert (stored.notices.email, stored.notices.in_app) == (SUMMARY, SUMMARY)
    service.save(ann, Preferences())
    assert service.get(ann) == Preferences()


def test_changes_are_audited_by_field(
    service: PreferenceService, store: MemoryStore, ann: Actor
) -> None:
    changed = Preferences(
        notices=NoticePreferences(email=EMAIL_BY_DEFAULT - {NoticeKind.MENTION}),
        reminders=ReminderPreferences(reminder_time=time(7, 30)),
    )
    service.save(ann, changed)
    service.save(ann, changed)
    with store.view() as tx:
        (entry,) = tx.audit.latest()
    assert (entry.model_name, entry.object_id) == ("notification_preferences", str(ann.user_id))
    assert entry.changes == {"reminder_time": [None, "07:30"], "email.mention": [True, False]}


def test_times_are_quarter_hours_and_read_only_keys_change_nothing(
    service: PreferenceService, ann: Actor
) -> None:
    for wrong, name in (
        (Preferences(reminders=ReminderPreferences(reminder_time=time(7, 31))), "reminder_time"),
        (Preferences(notices=NoticePreferences(summary_time=time(7, 31))), "daily_summary_time"),
    ):
        with pytest.raises(Invalid) as caught:
            service.save(ann, wrong)
        assert list(caught.value.field_errors) == [name]
    with pytest.raises(NotAllowed):
        service.save(evolve(ann, key_scopes=frozenset({KeyScope.READ})), Preferences())


@pytest.mark.parametrize("category", EmailCategory)
def test_a_link_turns_off_its_category_for_one_user_and_may_be_used_twice(
    service: PreferenceService,
    store: MemoryStore,
    ann: Actor,
    ben: Actor,
    category: EmailCategory,
) -> None:
    everything = Preferences(notices=NoticePreferences(email=frozenset(NoticeKind)))
    service.save(ann, everything)
    before, others = service.get(ann), service.get(ben)
    entries = len(store._tables.audit)
    for _ in range(2):
        assert service.unsubscribe(token(ann, category), ClientInfo()).category is category

    after = service.get(ann)
    is_all, is_reminder = category is EmailCategory.ALL, category is EmailCategory.REMINDERS
    assert after.reminders.reminders is not (is_all or is_reminder)
    if not is_reminder:
        left = frozenset() if is_all else before.notices.email - {category.kind}
        assert after.notices.email == left
    assert after.notices.in_app == before.notices.in_app
    assert service.get(ben) == others
    assert len(store._tables.audit) == entries + 1


def test_parsing_a_link_changes_nothing_and_a_wrong_one_is_not_found(
    service: PreferenceService, ann: Actor
) -> None:
    link = token(ann, EmailCategory.MENTION)
    assert service.parse_unsubscribe_token(link).owner == ann.user_id
    assert service.get(ann) == Preferences()
    wrong = link[:-1] + ("0" if link[-1] != "0" else "1")
    with pytest.raises(NotFound):
        service.parse_unsubscribe_token(wrong)
    with pytest.raises(NotFound):
        service.unsubscribe(wrong, ClientInfo())
    unknown = Actor(user_id=UserId(99))
    with pytest.raises(NotFound):
        service.unsubscribe(token(unknown, EmailCategory.ALL), ClientInfo())
