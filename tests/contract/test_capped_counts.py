"""Every list stops counting one above the cap, on every store."""

from typing import Any

import pytest

from tests.contract.delivery.rows import (
    a_destination,
    a_membership,
    an_account,
    an_event,
    deliver,
)
from tests.contract.factories import ALICE, AnyStore, a_job, a_schedule, a_user, keep
from tests.contract.goals.test_repository import a_goal, an_entry
from workbell.domain import constraints
from workbell.domain.delivery.account import AccountId
from workbell.domain.delivery.delivery import UNFINISHED, DeliveryState
from workbell.domain.delivery.destination import DestinationId
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import UserId
from workbell.ports.delivery.repository import DeliveryFilter
from workbell.ports.goals.repository import EntryFilter, GoalFilter
from workbell.ports.identity.users import UserFilter
from workbell.ports.jobs.views import JobFilter
from workbell.ports.schedules.views import ScheduleFilter

_WAITING = [DeliveryState.PENDING, DeliveryState.SENDING, DeliveryState.FAILED]

_FILTERS: list[dict[str, Any]] = [
    {}, {"account_id": 1}, {"destination_id": 1, "states": _WAITING},
]  # fmt: skip


@pytest.fixture
def filled(store: AnyStore) -> AnyStore:
    """A store with five rows in every list."""
    keep(store, *[a_job()] * 5)
    with store.begin() as tx:
        for number in range(1, 6):
            tx.schedules.add(a_schedule())
            tx.users.add(a_user(f"user{number}"))
            goal = tx.goals.add(a_goal(number))
            tx.entries.add(an_entry(goal))
    fill_delivery(store)
    return store


def fill_delivery(store: AnyStore) -> None:
    """Insert five accounts with all users as members, and five rows of the first one."""
    with store.begin() as tx:
        users = [tx.users.get(UserId(number)) for number in range(1, 6)]
        accounts = [tx.accounts.add(an_account(f"account {number}")) for number in range(5)]
        for account in accounts:
            for user in users:
                tx.memberships.add(a_membership(account, user))
        destinations = [tx.destinations.add(a_destination(accounts[0].id)) for _ in range(5)]
        events = [tx.events.add(an_event(f"evt_{n}", accounts[0].id)) for n in range(5)]
    for event in events:
        assert event is not None
        deliver(store, event, destinations[0])


def counts(store: AnyStore) -> dict[str, int]:
    with store.view() as tx:
        return {
            "jobs": tx.jobs.count(ALL_OWNERS, JobFilter()),
            "schedules": tx.schedules.count(ALL_OWNERS, ScheduleFilter()),
            "schedules by name": tx.schedules.count(ALL_OWNERS, ScheduleFilter(name_contains="")),
            "schedules with a page": tx.schedules.list_page(ALL_OWNERS, ScheduleFilter(), limit=1)[1],
            "schedules beyond the last page": tx.schedules.list_page(
                ALL_OWNERS, ScheduleFilter(), offset=9
            )[1],
            "schedules by ids": tx.schedules.list_page(
                ALL_OWNERS, ScheduleFilter(ids=[s.schedule.id for s in tx.schedules.find(
                    ALL_OWNERS, ScheduleFilter())]), limit=1
            )[1],
            "users": tx.users.count(UserFilter()),
            "goals": tx.goals.count(ALICE, GoalFilter()),
            "accounts": tx.accounts.list_page(ALL_OWNERS)[1],
            "accounts of a member": tx.accounts.list_page(Scope(owner=ALICE), search="ACC")[1],
            "members": tx.memberships.list_page(AccountId(1))[1],
            "visible users": tx.memberships.list_visible_users(ALICE)[1],
            "destinations": tx.destinations.list_page(AccountId(1))[1],
            "events": tx.events.list_page(AccountId(1), event_type="order.paid")[1],
            **{
                f"deliveries {fields} {page}": tx.deliveries.list_page(
                    DeliveryFilter(**fields), **page
                )[1]
                for fields in _FILTERS
                for page in ({}, {"limit": 1}, {"offset": 1, "limit": 1}, {"offset": 9})
            },
            "a batch": tx.deliveries.count(DestinationId(1), UNFINISHED),
            "entries": tx.entries.count(ALICE, EntryFilter()),
        }  # fmt: skip


def test_counting_stops_one_above_the_cap(
    filled: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(counts(filled).values()) == {5}
    monkeypatch.setattr(constraints, "COUNT_CAP", 2)
    assert set(counts(filled).values()) == {3}


def test_a_list_as_long_as_the_cap_is_counted_exactly(
    filled: AnyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constraints, "COUNT_CAP", 5)
    assert set(counts(filled).values()) == {5}
