"""Owners who may no longer run: their schedules pause and their jobs are cancelled."""

from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import (
    NOON,
    AnyStore,
    ManualClock,
    a_job,
    a_schedule,
    a_user,
    after,
)
from tests.services.engine import FixedRandomness
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import NotAllowed
from workbell.domain.identity.actor import ALL_OWNERS, Actor
from workbell.domain.identity.user import User, UserId
from workbell.domain.jobs.job import Job, JobId, JobState
from workbell.domain.jobs.task import Task, Tasks
from workbell.domain.schedules.schedule import OverlapPolicy, Schedule
from workbell.ports.jobs.views import JobFilter
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules import owner_changes
from workbell.services.schedules.owner_changes import OwnerChanges
from workbell.services.schedules.ticker import Ticker

CANCELLED, READY, RUNNING, SCHEDULED, SKIPPED = (
    JobState.CANCELLED,
    JobState.READY,
    JobState.RUNNING,
    JobState.SCHEDULED,
    JobState.SKIPPED,
)


def superusers_only(actor: Actor, _: object) -> None:
    if not actor.is_super_user:
        raise NotAllowed("Superusers only.")


def make_tasks() -> Tasks:
    tasks = Tasks()
    tasks.add(Task(key="echo", body=lambda *_: None))
    tasks.add(Task(key="cleanup", body=lambda *_: None, check=superusers_only))
    tasks.add(Task(key="internal", body=lambda *_: None, is_internal=True))
    return tasks


def make_changes(store: AnyStore, clock: ManualClock) -> OwnerChanges:
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=make_tasks(), serializer=JsonSerializer()
    )
    return OwnerChanges(definitions=definitions)


def make_ticker(store: AnyStore, clock: ManualClock, *, verified: bool = False) -> Ticker:
    return Ticker(
        store=store,
        clock=clock,
        randomness=FixedRandomness(),
        tasks=make_tasks(),
        require_verified_email=verified,
    )


def add_user(store: AnyStore, name: str, **fields: Any) -> User:
    with store.begin() as tx:
        return tx.users.add(a_user(name, **fields))


def add_schedule(store: AnyStore, owner: UserId, **fields: Any) -> Schedule:
    with store.begin() as tx:
        return tx.schedules.add(a_schedule(owner=owner, **fields).resume(NOON))


def change(store: AnyStore, changes: OwnerChanges, user: User, **fields: Any) -> User:
    after_change = evolve(user, **fields)
    with store.begin() as tx:
        tx.users.replace(after_change)
        changes.apply(tx, user, after_change, after(3600))
    return after_change


def jobs_of(store: AnyStore, owner: UserId) -> list[Job]:
    with store.view() as tx:
        return list(tx.jobs.find(ALL_OWNERS, JobFilter(owner=owner), ordering=["id"], limit=100))


def reload(store: AnyStore, schedule: Schedule) -> Schedule:
    with store.view() as tx:
        return tx.schedules.get(ALL_OWNERS, schedule.id)


def test_a_deactivated_owner_has_no_ticks_no_starts_and_an_empty_queue(
    store: AnyStore, clock: ManualClock
) -> None:
    """Reactivation resumes nothing by itself."""
    changes, ticker = make_changes(store, clock), make_ticker(store, clock)
    alice, bob = add_user(store, "alice"), add_user(store, "bob")
    hers, paused = add_schedule(store, alice.id), add_schedule(store, alice.id)
    with store.begin() as tx:
        tx.schedules.replace(paused.pause())
        tx.jobs.add(
            [
                a_job(owner=alice.id, due_at=NOON),
                a_job(owner=alice.id, due_at=after(9_999)),
                a_job(owner=alice.id, due_at=NOON, task="internal"),
                a_job(owner=bob.id, due_at=NOON),
            ],
            NOON,
        )
    clock.at = after(3600)
    inactive = change(store, changes, alice, is_active=False)

    tick, *jobs = sorted(jobs_of(store, alice.id), key=lambda job: job.schedule_id is None)
    assert (tick.state, tick.reason, tick.tick) == (SKIPPED, "owner_inactive", after(3600))
    assert [job.state for job in jobs] == [CANCELLED, CANCELLED, READY]
    assert {job.reason for job in jobs[:2]} == {"owner inactive"}
    assert [job.state for job in jobs_of(store, bob.id)] == [READY]
    stored = reload(store, hers)
    assert (stored.is_active, stored.paused_reason) == (False, "owner inactive")
    assert reload(store, paused).paused_reason is None

    change(store, changes, inactive, is_active=True)
    clock.at = after(9_999)
    assert ticker.tick() == 0
    assert len(jobs_of(store, alice.id)) == 4


