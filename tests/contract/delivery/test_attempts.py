"""Attempts of deliveries, and the statistics of a destination."""

from typing import Any

import pytest

from tests.contract.delivery.rows import Tenant, a_destination, an_attempt, deliver, receive
from tests.contract.factories import NOON, AnyStore, after
from workbell.domain import constraints
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryId,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination
from workbell.domain.errors import Conflict
from workbell.ports.delivery.repository import DestinationStatistics

OK, BAD = SendResult(status_code=204), SendResult(status_code=500)


@pytest.fixture
def delivery(store: AnyStore, ann: Tenant) -> Delivery:
    return deliver(store, receive(store, ann), ann.destination)


def record(store: AnyStore, delivery: Delivery, number: int = 1, **fields: Any) -> None:
    with store.begin() as tx:
        tx.deliveries.add_attempt(an_attempt(delivery, number, **fields))


def statistics(store: AnyStore, destination: Destination) -> DestinationStatistics:
    with store.view() as tx:
        return tx.destinations.statistics(destination.id, NOON)


def test_an_attempt_is_returned_as_it_was_inserted(store: AnyStore, delivery: Delivery) -> None:
    full = an_attempt(
        delivery,
        started_at=after(0.25),
        duration_ms=29_999,
        request_headers={"X-B": "***", "webhook-id": "evt_1"},
        result=SendResult(
            status_code=503,
            error="timeout",
            detail="no answer",
            address="2001:db8::1",
            response_headers={"Retry-After": "5", "X-Ü": "ü"},
            snippet="line\n" * 800,
            timings={"dns": 0.5, "total": 29_999.125},
        ),
    )
    plain = an_attempt(delivery, 2, result=SendResult(error="refused_address"))
    with store.begin() as tx:
        tx.deliveries.add_attempt(full, plain)
    with store.view() as tx:
        found = tx.deliveries.attempts(delivery.id)
        assert found == [full, plain]
        assert list(found[0].request_headers) == ["X-B", "webhook-id"]
        assert tx.deliveries.attempts(DeliveryId(99)) == []


def test_a_response_that_is_not_text_can_be_stored(store: AnyStore, delivery: Delivery) -> None:
    broken = b"\x00\xff".decode("utf-8", "surrogateescape")
    result = SendResult(
        status_code=200, detail=broken, snippet=broken, response_headers={f"X-{broken}": broken}
    )
    record(store, delivery, result=result)
    with store.view() as tx:
        (found,) = tx.deliveries.attempts(delivery.id)
    assert found.result == result
    assert found.result.snippet == found.result.detail == "��"
    assert found.result.response_headers == {"X-��": "��"}


def test_an_attempt_is_stored_once(store: AnyStore, delivery: Delivery) -> None:
    record(store, delivery, result=OK)
    with pytest.raises(Conflict):
        record(store, delivery, result=BAD)
    with store.view() as tx:
        assert [each.result for each in tx.deliveries.attempts(delivery.id)] == [OK]


def test_the_newest_100_attempts_are_listed_oldest_first(
    store: AnyStore, delivery: Delivery
) -> None:
    with store.begin() as tx:
        for number in range(105, 0, -1):
            tx.deliveries.add_attempt(an_attempt(delivery, number))
    with store.view() as tx:
        found = tx.deliveries.attempts(delivery.id)
    assert [each.number for each in found] == list(range(6, 106))


def test_a_destination_without_attempts_has_no_percentiles(store: AnyStore, ann: Tenant) -> None:
    empty = DestinationStatistics(
        succeeded=0, failed=0, p50_ms=None, p95_ms=None, pending=0, oldest_pending_at=None
    )
    assert statistics(store, ann.destination) == empty


def test_attempts_since_a_time_are_counted_and_measured(
    store: AnyStore, ann: Tenant, delivery: Delivery
) -> None:
    for number, (second, result) in enumerate(
        [(-0.001, OK), (-1, BAD), (0, OK), (1, OK), (2, OK), (3, BAD)], 1
    ):
        fields = {"started_at": after(second), "duration_ms": number * 10}
        record(store, delivery, number, result=result, **fields)
    found = statistics(store, ann.destination)
    assert (found.succeeded, found.failed) == (3, 1)
    assert (found.p50_ms, found.p95_ms) == (40, 50)


