"""Concurrency keys: at most `limit` jobs READY or RUNNING."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from tests.contract.factories import (
    CANCELLED,
    HELD,
    NOON,
    READY,
    RUNNING,
    SCHEDULED,
    AnyStore,
    ManualClock,
    a_definition,
    a_job,
    after,
    claim,
    ended,
    ids,
    in_concurrency_key,
    keep,
    move,
    reap_all,
    release_held,
    see,
    stand,
    sweep,
    switch,
    write,
)
from workbell.domain.identity.actor import ALL_OWNERS
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobState
from workbell.ports.jobs.views import JobFilter


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_new_rows_are_ready_up_to_the_limit(store: AnyStore, limit: int) -> None:
    jobs = keep(store, *[in_concurrency_key(limit)] * 4)
    assert stand(store, *jobs) == [READY] * limit + [HELD] * (4 - limit)
    assert [job.state for job in jobs] == stand(store, *jobs)
    more = keep(store, in_concurrency_key(limit))
    assert stand(store, *more) == [HELD]


def test_concurrency_keys_are_independent(store: AnyStore) -> None:
    jobs = keep(
        store,
        in_concurrency_key(),
        in_concurrency_key(concurrency_key="other"),
        a_job(),
        a_job(),
        in_concurrency_key(),
    )
    assert stand(store, *jobs) == [READY] * 4 + [HELD]


def test_a_scheduled_job_occupies_no_slot_until_it_is_due(store: AnyStore) -> None:
    later, now = keep(store, in_concurrency_key(due_at=after(1)), in_concurrency_key())
    assert stand(store, later, now) == [SCHEDULED, READY]
    assert sweep(store, after(1)) == 1
    assert stand(store, later, now) == [HELD, READY]


def test_stage_fills_the_concurrency_key_oldest_due_first(store: AnyStore) -> None:
    third, first, second = keep(
        store,
        in_concurrency_key(2, due_at=after(3)),
        in_concurrency_key(2, due_at=after(1)),
        in_concurrency_key(2, due_at=after(2)),
    )
    assert sweep(store, after(9)) == 3
    assert stand(store, first, second, third) == [READY, READY, HELD]


def test_a_claimed_job_still_occupies_its_concurrency_key(store: AnyStore) -> None:
    _, held = keep(store, in_concurrency_key(), in_concurrency_key())
    claim(store)
    with store.begin() as tx:
        assert release_held(tx, NOON) == 0
    assert stand(store, held) == [HELD]


@pytest.mark.parametrize(
    ("outcome", "fields"),
    [
        (Outcome.SUCCEEDED, {}),
        (Outcome.FAILED, {"permanent": True}),
        (Outcome.FAILED, {"retry_after": 60}),
        (Outcome.SNOOZED, {"retry_after": 60}),
        (Outcome.CANCELLED, {}),
    ],
)
def test_every_outcome_releases_the_next(
    store: AnyStore, outcome: Outcome, fields: dict[str, object]
) -> None:
    first, second, third = keep(
        store, in_concurrency_key(), in_concurrency_key(), in_concurrency_key()
    )
    (work,) = claim(store)
    assert write(store, ended(work, outcome, now=after(1), **fields)) == {first.id}
    assert stand(store, second, third) == [READY, HELD]
    assert see(store, second).queued_at == after(1)
    assert ids(claim(store, now=after(1))) == [second.id]


def test_a_refused_outcome_releases_nothing(store: AnyStore) -> None:
    _, second = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    assert write(store, evolve(ended(work), token=work.token - 1)) == set()
    assert stand(store, second) == [HELD]


def test_the_reaper_releases_the_next(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    claim(store)
    assert reap_all(store, after(31)) == {first.id}
    assert stand(store, first, second) == [SCHEDULED, READY]
    assert sweep(store, after(40)) == 1
    assert stand(store, first, second) == [HELD, READY]


def test_cancelling_a_ready_row_releases_the_next(store: AnyStore) -> None:
    first, second, third = keep(
        store, in_concurrency_key(), in_concurrency_key(), in_concurrency_key()
    )
    assert move(store, first, "cancel")
    assert stand(store, first, second, third) == [CANCELLED, READY, HELD]


def test_cancelling_a_held_or_a_running_row_releases_nothing(store: AnyStore) -> None:
    first, second, third = keep(
        store, in_concurrency_key(), in_concurrency_key(), in_concurrency_key()
    )
    assert move(store, second, "cancel")
    assert stand(store, first, second, third) == [READY, CANCELLED, HELD]
    claim(store)
    assert move(store, first, "cancel")
    assert stand(store, first, second, third) == [RUNNING, CANCELLED, HELD]


def test_delaying_a_ready_row_releases_the_next(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    with store.begin() as tx:
        assert tx.jobs.replace(first, evolve(first, state=SCHEDULED, due_at=after(60)))
    assert stand(store, first, second) == [SCHEDULED, READY]


def test_a_released_claim_retains_its_position(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    with store.begin() as tx:
        assert tx.jobs.release([(work.id, work.token)]) == {first.id}
    assert stand(store, first, second) == [READY, HELD]


def test_a_released_and_cancelled_claim_releases_the_next(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    move(store, first, "cancel")
    with store.begin() as tx:
        tx.jobs.release([(work.id, work.token)])
    assert stand(store, first, second) == [CANCELLED, READY]


def test_an_operators_retry_waits_for_its_concurrency_key(
    store: AnyStore, clock: ManualClock
) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    write(store, ended(work, Outcome.FAILED, permanent=True))
    assert stand(store, second) == [READY]
    clock.at = after(1)
    assert move(store, first, "retry", now=after(1))
    assert stand(store, first, second) == [HELD, READY]
    (work,) = claim(store, now=after(1))
    write(store, ended(work, now=after(2)))
    assert stand(store, first) == [READY]


def test_a_retry_due_at_once_waits_behind_what_the_concurrency_key_holds(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(), in_concurrency_key())
    (work,) = claim(store)
    write(store, ended(work, Outcome.SNOOZED, now=after(1), retry_after=0))
    assert stand(store, first, second) == [HELD, READY]


def test_the_next_is_the_most_urgent_then_the_oldest_due_then_the_first(
    store: AnyStore,
) -> None:
    first, late, urgent, early, early_too = keep(
        store,
        in_concurrency_key(due_at=after(-9)),
        in_concurrency_key(due_at=after(-1)),
        in_concurrency_key(priority=5),
        in_concurrency_key(due_at=after(-5)),
        in_concurrency_key(due_at=after(-5)),
    )
    order = []
    while works := claim(store):
        assert len(works) == 1
        order += ids(works)
        write(store, ended(works[0]))
    assert order == [first.id, urgent.id, early.id, early_too.id, late.id]


def test_several_slots_are_released_at_once(store: AnyStore) -> None:
    jobs = keep(store, *[in_concurrency_key(2)] * 5)
    works = claim(store)
    assert len(works) == 2
    write(store, *[ended(work) for work in works])
    assert stand(store, *jobs[2:]) == [READY, READY, HELD]


def test_the_limit_is_that_of_the_last_job_added(store: AnyStore) -> None:
    jobs = keep(store, in_concurrency_key(1), in_concurrency_key(1), in_concurrency_key(1))
    keep(store, in_concurrency_key(3, due_at=after(60)))
    with store.begin() as tx:
        assert release_held(tx, NOON) == 2
        assert release_held(tx, NOON) == 0
    assert stand(store, *jobs) == [READY] * 3


def test_a_held_row_of_an_inactive_task_does_not_block_its_concurrency_key(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="off", is_active=False))
    first, off, third = keep(
        store, in_concurrency_key(), in_concurrency_key(task="off"), in_concurrency_key()
    )
    (work,) = claim(store)
    write(store, ended(work))
    assert stand(store, first, off, third) == [JobState.SUCCEEDED, HELD, READY]


def test_deactivating_a_task_frees_its_slots(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="a"))
        tx.definitions.add(a_definition(key="b"))
    a, b = keep(store, in_concurrency_key(task="a"), in_concurrency_key(task="b"))
    assert switch(store, "a", on=False) == 1
    assert stand(store, a, b) == [HELD, READY]
    assert switch(store, "a", on=True) == 0
    assert stand(store, a, b) == [HELD, READY]
    assert move(store, b, "cancel")
    assert stand(store, a, b) == [READY, CANCELLED]


def test_activating_releases_as_far_as_concurrency_keys_allow(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(is_active=False))
    jobs = keep(
        store,
        *[in_concurrency_key(2)] * 3,
        a_job(),
        in_concurrency_key(concurrency_key="other", task="another"),
    )
    assert stand(store, *jobs) == [HELD] * 4 + [READY]
    assert switch(store, "echo", on=True) == 3
    assert stand(store, *jobs) == [READY, READY, HELD, READY, READY]


def test_held_jobs_left_by_a_crash_are_released(store: AnyStore) -> None:
    """A task was activated, but its jobs were not released."""
    with store.begin() as tx:
        definition = tx.definitions.add(a_definition(is_active=False))
    jobs = keep(store, in_concurrency_key(), in_concurrency_key(), a_job())
    with store.begin() as tx:
        assert release_held(tx, NOON) == 0
        tx.definitions.replace(evolve(definition, is_active=True))
        assert release_held(tx, after(1)) == 2
        assert release_held(tx, after(1)) == 0
    assert stand(store, *jobs) == [READY, HELD, READY]


def test_the_limit_holds_under_threads(store: AnyStore) -> None:
    """Some add, some claim and settle; every job is run in the end."""
    limit, total = 2, 48

    def add(_: int) -> None:
        keep(store, *[in_concurrency_key(limit)] * 6)

    def drain(n: int) -> int:
        done = 0
        while works := claim(store, limit=3, worker=f"w{n}"):
            with store.view() as tx:
                busy = tx.jobs.find(ALL_OWNERS, JobFilter(), limit=100)
            standing = [job for job in busy if job.state in (READY, RUNNING)]
            assert len(standing) <= limit
            done += len(write(store, *[ended(work) for work in works]))
        return done

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(8)))
        done = sum(pool.map(drain, range(4)))
    while works := claim(store):
        assert len(works) <= limit
        done += len(write(store, *[ended(work) for work in works]))
    assert done == total
