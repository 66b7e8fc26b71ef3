"""Events: exact data, unique keys, lists and purging."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from attrs import evolve

from tests.contract.delivery.rows import Tenant, an_event, receive
from tests.contract.factories import NOON, AnyStore, after
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.event import MAX_DATA_BYTES, Event
from workbell.services.transaction_retry import retry_on_contention


@pytest.mark.parametrize(
    "data",
    [
        b'{ "f" : 1.0,"s":"\\/\xc3\xa9\\u00e9" }',
        b"\x00\xff not text at all \\ ' \" %s %(a)s :name",
        b"",
        b"x" * MAX_DATA_BYTES,
    ],
    ids=["json", "bytes", "empty", "large"],
)
def test_the_data_of_an_event_is_returned_byte_for_byte(
    store: AnyStore, ann: Tenant, data: bytes
) -> None:
    event = receive(store, ann, data=data, created_by=ann.user.id)
    assert event.data == data
    with store.view() as tx:
        assert tx.events.find_by_key(ann.account.id, event.key) == event
        assert tx.events.list_page(ann.account.id) == ([event], 1)


def test_a_key_is_unique_in_its_account(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    first = receive(store, ann)
    with store.begin() as tx:
        assert tx.events.add(an_event(first.key, ann.account.id, data=b"other")) is None
        other = tx.events.add(an_event(first.key, ben.account.id))
        upper = tx.events.add(an_event(first.key.upper(), ann.account.id))
    assert other is not None
    assert upper is not None
    assert len({first.id, other.id, upper.id}) == 3
    with store.view() as tx:
        assert tx.events.find_by_key(ann.account.id, first.key) == first
        assert tx.events.find_by_key(ben.account.id, first.key) == other
        assert tx.events.find_by_key(ann.account.id, "evt_2") is None
        assert tx.events.find_by_key(AccountId(99), first.key) is None


def test_a_transaction_goes_on_after_a_key_that_exists(store: AnyStore, ann: Tenant) -> None:
    receive(store, ann)
    with store.begin() as tx:
        assert tx.events.add(an_event("evt_1", ann.account.id)) is None
        assert tx.events.add(an_event("evt_2", ann.account.id)) is not None
    with store.view() as tx:
        assert tx.events.list_page(ann.account.id)[1] == 2


def test_one_of_20_parallel_events_with_the_same_key_is_inserted(
    store: AnyStore, ann: Tenant
) -> None:
    """The others find it: each transaction waits for the first to end."""
    barrier = Barrier(20)

    @retry_on_contention
    def publish(number: int) -> tuple[bool, Event | None]:
        with store.begin() as tx:
            new = tx.events.add(an_event("evt_1", ann.account.id, data=b"%d" % number))
            return new is not None, tx.events.find_by_key(ann.account.id, "evt_1")

    def begin(number: int) -> tuple[bool, Event | None]:
        barrier.wait(30)
        return publish(number)

    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(begin, range(20)))
    assert sum(inserted for inserted, _ in results) == 1
    with store.view() as tx:
        (event,), total = tx.events.list_page(ann.account.id)
    assert total == 1
    assert [found for _, found in results] == [event] * 20


def test_events_are_listed_newest_first(store: AnyStore, ann: Tenant, ben: Tenant) -> None:
    first, second, third = (
        receive(store, ann, f"evt_{n}", type=kind, created_at=after(n))
        for n, kind in enumerate(("order.paid", "order.sent", "order.paid"))
    )
    receive(store, ben)
    with store.view() as tx:
        list_page, account = tx.events.list_page, ann.account.id
        assert list_page(account) == ([third, second, first], 3)
        assert list_page(account, offset=1, limit=1) == ([second], 3)
        assert list_page(account, before_id=third.id) == ([second, first], 0)
        assert list_page(account, before_id=second.id, event_type="order.sent") == ([], 0)
        assert list_page(account, offset=3) == ([], 3)
        assert list_page(account, event_type="order.paid") == ([third, first], 2)
        assert list_page(account, event_type="order") == ([], 0)
        assert list_page(account, key="evt_1") == ([second], 1)
        assert list_page(account, key="evt_1", event_type="order.paid") == ([], 0)
        assert list_page(AccountId(99)) == ([], 0)


def test_purging_deletes_old_data_and_leaves_the_keys(store: AnyStore, ann: Tenant) -> None:
    events = [
        receive(store, ann, f"evt_{n}", data=b"%d" % n, created_at=after(n)) for n in range(5)
    ]
    with store.begin() as tx:
        assert tx.events.purge(after(3), limit=2) == 2
        assert tx.events.purge(after(3), limit=2) == 1
        assert tx.events.purge(after(3), limit=2) == 0
        assert tx.events.purge(NOON, limit=2) == 0
    with store.begin() as tx:
        found, total = tx.events.list_page(ann.account.id)
        purged = [evolve(each, data=None) for each in events[:3]]
        assert (found[::-1], total) == ([*purged, *events[3:]], 5)
        assert tx.events.add(an_event("evt_0", ann.account.id)) is None
        assert tx.events.find_by_key(ann.account.id, "evt_0") == purged[0]
