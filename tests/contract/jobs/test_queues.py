"""Queues, workers and statistics."""

from typing import Any

import pytest

from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    a_job,
    a_schedule,
    after,
    claim,
    ended,
    ids,
    keep,
    running,
    sweep,
    write,
)
from workbell.domain.identity.actor import ALL_OWNERS, Scope
from workbell.domain.identity.user import SYSTEM_ID
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import JobState
from workbell.ports.jobs.queues import JobStats, QueueStats, WorkerInfo


def turn(store: AnyStore, name: str, state: str) -> None:
    with store.begin() as tx:
        tx.queues.set_state(name, state, NOON)


def queues(store: AnyStore) -> dict[str, QueueStats]:
    with store.view() as tx:
        found = list(tx.queues.all())
    assert [each.name for each in found] == sorted(each.name for each in found)
    return {each.name: each for each in found}


def drain(store: AnyStore) -> int:
    with store.begin() as tx:
        return tx.queues.finish_drains(NOON)


@pytest.mark.parametrize("state", ["paused", "draining"])
def test_a_queue_that_is_switched_off_is_not_claimed_from(store: AnyStore, state: str) -> None:
    (job,) = keep(store, a_job())
    keep(store, a_job(queue="mail"))
    turn(store, "default", state)
    assert claim(store) == []
    assert len(claim(store, queue="mail")) == 1
    turn(store, "default", "running")
    assert ids(claim(store)) == [job.id]


