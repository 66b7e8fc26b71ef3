"""Destinations: every field, scope, deletion and lists."""

import pytest
from attrs import evolve

from tests.contract.delivery.rows import NO_ONE, Tenant, a_destination
from tests.contract.factories import NOON, AnyStore, after
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.destination import Destination, DestinationId, HttpMethod
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import ALL_OWNERS, Scope


def change(store: AnyStore, destination: Destination) -> None:
    with store.begin() as tx:
        tx.destinations.get_for_update(destination.id)
        tx.destinations.replace(destination)


FULL = a_destination(
    url="https://example.com/" + "ü" * 2_000,
    method=HttpMethod.PATCH,
    headers={"X-B": "encrypted", "X-A": "encrypted, too"},
    event_types=("order.*", "invoice.paid"),
    is_active=False,
    disabled_reason="status 410",
    timeout_seconds=30,
    retry_delays=(1, 60, 604_800),
    rate_per_second=1_000,
    concurrency=100,
    previous_secret="encrypted before",
    previous_secret_until=after(1),
    breaker=CircuitBreaker(
        state=BreakerState.HALF_OPEN,
        failures=7,
        failing_since=after(-2),
        openings=3,
        open_until=after(2),
        probe=2**40,
    ),
    next_send_at=after(0.001),
    exhausted_at=after(-1),
    version=5,
    updated_at=after(3),
)


def test_a_destination_is_returned_as_it_was_inserted(store: AnyStore, ann: Tenant) -> None:
    wanted = evolve(FULL, account_id=ann.account.id)
    with store.begin() as tx:
        added = tx.destinations.add(wanted)
    assert added == evolve(wanted, id=added.id)
    with store.begin() as tx:
        assert tx.destinations.get(ALL_OWNERS, added.id) == added
        assert tx.destinations.get_for_update(added.id) == added
        assert list(tx.destinations.get(ALL_OWNERS, added.id).headers) == ["X-B", "X-A"]
        assert tx.destinations.get(ALL_OWNERS, ann.destination.id) == ann.destination


def test_every_field_can_be_changed(store: AnyStore, ann: Tenant) -> None:
    changed = evolve(FULL, id=ann.destination.id, account_id=ann.account.id)
    change(store, changed)
    with store.view() as tx:
        assert tx.destinations.get(ALL_OWNERS, changed.id) == changed
    plain = evolve(ann.destination, event_types=["a"], retry_delays=[1])
    change(store, plain)
    with store.view() as tx:
        found = tx.destinations.get(ALL_OWNERS, changed.id)
        assert (found.event_types, found.retry_delays) == (("a",), (1,))
    with pytest.raises(NotFound), store.begin() as tx:
        tx.destinations.replace(a_destination())


def test_only_members_and_superusers_get_a_destination(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    with store.view() as tx:
        for scope in (ALL_OWNERS, Scope(owner=ann.user.id)):
            assert tx.destinations.get(scope, ann.destination.id) == ann.destination
        for scope, destination_id in (
            (Scope(owner=ben.user.id), ann.destination.id),
            (Scope(owner=NO_ONE), ann.destination.id),
            (ALL_OWNERS, DestinationId(99)),
        ):
            with pytest.raises(NotFound, match=f"There is no destination {destination_id}"):
                tx.destinations.get(scope, destination_id)
    with pytest.raises(NotFound), store.begin() as tx:
        tx.destinations.get_for_update(DestinationId(99))


def test_a_deleted_destination_is_returned_only_for_an_update(store: AnyStore, ann: Tenant) -> None:
    deleted = ann.destination.delete(NOON)
    change(store, deleted)
    with store.begin() as tx:
        with pytest.raises(NotFound):
            tx.destinations.get(ALL_OWNERS, deleted.id)
        assert tx.destinations.get_for_update(deleted.id) == deleted
        assert tx.destinations.all_of(ann.account.id) == []
        assert tx.destinations.count(ann.account.id, limit=5) == 0
        assert tx.destinations.list_page(ann.account.id) == ([], 0)


def test_the_destinations_of_a_deleted_account_are_hidden(store: AnyStore, ann: Tenant) -> None:
    with store.begin() as tx:
        tx.accounts.replace(ann.account.delete(NOON))
    with store.begin() as tx:
        for scope in (ALL_OWNERS, Scope(owner=ann.user.id)):
            with pytest.raises(NotFound):
                tx.destinations.get(scope, ann.destination.id)
        assert tx.destinations.get_for_update(ann.destination.id) == ann.destination


def test_destinations_are_listed_by_id(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    with store.begin() as tx:
        more = [tx.destinations.add(a_destination(ann.account.id)) for _ in range(3)]
    everything = [ann.destination, *more]
    with store.view() as tx:
        assert tx.destinations.all_of(ann.account.id) == everything
        assert tx.destinations.all_of(AccountId(99)) == []
        assert tx.destinations.count(ann.account.id, limit=9) == 4
        assert tx.destinations.count(ann.account.id, limit=3) == 3
        assert tx.destinations.list_page(ann.account.id) == (everything, 4)
        assert tx.destinations.list_page(ann.account.id, offset=1, limit=2) == (more[:2], 4)
        assert tx.destinations.list_page(ann.account.id, offset=4) == ([], 4)
        assert tx.destinations.list_page(ben.account.id) == ([ben.destination], 1)
