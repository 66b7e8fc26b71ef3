"""Cancelling thousands of jobs: in batches, and none of them starts until then."""

from typing import Any

import pytest

from tests.contract.factories import (
    ALICE,
    BOB,
    CANCELLED,
    HELD,
    NOON,
    READY,
    AnyStore,
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    after,
    claim,
    ended,
    ids,
    in_concurrency_key,
    keep,
    running,
    stand,
    write,
)
from workbell.domain.identity.actor import ALL_OWNERS, Actor, Scope
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.cancellation import Cancellation
from workbell.domain.jobs.job import JobId
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.schedules.schedule import Schedule
from workbell.domain.schedules.ticks import SkipReason
from workbell.services.schedules import cancellations, runs
from workbell.services.schedules.cancellations import CancellationService, stop_owner


@pytest.fixture
def service(
    store: AnyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> CancellationService:
    """Return a service whose batches are small."""
    monkeypatch.setattr(cancellations, "JOBS_PER_BATCH", 2)
    monkeypatch.setattr(cancellations, "SCHEDULES_PER_BATCH", 2)
    monkeypatch.setattr(runs, "RUNS_AT_ONCE", 2)
    tasks = Tasks()
    tasks.add(Task(key="internal", body=lambda *_: None, is_internal=True))
    return CancellationService(store=store, clock=clock, tasks=tasks)


def a_cancellation(**fields: Any) -> Cancellation:
    values: dict[str, Any] = {
        "owner": ALICE,
        "last_job_id": JobId(9_999),
        "reason": "paused",
        "started_at": NOON,
    }
    return Cancellation(**values | fields)


def add(store: AnyStore, **fields: Any) -> Cancellation:
    with store.begin() as tx:
        return tx.cancellations.add(a_cancellation(**fields))


def add_schedule(store: AnyStore, owner: UserId = ALICE) -> Schedule:
    with store.begin() as tx:
        return tx.schedules.add(a_schedule(owner=owner).resume(NOON))


def pause(store: AnyStore, schedule: Schedule) -> None:
    with store.begin() as tx:
        current = tx.schedules.get_for_update(ALL_OWNERS, schedule.id)
        runs.cancel_pending(tx, current, NOON, SkipReason.PAUSED)


def finish(service: CancellationService) -> int:
    """Run all batches; return how many there were."""
    batches = 0
    while service.sweep():
        batches += 1
    return batches


def test_runs_beyond_the_first_are_not_claimed_and_are_cancelled_in_batches(
    store: AnyStore, service: CancellationService
) -> None:
    schedule = add_schedule(store)
    jobs = keep(store, *[a_job(schedule_id=schedule.id) for _ in range(5)], a_job())
    pause(store, schedule)
    assert stand(store, *jobs) == [CANCELLED] * 2 + [READY] * 4
    assert ids(claim(store)) == [jobs[5].id]
    (progress,) = service.progress(Actor(user_id=ALICE))
    assert (progress.cancellation.cancelled, progress.left) == (2, 3)
    assert service.progress(Actor(user_id=BOB)) == []
    assert service.sweep()
    (progress,) = service.progress(Actor(user_id=ALICE))
    assert (progress.cancellation.cancelled, progress.left) == (4, 1)
    assert finish(service) == 1
    assert stand(store, *jobs[:5]) == [CANCELLED] * 5
    assert service.progress(Actor(user_id=ALICE)) == []


def test_runs_enqueued_after_the_pause_stay(store: AnyStore, service: CancellationService) -> None:
    schedule = add_schedule(store)
    keep(store, *[a_job(schedule_id=schedule.id) for _ in range(5)])
    pause(store, schedule)
    (later,) = keep(store, a_job(schedule_id=schedule.id))
    assert ids(claim(store)) == [later.id]
    finish(service)
    (last,) = keep(store, a_job(schedule_id=schedule.id))
    assert stand(store, last) == [READY]


def test_few_runs_leave_no_cancellation(store: AnyStore, service: CancellationService) -> None:
    schedule = add_schedule(store)
    jobs = keep(store, a_job(schedule_id=schedule.id))
    pause(store, schedule)
    assert stand(store, *jobs) == [CANCELLED]
    assert not service.sweep()


def test_cancelled_runs_release_their_concurrency_key(
    store: AnyStore, service: CancellationService
) -> None:
    schedule = add_schedule(store)
    jobs = keep(
        store,
        *[in_concurrency_key(schedule_id=schedule.id) for _ in range(4)],
        in_concurrency_key(),
    )
    assert stand(store, *jobs) == [READY] + [HELD] * 4
    pause(store, schedule)
    finish(service)
    assert stand(store, *jobs) == [CANCELLED] * 4 + [READY]


def test_a_settlement_claims_no_run_that_is_to_be_cancelled(store: AnyStore) -> None:
    schedule = add_schedule(store)
    (work,) = running(store, a_job())
    keep(store, a_job(schedule_id=schedule.id))
    add(store, schedule_id=schedule.id)
    with store.begin(single_statement=True) as tx:
        claims, accepted = tx.jobs.settle_and_claim(
            [ended(work)],
            "default",
            worker="w",
            now=NOON,
            lease_until=after(30),
            limit=5,
            free_threads=5,
        )
    assert (ids(claims), accepted) == ([], {work.id})


def test_running_jobs_are_not_cancelled(store: AnyStore, service: CancellationService) -> None:
    schedule = add_schedule(store)
    (work,) = running(store, a_job(schedule_id=schedule.id))
    pause(store, schedule)
    assert not service.sweep()
    assert write(store, ended(work)) == {work.id}


def test_an_inactive_owner_is_stopped_in_batches(
    store: AnyStore, service: CancellationService, clock: ManualClock
) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user("carol")).id
    schedules = [add_schedule(store, owner) for _ in range(5)]
    jobs = keep(store, *[a_job(owner=owner) for _ in range(5)], a_job(owner=owner, task="internal"))
    others = keep(store, a_job(owner=BOB))
    clock.at = after(60)
    with store.begin() as tx:
        stop_owner(tx, owner, clock.at, service.tasks)
        assert tx.schedules.count_active(owner, limit=9) == 3
    assert stand(store, *jobs) == [READY] * 6
    assert finish(service) == 4
    with store.view() as tx:
        assert tx.schedules.count_active(owner, limit=9) == 0
        paused = tx.schedules.get(ALL_OWNERS, schedules[-1].id)
    assert paused.paused_reason == "owner inactive"
    assert stand(store, *jobs, *others) == [CANCELLED] * 5 + [READY] * 2


