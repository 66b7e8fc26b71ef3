"""Rows of the delivery context, for its tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from workbell.domain.delivery.account import Account, AccountId, AccountRole, Membership
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.delivery import Delivery, DeliveryId, SendResult
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.delivery.event import Event, EventRowId, make_fingerprint
from workbell.domain.identity.user import UserId

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
OK = SendResult(status_code=200)
ERROR = SendResult(status_code=500)
GONE = SendResult(status_code=410)
TIMEOUT = SendResult(error="timeout", detail="no response within 15 s")


def after(seconds: float = 0, **spans: float) -> datetime:
    """Return a time after noon."""
    return NOON + timedelta(seconds=seconds, **spans)


def an_account(**fields: Any) -> Account:
    """Return an account with an encrypted token."""
    values: dict[str, Any] = {
        "name": "Shop",
        "token": "encrypted token",
        "token_index": "a1",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Account(**values | fields)


def a_membership(role: AccountRole = AccountRole.ADMIN, **fields: Any) -> Membership:
    """Return an Admin of account 1."""
    values: dict[str, Any] = {
        "account_id": AccountId(1),
        "user_id": UserId(1),
        "role": role,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Membership(**values | fields)


def a_destination(**fields: Any) -> Destination:
    """Return an active destination of account 1."""
    values: dict[str, Any] = {
        "id": DestinationId(5),
        "account_id": AccountId(1),
        "url": "https://example.com/hook",
        "secret": "encrypted secret",
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Destination(**values | fields)


def an_event(**fields: Any) -> Event:
    """Return an event of account 1."""
    values: dict[str, Any] = {
        "id": EventRowId(3),
        "account_id": AccountId(1),
        "key": "evt_1",
        "type": "order.paid",
        "data": b'{"total": 5}',
        "fingerprint": make_fingerprint("order.paid", {"total": 5}),
        "created_at": NOON,
    }
    return Event(**values | fields)


def a_delivery(**fields: Any) -> Delivery:
    """Return a delivery of the event to the destination, due at noon."""
    values: dict[str, Any] = {
        "id": DeliveryId(7),
        "account_id": AccountId(1),
        "event_id": EventRowId(3),
        "event_key": "evt_1",
        "event_type": "order.paid",
        "destination_id": DestinationId(5),
        "next_attempt_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Delivery(**values | fields)


def an_open_breaker(until: datetime | None = None, **fields: Any) -> CircuitBreaker:
    """Return a breaker that opened at noon after five failures."""
    values: dict[str, Any] = {
        "state": BreakerState.OPEN,
        "failures": 5,
        "failing_since": NOON,
        "openings": 1,
        "open_until": until or after(60),
    }
    return CircuitBreaker(**values | fields)
