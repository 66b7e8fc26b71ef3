"""Replay: failed and parked deliveries of a period, once per chunk."""

from datetime import datetime

import pytest

from tests.contract.factories import NOON
from tests.domain.delivery.factories import ERROR, GONE, OK, after
from tests.services.delivery.sending import DeliveryFixture
from tests.services.engine import RecordingContext
from workbell.domain.delivery.account import Account
from workbell.domain.delivery.delivery import DeliveryState
from workbell.domain.delivery.destination import Destination, DestinationId
from workbell.domain.errors import Invalid, NotAllowed, NotFound
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.job import JobState
from workbell.domain.jobs.task import Cancelled
from workbell.services.delivery import replay

pytestmark = pytest.mark.unit

FAILED, PARKED, SUCCEEDED = DeliveryState.FAILED, DeliveryState.PARKED, DeliveryState.SUCCEEDED


@pytest.fixture
def destination(env: DeliveryFixture, admin: Actor, account: Account) -> Destination:
    """Return a destination with one failed delivery per minute since noon."""
    destination = env.add_destination(account, retry_delays=[1])
    env.answer(ERROR)
    for n in range(5):
        env.publish(admin, account, {"n": n}, event_id=f"e-{n}")
        env.work()
        env.work(1)
        env.enable(destination)
        env.work(59)
    assert env.states() == [FAILED] * 5
    env.answer(OK)
    env.client.requests.clear()
    return destination


def run(
    env: DeliveryFixture, actor: Actor, destination: Destination, since: datetime,
    until: datetime | None = None,
) -> object:  # fmt: skip
    """Replay a period and return the result of the job."""
    job = env.replays.replay(actor, destination.id, since, until)
    assert env.run_once("delivery.replay").state is JobState.SUCCEEDED
    return env.engine.reload_job(job).result


def test_all_failed_deliveries_of_the_period_are_sent_again_with_their_ids(
    env: DeliveryFixture, admin: Actor, destination: Destination
) -> None:
    assert run(env, admin, destination, after(60), after(200)) == {"replayed": 3}
    env.work()
    assert env.states() == [FAILED, SUCCEEDED, SUCCEEDED, SUCCEEDED, FAILED]
    sent = [each.headers["webhook-id"] for each in env.client.requests]
    assert sorted(sent) == ["e-1", "e-2", "e-3"]
    assert env.deliveries()[1].attempts == 3


def test_a_replayed_delivery_has_the_whole_schedule_again(
    env: DeliveryFixture, admin: Actor, destination: Destination
) -> None:
    run(env, admin, destination, after(240))
    env.answer(ERROR)
    env.work()
    assert env.states()[4] is DeliveryState.RETRYING
    env.work(1)
    assert env.states()[4] is FAILED
    assert env.deliveries()[4].attempts == 4


def test_parked_deliveries_of_the_period_are_replayed_too(
    env: DeliveryFixture, admin: Actor, account: Account, destination: Destination
) -> None:
    env.change(destination, is_active=False)
    env.publish(admin, account, {"n": 5})
    env.work()
    assert env.states()[5] is PARKED
    env.change(destination, is_active=True)
    assert run(env, admin, destination, after(300)) == {"replayed": 1}
    env.work()
    assert env.states() == [FAILED] * 5 + [SUCCEEDED]
    env.engine.advance(60)
    assert run(env, admin, destination, env.engine.clock.now()) == {"replayed": 0}


@pytest.mark.parametrize("chunk", [1, 2, 5, 6])
def test_chunks_replay_every_delivery_once(
    env: DeliveryFixture,
    admin: Actor,
    destination: Destination,
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "CHUNK", chunk)
    assert run(env, admin, destination, NOON) == {"replayed": 5}
    env.work()
    assert len(env.client.requests) == 5


def test_a_run_that_was_interrupted_continues_without_repeating_a_chunk(
    env: DeliveryFixture, admin: Actor, destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "CHUNK", 1)
    env.replays.replay(admin, destination.id, NOON)
    (claim,) = env.claim()

    class Interrupted(RecordingContext):
        left = 2

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Cancelled

    period = NOON, env.engine.clock.now()
    context = Interrupted(claim, env.engine.clock)
    with pytest.raises(Cancelled):
        env.replays.run(destination.id, *period, context)
    env.answer(ERROR)
    env.work(0.5)  # the first two fail again, after the end of the period
    env.work(1.5)
    assert env.states() == [FAILED] * 5
    again = RecordingContext(claim, env.engine.clock)
    assert env.replays.run(destination.id, *period, again) == 3


def test_the_job_belongs_to_the_actor_and_can_be_read_by_them(
    env: DeliveryFixture, admin: Actor, destination: Destination
) -> None:
    job = env.replays.replay(admin, destination.id, after(60))
    assert env.engine.jobs.get(admin, job.id).task == "delivery.replay"
    assert job.parameters == {
        "destination": destination.id,
        "since": "2030-01-01T12:01:00+00:00",
        "until": "2030-01-01T12:05:00.500000+00:00",
    }
    assert env.engine.actions()[-1] == "REPLAY destination"
    env.engine.jobs.cancel(admin, job.id)
    env.work()
    assert env.states() == [FAILED] * 5


def test_the_period_ends_half_a_second_from_now_at_the_latest(
    env: DeliveryFixture, admin: Actor, destination: Destination
) -> None:
    job = env.replays.replay(admin, destination.id, NOON, after(days=9))
    assert job.parameters["until"] == "2030-01-01T12:05:00.500000+00:00"
    with pytest.raises(Invalid):
        env.replays.replay(admin, destination.id, after(301))
    with pytest.raises(Invalid):
        env.replays.replay(admin, destination.id, after(60), after(59))


def test_a_failure_is_replayed_although_the_clock_of_its_worker_is_ahead_or_behind(
    env: DeliveryFixture, admin: Actor, account: Account
) -> None:
    clock, start = env.engine.clock, env.engine.clock.now()
    destination = env.add_destination(account)
    env.answer(GONE)
    for difference in (0.4, -0.4):
        env.publish(admin, account, {"n": difference})
        env.work(difference)
        clock.at = start
        env.enable(destination)
    assert env.states() == [FAILED, FAILED]
    assert run(env, admin, destination, start) == {"replayed": 2}


def test_nothing_of_a_deleted_destination_is_replayed(
    env: DeliveryFixture, admin: Actor, destination: Destination
) -> None:
    env.replays.replay(admin, destination.id, NOON)
    env.change(destination, deleted_at=NOON, is_active=False)
    assert env.run_once("delivery.replay").result == {"replayed": 0}


def test_only_admins_and_superusers_replay(
    env: DeliveryFixture, admin: Actor, account: Account, destination: Destination
) -> None:
    with pytest.raises(NotFound):
        env.replays.replay(env.engine.add_user("stranger"), destination.id, NOON)
    with pytest.raises(NotFound):
        env.replays.replay(admin, DestinationId(99), NOON)
    normal = env.engine.add_user("normal")
    shared = env.add_account(admin, normal, token_index="shared")
    with pytest.raises(NotAllowed):
        env.replays.replay(normal, env.add_destination(shared).id, NOON)
    root = env.engine.add_user("root", is_super_user=True)
    assert env.replays.replay(root, destination.id, NOON).owner == root.user_id
