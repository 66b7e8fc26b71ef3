"""The sweep over held jobs: a bounded number from a cursor, and unused keys."""

from typing import Any

from attrs import evolve

from tests.contract.factories import (
    HELD,
    NOON,
    READY,
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
    release_held,
    running,
    stand,
    write,
)
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job
from workbell.ports.jobs.repository import Releasable


def find(store: AnyStore, after_key: str = "", **options: Any) -> Releasable:
    with store.view() as tx:
        return tx.jobs.find_releasable(after_key, **options)


def remove(store: AnyStore, after_key: str = "", limit: int = 500) -> tuple[int, str]:
    with store.begin() as tx:
        return tx.jobs.remove_unused_keys(after_key, limit=limit)


def define(store: AnyStore, key: str, *, is_active: bool) -> None:
    with store.begin() as tx:
        tx.definitions.add(a_definition(key=key, is_active=is_active))


def activate(store: AnyStore, key: str, *, active: bool = True) -> None:
    with store.begin() as tx:
        tx.definitions.replace(evolve(tx.definitions.by_key(key), is_active=active))


def full(key: str, jobs: int = 2) -> list[Job]:
    """Return jobs of a key, all but the first of which are held."""
    return [in_concurrency_key(concurrency_key=key) for _ in range(jobs)]


def raise_limit(store: AnyStore, key: str) -> None:
    """Raise the limit of a key, which releases none of its held jobs."""
    keep(store, in_concurrency_key(2, concurrency_key=key, due_at=after(60)))


def test_a_walk_reads_a_part_of_the_keys_and_continues_after_it(store: AnyStore) -> None:
    keep(store, *full("a", 4), *full("b"), *full("c"), in_concurrency_key(concurrency_key="d"))
    raise_limit(store, "b")
    assert find(store, limit=1) == Releasable(keys=[], tasks=[], last_key="a")
    assert find(store, "a", limit=1) == Releasable(keys=["b"], tasks=[], last_key="b")
    assert find(store, "b", limit=1) == Releasable(keys=[], tasks=[], last_key="c")
    assert find(store, "c", limit=1) == Releasable(keys=[], tasks=[], last_key="")
    assert find(store) == Releasable(keys=["b"], tasks=[], last_key="")


def test_limits_are_checked_again_when_jobs_are_released(store: AnyStore) -> None:
    jobs = keep(store, *full("a", 3))
    raise_limit(store, "a")
    found = find(store)
    with store.begin() as tx:
        assert tx.jobs.release_held(found, NOON) == 1
    with store.begin() as tx:
        assert tx.jobs.release_held(found, NOON) == 0
    assert stand(store, *jobs) == [READY, READY, HELD]


def test_jobs_behind_those_of_an_inactive_task_are_found_by_a_thorough_walk(
    store: AnyStore,
) -> None:
    define(store, "off", is_active=False)
    first, off, behind = keep(
        store, in_concurrency_key(), in_concurrency_key(task="off"), in_concurrency_key()
    )
    raise_limit(store, str(first.concurrency_key))
    with store.begin() as tx:
        assert release_held(tx, NOON, thorough=False) == 0
        assert release_held(tx, NOON) == 1
    assert stand(store, off, behind) == [HELD, READY]


def test_jobs_of_an_inactive_task_are_released_in_parts_once_it_is_active(store: AnyStore) -> None:
    define(store, "off", is_active=False)
    define(store, "also off", is_active=False)
    jobs = keep(store, *[a_job(task="also off")] * 2, *[a_job(task="off")] * 3)
    assert find(store).tasks == []
    activate(store, "off")
    found = find(store)
    assert found.tasks == ["off"]
    with store.view() as tx:
        assert [tx.jobs.count_held("off", limit=n) for n in (2, 9)] == [2, 3]
    with store.begin() as tx:
        assert tx.jobs.release_held(found, NOON, limit=2) == 2
    assert stand(store, *jobs) == [HELD, HELD, READY, READY, HELD]
    with store.view() as tx:
        assert tx.jobs.count_held("off", limit=9) == 1


def test_ready_jobs_of_an_inactive_task_are_not_claimed(store: AnyStore) -> None:
    define(store, "off", is_active=True)
    (kept,) = keep(store, a_job(task="off", priority=9))
    (other,) = keep(store, a_job())
    activate(store, "off", active=False)
    assert stand(store, kept) == [READY]
    assert ids(claim(store)) == [other.id]
    activate(store, "off")
    assert ids(claim(store)) == [kept.id]


def test_a_settlement_claims_no_job_of_an_inactive_task(store: AnyStore) -> None:
    define(store, "off", is_active=True)
    (work,) = running(store, a_job())
    keep(store, a_job(task="off"))
    activate(store, "off", active=False)
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


def test_keys_without_unfinished_jobs_are_removed(store: AnyStore) -> None:
    (work,) = running(store, in_concurrency_key(concurrency_key="a"))
    keep(store, in_concurrency_key(concurrency_key="b", due_at=after(60)), *full("c", 3))
    assert remove(store) == (0, "")
    write(store, ended(work))
    assert remove(store, limit=1) == (1, "a")
    assert remove(store, "a", limit=1) == (0, "b")
    assert remove(store) == (0, "")


def test_a_removed_key_returns_with_the_next_job(store: AnyStore) -> None:
    (work,) = running(store, in_concurrency_key())
    write(store, ended(work))
    assert remove(store) == (1, "")
    jobs = keep(store, in_concurrency_key(), in_concurrency_key())
    assert stand(store, *jobs) == [READY, HELD]


def test_an_operators_retry_of_a_job_whose_key_was_removed_is_ready(
    store: AnyStore, clock: ManualClock
) -> None:
    (work,) = running(store, in_concurrency_key())
    write(store, ended(work, Outcome.FAILED, permanent=True))
    assert remove(store) == (1, "")
    clock.at = after(1)
    assert move(store, work, "retry", now=after(1))
    assert stand(store, work.id) == [READY]
    (held,) = keep(store, in_concurrency_key())
    assert stand(store, held) == [HELD]


def test_a_retry_of_a_job_keeps_its_key(store: AnyStore) -> None:
    (work,) = running(store, in_concurrency_key())
    write(store, ended(work, Outcome.FAILED, retry_after=60))
    assert stand(store, work.id) == [SCHEDULED]
    assert remove(store) == (0, "")
