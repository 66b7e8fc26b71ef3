"""Health of a destination: the changes that follow from a result."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import evolve, frozen

from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.delivery import Delivery, DeliveryState, SendResult
from workbell.domain.delivery.destination import Destination

GONE: Final = "The receiver responded with 410 Gone."
FAILING_TOO_LONG: Final = "No delivery has succeeded for a day."


class HealthFact(StrEnum):
    """What members are notified of; each is an operational event."""

    FAILING = "failing"
    DISABLED = "disabled"
    RECOVERED = "recovered"
    EXHAUSTED = "exhausted"


@frozen(kw_only=True)
class HealthChange:
    """
    A destination after a result, and what follows from it.

    `release_at` is when parked deliveries are to be released, or None.
    """

    destination: Destination
    facts: Sequence[HealthFact] = ()
    release_at: datetime | None = None


def apply_result(
    destination: Destination, delivery: Delivery, result: SendResult, now: datetime
) -> HealthChange:
    """
    Return what the result of an attempt changes.

    `delivery` is its state after the attempt. Tests change nothing.
    """
    if delivery.is_test or destination.deleted_at is not None:
        return HealthChange(destination=destination)
    if result.is_success:
        return _succeed(destination, now)
    change = HealthChange(destination=destination)
    if destination.is_active:
        change = _gone(destination, now) if result.is_gone else _fail(destination, delivery, now)
    if delivery.state is not DeliveryState.FAILED or result.is_gone:
        return change
    exhausted = evolve(change.destination, exhausted_at=change.destination.exhausted_at or now)
    return evolve(change, destination=exhausted, facts=[*change.facts, HealthFact.EXHAUSTED])


def _succeed(destination: Destination, now: datetime) -> HealthChange:
    closed = evolve(destination, breaker=CircuitBreaker(), exhausted_at=None)
    if destination.breaker.state is BreakerState.CLOSED or not destination.is_active:
        return HealthChange(destination=closed)
    return HealthChange(destination=closed, facts=[HealthFact.RECOVERED], release_at=now)


def _gone(destination: Destination, now: datetime) -> HealthChange:
    return HealthChange(destination=destination.disable(GONE, now), facts=[HealthFact.DISABLED])


def _fail(destination: Destination, delivery: Delivery, now: datetime) -> HealthChange:
    breaker = destination.breaker.fail(delivery.id, now)
    failed = evolve(destination, breaker=breaker)
    if breaker.is_failing_too_long(now):
        disabled = failed.disable(FAILING_TOO_LONG, now)
        return HealthChange(destination=disabled, facts=[HealthFact.DISABLED])
    if breaker.openings == destination.breaker.openings:
        return HealthChange(destination=failed)
    opens_first = destination.breaker.state is BreakerState.CLOSED
    facts = [HealthFact.FAILING] if opens_first else []
    return HealthChange(destination=failed, facts=facts, release_at=breaker.open_until)
