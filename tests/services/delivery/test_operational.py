"""Operational events and emails about destinations."""

import json
from typing import Any

import pytest

from tests.domain.delivery.factories import ERROR, GONE, OK
from tests.services.delivery.sending import DeliveryFixture
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.event import Event
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import SYSTEM_ID

pytestmark = pytest.mark.unit

WATCHER = "https://example.com/watcher"


@pytest.fixture
def watcher(env: DeliveryFixture, account: Account) -> Destination:
    """Return a destination that gets operational events only."""
    return env.add_destination(account, WATCHER, event_types=["workbell.*"])


@pytest.fixture
def hook(env: DeliveryFixture, account: Account, watcher: Destination) -> Destination:
    """Return another destination, which takes one delivery at a time."""
    assert watcher.id
    return env.add_destination(account, concurrency=1, retry_delays=[3_600])


def operational(env: DeliveryFixture, account: Account) -> list[Event]:
    """Return the operational events of the account."""
    return [each for each in env.events(account) if each.type.startswith("workbell.")]


def subjects(env: DeliveryFixture) -> list[str]:
    """Return the subjects of the enqueued emails."""
    return [message["subject"] for message in env.engine.messages()]


def test_a_destination_that_fails_and_recovers_is_reported_in_events_and_emails(
    env: DeliveryFixture, admin: Actor, account: Account, hook: Destination
) -> None:
    env.answer(ERROR)
    env.publish(admin, account, *[{"n": n} for n in range(6)])
    env.work()
    env.answer(OK)
    env.work(60)
    events = operational(env, account)
    assert [each.type for each in events] == [
        "workbell.destination.failing",
        "workbell.destination.recovered",
    ]
    assert {each.created_by for each in events} == {SYSTEM_ID}
    sent = [each for each in env.client.requests if each.url == WATCHER]
    assert [each.body for each in sent] == [each.data for each in events]
    body: dict[str, Any] = json.loads(events[0].data or b"")
    assert body["type"] == "workbell.destination.failing"
    assert body["timestamp"] == "2030-01-01T12:00:00+00:00"
    assert body["data"] == {
        "destination_id": hook.id, "url": hook.url, "state": "open", "disabled_reason": None,
        "delivery_id": 5, "event_id": env.deliveries()[4].event_key, "last_status_code": 500,
        "last_error": "status 500",
    }  # fmt: skip
    assert subjects(env) == ["Destination 2 is failing", "Destination 2 has recovered"]


def test_a_410_response_is_reported_with_its_reason(
    env: DeliveryFixture, admin: Actor, account: Account, hook: Destination
) -> None:
    assert hook.id
    env.answer(GONE)
    env.publish(admin, account)
    env.work()
    (event,) = operational(env, account)
    assert event.type == "workbell.destination.disabled"
    (message,) = env.engine.messages()
    assert message["email"] == "admin@example.com"
    assert message["subject"] == "Destination 2 has been disabled"
    assert "Reason: The receiver responded with 410 Gone." in message["body"]
    assert hook.url in message["body"]


def test_every_exhausted_delivery_has_an_event_and_the_first_an_email(
    env: DeliveryFixture, admin: Actor, account: Account, hook: Destination
) -> None:
    env.answer_in_turn(ERROR, ERROR, ERROR, ERROR, OK, ERROR, ERROR)
    env.publish(admin, account, {"n": 1}, {"n": 2})
    env.work()
    env.work(hours=2)
    assert [each.type for each in operational(env, account)] == [
        "workbell.destination.exhausted"
    ] * 2
    assert subjects(env) == ["Destination 2 has a delivery that failed for good"]
    env.publish(admin, account, {"n": 3})
    env.work()
    assert env.destination(hook).exhausted_at is None
    env.publish(admin, account, {"n": 4})
    env.work()
    env.work(hours=2)
    assert len(subjects(env)) == 2


def test_each_admin_is_mailed_and_normal_users_are_not(env: DeliveryFixture) -> None:
    admin, normal = env.engine.add_user("first"), env.engine.add_user("normal")
    account = env.add_account(admin, normal)
    env.add_destination(account)
    env.answer(GONE)
    env.publish(admin, account)
    env.work()
    assert [message["email"] for message in env.engine.messages()] == ["first@example.com"]


def test_events_go_only_to_destinations_that_name_them_and_not_to_the_one_concerned(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, event_types=["*", "workbell.*"])
    env.add_destination(account, WATCHER, event_types=["*"])
    env.answer(GONE)
    env.publish(admin, account)
    env.work()
    assert operational(env, account) == []
    assert len(env.client.requests) == 2
    assert len(env.engine.messages()) == 1


def test_a_failing_delivery_of_an_operational_event_causes_no_further_event(
    env: DeliveryFixture, admin: Actor, account: Account, hook: Destination
) -> None:
    other = env.add_destination(account, "https://example.com/2", event_types=["workbell.*"])
    env.answer(GONE)
    env.answer(GONE, WATCHER)
    env.answer(ERROR, other.url)
    env.publish(admin, account)
    env.work()
    assert len(operational(env, account)) == 1
    assert subjects(env) == ["Destination 2 has been disabled", "Destination 1 has been disabled"]
    assert env.states() == [DeliveryState.FAILED, DeliveryState.FAILED, DeliveryState.RETRYING]