def test_many_jobs_are_cancelled_in_batches(
    store: AnyStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that a cancelled job has freed goes to the next owner."""
    monkeypatch.setattr(owner_changes, "BATCH", 2)
    changes, alice = make_changes(store, clock), add_user(store, "alice")
    keyed = a_job(owner=alice.id, due_at=NOON, concurrency_key="shared")
    with store.begin() as tx:
        tx.jobs.add([keyed, *[a_job(owner=alice.id, due_at=NOON)] * 3], NOON)
        (other,) = tx.jobs.add([evolve(keyed, owner=UserId(77))], NOON)
    assert other is not None
    with store.view() as tx:
        assert tx.jobs.get(ALL_OWNERS, other.id).state is JobState.HELD
    change(store, changes, alice, is_active=False)
    assert [job.state for job in jobs_of(store, alice.id)] == [CANCELLED] * 4
    with store.view() as tx:
        assert tx.jobs.get(ALL_OWNERS, JobId(other.id)).state is READY


def test_running_jobs_are_not_cancelled(store: AnyStore, clock: ManualClock) -> None:
    changes, alice = make_changes(store, clock), add_user(store, "alice")
    with store.begin() as tx:
        tx.jobs.add([a_job(owner=alice.id, due_at=NOON)], NOON)
        tx.jobs.claim(
            "default", worker="w", now=NOON, lease_until=after(30), limit=1, free_threads=1
        )
    change(store, changes, alice, is_active=False)
    (job,) = jobs_of(store, alice.id)
    assert (job.state, job.cancel_requested) == (RUNNING, False)


def test_ticks_of_an_active_schedule_of_an_inactive_owner_are_skipped(
    store: AnyStore, clock: ManualClock
) -> None:
    """For example if a superuser resumes it."""
    alice = add_user(store, "alice", is_active=False)
    hers, library = add_schedule(store, alice.id), add_schedule(store, UserId(4_711))
    clock.at = after(3600)
    assert make_ticker(store, clock).tick() == 2
    (job,) = jobs_of(store, alice.id)
    assert (job.state, job.reason, job.tick) == (SKIPPED, "owner_inactive", after(3600))
    assert reload(store, hers).next_at == after(7200)
    assert [job.state for job in jobs_of(store, library.owner)] == [READY]


@pytest.mark.parametrize("required", [True, False])
def test_ticks_of_an_unverified_owner_are_skipped_if_verification_is_required(
    store: AnyStore, clock: ManualClock, *, required: bool
) -> None:
    alice = add_user(store, "alice", is_email_verified=False)
    add_schedule(store, alice.id, overlap_policy=OverlapPolicy.ALLOW_ALL)
    clock.at = after(3600)
    make_ticker(store, clock, verified=required).tick()
    (job,) = jobs_of(store, alice.id)
    assert job.reason == ("owner_unverified" if required else None)
    with store.begin() as tx:
        tx.users.replace(evolve(alice, is_email_verified=True))
    clock.at = after(7200)
    make_ticker(store, clock, verified=required).tick()
    assert jobs_of(store, alice.id)[-1].state is READY


def test_a_demotion_pauses_only_the_schedules_that_it_forbids(
    store: AnyStore, clock: ManualClock
) -> None:
    changes, alice = make_changes(store, clock), add_user(store, "alice", is_super_user=True)
    allow_all = OverlapPolicy.ALLOW_ALL
    cleanup = add_schedule(store, alice.id, task="cleanup", overlap_policy=allow_all)
    echo = add_schedule(store, alice.id, overlap_policy=allow_all)
    unknown = add_schedule(store, alice.id, task="unknown")
    change(store, changes, alice, is_super_user=False, token_version=1)
    assert reload(store, cleanup).paused_reason == "owner no longer permitted"
    for each in (echo, unknown):
        assert reload(store, each).is_active
    (skipped,) = jobs_of(store, alice.id)
    assert (skipped.state, skipped.reason) == (SKIPPED, "owner_not_permitted")
    assert skipped.schedule_id == cleanup.id
