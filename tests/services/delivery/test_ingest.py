"""Ingest: submitted events keep their bytes; batches are all or nothing."""

from typing import Any

import pytest

from tests.services.delivery.publishing import TEXT, VALUE, PublishFixture, event
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.event import MAX_DATA_BYTES
from workbell.domain.errors import Conflict, Invalid, NotAllowed
from workbell.domain.identity.actor import Actor

pytestmark = pytest.mark.unit

HUGE = b'{"x": "' + b"x" * MAX_DATA_BYTES + b'"}'


class IngestFixture(PublishFixture):
    """Ann and her account, with one destination."""

    ann: Actor
    account: AccountId

    def batch(self, *events: Any, key: str | None = None) -> Any:
        return self.ingest.submit_batch(self.ann, events, [TEXT] * len(events), key)

    def keys(self) -> list[str]:
        with self.store.view() as tx:
            return [each.key for each in tx.tables.events]


@pytest.fixture
def env() -> IngestFixture:
    env = IngestFixture()
    env.ann = env.add_user("ann")
    env.account = env.add_account(env.ann)
    env.add_destination(env.account)
    return env


def test_an_event_is_stored_with_the_bytes_as_received(env: IngestFixture) -> None:
    one = env.ingest.submit(env.ann, event(env.account, event_id="evt_1"), TEXT)
    assert (one.event.data, one.event.key, one.event.type) == (TEXT, "evt_1", "order.paid")
    assert (one.is_new, one.deliveries, one.event.created_by) == (True, 1, env.ann.user_id)
    [made] = env.deliveries()
    assert made.event_id == one.event.id


def test_a_batch_is_stored_in_its_order(env: IngestFixture) -> None:
    made = env.batch(*(event(env.account, event_id=f"e{n}") for n in range(3)))
    assert [each.event.key for each in made] == ["e0", "e1", "e2"]
    assert len(env.deliveries()) == 3


def test_a_batch_is_refused_as_a_whole_with_errors_by_index(env: IngestFixture) -> None:
    good = event(env.account)
    with pytest.raises(Invalid) as refused:
        env.ingest.submit_batch(env.ann, [good, good, good], [TEXT, HUGE, HUGE])
    assert refused.value.field_errors.keys() == {"1.data", "2.data"}
    with pytest.raises(Invalid) as refused:
        env.batch(good, event(7), event(8))
    message = "must be the same in the whole batch"
    assert refused.value.field_errors == {"1.account": [message], "2.account": [message]}
    with pytest.raises(Conflict):
        env.batch(
            event(env.account, event_id="e"), event(env.account, event_id="e", event_type="o")
        )
    assert env.keys() == []
    assert env.deliveries() == []


def test_data_that_is_too_large_is_named(env: IngestFixture) -> None:
    with pytest.raises(Invalid) as refused:
        env.ingest.submit(env.ann, event(env.account), HUGE)
    assert refused.value.field_errors.keys() == {"data"}
    assert env.ingest.submit(env.ann, event(env.account), HUGE[:7] + HUGE[16:]).is_new


@pytest.mark.parametrize("account", [2, 99, 0, -1])
def test_an_account_that_the_actor_may_not_see_is_a_field_error(
    env: IngestFixture, account: int
) -> None:
    env.add_account(env.add_user("eve"))
    with pytest.raises(Invalid) as refused:
        env.submit(env.ann, account)
    assert refused.value.field_errors == {"account": ["is not one of your accounts"]}
    with pytest.raises(Invalid) as refused:
        env.batch(event(account), event(account))
    assert refused.value.field_errors.keys() == {"0.account"}


def test_superusers_publish_only_as_members(env: IngestFixture) -> None:
    with pytest.raises(NotAllowed):
        env.submit(env.add_user("root", is_super_user=True), env.account)


def test_an_idempotency_key_replaces_the_event_id(env: IngestFixture) -> None:
    first = env.ingest.submit(env.ann, event(env.account), TEXT, "order 4711 \ud800")
    again = env.ingest.submit(env.ann, event(env.account), TEXT, "order 4711 \ud800")
    assert (again.event, again.is_new, again.deliveries) == (first.event, False, 1)
    with pytest.raises(Conflict):
        env.ingest.submit(env.ann, event(env.account, data={}), b"{}", "order 4711 \ud800")
    other = env.ingest.submit(env.ann, event(env.account), TEXT, "order 4712")
    assert other.is_new
    assert len(env.keys()) == 2


def test_an_idempotency_key_covers_each_event_of_a_batch(env: IngestFixture) -> None:
    two = event(env.account), event(env.account)
    first, again = env.batch(*two, key="k"), env.batch(*two, key="k")
    assert [each.event for each in again] == [each.event for each in first]
    assert len(set(env.keys())) == 2
    named = env.batch(event(env.account, event_id="mine"), key="k")
    assert named[0].event.key == "mine"


def test_an_idempotency_key_belongs_to_its_user(env: IngestFixture) -> None:
    ben = env.add_user("ben")
    account = env.add_account(ben)
    env.add_destination(account)
    mine = env.ingest.submit(env.ann, event(env.account), TEXT, "k")
    other = env.ingest.submit(ben, event(account), TEXT, "k")
    assert mine.event.key != other.event.key


def test_without_id_and_key_every_event_is_new(env: IngestFixture) -> None:
    for key in (None, None, "", ""):
        assert env.ingest.submit(env.ann, event(env.account, data=VALUE), TEXT, key).is_new
    assert len(set(env.keys())) == 4
