"""Release of parked deliveries: all, in chunks, or one as a probe."""

import pytest

from tests.contract.factories import NOON
from tests.domain.delivery.factories import OK, after, an_open_breaker
from tests.services.delivery.sending import DeliveryFixture
from tests.services.engine import RecordingContext
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.errors import Conflict
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.attempt import Claim
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import Cancelled
from workbell.services.delivery import release
from workbell.services.delivery.jobs import cancel_job, close_job, release_job

pytestmark = pytest.mark.unit

PARKED, SUCCEEDED = DeliveryState.PARKED, DeliveryState.SUCCEEDED


@pytest.fixture
def destination(env: DeliveryFixture, admin: Actor, account: Account) -> Destination:
    """Return a disabled destination with seven parked deliveries."""
    destination = env.add_destination(account, is_active=False)
    env.publish(admin, account, *[{"n": n} for n in range(7)])
    env.work()
    assert env.states() == [PARKED] * 7
    return destination


def release_now(env: DeliveryFixture, destination: Destination) -> object:
    """Run a job that releases deliveries, and return its result."""
    now = env.engine.clock.now()
    with env.engine.store.begin() as tx:
        tx.jobs.add([release_job(destination.id, now, now)], now)
    job = env.run_once("delivery.release")
    assert job.state is JobState.SUCCEEDED
    return job.result


def test_an_active_destination_with_a_closed_breaker_gets_all(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.enable(destination)
    assert env.run_once("delivery.release").result == {"released": 7}
    env.work()
    assert env.states() == [SUCCEEDED] * 7
    assert [each.attempts for each in env.deliveries()] == [1] * 7


@pytest.mark.parametrize("chunk", [1, 3, 7, 8])
def test_chunks_release_every_delivery_once(
    env: DeliveryFixture,
    destination: Destination,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(release, "CHUNK", chunk)
    env.enable(destination)
    assert env.run_once("delivery.release").result == {"released": 7}
    env.work()
    assert len(env.client.requests) == 7


def test_a_disabled_destination_gets_none(env: DeliveryFixture, destination: Destination) -> None:
    assert release_now(env, destination) == {"released": 0}
    assert env.states() == [PARKED] * 7


def test_an_open_breaker_gets_one_after_its_pause(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.change(destination, is_active=True, breaker=an_open_breaker())
    assert release_now(env, destination) == {"released": 0}
    env.engine.advance(60)
    assert release_now(env, destination) == {"released": 1}
    assert env.states() == [DeliveryState.PENDING] + [PARKED] * 6


def test_a_second_release_releases_nothing_twice(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.enable(destination)
    env.enable(destination)
    results = [env.run_once("delivery.release").result for _ in range(2)]
    assert results == [{"released": 7}, {"released": 0}]


def test_a_release_stops_when_the_destination_fails_again(
    env: DeliveryFixture, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "CHUNK", 2)
    env.change(destination, is_active=True)
    claim = a_claim(env)

    class FailingContext(RecordingContext):
        def progress(self, done: float, total: float | None = None, note: str = "") -> None:
            env.change(destination, breaker=an_open_breaker(after(999)))

    assert env.parked.release(destination.id, FailingContext(claim, env.engine.clock)) == 2
    assert env.states().count(PARKED) == 5


def test_a_cancelled_release_stops_between_two_chunks(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.change(destination, is_active=True)

    class CancelledContext(RecordingContext):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        env.parked.release(destination.id, CancelledContext(a_claim(env), env.engine.clock))
    assert env.states() == [PARKED] * 7


@pytest.mark.parametrize(
    "job",
    [
        release_job(DestinationId(1), NOON, NOON),
        cancel_job(DestinationId(1), NOON),
        close_job({"delivery": 1, "turn": 1}, None, NOON),
    ],
    ids=lambda job: job.task,
)
def test_the_jobs_on_which_deliveries_depend_cannot_be_cancelled(
    env: DeliveryFixture, destination: Destination, job: Job
) -> None:
    with env.engine.store.begin() as tx:
        (stored,) = tx.jobs.add([job], NOON)
    assert stored is not None and stored.id is not None
    root = env.engine.add_user("root", is_super_user=True)
    for command in (env.engine.jobs.cancel, env.engine.jobs.remove):
        with pytest.raises(Conflict, match="cannot be cancelled"):
            command(root, stored.id)
    assert env.unfinished_jobs() == [stored]


def test_a_release_that_an_operator_tries_to_cancel_sends_all_deliveries(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.enable(destination)
    root = env.engine.add_user("root", is_super_user=True)
    (job,) = env.jobs("delivery.release")
    with pytest.raises(Conflict):
        env.engine.jobs.cancel(root, job.id)
    env.work()
    assert env.states() == [SUCCEEDED] * 7


def a_claim(env: DeliveryFixture) -> Claim:
    """Return the claim of any job."""
    with env.engine.store.begin() as tx:
        tx.jobs.add([Job(task="echo", due_at=after(0), created_at=after(0))], after(0))
    (claim,) = env.engine.claim()
    return claim


def test_released_deliveries_have_their_first_attempt_then(
    env: DeliveryFixture, destination: Destination
) -> None:
    env.answer(OK)
    env.engine.advance(3_600)
    env.enable(destination)
    env.work()
    assert {each.completed_at for each in env.deliveries()} == {after(3_600)}
