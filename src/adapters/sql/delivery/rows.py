"""Conversion between rows and the objects of webhook delivery."""

from typing import Any

from attrs import asdict, fields

from workbell.domain.delivery.account import AccountRole, Membership
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.delivery import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination, HttpMethod
from workbell.domain.delivery.event import Event

_STATES = {int(state): state for state in DeliveryState}
_METHODS = {str(method): method for method in HttpMethod}
_BREAKER = tuple(each.name for each in fields(CircuitBreaker) if each.name != "state")
_RESULT = ("status_code", "error", "detail", "address", "timings", "response_headers", "snippet")
_ATTEMPT = (
    *("delivery_id", "destination_id", "number", "started_at", "duration_ms", "request_headers"),
)
CHANGED_COLUMNS = (
    *("state", "attempts", "schedule_start", "turn", "next_attempt_at", "slot_at"),
    *("last_status_code", "last_error", "updated_at", "completed_at"),
)
"""The columns of a delivery that change."""


def membership_from_row(values: dict[str, Any]) -> Membership:
    """Convert a row's columns to a membership; the dictionary is modified."""
    values["role"] = AccountRole(values["role"])
    return Membership(**values)


def membership_values(membership: Membership) -> dict[str, Any]:
    """Return the columns of a membership, except its id."""
    values = asdict(membership) | {"role": int(membership.role)}
    del values["id"]
    return values


def destination_from_row(values: dict[str, Any]) -> Destination:
    """Convert a row's columns to a destination; the dictionary is modified."""
    state = BreakerState(values.pop("breaker_state"))
    breaker = CircuitBreaker(state=state, **{name: values.pop(name) for name in _BREAKER})
    for name in ("event_types", "retry_delays"):
        values[name] = tuple(values[name])
    values["method"] = _METHODS[values["method"]]
    return Destination(breaker=breaker, **values)


def destination_values(destination: Destination) -> dict[str, Any]:
    """Return the columns of a destination, except its id."""
    values = asdict(destination, recurse=False)
    del values["id"], values["breaker"]
    breaker = destination.breaker
    return values | {
        "method": str(destination.method),
        "headers": dict(destination.headers),
        "breaker_state": str(breaker.state),
        **{name: getattr(breaker, name) for name in _BREAKER},
    }


def event_from_row(values: dict[str, Any]) -> Event:
    """Convert a row's columns to an event; the dictionary is modified."""
    del values["has_data"]
    return Event(key=values.pop("event_key"), type=values.pop("event_type"), **values)


def event_values(event: Event) -> dict[str, Any]:
    """Return the columns of an event, except its id."""
    values = asdict(event)
    del values["id"]
    names = {"event_key": values.pop("key"), "event_type": values.pop("type")}
    return values | names | {"has_data": event.data is not None}


def delivery_from_row(values: dict[str, Any]) -> Delivery:
    """Convert a row's columns to a delivery; the dictionary is modified."""
    values["state"] = _STATES[values["state"]]
    return Delivery(**values)


def delivery_values(delivery: Delivery) -> dict[str, Any]:
    """Return the columns of a delivery, except its id."""
    values = asdict(delivery, recurse=False) | {"state": int(delivery.state)}
    del values["id"]
    return values


def changed_values(delivery: Delivery) -> list[Any]:
    """Return the values of `CHANGED_COLUMNS`."""
    values = [getattr(delivery, name) for name in CHANGED_COLUMNS]
    values[0] = int(delivery.state)
    return values


def attempt_from_row(values: dict[str, Any]) -> DeliveryAttempt:
    """Convert a row's columns to an attempt."""
    result = SendResult(**{name: values[name] for name in _RESULT})
    return DeliveryAttempt(result=result, **{name: values[name] for name in _ATTEMPT})


def attempt_values(attempt: DeliveryAttempt) -> dict[str, Any]:
    """Return the columns of an attempt, except `is_test`."""
    result = attempt.result
    return {
        **{name: getattr(attempt, name) for name in _ATTEMPT},
        **{name: getattr(result, name) for name in _RESULT},
        "is_success": result.is_success,
    }