def test_jobs_of_a_paused_queue_can_be_settled_and_staged(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    keep(store, a_job(due_at=after(1)))
    turn(store, "default", "paused")
    with store.begin() as tx:
        assert dict(tx.jobs.renew_leases([(work.id, work.token)], after(60))) == {work.id: False}
    assert write(store, ended(work)) == {work.id}
    assert sweep(store, after(1)) == 1
    assert claim(store, now=after(1)) == []


def test_a_draining_queue_is_paused_once_nothing_runs(store: AnyStore) -> None:
    (work,) = running(store, a_job())
    keep(store, a_job())
    assert drain(store) == 0
    turn(store, "default", "draining")
    turn(store, "empty", "draining")
    with store.view() as tx:
        assert tx.queues.any_draining()
    assert drain(store) == 1
    assert {name: each.state for name, each in queues(store).items()} == {
        "default": "draining",
        "empty": "paused",
    }
    write(store, ended(work))
    assert drain(store) == 1
    assert drain(store) == 0
    with store.view() as tx:
        assert not tx.queues.any_draining()
    assert queues(store)["default"].state == "paused"
    assert queues(store)["default"].ready == 1


def test_queues_with_ready_rows_are_returned(store: AnyStore) -> None:
    keep(store, a_job(queue="b"), a_job(queue="a"), a_job(queue="a"))
    keep(store, a_job(queue="later", due_at=after(1)), a_job(queue="off"), a_job(queue="drain"))
    keep(store, a_job(queue="over", state=JobState.FAILED, ended_at=NOON))
    turn(store, "off", "paused")
    turn(store, "drain", "draining")
    turn(store, "b", "running")
    with store.view() as tx:
        assert sorted(tx.jobs.waiting_queues()) == ["a", "b"]
    claim(store, queue="a")
    with store.view() as tx:
        assert list(tx.jobs.waiting_queues()) == ["b"]


def test_a_queue_counts_its_unfinished_rows(store: AnyStore) -> None:
    keep(store, *[a_job(due_at=after(-60))] * 2, now=after(-60))
    claim(store, limit=1)
    keep(store, a_job(due_at=after(60)), a_job(concurrency_key="l"), a_job(concurrency_key="l"))
    keep(store, a_job(state=JobState.SUCCEEDED, ended_at=NOON))
    keep(store, a_job(queue="over", state=JobState.SUCCEEDED, ended_at=NOON))
    turn(store, "switched", "running")
    found = queues(store)
    assert set(found) == {"default", "switched"}
    assert found["default"] == QueueStats(
        name="default",
        state="running",
        scheduled=1,
        held=1,
        ready=2,
        running=1,
        oldest_ready_at=after(-60),
    )
    assert found["switched"] == QueueStats(name="switched", state="running")


def test_held_jobs_are_detected(store: AnyStore) -> None:
    keep(store, a_job(concurrency_key="l"))
    with store.view() as tx:
        assert not tx.jobs.has_held()
    keep(store, a_job(concurrency_key="l"))
    with store.view() as tx:
        assert tx.jobs.has_held()


# workers


def a_worker(id: str = "w1", **fields: Any) -> WorkerInfo:
    values: dict[str, Any] = {
        "host": "höst",
        "pid": 7,
        "started_at": NOON,
        "seen_at": NOON,
        "threads": 8,
        "running": 3,
        "queues": ("default", "mail"),
    }
    return WorkerInfo(id=id, **values | fields)


def workers(store: AnyStore) -> list[str]:
    with store.view() as tx:
        return [worker.id for worker in tx.workers.all()]


def test_a_worker_heartbeat_is_stored(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.workers.heartbeat(a_worker())
        tx.workers.heartbeat(a_worker(seen_at=after(9), running=0, written_off=2))
        (worker,) = tx.workers.all()
    assert (worker.host, worker.pid, worker.threads, worker.running) == ("höst", 7, 8, 0)
    assert worker.written_off == 2
    assert (worker.started_at, worker.seen_at) == (NOON, after(9))
    assert list(worker.queues) == ["default", "mail"]


def test_workers_are_listed_newest_first_and_removed(store: AnyStore) -> None:
    with store.begin() as tx:
        tx.workers.heartbeat(a_worker("old"))
        tx.workers.heartbeat(a_worker("new", started_at=after(2), seen_at=after(2)))
        tx.workers.heartbeat(a_worker("middle", started_at=after(1), seen_at=after(1)))
    assert workers(store) == ["new", "middle", "old"]
    with store.begin() as tx:
        tx.workers.remove_stale(after(1))
    assert workers(store) == ["new", "middle"]
    with store.begin() as tx:
        tx.workers.remove("new")
        tx.workers.remove("nobody")
    assert workers(store) == ["middle"]


# counts


def test_counts_of_a_scope(store: AnyStore) -> None:
    works = running(store, *[a_job()] * 3)
    write(store, ended(works[0]), ended(works[1], Outcome.FAILED, permanent=True))
    keep(store, a_job(due_at=after(99)), a_job(), now=after(1))
    keep(store, a_job(owner=BOB), now=after(2))
    keep(store, a_job(state=JobState.FAILED, ended_at=after(-3601)))
    keep(store, a_job(state=JobState.SKIPPED, ended_at=NOON))
    with store.begin() as tx:
        tx.schedules.add(a_schedule())
        tx.schedules.add(a_schedule(next_at=None))
        tx.schedules.add(a_schedule(deleted_at=NOON))
        tx.schedules.add(a_schedule(owner=BOB))
        mine = tx.statistics.jobs(Scope(owner=ALICE), NOON)
        theirs = tx.statistics.jobs(Scope(owner=BOB), NOON)
        all_ = tx.statistics.jobs(ALL_OWNERS, NOON)
        nobodys = tx.statistics.jobs(Scope(owner=SYSTEM_ID), NOON)
    assert counted(mine) == {
        "pending": 2,
        "running": 1,
        "succeeded": 1,
        "failed": 2,
        "skipped": 1,
    }
    assert (mine.finished_last_hour, mine.failed_last_hour) == (2, 1)
    assert (mine.oldest_ready_at, mine.schedules_active) == (after(1), 1)
    assert counted(theirs) == {"pending": 1}
    assert (theirs.oldest_ready_at, theirs.schedules_active) == (after(2), 1)
    assert (counted(all_)["pending"], all_.schedules_active) == (3, 2)
    assert (counted(nobodys), nobodys.oldest_ready_at) == ({}, None)


def counted(stats: JobStats) -> dict[str, int]:
    return {status: count for status, count in stats.by_status.items() if count}
