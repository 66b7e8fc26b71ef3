"""Health of destinations after the results of attempts."""

import pytest
from attrs import evolve

from tests.domain.delivery.factories import (
    ERROR,
    GONE,
    NOON,
    OK,
    a_delivery,
    a_destination,
    after,
    an_open_breaker,
)
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.delivery import Delivery, DeliveryState
from workbell.domain.delivery.destination import Destination
from workbell.domain.delivery.health import (
    FAILING_TOO_LONG,
    HealthFact,
    apply_result,
)
from workbell.domain.delivery.health import (
    GONE as GONE_REASON,
)

pytestmark = pytest.mark.unit

FOUR_FAILURES = CircuitBreaker(failures=4, failing_since=NOON)
RETRYING = a_delivery(state=DeliveryState.RETRYING)
FAILED = a_delivery(state=DeliveryState.FAILED)


def probing(delivery: Delivery) -> Destination:
    """Return a destination whose breaker has sent a delivery as its probe."""
    breaker = evolve(an_open_breaker(), state=BreakerState.HALF_OPEN, probe=delivery.id)
    return a_destination(breaker=breaker)


def test_a_failure_is_counted() -> None:
    change = apply_result(a_destination(), RETRYING, ERROR, NOON)
    assert change.destination.breaker.failures == 1
    assert (change.facts, change.release_at) == ((), None)


def test_the_fifth_failure_in_a_row_opens_the_breaker_with_a_notice() -> None:
    change = apply_result(a_destination(breaker=FOUR_FAILURES), RETRYING, ERROR, NOON)
    assert change.destination.breaker.state is BreakerState.OPEN
    assert change.facts == [HealthFact.FAILING]
    assert change.release_at == after(60)


def test_a_failed_probe_opens_it_again_without_another_notice() -> None:
    change = apply_result(probing(RETRYING), RETRYING, ERROR, NOON)
    assert (change.facts, change.release_at) == ([], after(120))


def test_a_late_failure_of_an_earlier_delivery_changes_only_the_count() -> None:
    change = apply_result(a_destination(breaker=an_open_breaker()), RETRYING, ERROR, NOON)
    assert change.destination.breaker.failures == 6
    assert (change.facts, change.release_at) == ((), None)


def test_a_success_ends_a_series_of_failures() -> None:
    failing = a_destination(breaker=FOUR_FAILURES, exhausted_at=NOON)
    change = apply_result(failing, a_delivery(), OK, NOON)
    assert change.destination == a_destination()
    assert (change.facts, change.release_at) == ((), None)


def test_a_success_of_the_probe_closes_the_breaker_and_releases_what_is_parked() -> None:
    change = apply_result(probing(a_delivery()), a_delivery(), OK, after(5))
    assert change.destination.breaker == CircuitBreaker()
    assert (change.facts, change.release_at) == ([HealthFact.RECOVERED], after(5))


def test_a_success_of_a_disabled_destination_does_not_enable_it() -> None:
    disabled = probing(a_delivery()).disable("by hand", NOON)
    change = apply_result(disabled, a_delivery(), OK, NOON)
    assert not change.destination.is_active
    assert (change.facts, change.release_at) == ((), None)


def test_a_410_response_disables_it() -> None:
    change = apply_result(a_destination(), FAILED, GONE, NOON)
    assert (change.destination.is_active, change.destination.disabled_reason) == (
        False,
        GONE_REASON,
    )
    assert change.facts == [HealthFact.DISABLED]


def test_a_second_410_response_says_nothing_new() -> None:
    disabled = a_destination().disable(GONE_REASON, NOON)
    assert apply_result(disabled, FAILED, GONE, NOON).facts == ()


def test_a_day_without_a_success_disables_it() -> None:
    change = apply_result(probing(RETRYING), RETRYING, ERROR, after(days=1))
    assert (change.destination.is_active, change.destination.disabled_reason) == (
        False,
        FAILING_TOO_LONG,
    )
    assert (change.facts, change.release_at) == ([HealthFact.DISABLED], None)


def test_a_delivery_that_fails_for_good_is_exhausted() -> None:
    change = apply_result(a_destination(), FAILED, ERROR, NOON)
    assert change.facts == [HealthFact.EXHAUSTED]
    assert change.destination.exhausted_at == NOON
    again = apply_result(change.destination, FAILED, ERROR, after(9))
    assert again.facts == [HealthFact.EXHAUSTED]
    assert again.destination.exhausted_at == NOON


def test_the_failure_that_opens_the_breaker_may_be_the_last_of_a_delivery() -> None:
    change = apply_result(a_destination(breaker=FOUR_FAILURES), FAILED, ERROR, NOON)
    assert change.facts == [HealthFact.FAILING, HealthFact.EXHAUSTED]
    assert change.release_at == after(60)


def test_a_disabled_destination_can_still_exhaust_a_delivery_that_was_under_way() -> None:
    disabled = a_destination().disable("by hand", NOON)
    change = apply_result(disabled, FAILED, ERROR, NOON)
    assert change.facts == [HealthFact.EXHAUSTED]
    assert change.destination.breaker.is_pristine


@pytest.mark.parametrize("result", [OK, ERROR, GONE])
def test_tests_and_deleted_destinations_change_nothing(result: object) -> None:
    destination = a_destination(breaker=FOUR_FAILURES)
    test = evolve(FAILED, is_test=True)
    deleted = destination.delete(NOON)
    assert apply_result(destination, test, result, NOON).destination == destination  # type: ignore[arg-type]
    assert apply_result(deleted, FAILED, result, NOON).destination == deleted  # type: ignore[arg-type]
