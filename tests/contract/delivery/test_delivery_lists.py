"""Lists of deliveries: filters, order, pages and the derived state SENDING."""

from typing import Any

import pytest
from attrs import evolve

from tests.contract.delivery.rows import (
    Tenant,
    a_destination,
    an_event,
    deliver,
    listed,
    receive,
)
from tests.contract.factories import NOON, AnyStore, after, claim
from workbell.domain.delivery.delivery import (
    QUEUE,
    UNFINISHED,
    Delivery,
    DeliveryId,
    DeliveryState,
)
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.ports.delivery.repository import DeliveryFilter

PENDING, RETRYING, PARKED = UNFINISHED
SENDING, SUCCEEDED, FAILED = DeliveryState.SENDING, DeliveryState.SUCCEEDED, DeliveryState.FAILED


def filled(store: AnyStore, ann: Tenant, ben: Tenant) -> list[Delivery]:
    """Insert five deliveries of Ann's account, the last to another destination, and one of Ben's."""
    with store.begin() as tx:
        second = tx.destinations.add(a_destination(ann.account.id, url="https://example.org/"))
    events = [receive(store, ann, f"evt_{n}") for n in range(3)]
    rows = [
        deliver(
            store,
            events[n // 2],
            second if n == 4 else ann.destination,
            state=state,
            created_at=after(n),
        )
        for n, state in enumerate((SUCCEEDED, FAILED, SUCCEEDED, PARKED, PENDING))
    ]
    deliver(store, receive(store, ben, "evt_0"), ben.destination, created_at=after(9))
    return rows


def test_deliveries_are_listed_newest_first_with_url_and_data(store: AnyStore, ann: Tenant) -> None:
    first, second = receive(store, ann, "evt_a", data=b"1"), receive(store, ann, "evt_b", data=b"2")
    late = deliver(store, first, ann.destination, created_at=after(5))
    early = deliver(store, second, ann.destination, created_at=after(1))
    same = deliver(store, second, ann.destination, created_at=after(5))
    with store.view() as tx:
        rows, total = tx.deliveries.list_page(DeliveryFilter(account_id=ann.account.id))
    assert total == 3
    assert [(row.delivery, row.destination_url, row.data) for row in rows] == [
        (same, ann.destination.url, b"2"),
        (late, ann.destination.url, b"1"),
        (early, ann.destination.url, b"2"),
    ]


def test_purged_data_is_none(store: AnyStore, ann: Tenant) -> None:
    delivery = deliver(store, receive(store, ann), ann.destination)
    with store.begin() as tx:
        tx.events.purge(after(1), limit=9)
    with store.view() as tx:
        (row,), _ = tx.deliveries.list_page(DeliveryFilter(account_id=ann.account.id))
        assert row.data is None
        assert tx.deliveries.get(ALL_OWNERS, delivery.id) == row


def test_every_filter_and_combinations_of_them(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    rows = filled(store, ann, ben)
    numbers: list[int] = [row.id for row in rows]

    def found(**fields: Any) -> list[int]:
        ids = listed(store, DeliveryFilter(account_id=ann.account.id, **fields))
        return [numbers.index(each) for each in ids]

    one, other = rows[0].destination_id, rows[4].destination_id
    assert found() == [4, 3, 2, 1, 0]
    assert found(destination_id=one) == [3, 2, 1, 0]
    assert found(destination_id=other) == [4]
    assert found(destination_id=ben.destination.id) == []
    assert found(states=[SUCCEEDED]) == [2, 0]
    assert found(states=[SUCCEEDED, FAILED, PENDING]) == [4, 2, 1, 0]
    assert found(states=[]) == []
    assert found(states=[FAILED], destination_id=other) == []
    assert found(states=[FAILED, PARKED], destination_id=one) == [3, 1]
    assert found(event_key="evt_0") == [1, 0]
    assert found(event_key="evt_0", states=[FAILED]) == [1]
    assert found(event_key="evt_0", states=[FAILED, SUCCEEDED]) == [1, 0]
    assert found(event_key="evt_1", destination_id=one) == [3, 2]
    assert found(event_key="evt_9") == []
    assert found(received_from=after(2)) == [4, 3, 2]
    assert found(received_to=after(2)) == [2, 1, 0]
    assert found(received_from=after(1), received_to=after(3)) == [3, 2, 1]
    assert found(received_from=after(1), received_to=after(3), states=[SUCCEEDED]) == [2]
    assert found(received_from=after(1), states=[SUCCEEDED, FAILED], destination_id=one) == [2, 1]


def test_filters_work_without_an_account(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    rows = filled(store, ann, ben)
    everything = listed(store)
    assert len(everything) == 6
    assert everything[1:] == [row.id for row in rows][::-1]
    assert listed(store, DeliveryFilter(states=[FAILED])) == [rows[1].id]
    assert listed(store, DeliveryFilter(destination_id=ben.destination.id)) == everything[:1]
    assert listed(store, DeliveryFilter(event_key="evt_0")) == [
        everything[0], rows[1].id, rows[0].id,
    ]  # fmt: skip


def test_a_list_is_cut_into_pages(store: AnyStore, ann: Tenant) -> None:
    event = receive(store, ann)
    states = [SUCCEEDED, FAILED, PARKED]
    ids = [
        deliver(store, event, ann.destination, state=states[n % 3], created_at=after(n)).id
        for n in range(25)
    ][::-1]
    for filters in (DeliveryFilter(account_id=ann.account.id), DeliveryFilter(states=states)):
        assert listed(store, filters, limit=20) == ids[:20]
        assert listed(store, filters, offset=20) == ids[20:]
        assert listed(store, filters, offset=7, limit=3) == ids[7:10]
        assert listed(store, filters, offset=25) == []
        with store.view() as tx:
            assert tx.deliveries.list_page(filters, offset=30)[1] == 25
            assert tx.deliveries.list_page(filters, limit=5)[1] == 25
            assert tx.deliveries.list_page(filters, offset=20, limit=5)[1] == 25


@pytest.mark.parametrize("states", [None, [SUCCEEDED, FAILED, PARKED], [FAILED]], ids=str)
def test_a_list_continues_after_a_delivery(
    store: AnyStore, ann: Tenant, states: list[DeliveryState] | None
) -> None:
    """Those of one moment are ordered by id, and nothing is counted."""
    event, kinds = receive(store, ann), [SUCCEEDED, FAILED, PARKED]
    for n in range(12):
        at = after((7 * n % 12) // 4)
        deliver(store, event, ann.destination, state=kinds[n % 3], created_at=at)
    filters = DeliveryFilter(account_id=ann.account.id, states=states)
    every = listed(store, filters)
    found, last = list[int](), every[0]
    while last:
        with store.view() as tx:
            rows, total = tx.deliveries.list_page(
                evolve(filters, before_id=DeliveryId(last)), limit=3
            )
        assert total == 0
        found += [row.delivery.id for row in rows]
        last = rows[-1].delivery.id if rows else 0
    assert found == every[1:]
    with store.view() as tx:
        unknown = evolve(filters, before_id=DeliveryId(10**9))
        assert tx.deliveries.list_page(unknown) == ([], 0)


@pytest.fixture
def sending(store: AnyStore, ann: Tenant) -> list[Delivery]:
    """
    Insert deliveries of which the second and the fourth are being sent.

    The jobs of the third and the last were created for earlier turns.
    """
    with store.begin() as tx:
        event = tx.events.add(an_event("evt_1", ann.account.id))
        assert event is not None
        new = Delivery.create(event, ann.destination, NOON)
        rows = tx.deliveries.add_many(
            [evolve(new, state=state) for state in (PENDING, PENDING, PENDING, RETRYING, RETRYING, PARKED)]
        )  # fmt: skip
        jobs = [row.job(ann.destination, NOON) for row in rows[1:]]
        tx.jobs.add([evolve(job, concurrency_limit=9) for job in jobs], NOON)
    assert len(claim(store, queue=QUEUE)) == 5
    stale = [evolve(rows[n], turn=rows[n].turn + 1) for n in (2, 4)]
    with store.begin() as tx:
        tx.deliveries.replace_many(stale)
    return [rows[0], rows[1], stale[0], rows[3], stale[1], rows[5]]


def test_a_delivery_whose_job_runs_is_sending(
    store: AnyStore, ann: Tenant, sending: list[Delivery]
) -> None:
    with store.view() as tx:
        rows, _ = tx.deliveries.list_page(DeliveryFilter(account_id=ann.account.id))
        assert [row.delivery.state for row in rows[::-1]] == [
            PENDING, SENDING, PENDING, SENDING, RETRYING, PARKED,
        ]  # fmt: skip
        for row in rows:
            assert tx.deliveries.get(ALL_OWNERS, row.delivery.id) == row
        found = tx.deliveries.load(sending[1].id)
        assert found is not None
        assert found.delivery.state is PENDING


@pytest.mark.parametrize(
    ("states", "positions"),
    [
        ({SENDING}, [1, 3]),
        ({PENDING}, [0, 2]),
        ({RETRYING}, [4]),
        ({PENDING, SENDING}, [0, 1, 2, 3]),
        ({RETRYING, SENDING, PARKED}, [1, 3, 4, 5]),
        ({PENDING, RETRYING}, [0, 2, 4]),
        ({PENDING, RETRYING, SENDING}, [0, 1, 2, 3, 4]),
        ({PARKED}, [5]),
        ({SUCCEEDED}, []),
    ],
    ids=str,
)
def test_states_are_filtered_as_they_are_listed(
    store: AnyStore,
    ann: Tenant,
    sending: list[Delivery],
    states: set[DeliveryState],
    positions: list[int],
) -> None:
    expected = [sending[n].id for n in positions][::-1]
    further: list[dict[str, Any]] = [
        {},
        {"destination_id": ann.destination.id},
        {"event_key": "evt_1"},
    ]
    for fields in further:
        filters = DeliveryFilter(account_id=ann.account.id, states=states, **fields)
        assert listed(store, filters) == expected


def test_without_running_jobs_no_delivery_is_sending(store: AnyStore, ann: Tenant) -> None:
    deliver(store, receive(store, ann), ann.destination)
    assert listed(store, DeliveryFilter(states=[SENDING])) == []
    assert len(listed(store, DeliveryFilter(states=[PENDING]))) == 1
