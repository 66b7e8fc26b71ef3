"""Deliveries: every field, scope, guarded changes and batches."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier
from typing import Any

import pytest
from attrs import evolve

from tests.contract.delivery.rows import (
    NO_ONE,
    Tenant,
    a_destination,
    deliver,
    read,
    receive,
)
from tests.contract.factories import NOON, AnyStore, after
from workbell.domain.delivery.delivery import (
    UNFINISHED,
    Delivery,
    DeliveryId,
    DeliveryState,
    SendResult,
)
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.services.transaction_retry import retry_on_contention

PENDING, RETRYING, PARKED = UNFINISHED
FAILED, SUCCEEDED = DeliveryState.FAILED, DeliveryState.SUCCEEDED
FULL: dict[str, Any] = {
    "state": RETRYING,
    "is_test": True,
    "attempts": 7,
    "schedule_start": 3,
    "turn": 9,
    "next_attempt_at": after(1),
    "slot_at": after(2),
    "last_status_code": 503,
    "last_error": "status 503 ✓",
    "created_at": after(-1),
    "updated_at": after(3),
    "completed_at": after(4),
}


def batch(store: AnyStore, tenant: Tenant, *states: DeliveryState, **fields: Any) -> list[Delivery]:
    """Insert a delivery in each state."""
    event = receive(store, tenant, f"evt_{next(NUMBERS)}")
    return [deliver(store, event, tenant.destination, state=each, **fields) for each in states]


NUMBERS = count()


def test_deliveries_are_returned_as_they_were_inserted(store: AnyStore, ann: Tenant) -> None:
    event = receive(store, ann, data=b"\x00exact\xff")
    template = deliver(store, event, ann.destination, **FULL)
    wanted = [evolve(template, turn=n, last_error=f"error {n}") for n in range(1, 120)]
    with store.begin() as tx:
        added = tx.deliveries.add_many(wanted)
        assert tx.deliveries.add_many([]) == []
    assert [evolve(each, id=template.id) for each in added] == wanted
    assert [each.id for each in added] == sorted({each.id for each in added})
    for delivery in (template, *added[:2], added[-1]):
        assert read(store, delivery.id) == delivery
    with store.begin() as tx:
        found = tx.deliveries.load(added[0].id)
        assert found is not None
        assert (found.delivery, found.event, found.destination) == (
            added[0],
            event,
            ann.destination,
        )
        assert tx.deliveries.get_for_update(added[0].id) == added[0]
        assert tx.deliveries.load(DeliveryId(9_999)) is None
        with pytest.raises(NotFound, match="There is no delivery 9999"):
            tx.deliveries.get_for_update(DeliveryId(9_999))


def test_a_new_delivery_is_stored_with_its_defaults(store: AnyStore, ann: Tenant) -> None:
    event = receive(store, ann)
    with store.begin() as tx:
        (added,) = tx.deliveries.add_many([Delivery.create(event, ann.destination, NOON)])
    assert read(store, added.id) == added
    assert added == evolve(Delivery.create(event, ann.destination, NOON), id=added.id)


def test_a_delivery_is_loaded_with_its_deleted_destination(store: AnyStore, ann: Tenant) -> None:
    (delivery,) = batch(store, ann, PENDING)
    with store.begin() as tx:
        tx.destinations.replace(ann.destination.delete(NOON))
    with store.view() as tx:
        found = tx.deliveries.load(delivery.id)
        assert found is not None
        assert found.destination == ann.destination.delete(NOON)
        assert tx.deliveries.get(ALL_OWNERS, delivery.id).destination_url == ann.destination.url


def test_only_members_and_superusers_get_a_delivery(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    (delivery,) = batch(store, ann, PENDING)
    with store.view() as tx:
        for scope in (ALL_OWNERS, Scope(owner=ann.user.id)):
            found = tx.deliveries.get(scope, delivery.id)
            assert (found.delivery, found.data) == (delivery, b"{}")
        for owner in (ben.user.id, NO_ONE):
            with pytest.raises(NotFound, match=f"There is no delivery {delivery.id}"):
                tx.deliveries.get(Scope(owner=owner), delivery.id)
        with pytest.raises(NotFound):
            tx.deliveries.get(ALL_OWNERS, DeliveryId(99))
    with store.begin() as tx:
        tx.accounts.replace(ann.account.delete(NOON))
    with store.view() as tx:
        for scope in (ALL_OWNERS, Scope(owner=ann.user.id)):
            with pytest.raises(NotFound):
                tx.deliveries.get(scope, delivery.id)


def test_a_change_is_refused_once_the_turn_has_changed(store: AnyStore, ann: Tenant) -> None:
    (before,) = batch(store, ann, PENDING)
    failed = SendResult(error="timeout", detail="no \0 answer \ud800")
    after_failure = before.record(failed, ann.destination, after(1), 0.0)
    with store.begin() as tx:
        assert tx.deliveries.replace(before, after_failure)
    assert read(store, before.id) == after_failure
    assert after_failure.last_error == "timeout: no � answer �"
    with store.begin() as tx:
        assert not tx.deliveries.replace(before, before.cancel(after(2)))
        unknown = evolve(before, id=DeliveryId(99))
        assert not tx.deliveries.replace(unknown, unknown)
    assert read(store, before.id) == after_failure
    succeeded = after_failure.record(SendResult(status_code=200), ann.destination, after(3), 0.0)
    with store.begin() as tx:
        assert tx.deliveries.replace(after_failure, succeeded)
    assert read(store, before.id) == succeeded
    retried = succeeded.retry(after(4))
    with store.begin() as tx:
        assert tx.deliveries.replace(succeeded, retried)
    assert read(store, before.id) == retried


def test_of_parallel_changes_of_one_turn_one_is_made(store: AnyStore, ann: Tenant) -> None:
    (before,) = batch(store, ann, PENDING)
    barrier = Barrier(8)

    @retry_on_contention
    def change(number: int) -> bool:
        result = SendResult(status_code=500 + number)
        with store.begin() as tx:
            changed = before.record(result, ann.destination, after(number), 0.0)
            return tx.deliveries.replace(before, changed)

    def begin(number: int) -> bool:
        barrier.wait(30)
        return change(number)

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(begin, range(8)))
    assert sum(made) == 1
    assert read(store, before.id).last_status_code == 500 + made.index(True)


def test_many_deliveries_are_changed_at_once(store: AnyStore, ann: Tenant) -> None:
    deliveries = batch(store, ann, *[PENDING] * 3)
    with store.begin() as tx:
        parked = [each.park(after(1)) for each in deliveries[:2]]
        tx.deliveries.replace_many(parked)
        tx.deliveries.replace_many([])
    assert [read(store, each.id) for each in deliveries] == [*parked, deliveries[2]]


def test_the_deliveries_of_an_event_are_found(store: AnyStore, ann: Tenant) -> None:
    with store.begin() as tx:
        second = tx.destinations.add(a_destination(ann.account.id))
    event, other = receive(store, ann, "evt_a"), receive(store, ann, "evt_b")
    found = [deliver(store, event, each) for each in (second, ann.destination)]
    deliver(store, other, second)
    with store.view() as tx:
        assert tx.deliveries.of_event(event) == found


def test_a_batch_is_locked_by_state_in_order_of_id(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    order = (PARKED, PENDING, SUCCEEDED, PARKED, RETRYING, PENDING, FAILED)
    rows = batch(store, ann, *order)
    batch(store, ben, *order)

    def locked(*states: DeliveryState, **page: Any) -> list[int]:
        with store.begin() as tx:
            found = tx.deliveries.lock_batch(ann.destination.id, states, **page)
        assert list(found) == [each for each in rows if each in found]
        return [rows.index(each) for each in found]

    assert locked(PARKED) == [0, 3]
    assert locked(*UNFINISHED) == [0, 1, 3, 4, 5]
    assert locked(*UNFINISHED, limit=2) == [0, 1]
    assert locked(*UNFINISHED, limit=2, after=rows[1].id) == [3, 4]
    assert locked(*UNFINISHED, limit=2, after=rows[4].id) == [5]
    assert locked(*UNFINISHED, after=rows[5].id) == []
    assert locked() == []
    with store.view() as tx:
        assert tx.deliveries.count(ann.destination.id, UNFINISHED) == 5
        assert tx.deliveries.count(ann.destination.id, [FAILED]) == 1
        assert tx.deliveries.count(ann.destination.id, []) == 0


def test_a_batch_is_limited_to_a_time_of_completion(store: AnyStore, ann: Tenant) -> None:
    rows = [batch(store, ann, FAILED, completed_at=after(10 - n))[0] for n in range(4)]
    batch(store, ann, FAILED)  # without a time of completion

    def locked(**times: Any) -> list[int]:
        with store.begin() as tx:
            found = tx.deliveries.lock_batch(ann.destination.id, [FAILED], **times)
            number = tx.deliveries.count(ann.destination.id, [FAILED], **times)
        assert number == len(found)
        return [rows.index(each) for each in found]

    assert locked(completed_from=after(8)) == [0, 1, 2]
    assert locked(completed_to=after(8)) == [2, 3]
    assert locked(completed_from=after(8), completed_to=after(9)) == [1, 2]
    assert locked(completed_from=after(11)) == []


def test_all_of_many_deliveries_are_locked_in_batches(store: AnyStore, ann: Tenant) -> None:
    """Every batch leaves the state, as when parked deliveries are released."""
    rows = batch(store, ann, *[PARKED] * 25)
    sizes, last = [], None
    while True:
        with store.begin() as tx:
            found = tx.deliveries.lock_batch(ann.destination.id, [PARKED], after=last, limit=10)
            tx.deliveries.replace_many([each.release(after(1)) for each in found])
        if not found:
            break
        sizes.append(len(found))
        last = found[-1].id
    assert sizes == [10, 10, 5]
    assert {read(store, each.id).state for each in rows} == {PENDING}


def test_the_turns_of_existing_deliveries_are_returned(store: AnyStore, ann: Tenant) -> None:
    first, second = batch(store, ann, PENDING, FAILED)
    with store.begin() as tx:
        tx.deliveries.replace(second, evolve(second, turn=5))
    with store.begin() as tx:
        found = tx.deliveries.lock_turns([second.id, DeliveryId(9_999), first.id])
        assert dict(found) == {first.id: 1, second.id: 5}
        assert dict(tx.deliveries.lock_turns([])) == {}


def test_the_turns_of_any_number_of_deliveries_are_returned(store: AnyStore, ann: Tenant) -> None:
    made = batch(store, ann, *[PENDING] * 9)
    with store.begin() as tx:
        for size in range(1, 10):
            assert len(tx.deliveries.lock_turns([each.id for each in made[:size]])) == size
        many = [DeliveryId(100_000 + n) for n in range(1_200)]
        assert len(tx.deliveries.lock_turns([*many, made[0].id])) == 1
