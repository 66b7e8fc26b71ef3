"""Accounts, destinations, events and deliveries of the contract tests."""

from typing import Any

from attrs import frozen

from tests.contract.factories import NOON, AnyStore, a_user
from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryId,
    SendResult,
)
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.event import Event
from workbell.domain.identity.user import User, UserId
from workbell.ports.delivery.repository import DeliveryFilter

_FIRST = AccountId(1)
NO_ONE = UserId(99)
"""A user without an account."""


def an_account(name: str = "Shop", **fields: Any) -> Account:
    values: dict[str, Any] = {
        "name": name,
        "token": f"encrypted token of {name}",
        "token_index": f"index of {name}",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Account(**values | fields)


def a_membership(account: Account, user: User, **fields: Any) -> Membership:
    values: dict[str, Any] = {
        "account_id": account.id,
        "user_id": user.id,
        "role": AccountRole.ADMIN,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Membership(**values | fields)


def a_destination(account_id: AccountId = _FIRST, **fields: Any) -> Destination:
    values: dict[str, Any] = {
        "account_id": account_id,
        "url": "https://example.com/hook",
        "secret": "encrypted secret",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Destination(**values | fields)


def an_event(key: str = "evt_1", account_id: AccountId = _FIRST, **fields: Any) -> Event:
    values: dict[str, Any] = {
        "account_id": account_id,
        "key": key,
        "type": "order.paid",
        "data": b"{}",
        "fingerprint": "0" * 64,
        "created_at": NOON,
    }
    return Event(**values | fields)


def an_attempt(delivery: Delivery, number: int = 1, **fields: Any) -> DeliveryAttempt:
    values: dict[str, Any] = {
        "delivery_id": delivery.id,
        "destination_id": delivery.destination_id,
        "number": number,
        "started_at": NOON,
        "duration_ms": 100,
        "result": SendResult(status_code=200),
    }
    return DeliveryAttempt(**values | fields)


@frozen
class Tenant:
    """A user who is the Admin of an account with one destination."""

    user: User
    account: Account
    destination: Destination

    @classmethod
    def create(cls, store: AnyStore, name: str) -> "Tenant":
        """Insert a user, their account and its destination."""
        with store.begin() as tx:
            user = tx.users.add(a_user(name))
            account = tx.accounts.add(an_account(name))
            tx.memberships.add(a_membership(account, user))
            destination = tx.destinations.add(a_destination(account.id))
        return cls(user, account, destination)


def receive(store: AnyStore, tenant: Tenant, key: str = "evt_1", **fields: Any) -> Event:
    """Insert an event of a tenant's account."""
    with store.begin() as tx:
        event = tx.events.add(an_event(key, tenant.account.id, **fields))
    assert event is not None
    return event


def deliver(store: AnyStore, event: Event, destination: Destination, **fields: Any) -> Delivery:
    """Insert a delivery of an event to a destination."""
    values: dict[str, Any] = {
        "account_id": event.account_id,
        "event_id": event.id,
        "event_key": event.key,
        "event_type": event.type,
        "destination_id": destination.id,
        "created_at": NOON,
        "updated_at": NOON,
    }
    with store.begin() as tx:
        (delivery,) = tx.deliveries.add_many([Delivery(**values | fields)])
    return delivery


def read(store: AnyStore, delivery_id: DeliveryId) -> Delivery:
    """Return the stored state of a delivery."""
    with store.view() as tx:
        found = tx.deliveries.load(delivery_id)
    assert found is not None
    return found.delivery


def listed(store: AnyStore, filters: DeliveryFilter | None = None, **page: int) -> list[int]:
    """Return the ids of a page of deliveries; without a page, check their number."""
    with store.view() as tx:
        rows, total = tx.deliveries.list_page(filters or DeliveryFilter(), **page)
    assert page or total == len(rows)
    return [row.delivery.id for row in rows]
