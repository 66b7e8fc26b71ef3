"""Retention: data of old events and ended deliveries are deleted."""

from datetime import timedelta

import pytest

from tests.services.delivery.sending import DeliveryFixture
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.identity.actor import Actor
from workbell.services.delivery import retention
from workbell.services.delivery.retention import DeliveryRetention

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_the_data_of_old_events_and_their_ended_deliveries_are_deleted(
    env: DeliveryFixture,
    admin: Actor,
    account: Account,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "BATCH", batch)
    env.add_destination(account)
    env.publish(admin, account, {"n": 1}, event_id="e-1")
    env.work()
    env.publish(admin, account, {"n": 2}, event_id="e-2")
    env.engine.advance(days=60)
    env.publish(admin, account, {"n": 3}, event_id="e-3")
    env.engine.advance(days=31)
    pruning = DeliveryRetention(
        store=env.engine.store, clock=env.engine.clock, max_age=timedelta(days=90)
    )
    assert pruning.prune() == 2 + 1
    assert [(each.key, each.data is None) for each in env.events(account)] == [
        ("e-1", True), ("e-2", True), ("e-3", False)
    ]  # fmt: skip
    assert [each.event_key for each in env.deliveries()] == ["e-2", "e-3"]
    assert env.attempts() == []
    assert pruning.prune() == 0


def test_a_purged_event_still_guards_its_id_and_cannot_be_sent(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    (first,) = env.publish(admin, account, {"n": 1}, event_id="e-1")
    env.engine.advance(days=91)
    pruning = DeliveryRetention(
        store=env.engine.store, clock=env.engine.clock, max_age=timedelta(days=90)
    )
    assert pruning.prune() == 1
    (again,) = env.publish(admin, account, {"n": 1}, event_id="e-1")
    assert (again.is_new, again.event.id) == (False, first.event.id)
    env.work()
    assert env.states() == [DeliveryState.FAILED]
