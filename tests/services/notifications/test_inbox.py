"""A user's own notifications."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.services.notifications.conftest import NoticeFixture
from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import ANONYMOUS, Actor
from workbell.domain.identity.user import KeyScope, UserId
from workbell.services.notifications.inbox import BATCH, MAX_AGE, NotificationService

pytestmark = pytest.mark.unit


@pytest.fixture
def inbox(env: NoticeFixture) -> NotificationService:
    return NotificationService(store=env.store, clock=env.clock)


def test_users_see_and_mark_their_own_notifications_only(
    env: NoticeFixture, inbox: NotificationService, ann: UserId, ben: UserId
) -> None:
    to_ann, to_ben = env.notify(ann, ben)
    rows, count = inbox.list_page(Actor(user_id=ann))
    assert ([row.id for row in rows], count) == ([to_ann.id], 1)
    assert inbox.mark_read(Actor(user_id=ann), [to_ann.id, to_ben.id]) == 1
    assert inbox.list_page(Actor(user_id=ann), is_read=False) == ([], 0)
    assert inbox.list_page(Actor(user_id=ben), is_read=False)[1] == 1
    assert inbox.list_page(Actor(user_id=ben, is_super_user=True))[1] == 1


def test_marking_is_audited_if_it_changes_something(
    env: NoticeFixture, inbox: NotificationService, ann: UserId
) -> None:
    env.notify(ann)
    assert [inbox.mark_read(Actor(user_id=ann), None) for _ in range(2)] == [1, 0]
    with env.store.view() as tx:
        (entry,) = tx.audit.latest()
    assert (entry.model_name, entry.changes) == ("notification", {"read": [0, 1]})


def test_a_read_only_key_cannot_mark_and_the_system_has_no_inbox(
    env: NoticeFixture, inbox: NotificationService, ann: UserId
) -> None:
    reader = evolve(Actor(user_id=ann), key_scopes=frozenset({KeyScope.READ}))
    assert inbox.list_page(reader) == ([], 0)
    with pytest.raises(NotAllowed):
        inbox.mark_read(reader, None)
    assert inbox.list_page(ANONYMOUS) == ([], 0)


def test_notifications_are_deleted_after_a_year(
    env: NoticeFixture, inbox: NotificationService, ann: UserId
) -> None:
    for number in range(BATCH + 1):
        env.notify(ann, key=str(number))
    env.clock.at += MAX_AGE
    env.notify(ann, key="new")
    assert inbox.prune() == 0
    env.clock.at += timedelta(seconds=1)
    assert inbox.prune() == BATCH + 1
    assert inbox.list_page(Actor(user_id=ann))[1] == 1
