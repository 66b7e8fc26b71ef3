"""Deliveries on servers: statements of hot paths, and waiting for locks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from tests.adapters.sql.test_round_trips import counted
from tests.contract.delivery.rows import Tenant, an_attempt, an_event, deliver, receive
from tests.contract.factories import NOON, ManualClock, after
from tests.contract.servers import SERVERS, server
from workbell.adapters.sql.store import SqlStore, SqlTx
from workbell.domain.delivery.delivery import Delivery, DeliveryState, SendResult

pytestmark = pytest.mark.integration

PARKED = DeliveryState.PARKED


@pytest.fixture(params=SERVERS)
def store(request: pytest.FixtureRequest) -> SqlStore:
    """Return an empty store on each kind of server."""
    return server(request.param).store(ManualClock())


@pytest.fixture
def tenant(store: SqlStore) -> Tenant:
    return Tenant.create(store, "ann")


def test_publishing_and_sending_are_one_statement_per_call(store: SqlStore, tenant: Tenant) -> None:
    event = receive(store, tenant)
    delivery = deliver(store, event, tenant.destination)
    sent = delivery.record(SendResult(status_code=200), tenant.destination, NOON, 0.0)
    calls: list[Callable[[SqlTx], object]] = [
        lambda tx: tx.events.add(an_event("evt_2", tenant.account.id)),
        lambda tx: tx.destinations.all_of(tenant.account.id),
        lambda tx: tx.deliveries.add_many([delivery]),
        lambda tx: tx.deliveries.load(delivery.id),
        lambda tx: tx.destinations.get_for_update(tenant.destination.id),
        lambda tx: tx.destinations.replace(tenant.destination),
        lambda tx: tx.deliveries.replace(delivery, sent),
        lambda tx: tx.deliveries.add_attempt(an_attempt(delivery)),
    ]
    for call in calls:
        with counted(store) as statements, store.begin() as tx:
            call(tx)
        assert len(statements) == 1, statements


def test_many_deliveries_are_one_statement_on_postgresql() -> None:
    store = server("postgresql").store(ManualClock())
    tenant = Tenant.create(store, "ann")
    event = receive(store, tenant)
    new = Delivery.create(event, tenant.destination, NOON)
    with counted(store) as statements, store.begin() as tx:
        added = tx.deliveries.add_many([evolve(new, turn=n) for n in range(1, 1_001)])
    assert len(statements) == 1
    with store.view() as tx:
        assert tx.deliveries.of_event(event) == list(added)


def test_a_batch_leaves_out_deliveries_that_changed_while_it_waited(
    store: SqlStore, tenant: Tenant
) -> None:
    """It returns the following ones instead: an empty batch means that none is left."""
    event = receive(store, tenant)
    rows = [deliver(store, event, tenant.destination, state=PARKED) for _ in range(5)]

    def lock() -> list[Delivery]:
        with store.begin() as tx:
            return list(tx.deliveries.lock_batch(tenant.destination.id, [PARKED], limit=2))

    with ThreadPoolExecutor(1) as pool:
        with store.begin() as tx:
            locked = tx.deliveries.lock_batch(tenant.destination.id, [PARKED], limit=3)
            tx.deliveries.replace_many([each.cancel(after(1)) for each in locked])
            waiting = pool.submit(lock)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        assert waiting.result(30) == rows[3:]


def test_pruning_skips_deliveries_that_are_locked(store: SqlStore, tenant: Tenant) -> None:
    event = receive(store, tenant)
    fields = {"state": DeliveryState.FAILED, "created_at": NOON}
    rows = [deliver(store, event, tenant.destination, **fields) for _ in range(2)]
    with ThreadPoolExecutor(1) as pool:
        with store.begin() as tx:
            tx.deliveries.get_for_update(rows[0].id)

            def prune() -> int:
                with store.begin() as other:
                    return other.deliveries.prune(after(1), limit=9)

            assert pool.submit(prune).result(30) == 1
        with store.view() as tx:
            assert [each.id for each in tx.deliveries.of_event(event)] == [rows[0].id]
