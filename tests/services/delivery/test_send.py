"""Sending: attempts, retries, parking, probes and rates."""

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import NOON
from tests.domain.delivery.factories import ERROR, GONE, OK, TIMEOUT, after
from tests.services.delivery.sending import DeliveryFixture
from tests.services.engine import RecordingContext
from workbell.adapters.memory.delivery.deliveries import MemoryDeliveryRepository
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.circuit_breaker import BreakerState, CircuitBreaker
from workbell.domain.delivery.delivery import (
    DeliveryAttempt,
    DeliveryId,
    DeliveryState,
    SendResult,
)
from workbell.domain.delivery.destination import Destination, DestinationState, HttpMethod
from workbell.domain.errors import Invalid
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.ports.webhook_client import OutgoingRequest

pytestmark = pytest.mark.unit

PENDING, SENDING, RETRYING, PARKED, SUCCEEDED, FAILED, CANCELLED = DeliveryState


def test_a_delivery_is_sent_once_and_recorded(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    assert env.work() == 1
    (delivery,) = env.deliveries()
    assert (delivery.state, delivery.attempts, delivery.completed_at) == (SUCCEEDED, 1, NOON)
    (attempt,) = env.attempts()
    assert (attempt.number, attempt.result.status_code, attempt.duration_ms) == (1, 200, 0)
    assert [job.result for job in env.jobs("delivery.send")] == [{"sent": True, "error": None}]
    assert env.unfinished_jobs() == []
    assert len(env.client.requests) == 1


def test_no_transaction_is_open_during_the_request(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, rate_per_second=5)
    env.publish(admin, account)

    def write(_: OutgoingRequest) -> SendResult:
        with env.engine.store.begin() as tx:  # raises if this thread has a transaction
            tx.metadata.set("during", "request")
        return OK

    env.client.receivers["https://example.com/hook"] = write
    env.work()
    assert env.states() == [SUCCEEDED]


def test_the_duration_is_that_of_the_request(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)

    def answer(_: OutgoingRequest) -> SendResult:
        env.engine.advance(1.25)
        return OK

    env.client.receivers["https://example.com/hook"] = answer
    env.work()
    (attempt,) = env.attempts()
    assert (attempt.started_at, attempt.duration_ms) == (NOON, 1250)


def test_failures_are_retried_on_the_schedule_with_the_same_id_and_body(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    (published,) = env.publish(admin, account)
    env.answer_in_turn(ERROR, TIMEOUT, OK)
    env.work()
    assert env.deliveries()[0].next_attempt_at == after(5)
    assert env.work(4.9) == 0
    env.work(0.1)
    assert env.deliveries()[0].state is RETRYING
    env.work(30)
    (delivery,) = env.deliveries()
    assert (delivery.state, delivery.attempts) == (SUCCEEDED, 3)
    sent = env.client.requests
    assert {each.headers["webhook-id"] for each in sent} == {published.event.key}
    assert {each.body for each in sent} == {published.event.data}
    assert [int(each.headers["webhook-timestamp"]) - int(NOON.timestamp()) for each in sent] == [
        0, 5, 35
    ]  # fmt: skip
    assert len({each.headers["webhook-signature"] for each in sent}) == 3
    assert [each.result.summary for each in env.attempts()] == ["status 500", TIMEOUT.summary, None]
    assert env.destination(destination).breaker == CircuitBreaker()


def test_a_delivery_fails_after_the_last_retry(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account, retry_delays=[1, 2])
    env.publish(admin, account)
    env.answer(ERROR)
    for _ in range(3):
        env.work(2)
    (delivery,) = env.deliveries()
    assert (delivery.state, delivery.attempts, delivery.last_error) == (FAILED, 3, "status 500")
    assert env.jobs("delivery.send")[-1].state is JobState.SUCCEEDED
    assert env.destination(destination).exhausted_at == env.engine.clock.now()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20", 20),
        ("1.5", 1.5),
        ("0", 1),
        ("9999999999", 3_600),
        ("Tue, 01 Jan 2030 12:01:00 GMT", 60),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 1),
        ("-5", 5),
        ("soon", 5),
    ],
)
def test_retry_after_is_honoured_within_its_bounds(
    env: DeliveryFixture, admin: Actor, account: Account, text: str, seconds: float
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    busy = SendResult(status_code=503, response_headers={"x": "y", "retry-after": text})
    env.answer_in_turn(busy, OK)
    env.work()
    assert env.deliveries()[0].next_attempt_at == after(seconds)
    assert env.work(seconds) == 1
    assert env.states() == [SUCCEEDED]


def test_a_response_that_databases_refuse_is_recorded_and_not_sent_again(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    bad = "\x00\ud800"
    env.answer(SendResult(status_code=200, snippet=bad, response_headers={bad: bad}))
    env.work()
    assert env.states() == [SUCCEEDED]
    result = env.attempts()[0].result
    assert (result.snippet, result.response_headers) == ("\ufffd" * 2, {"\ufffd" * 2: "\ufffd" * 2})
    assert env.work(hours=1) == 0


# turns


def test_a_job_of_an_earlier_turn_does_nothing(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    with env.engine.store.begin() as tx:
        before = tx.deliveries.get_for_update(DeliveryId(1))
        tx.deliveries.replace(before, before.park(NOON).release(NOON))
    env.engine.run(claim)
    assert env.engine.reload_job(claim).result == {"sent": False}
    assert env.client.requests == []


@pytest.mark.parametrize("state", [PARKED, SUCCEEDED, FAILED, CANCELLED])
def test_nothing_is_sent_in_a_state_that_waits_for_no_job(
    env: DeliveryFixture, admin: Actor, account: Account, state: DeliveryState
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    with env.engine.store.begin() as tx:
        tx.deliveries.replace_many(
            [evolve(tx.deliveries.get_for_update(DeliveryId(1)), state=state)]
        )
    env.work()
    assert env.client.requests == []
    assert env.states() == [state]


def test_a_pruned_delivery_is_not_sent(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    with env.engine.store.begin() as tx:
        tx.deliveries.replace_many(
            [evolve(tx.deliveries.get_for_update(DeliveryId(1)), state=FAILED)]
        )
        assert tx.deliveries.prune(after(1), limit=5) == 1
    env.engine.run(claim)
    assert env.engine.reload_job(claim).result == {"sent": False}


def test_of_two_workers_with_the_same_turn_one_records_its_result(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    env.engine.advance(31)
    env.engine.execution.sweep()  # the lease has expired, and the job is due again
    env.engine.advance(1)
    (second,) = env.claim()
    late = env.settlement_of(claim)
    env.engine.run(second)
    env.answer(ERROR)
    assert env.engine.execution.settle([late]) == set()
    assert env.states() == [SUCCEEDED]
    assert [attempt.result for attempt in env.attempts()] == [OK]
    assert len({each.headers["webhook-id"] for each in env.client.requests}) == 1
    assert len(env.client.requests) == 2


def test_a_result_counts_even_if_the_lease_of_its_job_has_expired(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    late = env.settlement_of(claim)
    env.engine.advance(31)
    env.engine.execution.sweep()
    assert env.engine.execution.settle([late]) == set()
    assert env.states() == [SUCCEEDED]
    env.work(1)
    assert len(env.client.requests) == 1


def test_results_of_several_threads_are_recorded_together(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, concurrency=10)
    env.add_destination(account, "https://example.com/other", concurrency=10)
    env.answer(ERROR)
    env.publish(admin, account, *[{"n": n} for n in range(6)])
    settlements = [env.settlement_of(claim) for claim in env.claim()]
    assert len(env.engine.execution.settle([*settlements, settlements[0]])) == 12
    failing, other = (env.destination(each) for each in env.destinations(account))
    assert (failing.breaker.failures, failing.state) == (6, DestinationState.OPEN)
    assert other.breaker.is_pristine
    assert sorted(env.states()) == [RETRYING] * 6 + [SUCCEEDED] * 6
    assert [message["subject"] for message in env.engine.messages()] == ["Destination 1 is failing"]
    assert len(env.attempts(1)) == 1


def test_a_result_that_cannot_be_stored_fails_only_its_delivery_and_is_not_sent_again(
    env: DeliveryFixture, admin: Actor, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.add_destination(account)
    env.publish(admin, account, {"n": 1}, {"n": 2}, {"n": 3})
    settlements = [env.settlement_of(claim) for claim in env.claim()]
    add_attempt = MemoryDeliveryRepository.add_attempt

    def refuse(repository: Any, *attempts: DeliveryAttempt) -> None:
        if any(each.delivery_id == 2 for each in attempts):
            raise Invalid("A value cannot be stored.")
        add_attempt(repository, *attempts)

    monkeypatch.setattr(MemoryDeliveryRepository, "add_attempt", refuse)
    claims, accepted = env.engine.execution.claim(
        "deliveries", worker="w", limit=1, free_threads=1, finished=settlements
    )
    assert len(accepted) == 3
    assert [claim.task for claim in claims] == ["delivery.close"]
    env.engine.execution.release(claims)
    env.work(hours=1)
    assert env.states() == [SUCCEEDED, FAILED, SUCCEEDED]
    assert env.deliveries()[1].last_error == "Invalid: A value cannot be stored."
    assert len(env.client.requests) == 3


def test_a_job_that_is_to_stop_sends_nothing(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()

    class Stopped(RecordingContext):
        def check(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        env.sending.send(DeliveryId(1), 1, Stopped(claim, env.engine.clock))
    assert env.client.requests == []


# deliveries that cannot be sent


def test_a_delivery_whose_data_was_purged_fails(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.publish(admin, account)
    with env.engine.store.begin() as tx:
        assert tx.events.purge(after(1), limit=5) == 1
    env.work()
    (delivery,) = env.deliveries()
    assert (delivery.state, delivery.attempts) == (FAILED, 0)
    assert delivery.last_error == "The data of the event has been deleted."
    assert env.destination(destination).breaker.is_pristine


def test_a_query_string_that_is_too_long_fails_for_good(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, method=HttpMethod.GET)
    env.publish(admin, account, {"a": "x" * 9_000})
    env.work()
    assert env.states() == [FAILED]
    assert "8,192" in str(env.deliveries()[0].last_error)
    assert env.attempts() == []


def test_a_failure_that_another_job_has_overtaken_is_not_recorded(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    with env.engine.store.begin() as tx:
        dispatch = tx.deliveries.load(DeliveryId(1))
        assert dispatch is not None
        tx.deliveries.replace(dispatch.delivery, dispatch.delivery.park(NOON))
    assert env.sending.recorder.fail(dispatch, "too late") is None
    assert env.states() == [PARKED]


def test_a_secret_that_cannot_be_decrypted_is_tried_again_later(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, secret="v1.0000000000000000.AAAA")
    env.publish(admin, account)
    env.work()
    assert env.states() == [PENDING]
    (job,) = env.jobs("delivery.send")
    assert (job.state, job.attempt) == (JobState.SCHEDULED, 1)
    assert "WORKBELL_SECRET_KEY_PREVIOUS" in str(job.reason)


# disabled and deleted destinations


def test_deliveries_to_a_disabled_destination_are_parked_and_sent_after_it_is_enabled(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account, is_active=False)
    env.publish(admin, account, {"n": 1}, {"n": 2})
    env.work()
    assert env.states() == [PARKED, PARKED]
    assert env.client.requests == []
    assert env.unfinished_jobs() == []
    env.enable(destination)
    env.work()
    assert env.states() == [SUCCEEDED, SUCCEEDED]


def test_a_410_response_disables_the_destination_and_what_waits_is_parked(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.answer_in_turn(ERROR, GONE)
    env.publish(admin, account, {"n": 1})
    env.work()
    env.publish(admin, account, {"n": 2})
    env.work()
    assert env.states() == [RETRYING, FAILED]
    stored = env.destination(destination)
    assert (stored.state, stored.disabled_reason) == (
        DestinationState.DISABLED,
        "The receiver responded with 410 Gone.",
    )
    env.publish(admin, account, {"n": 3})
    env.work(10)
    assert env.states() == [PARKED, FAILED, PARKED]
    assert len(env.client.requests) == 2


def test_deliveries_to_a_deleted_destination_are_cancelled(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.add_destination(account, "https://example.com/other")
    env.publish(admin, account)
    env.change(destination, deleted_at=NOON, is_active=False)
    env.work()
    assert env.states() == [CANCELLED, SUCCEEDED]
    assert [each.url for each in env.client.requests] == ["https://example.com/other"]


def test_a_destination_deleted_during_a_request_is_not_changed_by_its_result(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.publish(admin, account)

    def answer(_: OutgoingRequest) -> SendResult:
        env.change(destination, deleted_at=NOON, is_active=False)
        return ERROR

    env.client.receivers["https://example.com/hook"] = answer
    env.work()
    assert env.states() == [RETRYING]
    assert env.destination(destination).breaker.is_pristine
    env.work(5)
    assert env.states() == [CANCELLED]


# the circuit breaker


def opened(env: DeliveryFixture, admin: Actor, account: Account) -> Destination:
    """Return a destination whose breaker five failing deliveries have opened."""
    destination = env.add_destination(account, concurrency=1)
    env.answer(ERROR)
    env.publish(admin, account, *[{"n": n} for n in range(6)])
    env.work()
    assert env.destination(destination).state is DestinationState.OPEN
    return destination


def test_after_five_failures_further_deliveries_are_parked(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    assert env.states() == [RETRYING] * 5 + [PARKED]
    assert len(env.client.requests) == 5
    env.work(30)
    assert env.states() == [PARKED] * 6
    assert len(env.client.requests) == 5
    assert env.destination(destination).breaker.open_until == after(60)


def test_after_the_pause_one_delivery_probes_and_a_success_releases_all(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    env.work(30)
    env.fail_times(0, ERROR, destination.url)
    env.work(30)
    assert env.states() == [SUCCEEDED] * 6
    assert env.destination(destination).breaker == CircuitBreaker()
    assert env.destination(destination).state is DestinationState.CLOSED


def test_a_failed_probe_doubles_the_pause_and_the_next_probe_is_another_delivery(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    env.work(30)
    env.fail_times(1, ERROR, destination.url)
    env.work(30)
    assert len(env.client.requests) == 6
    assert env.destination(destination).breaker.open_until == after(60 + 120)
    env.work(119)
    assert len(env.client.requests) == 6
    env.work(1)
    assert env.states() == [SUCCEEDED] * 6


def test_only_one_delivery_is_under_way_while_half_open(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    env.work(30)

    def answer(_: OutgoingRequest) -> SendResult:
        stored = env.destination(destination)
        assert stored.state is DestinationState.HALF_OPEN
        assert stored.breaker.probe is not None
        sent = len(env.client.requests)
        env.publish(admin, account, {"during": "probe"})
        env.work()
        assert len(env.client.requests) == sent
        return ERROR

    env.client.receivers[destination.url] = answer
    env.work(30)
    assert env.destination(destination).breaker.state is BreakerState.OPEN


def test_a_lost_probe_is_replaced_after_its_time_limit(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    env.work(30)
    env.engine.advance(30)
    release = env.run_once("delivery.release")
    assert release.result == {"released": 1}
    (claim,) = env.claim()

    def die(_: OutgoingRequest) -> SendResult:
        raise SystemExit

    env.client.receivers[destination.url] = die
    with pytest.raises(SystemExit):
        env.sending.send(
            DeliveryId(claim.parameters["delivery"]),
            claim.parameters["turn"],
            RecordingContext(claim, env.engine.clock),
        )
    assert env.destination(destination).breaker.open_until == after(60 + 45)
    env.answer(OK)
    env.engine.advance(31)
    env.engine.execution.sweep()  # the lease of the dead worker has expired
    env.work(14)
    assert env.destination(destination).state is DestinationState.CLOSED
    assert env.states() == [SUCCEEDED] * 6


def test_a_day_of_failures_disables_the_destination(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = opened(env, admin, account)
    for _ in range(80):
        env.work(hours=1)
    stored = env.destination(destination)
    assert stored.disabled_reason == "No delivery has succeeded for a day."
    assert set(env.states()) <= {PARKED, FAILED}
    assert {job.task for job in env.unfinished_jobs()} == {"email.send"}


def test_a_success_between_failures_resets_the_count(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account, concurrency=1)
    env.answer_in_turn(*[ERROR] * 4, OK, *[ERROR] * 4)
    env.publish(admin, account, *[{"n": n} for n in range(9)])
    env.work()
    assert env.destination(destination).breaker.failures == 4
    assert env.destination(destination).state is DestinationState.CLOSED


# tests


@pytest.mark.parametrize(
    "prepare",
    [
        lambda env, each: env.change(each, is_active=False),
        lambda env, each: env.change(each, rate_per_second=1, next_send_at=after(99)),
        lambda env, each: env.change(
            each, breaker=CircuitBreaker(state=BreakerState.OPEN, open_until=after(60), failures=5)
        ),
    ],
    ids=["disabled", "slowed", "open"],
)
@pytest.mark.parametrize("result", [OK, ERROR, GONE], ids=["ok", "error", "gone"])
def test_a_test_is_sent_at_once_and_changes_nothing(
    env: DeliveryFixture,
    admin: Actor,
    account: Account,
    prepare: Callable[[DeliveryFixture, Any], Any],
    result: SendResult,
) -> None:
    destination = prepare(env, env.add_destination(account))
    env.publishing.publish_test(admin, destination.id)
    env.answer(result)
    env.work()
    assert env.states() == [SUCCEEDED if result is OK else FAILED]
    assert env.destination(destination) == destination
    assert env.unfinished_jobs() == []
    assert len(env.events(account)) == 1


def test_a_test_of_a_deleted_destination_is_cancelled(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.publishing.publish_test(admin, destination.id)
    env.change(destination, deleted_at=NOON, is_active=False)
    env.work()
    assert env.states() == [CANCELLED]


# rates


def test_deliveries_are_spread_by_the_rate_of_the_destination(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, rate_per_second=2, concurrency=100)
    env.publish(admin, account, *[{"n": n} for n in range(5)])
    sent: list[int] = []
    for _ in range(5):
        env.work(0.5 if sent else 0)
        sent.append(len(env.client.requests))
    assert sent == [1, 2, 3, 4, 5]
    assert env.states() == [SUCCEEDED] * 5
    assert all(each.attempts == 1 for each in env.deliveries())


def test_a_postponed_delivery_uses_its_reserved_time_after_a_crash(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account, rate_per_second=1)
    env.publish(admin, account, {"n": 1}, {"n": 2})
    env.work()
    assert env.deliveries()[1].slot_at == after(1)
    env.engine.advance(1)
    (claim,) = env.claim()
    context = RecordingContext(claim, env.engine.clock)
    for _ in range(2):
        assert env.sending.send(DeliveryId(2), 2, context) is not None
    assert env.destination(destination).next_send_at == after(2)


def test_a_delivery_that_changed_before_its_row_was_locked_is_not_sent(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account, rate_per_second=1)
    env.publish(admin, account)
    with env.engine.store.begin() as tx:
        dispatch = tx.deliveries.load(DeliveryId(1))
        assert dispatch is not None
        tx.deliveries.replace(dispatch.delivery, dispatch.delivery.cancel(NOON))
    assert env.sending._admit_locked(dispatch, 1) is None
