"""Publishing: all or nothing, once per event id, to matching destinations."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON
from tests.services.delivery.sending import TOKEN, DeliveryFixture, new_event
from workbell.domain.delivery.account import TOKEN_PURPOSE, Account, AccountId
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.delivery.event import MAX_BATCH, MAX_DATA_BYTES
from workbell.domain.errors import Conflict, Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import KeyScope
from workbell.domain.jobs.job import JobState

pytestmark = pytest.mark.unit


def test_an_event_is_stored_with_a_delivery_and_a_job_per_destination(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    for n in range(3):
        env.add_destination(account, f"https://example.com/{n}")
    (published,) = env.publish(admin, account, event_type="order.paid")
    event = published.event
    assert (published.is_new, published.deliveries) == (True, 3)
    assert (event.type, event.data, event.created_by) == (
        "order.paid", b'{"total": 5}', admin.user_id
    )  # fmt: skip
    assert env.events(account) == [event]
    made = env.deliveries()
    assert [each.destination_id for each in made] == [1, 2, 3]
    assert {(each.state, each.event_key) for each in made} == {(DeliveryState.PENDING, event.key)}
    jobs = env.jobs("delivery.send")
    assert [job.parameters for job in jobs] == [{"delivery": n, "turn": 1} for n in (1, 2, 3)]
    assert {(job.state, job.due_at, job.owner) for job in jobs} == {(JobState.READY, NOON, 0)}


def test_an_event_without_an_id_gets_a_random_one(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    first, second = env.publish(admin, account, {"n": 1}, {"n": 1})
    assert first.event.key.startswith("evt_")
    assert first.event.key != second.event.key


def test_only_destinations_that_ask_for_the_type_get_it(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, event_types=["order.*"])
    env.add_destination(account, event_types=["invoice.*", "order.paid"])
    env.add_destination(account, event_types=["invoice.*"])
    env.add_destination(account, is_active=False)
    (published,) = env.publish(admin, account, event_type="order.paid")
    assert published.deliveries == 3
    assert [each.destination_id for each in env.deliveries()] == [1, 2, 4]


def test_an_event_that_no_destination_asks_for_is_stored(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, event_types=["invoice.*"])
    (published,) = env.publish(admin, account)
    assert (published.is_new, published.deliveries) == (True, 0)
    assert len(env.events(account)) == 1


def test_an_account_without_destinations_refuses_events(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    with pytest.raises(Invalid):
        env.publish(admin, account)
    env.change(env.add_destination(account), deleted_at=NOON)
    with pytest.raises(Invalid):
        env.publish(admin, account)
    assert env.events(account) == []


def test_the_same_id_and_body_return_the_first_result(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    (first,) = env.publish(admin, account, {"a": 1, "b": 2}, event_id="e-1")
    env.add_destination(account, "https://example.com/later")
    spelled = new_event({"b": 2, "a": 1.0}, data=b'{ "b":2,"a":1.0 }', event_id="e-1")
    (again,) = env.publishing.publish(admin, account.id, [spelled])
    assert again == evolve(first, is_new=False)
    assert len(env.deliveries()) == len(env.jobs("delivery.send")) == 1
    env.change(destination, deleted_at=NOON)
    env.change(env.destination(evolve(destination, id=DestinationId(2))), deleted_at=NOON)
    assert env.publishing.publish(admin, account.id, [spelled]) == [again]


@pytest.mark.parametrize("change", [{"value": {"a": 2}}, {"event_type": "other"}])
def test_the_same_id_with_another_body_or_type_is_a_conflict(
    env: DeliveryFixture, admin: Actor, account: Account, change: dict[str, Any]
) -> None:
    env.add_destination(account)
    event = new_event({"a": 1}, event_id="e-1")
    env.publishing.publish(admin, account.id, [event])
    with pytest.raises(Conflict):
        env.publishing.publish(admin, account.id, [evolve(event, **change)])
    assert len(env.events(account)) == 1


def test_accounts_have_ids_of_their_own(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    other = env.add_account(admin, token_index="another")
    for each in (account, other):
        env.add_destination(each)
        assert env.publish(admin, each, event_id="e-1")[0].is_new


# batches


def test_a_batch_is_stored_in_its_order(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    published = env.publish(admin, account, *[{"n": n} for n in range(MAX_BATCH)])
    assert [json.loads(each.event.data or b"")["n"] for each in published] == list(range(100))
    assert len(env.deliveries()) == 100


def test_a_batch_with_a_conflict_stores_nothing(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account, {"n": 1}, event_id="e-1")
    with pytest.raises(Conflict):
        env.publishing.publish(
            admin, account.id, [new_event({"n": 0}), new_event({"n": 2}, event_id="e-1")]
        )
    assert len(env.events(account)) == len(env.deliveries()) == 1


def test_an_event_twice_in_a_batch_is_stored_once(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    twice = [new_event({"n": 1}, event_id="e-1")] * 2
    published = env.publishing.publish(admin, account.id, twice)
    assert [each.is_new for each in published] == [True, False]
    assert len(env.deliveries()) == 1
    with pytest.raises(Conflict):
        env.publishing.publish(
            admin,
            account.id,
            [new_event({"n": n}, event_id="e-2") for n in range(2)],
        )


def test_errors_name_the_fields_of_a_batch_by_index(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    events = [
        new_event(),
        new_event(event_id="a b", event_type="Order"),
        new_event(data=b"x" * (MAX_DATA_BYTES + 1)),
    ]
    with pytest.raises(Invalid) as caught:
        env.publishing.publish(admin, account.id, events)
    assert list(caught.value.field_errors) == ["1.event_id", "1.event_type", "2.data"]
    assert env.events(account) == []


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_a_batch_has_1_to_100_events(
    env: DeliveryFixture, admin: Actor, account: Account, count: int
) -> None:
    env.add_destination(account)
    with pytest.raises(Invalid):
        env.publishing.publish(admin, account.id, [new_event()] * count)


# permission


def test_members_of_both_roles_publish(env: DeliveryFixture, admin: Actor) -> None:
    normal = env.engine.add_user("normal")
    account = env.add_account(admin, normal)
    env.add_destination(account)
    for member in (admin, normal):
        assert env.publish(member, account)[0].is_new


def test_others_do_not_see_the_account_and_superusers_may_not_publish(
    env: DeliveryFixture, account: Account
) -> None:
    env.add_destination(account)
    with pytest.raises(NotFound):
        env.publish(env.engine.add_user("stranger"), account)
    with pytest.raises(NotAllowed):
        env.publish(env.engine.add_user("root", is_super_user=True), account)
    with pytest.raises(NotFound):
        env.publishing.publish(SYSTEM, AccountId(99), [new_event()])


def test_a_read_only_api_key_may_not_publish(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    reader = evolve(admin, key_scopes=frozenset({KeyScope.READ}))
    with pytest.raises(NotAllowed):
        env.publish(reader, account)
    with pytest.raises(NotAllowed):
        env.publishing.publish_by_token(reader, TOKEN, new_event())


# by token


@pytest.mark.parametrize("spell", [str, str.upper])
def test_a_member_publishes_by_the_token_of_the_account(
    env: DeliveryFixture, admin: Actor, account: Account, spell: Callable[[str], str]
) -> None:
    env.add_destination(account)
    published = env.publishing.publish_by_token(admin, spell(TOKEN), new_event())
    assert (published.event.account_id, published.event.type) == (account.id, "incoming_data")
    assert published.deliveries == 1


def test_the_previous_token_is_valid_for_24_hours(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    new = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    with env.engine.store.begin() as tx:
        rotated = account.rotate_token(
            env.box.encrypt(new, TOKEN_PURPOSE), env.box.index(new, TOKEN_PURPOSE), NOON
        )
        tx.accounts.replace(rotated)
    for token in (new, TOKEN):
        assert env.publishing.publish_by_token(admin, token, new_event()).is_new
    env.engine.advance(hours=24)
    assert env.publishing.publish_by_token(admin, new, new_event()).is_new
    with pytest.raises(NotAllowed):
        env.publishing.publish_by_token(admin, TOKEN, new_event())


@pytest.mark.parametrize("token", ["", "x", TOKEN[:-1], f"{TOKEN}\n", f"{{{TOKEN}}}", "é" * 36])
def test_a_malformed_token_is_invalid(
    env: DeliveryFixture, admin: Actor, account: Account, token: str
) -> None:
    env.add_destination(account)
    with pytest.raises(Invalid):
        env.publishing.publish_by_token(admin, token, new_event())


def test_a_token_of_no_account_or_of_anothers_is_not_allowed(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    with pytest.raises(NotAllowed):
        env.publishing.publish_by_token(admin, TOKEN.replace("0", "1"), new_event())
    with pytest.raises(NotAllowed):
        env.publishing.publish_by_token(env.engine.add_user("stranger"), TOKEN, new_event())


def test_a_wrong_event_by_token_names_its_fields(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    with pytest.raises(Invalid) as caught:
        env.publishing.publish_by_token(admin, TOKEN, new_event(event_id="?"))
    assert list(caught.value.field_errors) == ["event_id"]


# tests of a destination


def test_a_test_event_goes_to_its_destination_only(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account, event_types=["order.*"])
    env.add_destination(account, event_types=["workbell.*"])
    listed = env.publishing.publish_test(admin, destination.id)
    assert listed.delivery.is_test
    assert (listed.delivery.event_type, listed.delivery.state) == (
        "workbell.test", DeliveryState.PENDING
    )  # fmt: skip
    assert listed.destination_url == destination.url
    assert json.loads(listed.data or b"")["data"]["destination_id"] == destination.id
    assert env.deliveries() == [listed.delivery]
    assert env.engine.actions() == ["TEST destination"]


def test_only_admins_and_superusers_test_a_destination(env: DeliveryFixture, admin: Actor) -> None:
    normal = env.engine.add_user("normal")
    account = env.add_account(admin, normal)
    destination = env.add_destination(account)
    with pytest.raises(NotAllowed):
        env.publishing.publish_test(normal, destination.id)
    with pytest.raises(NotFound):
        env.publishing.publish_test(env.engine.add_user("stranger"), destination.id)
    root = env.engine.add_user("root", is_super_user=True)
    assert env.publishing.publish_test(root, destination.id).delivery.is_test
