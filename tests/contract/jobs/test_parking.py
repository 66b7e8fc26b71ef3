"""Parked tasks: their jobs are held, and released in parts."""

from datetime import datetime

import pytest
from attrs import evolve

from tests.contract.factories import (
    ALICE,
    BOB,
    HELD,
    NOON,
    READY,
    RUNNING,
    SCHEDULED,
    AnyStore,
    a_definition,
    a_job,
    after,
    claim,
    ended,
    in_concurrency_key,
    keep,
    release_held,
    running,
    see,
    stand,
    sweep,
    write,
)
from workbell.domain.jobs.attempt import Outcome
from workbell.ports.jobs.queues import WorkerInfo


@pytest.fixture
def parked(store: AnyStore) -> AnyStore:
    """Return a store with the parked task 'new' and the task 'echo'."""
    with store.begin() as tx:
        tx.definitions.add(a_definition())
        tx.definitions.add(a_definition(key="new"))
    park(store, NOON)
    return store


def park(store: AnyStore, at: datetime | None) -> bool:
    with store.begin() as tx:
        return tx.definitions.set_parked("new", at)


def hold(store: AnyStore, *tasks: str, limit: int = 500) -> int:
    with store.begin() as tx:
        return tx.jobs.hold_first(tasks, limit=limit)


def release(store: AnyStore, limit: int = 500) -> int:
    with store.begin() as tx:
        return tx.jobs.release_task("new", after(9), limit=limit)


def test_a_task_is_parked_and_released_once(store: AnyStore) -> None:
    with store.begin() as tx:
        stored = tx.definitions.add(a_definition(key="new"))
    assert stored.is_runnable
    assert [park(store, after(1)), park(store, after(2))] == [True, False]
    with store.view() as tx:
        assert tx.definitions.parked() == {"new": after(1)}
        assert tx.definitions.by_key("new") == evolve(stored, parked_at=after(1))
        assert not tx.definitions.by_key("new").is_runnable
    assert [park(store, None), park(store, None)] == [True, False]
    with store.view() as tx:
        assert tx.definitions.parked() == {}
    with store.begin() as tx:
        assert not tx.definitions.set_parked("unknown", NOON)


def test_replacing_a_definition_stores_its_time_of_parking(parked: AnyStore) -> None:
    with parked.begin() as tx:
        tx.definitions.replace(evolve(tx.definitions.by_key("new"), parked_at=None))
        assert tx.definitions.parked() == {}


def test_jobs_of_a_parked_task_are_held_on_every_way_to_ready(parked: AnyStore) -> None:
    single, due = keep(parked, a_job(task="new")), keep(parked, a_job(task="new", due_at=after(1)))
    several = keep(parked, *[a_job(task="new")] * 2, in_concurrency_key(task="new"), a_job())
    assert stand(parked, *single, *several) == [HELD] * 4 + [READY]
    assert sweep(parked, after(1)) == 1
    assert stand(parked, *due) == [HELD]
    with parked.begin() as tx:
        assert release_held(tx, after(2)) == 0
    assert stand(parked, *single, *several) == [HELD] * 4 + [READY]


def test_a_job_held_after_the_release_of_its_task_is_released(parked: AnyStore) -> None:
    """A job may be held by a transaction that has not seen the release of its task."""
    late, keyed = keep(parked, a_job(), in_concurrency_key(task="new"))
    with parked.begin() as tx:
        assert tx.jobs.hold_first(["echo"], limit=500) == 1
    with parked.begin() as tx:
        assert release_held(tx, after(1), thorough=False) == 1
    assert stand(parked, late, keyed) == [READY, HELD]
    with parked.begin() as tx:
        tx.definitions.set_parked("new", None)
        assert release_held(tx, after(3), thorough=False) == 1
    assert stand(parked, late, keyed) == [READY, READY]


def test_a_retry_of_a_parked_task_that_is_due_at_once_is_held(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="new"))
    (work,) = running(store, a_job(task="new"))
    park(store, NOON)
    write(store, ended(work, Outcome.SNOOZED, retry_after=0.0))
    assert stand(store, work.id) == [HELD]
    (later,) = keep(store, a_job(task="new", due_at=after(60)))
    assert stand(store, later) == [SCHEDULED]


def test_the_first_ready_jobs_of_a_parked_task_are_held_in_parts(store: AnyStore) -> None:
    new = keep(store, *[a_job(task="new")] * 5, *[a_job(task="newer", queue="mail")] * 2)
    others = keep(store, *[a_job(owner=BOB)] * 5)
    assert hold(store, "new", "newer", limit=2) == 4
    assert stand(store, *new) == [HELD, HELD, READY, READY, READY, HELD, HELD]
    assert hold(store, "new") == 3
    assert hold(store, "new") == 0
    assert stand(store, *others) == [READY] * 5


def test_a_running_job_of_a_parked_task_goes_on(store: AnyStore) -> None:
    (work,) = running(store, a_job(task="new"))
    assert hold(store, "new") == 0
    assert stand(store, work.id) == [RUNNING]


def test_holding_a_job_lets_the_next_one_of_its_concurrency_key_run(store: AnyStore) -> None:
    first, second = keep(store, in_concurrency_key(task="new"), in_concurrency_key())
    assert stand(store, first, second) == [READY, HELD]
    with store.begin() as tx:
        tx.definitions.add(a_definition(key="new", parked_at=NOON))
        tx.jobs.hold_first(["new"], limit=500)
    assert stand(store, first, second) == [HELD, READY]


def test_jobs_are_released_in_parts_while_the_task_is_parked(parked: AnyStore) -> None:
    jobs = keep(parked, *[a_job(task="new")] * 5)
    assert [release(parked, 2), release(parked, 2), release(parked, 2)] == [2, 2, 1]
    assert stand(parked, *jobs) == [READY] * 5
    assert len(claim(parked, now=after(10))) == 5


def test_released_jobs_get_a_fair_tag_behind_the_others(parked: AnyStore) -> None:
    (held,) = keep(parked, a_job(task="new", owner=BOB))
    keep(parked, *[a_job(owner=ALICE)] * 20)
    claim(parked, limit=10)
    release(parked)
    assert see(parked, held).fair_tag > 10
    assert see(parked, held).queued_at == after(9)


def test_a_claim_of_an_unknown_task_is_returned_uncharged(store: AnyStore) -> None:
    """The attempt is not counted, no attempt is recorded, and the claim is void."""
    (work,) = running(store, a_job(task="new"))
    with store.begin() as tx:
        assert tx.jobs.release([(work.id, work.token)]) == {work.id}
    row = see(store, work)
    assert (row.state, row.attempt, row.token) == (READY, 0, work.token + 1)
    with store.view() as tx:
        assert list(tx.jobs.attempts(work.id)) == []
    assert write(store, ended(work)) == set()


def test_a_worker_stores_what_it_knows_and_excludes(store: AnyStore) -> None:
    worker = WorkerInfo(
        id="w",
        host="h",
        pid=1,
        started_at=NOON,
        seen_at=NOON,
        threads=2,
        running=0,
        queues=["default"],
        knows=["echo", "größe"],
        excluded={"new": after(1.25), "it's": after(2)},
    )
    with store.begin() as tx:
        tx.workers.heartbeat(worker)
    with store.view() as tx:
        assert list(tx.workers.all()) == [worker]
    with store.begin() as tx:
        tx.workers.heartbeat(evolve(worker, excluded={}))
    with store.view() as tx:
        assert tx.workers.all()[0].excluded == {}
