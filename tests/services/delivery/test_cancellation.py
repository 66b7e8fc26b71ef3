"""Cancellation: deleted destinations, and jobs that end without a result."""

import pytest

from tests.contract.factories import NOON
from tests.domain.delivery.factories import ERROR, OK
from tests.services.delivery.sending import DeliveryFixture
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryId, DeliveryState
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.attempt import Outcome, TaskResult, settle
from workbell.domain.jobs.job import Job, JobState
from workbell.ports.webhook_client import OutgoingRequest
from workbell.services.delivery import cancellation
from workbell.services.delivery.job_outcomes import closing_job
from workbell.services.delivery.jobs import cancel_job

pytestmark = pytest.mark.unit

PENDING, SENDING, RETRYING, PARKED, SUCCEEDED, FAILED, CANCELLED = DeliveryState


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_the_unfinished_deliveries_of_a_deleted_destination_are_cancelled(
    env: DeliveryFixture,
    admin: Actor,
    account: Account,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cancellation, "CHUNK", chunk)
    destination = env.add_destination(account, concurrency=1)
    other = env.add_destination(account, "https://example.com/other")
    env.answer_in_turn(OK, ERROR)
    for n in range(2):
        env.publish(admin, account, {"n": n})
        env.work()
    env.change(destination, is_active=False)
    env.publish(admin, account, {"n": 2})
    env.work()
    env.publish(admin, account, {"n": 3})
    mine = {"destination_id": destination.id}
    assert env.states(**mine) == [SUCCEEDED, RETRYING, PARKED, PENDING]

    env.change(destination, deleted_at=NOON)
    with env.engine.store.begin() as tx:
        tx.jobs.add([cancel_job(destination.id, NOON)], NOON)
    assert env.run_once("delivery.cancel").result == {"cancelled": 3}
    assert env.states(**mine) == [SUCCEEDED, CANCELLED, CANCELLED, CANCELLED]
    waiting = [job for job in env.unfinished_jobs() if job.state.waiting]
    assert {job.concurrency_key for job in waiting} <= {other.concurrency_key}
    env.work(hours=99)
    assert len([each for each in env.client.requests if each.url == destination.url]) == 2
    assert env.states(destination_id=other.id) == [SUCCEEDED] * 4


def test_a_delivery_under_way_is_cancelled_and_its_result_is_not_recorded(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    destination = env.add_destination(account)
    env.publish(admin, account)

    def delete(_: OutgoingRequest) -> object:
        env.change(destination, deleted_at=NOON, is_active=False)
        with env.engine.store.begin() as tx:
            tx.jobs.add([cancel_job(destination.id, NOON)], NOON)
        assert env.run_once("delivery.cancel").result == {"cancelled": 1}
        return OK

    env.client.receivers[destination.url] = delete  # type: ignore[assignment]
    env.work()
    assert env.states() == [CANCELLED]
    assert env.attempts() == []


# jobs that end in the engine


def test_an_operator_who_cancels_a_waiting_job_cancels_the_delivery(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    root = env.engine.add_user("root", is_super_user=True)
    (job,) = env.jobs("delivery.send")
    env.engine.jobs.cancel(root, job.id)
    env.work()
    assert env.states() == [CANCELLED]
    assert env.client.requests == []


def test_deleting_a_waiting_job_cancels_the_delivery_and_hiding_it_later_does_nothing(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    root = env.engine.add_user("root", is_super_user=True)
    (job,) = env.jobs("delivery.send")
    env.engine.jobs.remove(root, job.id)
    env.engine.jobs.remove(root, job.id)
    assert len(env.jobs("delivery.close")) == 1
    env.work()
    assert env.states() == [CANCELLED]


def test_an_operators_retry_of_the_job_sends_nothing(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    root = env.engine.add_user("root", is_super_user=True)
    (job,) = env.jobs("delivery.send")
    env.engine.jobs.cancel(root, job.id)
    env.work()
    env.engine.jobs.retry(root, job.id)
    env.work()
    env.engine.jobs.retry(root, job.id)
    env.work()
    assert env.states() == [CANCELLED]
    assert env.client.requests == []


def test_a_running_job_that_is_cancelled_before_its_request_cancels_the_delivery(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    assert env.engine.settle(claim, Outcome.CANCELLED)
    env.work()
    assert env.states() == [CANCELLED]


def test_a_job_that_was_to_be_retried_and_is_cancelled_instead_cancels_the_delivery(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    root = env.engine.add_user("root", is_super_user=True)
    (claim,) = env.claim()
    env.engine.jobs.cancel(root, claim.id)
    assert env.engine.settle(claim, Outcome.FAILED, error="no")
    assert env.engine.reload_job(claim).state is JobState.CANCELLED
    env.work()
    assert env.states() == [CANCELLED]


def test_a_job_that_fails_for_good_fails_the_delivery_with_its_error(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    assert env.engine.settle(claim, Outcome.FAILED, error="no such task", permanent=True)
    env.work()
    (delivery,) = env.deliveries()
    assert (delivery.state, delivery.last_error) == (FAILED, "no such task")


def test_a_job_that_is_retried_leaves_the_delivery_as_it_is(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    (claim,) = env.claim()
    assert env.engine.settle(claim, Outcome.FAILED, error="later")
    assert env.jobs("delivery.close") == []
    env.work(10)
    assert env.states() == [SUCCEEDED]


def test_outcomes_of_other_jobs_close_nothing(env: DeliveryFixture) -> None:
    with env.engine.store.begin() as tx:
        tx.jobs.add([Job(task="echo", due_at=NOON, created_at=NOON)], NOON)
    (claim,) = env.engine.claim()
    failed = settle(claim, TaskResult(outcome=Outcome.FAILED, permanent=True), NOON, 0.5)
    (hook,) = env.engine.execution.on_settled[1:]
    assert not hook.applies_to(failed)
    hook.prepare(None, [failed])([failed])
    assert env.engine.execution.settle([failed]) == {claim.id}
    assert closing_job(env.engine.reload_job(claim), NOON) is None
    assert env.jobs("delivery.close") == []


def test_a_failed_job_without_a_reason_has_one_for_the_delivery() -> None:
    parameters = {"delivery": 1, "turn": 1}
    job = Job(
        task="delivery.send", state=JobState.FAILED, parameters=parameters, due_at=NOON,
        created_at=NOON,
    )  # fmt: skip
    closing = closing_job(job, NOON)
    assert closing is not None
    assert closing.parameters["error"] == "The job of the delivery has ended without a result."


def test_only_a_delivery_that_waits_for_the_job_is_closed(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    env.add_destination(account)
    env.publish(admin, account)
    assert not env.cancellation.close(DeliveryId(1), 2, None)
    assert not env.cancellation.close(DeliveryId(99), 1, None)
    env.work()
    assert not env.cancellation.close(DeliveryId(1), 2, None)
    assert env.states() == [SUCCEEDED]
