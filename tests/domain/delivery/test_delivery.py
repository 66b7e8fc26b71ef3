"""Deliveries: states, turns, attempts and their jobs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.domain.delivery.factories import (
    ERROR,
    GONE,
    NOON,
    OK,
    TIMEOUT,
    a_delivery,
    a_destination,
    after,
    an_event,
)
from workbell.domain.delivery.delivery import (
    UNFINISHED,
    Delivery,
    DeliveryId,
    DeliveryState,
    SendResult,
    job_key,
)
from workbell.domain.delivery.retry_policy import RETRY_DELAYS
from workbell.domain.errors import Conflict
from workbell.domain.jobs.job import JobOrigin

pytestmark = pytest.mark.unit

PENDING, SENDING, RETRYING, PARKED, SUCCEEDED, FAILED, CANCELLED = DeliveryState
DESTINATION = a_destination()


def attempted(*results: SendResult, delivery: Delivery | None = None) -> Delivery:
    """Return a delivery after some attempts."""
    delivery = delivery or a_delivery()
    for result in results:
        delivery = delivery.record(result, DESTINATION, NOON, 0.0)
    return delivery


def test_states_have_the_names_of_the_api() -> None:
    assert [state.label for state in DeliveryState] == [
        "pending", "sending", "retrying", "parked", "succeeded", "failed", "cancelled"
    ]  # fmt: skip
    assert [state for state in DeliveryState if state.is_final] == [SUCCEEDED, FAILED, CANCELLED]
    assert not any(state.is_final for state in UNFINISHED)


def test_a_new_delivery_is_pending_and_due_now() -> None:
    made = Delivery.create(an_event(), DESTINATION, NOON, is_test=True)
    assert evolve(made, id=DeliveryId(7)) == a_delivery(is_test=True)
    assert (made.state, made.turn, made.attempts) == (PENDING, 1, 0)


def test_the_job_of_a_turn_belongs_to_the_system_and_has_the_key_of_the_destination() -> None:
    destination = a_destination(concurrency=2, timeout_seconds=10)
    job = a_delivery(turn=4, next_attempt_at=after(5)).job(destination, NOON)
    assert (job.task, job.owner, job.queue, job.origin) == (
        "delivery.send", 0, "deliveries", JobOrigin.DELIVERY
    )  # fmt: skip
    assert (job.parameters, job.due_at) == ({"delivery": 7, "turn": 4}, after(5))
    assert job.fair_key == job.concurrency_key == "destination:5"
    assert (job.concurrency_limit, job.timeout_seconds) == (2, 40)
    assert job.idempotency_key == "delivery:7:4" == job_key(7, 4)


def test_a_job_without_a_time_is_due_now() -> None:
    assert a_delivery(next_attempt_at=None).job(DESTINATION, after(1)).due_at == after(1)


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_a_2xx_response_is_a_success(code: int) -> None:
    result = SendResult(status_code=code)
    assert result.is_success
    assert result.summary is None
    ended = attempted(result)
    assert (ended.state, ended.completed_at, ended.next_attempt_at) == (SUCCEEDED, NOON, None)
    assert (ended.attempts, ended.last_status_code, ended.last_error) == (1, code, None)


@pytest.mark.parametrize("code", [101, 301, 302, 400, 404, 429, 500, 503])
def test_any_other_response_is_retried(code: int) -> None:
    result = SendResult(status_code=code)
    assert not result.is_success
    waiting = attempted(result)
    assert (waiting.state, waiting.completed_at) == (RETRYING, None)
    assert (waiting.last_status_code, waiting.last_error) == (code, f"status {code}")
    assert waiting.next_attempt_at == after(5)


def test_a_status_seen_before_the_deadline_cut_the_response_is_no_success() -> None:
    cut = SendResult(status_code=200, error="timeout")
    assert not cut.is_success
    assert not SendResult(status_code=410, error="timeout").is_gone
    assert attempted(cut).state is RETRYING
    assert cut.summary == "timeout"
    assert TIMEOUT.summary == "timeout: no response within 15 s"


def test_a_410_response_fails_the_delivery_at_once() -> None:
    assert GONE.is_gone
    assert attempted(GONE).state is FAILED


def test_a_test_has_one_attempt() -> None:
    assert attempted(ERROR, delivery=a_delivery(is_test=True)).state is FAILED


def test_a_delivery_fails_after_its_last_retry() -> None:
    waiting = attempted(*[ERROR] * len(RETRY_DELAYS))
    assert waiting.state is RETRYING
    ended = attempted(ERROR, delivery=waiting)
    assert (ended.state, ended.attempts, ended.completed_at) == (FAILED, 12, NOON)


def test_the_destination_may_delay_the_next_attempt_by_an_hour_at_most() -> None:
    delayed = a_delivery().record(ERROR, DESTINATION, NOON, 0.0, retry_after=9e9)
    assert delayed.next_attempt_at == after(hours=1)


def test_jitter_moves_the_next_attempt() -> None:
    early = a_delivery().record(ERROR, DESTINATION, NOON, -1.0)
    late = a_delivery().record(ERROR, DESTINATION, NOON, 1.0)
    assert (early.next_attempt_at, late.next_attempt_at) == (after(4.5), after(5.5))


def test_a_delivery_without_hope_fails_without_an_attempt() -> None:
    failed = attempted(ERROR).fail("too long", after(1))
    assert (failed.state, failed.attempts, failed.last_error) == (FAILED, 1, "too long")
    assert failed.completed_at == after(1)


def test_a_postponed_delivery_has_a_slot_and_is_due_then() -> None:
    postponed = attempted(ERROR).postpone(after(9), after(1))
    assert (postponed.state, postponed.slot_at, postponed.next_attempt_at) == (
        RETRYING, after(9), after(9)
    )  # fmt: skip
    assert attempted(OK, delivery=postponed).slot_at is None


def test_a_parked_delivery_waits_without_a_time_and_is_released_due_now() -> None:
    parked = attempted(ERROR).postpone(after(9), NOON).park(after(1))
    assert (parked.state, parked.next_attempt_at, parked.slot_at) == (PARKED, None, None)
    released = parked.release(after(2))
    assert (released.state, released.next_attempt_at) == (RETRYING, after(2))
    assert a_delivery().park(NOON).release(NOON).state is PENDING


@pytest.mark.parametrize("state", [RETRYING, PARKED, SUCCEEDED, FAILED, CANCELLED])
def test_a_retry_starts_the_whole_schedule_again(state: DeliveryState) -> None:
    before = evolve(attempted(*[ERROR] * 12), state=state)
    again = before.retry(after(1))
    assert (again.state, again.next_attempt_at, again.completed_at) == (RETRYING, after(1), None)
    assert (again.attempts, again.schedule_start) == (12, 12)
    assert attempted(ERROR, delivery=again).next_attempt_at == after(5)


@pytest.mark.parametrize("state", [PENDING, SENDING])
def test_a_delivery_that_is_under_way_cannot_be_retried(state: DeliveryState) -> None:
    with pytest.raises(Conflict) as caught:
        a_delivery(state=state).retry(NOON)
    assert state.label in caught.value.detail


def test_a_cancelled_delivery_has_ended() -> None:
    cancelled = attempted(ERROR).cancel(after(1))
    assert (cancelled.state, cancelled.completed_at, cancelled.next_attempt_at) == (
        CANCELLED, after(1), None
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.record(OK, DESTINATION, NOON, 0.0),
        lambda each: each.record(ERROR, DESTINATION, NOON, 0.0),
        lambda each: each.fail("", NOON),
        lambda each: each.postpone(NOON, NOON),
        lambda each: each.park(NOON),
        lambda each: each.park(NOON).release(NOON),
        lambda each: each.park(NOON).retry(NOON),
        lambda each: each.cancel(NOON),
    ],
    ids=["success", "failure", "fail", "postpone", "park", "release", "retry", "cancel"],
)
def test_every_change_makes_the_job_of_the_earlier_turn_void(
    change: Callable[[Delivery], Delivery],
) -> None:
    assert change(a_delivery()).turn > a_delivery().turn


@given(st.lists(st.sampled_from([OK, ERROR, GONE, TIMEOUT]), max_size=40))
def test_attempts_are_counted_and_end_in_a_final_state(results: list[SendResult]) -> None:
    delivery = a_delivery()
    for made, result in enumerate(results, 1):
        if delivery.state.is_final:
            assert delivery.next_attempt_at is None
            delivery = delivery.retry(NOON)
        delivery = delivery.record(result, DESTINATION, NOON, 0.0)
        assert delivery.attempts == made
        assert delivery.state.is_final == (delivery.completed_at is not None)
        assert delivery.state.is_final == (delivery.next_attempt_at is None)
        assert delivery.attempts - delivery.schedule_start <= 12


@given(st.floats(-1, 1), st.none() | st.floats(0, 1e12))
def test_the_next_attempt_is_never_in_the_past_nor_after_the_schedule(
    variation: float, retry_after: float | None
) -> None:
    delivery: Any = a_delivery()
    for _ in RETRY_DELAYS:
        delivery = delivery.record(ERROR, DESTINATION, NOON, variation, retry_after)
        wait = delivery.next_attempt_at - NOON
        assert timedelta(seconds=1) <= wait <= timedelta(hours=26.4)