def test_schedules_resumed_since_stay_active(
    store: AnyStore, service: CancellationService, clock: ManualClock
) -> None:
    with store.begin() as tx:
        owner = tx.users.add(a_user("carol")).id
    schedules = [add_schedule(store, owner) for _ in range(3)]
    clock.at = after(60)
    with store.begin() as tx:
        stop_owner(tx, owner, clock.at, service.tasks)
        resumed = tx.schedules.get_for_update(ALL_OWNERS, schedules[0].id)
        tx.schedules.replace(resumed.resume(after(90)).touched(after(90)))
    finish(service)
    with store.view() as tx:
        active = [tx.schedules.get(ALL_OWNERS, each.id).is_active for each in schedules]
    assert active == [True, False, False]


def test_cancellations_are_stored_and_listed_by_owner(store: AnyStore) -> None:
    first, second = add(store), add(store, owner=BOB, schedule_id=7)
    with store.view() as tx:
        assert list(tx.cancellations.all(ALL_OWNERS)) == [first, second]
        assert list(tx.cancellations.all(Scope(owner=BOB))) == [second]
    with store.begin() as tx:
        assert tx.cancellations.lock_next() == first
        tx.cancellations.record(first, 3)
        tx.cancellations.remove(second)
    with store.view() as tx:
        (stored,) = tx.cancellations.all(ALL_OWNERS)
    assert stored.cancelled == 3


def test_the_last_job_is_that_of_the_schedule_or_of_the_owner(store: AnyStore) -> None:
    schedule = add_schedule(store)
    run, own, _ = keep(store, a_job(schedule_id=schedule.id), a_job(), a_job(owner=BOB))
    with store.view() as tx:
        assert tx.cancellations.last_job_id(ALICE, schedule.id) == run.id
        assert tx.cancellations.last_job_id(ALICE, None) == own.id
        assert tx.cancellations.last_job_id(UserId(99), None) == 0
