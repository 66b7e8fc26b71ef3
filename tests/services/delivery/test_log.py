"""The log: events and deliveries of an account; retry of one delivery."""

from datetime import timedelta

import pytest
from attrs import evolve

from tests.contract.factories import NOON, after, claim
from tests.services.delivery.publishing import TEXT, PublishFixture
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import (
    QUEUE,
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination
from workbell.domain.errors import Conflict, NotAllowed, NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.ports.delivery.repository import DeliveryFilter

pytestmark = pytest.mark.unit


class LogFixture(PublishFixture):
    """One account of ann (Admin) and ben (normal user) with a destination; eve has none."""

    ann: Actor
    ben: Actor
    eve: Actor
    account: AccountId
    destination: Destination

    def publish(self, event_id: str = "evt_1") -> Delivery:
        self.submit(self.ann, self.account, event_id=event_id)
        return self.deliveries()[-1]


@pytest.fixture
def env() -> LogFixture:
    env = LogFixture()
    env.ann, env.ben, env.eve = map(env.add_user, ("ann", "ben", "eve"))
    env.account = env.add_account(env.ann, env.ben)
    env.destination = env.add_destination(env.account)
    return env


def test_events_are_listed_newest_first_for_members(env: LogFixture) -> None:
    for n in range(3):
        env.publish(f"evt_{n}")
    for actor in (env.ann, env.ben, SYSTEM):
        events, total = env.log.list_events(actor, env.account, limit=2)
        assert ([event.key for event in events], total) == (["evt_2", "evt_1"], 3)
        assert events[0].data == TEXT
    events, _ = env.log.list_events(env.ann, env.account, limit=2)
    later, _ = env.log.list_events(env.ann, env.account, before_id=events[-1].id)
    assert [event.key for event in later] == ["evt_0"]


def test_events_are_filtered_by_type_and_id(env: LogFixture) -> None:
    env.publish("evt_0")
    env.submit(env.ann, env.account, event_type="order.sent", event_id="evt_1")
    listed, total = env.log.list_events(env.ann, env.account, event_type="order.sent")
    assert ([event.key for event in listed], total) == (["evt_1"], 1)
    listed, total = env.log.list_events(env.ann, env.account, key="evt_0")
    assert ([event.key for event in listed], total) == (["evt_0"], 1)


def test_deliveries_are_listed_with_url_and_data(env: LogFixture) -> None:
    made = env.publish()
    for actor in (env.ann, env.ben, SYSTEM):
        [listed], total = env.log.list_deliveries(actor, env.account, DeliveryFilter())
        assert (listed.delivery, listed.data, total) == (made, TEXT, 1)
        assert listed.destination_url == env.destination.url


def test_a_filter_cannot_name_another_account(env: LogFixture) -> None:
    env.publish()
    other = env.add_account(env.eve)
    filters = DeliveryFilter(account_id=env.account)
    assert env.log.list_deliveries(env.eve, other, filters) == ([], 0)


def test_pages_by_cursor_continue_after_a_delivery(env: LogFixture) -> None:
    for n in range(3):
        env.clock.at = after(-n)  # the clock of another process may be behind
        env.publish(f"evt_{n}")
    keys = []
    last: DeliveryId | None = None
    while True:
        filters = DeliveryFilter(before_id=last)
        page, _ = env.log.list_deliveries(env.ann, env.account, filters, limit=1)
        if not page:
            break
        keys.append(page[0].delivery.event_key)
        last = page[0].delivery.id
    assert keys == ["evt_0", "evt_1", "evt_2"]
    unknown = DeliveryFilter(before_id=DeliveryId(99))
    assert env.log.list_deliveries(env.ann, env.account, unknown)[0] == []


def test_other_users_see_nothing_of_an_account(env: LogFixture) -> None:
    made = env.publish()
    for refused in (
        lambda: env.log.list_events(env.eve, env.account),
        lambda: env.log.list_deliveries(env.eve, env.account, DeliveryFilter()),
        lambda: env.log.get(env.eve, made.id),
        lambda: env.log.retry(env.eve, made.id),
        lambda: env.log.get(env.ann, DeliveryId(99)),
        lambda: env.log.list_events(env.ann, AccountId(99)),
    ):
        with pytest.raises(NotFound):
            refused()


def test_a_delivery_is_shown_with_its_attempts(env: LogFixture) -> None:
    made = env.publish()
    attempt = DeliveryAttempt(
        delivery_id=made.id, destination_id=made.destination_id, number=1, started_at=NOON,
        duration_ms=12, result=SendResult(status_code=503, snippet="busy"),
    )  # fmt: skip
    with env.store.begin() as tx:
        tx.deliveries.add_attempt(attempt)
    detail = env.log.get(env.ben, made.id)
    assert (detail.listed.delivery, detail.attempt_log) == (made, [attempt])


@pytest.mark.parametrize("state", ["RETRYING", "SUCCEEDED", "FAILED", "CANCELLED", "PARKED"])
def test_an_admin_sends_a_delivery_again_with_the_whole_schedule(
    env: LogFixture, state: str
) -> None:
    made = env.put(
        env.publish(), DeliveryState[state], attempts=4, next_attempt_at=after(600),
        completed_at=after(1) if state in {"SUCCEEDED", "FAILED", "CANCELLED"} else None,
    )  # fmt: skip
    env.clock.at = after(60)
    again = env.log.retry(env.ann, made.id)
    stored = env.delivery(made.id)
    assert again.delivery == stored
    assert (stored.state, stored.next_attempt_at) == (DeliveryState.RETRYING, after(60))
    assert (stored.turn, stored.schedule_start, stored.completed_at) == (made.turn + 1, 4, None)
    assert env.jobs()[-1].idempotency_key == stored.job_key
    assert env.jobs()[-1].due_at == after(60)
    with env.store.view() as tx:
        [entry] = tx.audit.list_for_object("delivery", str(made.id))
    assert (entry.action, entry.changes) == ("RETRY", {"state": [state.lower(), "retrying"]})


def test_a_delivery_under_way_is_not_sent_again(env: LogFixture) -> None:
    made = env.publish()
    with pytest.raises(Conflict, match="pending"):
        env.log.retry(env.ann, made.id)
    again = env.log.retry(env.ann, env.put(made, DeliveryState.FAILED, attempts=1).id)
    claimed = claim(env.store, queue=QUEUE)
    assert {each.id for each in claimed} == {job.id for job in env.jobs()}
    with pytest.raises(Conflict, match="sending"):
        env.log.retry(env.ann, again.delivery.id)
    assert len(env.jobs()) == 2


def test_only_admins_and_superusers_send_a_delivery_again(env: LogFixture) -> None:
    made = env.put(env.publish(), DeliveryState.FAILED, attempts=1)
    with pytest.raises(NotAllowed):
        env.log.retry(env.ben, made.id)
    assert env.delivery(made.id) == made
    env.log.retry(env.add_user("root", is_super_user=True), made.id)
    assert env.delivery(made.id).turn == made.turn + 1


def test_purged_data_and_deleted_destinations_cannot_be_sent_again(env: LogFixture) -> None:
    made = env.put(env.publish(), DeliveryState.FAILED, attempts=1)
    with env.store.begin() as tx:
        tx.events.purge(NOON + timedelta(days=1), limit=10)
    with pytest.raises(Conflict, match="purged"):
        env.log.retry(env.ann, made.id)
    with env.store.begin() as tx:
        tx.destinations.replace(evolve(env.destination, is_active=False, deleted_at=NOON))
    with pytest.raises(Conflict, match="destination"):
        env.log.retry(env.ann, made.id)
    assert env.delivery(made.id) == made