def test_percentiles_are_those_of_the_newest_1000_successes(
    store: AnyStore, ann: Tenant, delivery: Delivery
) -> None:
    with store.begin() as tx:
        for number in range(1, 1_011):
            fields = {"started_at": after(number), "duration_ms": 1 if number <= 10 else number}
            tx.deliveries.add_attempt(an_attempt(delivery, number, **fields))
    found = statistics(store, ann.destination)
    assert (found.p50_ms, found.p95_ms) == (510, 960)
    assert found.succeeded == 1_010


def test_deliveries_that_wait_are_counted_with_the_oldest(
    store: AnyStore, ann: Tenant, ben: Tenant
) -> None:
    event = receive(store, ann)
    for n, state in enumerate(each for each in DeliveryState if each.name != "SENDING"):
        deliver(store, event, ann.destination, state=state, created_at=after(-n))
    found = statistics(store, ann.destination)
    assert (found.pending, found.oldest_pending_at) == (3, after(-2))
    assert statistics(store, ben.destination).pending == 0


def test_tests_and_other_destinations_are_left_out(store: AnyStore, ann: Tenant) -> None:
    event = receive(store, ann)
    with store.begin() as tx:
        other = tx.destinations.add(a_destination(ann.account.id))
    for destination, is_test in ((ann.destination, True), (other, False)):
        delivery = deliver(store, event, destination, is_test=is_test)
        for number, result in ((1, OK), (2, BAD)):
            record(store, delivery, number, result=result)
    found = statistics(store, ann.destination)
    assert (found.succeeded, found.failed, found.p50_ms, found.pending) == (0, 0, None, 0)
    assert statistics(store, other).succeeded == 1


def test_counts_stop_at_the_cap(
    store: AnyStore, ann: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = receive(store, ann)
    waiting = [
        deliver(store, event, ann.destination, state=state)
        for state in [DeliveryState.PENDING, DeliveryState.PARKED] * 3
    ]
    for number, result in enumerate([OK, BAD] * 4, 1):
        record(store, waiting[0], number, result=result)
    found = statistics(store, ann.destination)
    assert (found.succeeded, found.failed, found.pending) == (4, 4, 6)
    monkeypatch.setattr(constraints, "COUNT_CAP", 3)
    found = statistics(store, ann.destination)
    assert (found.succeeded, found.failed, found.pending) == (3, 3, 3)


def test_old_deliveries_that_have_ended_are_pruned_with_their_attempts(
    store: AnyStore, ann: Tenant
) -> None:
    event = receive(store, ann)
    rows = {
        state: deliver(store, event, ann.destination, state=state, created_at=after(-n))
        for n, state in enumerate(each for each in DeliveryState if each.name != "SENDING")
    }
    new = deliver(store, event, ann.destination, state=DeliveryState.FAILED, created_at=NOON)
    for delivery in (*rows.values(), new):
        record(store, delivery)
    with store.begin() as tx:
        assert tx.deliveries.prune(after(-100), limit=9) == 0
        assert tx.deliveries.prune(NOON, limit=2) == 2
        assert tx.deliveries.prune(NOON, limit=2) == 1
        assert tx.deliveries.prune(NOON, limit=2) == 0
    with store.view() as tx:
        remaining = [each.id for each in tx.deliveries.of_event(event)]
        ended = [row.id for state, row in rows.items() if state.is_final]
        waiting = [row.id for state, row in rows.items() if not state.is_final]
        assert remaining == [*waiting, new.id]
        assert all(tx.deliveries.attempts(each) == [] for each in ended)
        assert all(len(tx.deliveries.attempts(each)) == 1 for each in remaining)
        assert tx.events.find_by_key(ann.account.id, event.key) == event
