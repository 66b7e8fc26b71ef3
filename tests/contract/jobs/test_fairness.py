"""Fairness: a flood of one key does not starve the others."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve

from tests.contract.factories import (
    ALICE,
    BOB,
    NOON,
    AnyStore,
    ManualClock,
    a_job,
    a_user,
    after,
    claim,
    ended,
    ids,
    in_concurrency_key,
    keep,
    see,
    sweep,
    write,
)
from workbell.adapters.serialization.serializer import JsonSerializer
from workbell.domain.errors import LimitReached
from workbell.domain.identity.actor import Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.job import Job
from workbell.domain.jobs.task import Task, Tasks
from workbell.ports.schedules.views import ScheduleView
from workbell.services.jobs.task_definitions import TaskDefinitionService
from workbell.services.schedules.commands import ScheduleService
from workbell.services.schedules.requests import NewSchedule
from workbell.services.transaction_retry import retry_on_contention


def order(store: AnyStore, at_a_time: int = 1) -> list[int]:
    """Claim everything that is ready, and return the owners in their order."""
    owners: list[int] = []
    while rows := claim(store, limit=at_a_time):
        owners += [row.owner for row in rows]
    return owners


@pytest.mark.parametrize("at_a_time", [1, 7])
def test_a_flood_does_not_starve_a_newcomer(store: AnyStore, at_a_time: int) -> None:
    keep(store, *[a_job(owner=ALICE)] * 50)
    keep(store, *[a_job(owner=BOB)] * 3)
    owners = order(store, at_a_time)
    assert owners[:8].count(BOB) == 3
    assert Counter(owners) == {ALICE: 50, BOB: 3}


def test_a_new_key_is_served_soon_during_a_flood(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE)] * 30)
    claim(store, limit=20)
    keep(store, a_job(owner=BOB))
    assert BOB in order(store)[:3]


def test_a_lone_key_gets_everything_in_order(store: AnyStore) -> None:
    jobs = keep(store, *[a_job()] * 20)
    assert ids(claim(store, limit=20)) == ids(jobs)


def test_equal_keys_take_turns(store: AnyStore) -> None:
    keep(store, *[a_job(owner=UserId(1 + n % 3)) for n in range(30)])
    owners = order(store)
    assert all(len(set(owners[n : n + 3])) == 3 for n in range(0, 30, 3))


def test_a_weight_of_four_gets_four_shares(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE)] * 40, *[a_job(owner=BOB, weight=4.0)] * 40)
    shares = Counter(order(store)[:25])
    assert 18 <= shares[BOB] <= 22


def test_the_key_is_the_owner_unless_another_is_given(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE, fair_key="slow")] * 20)
    keep(store, a_job(owner=ALICE, fair_key="quick", name="quick"))
    works = claim(store, limit=3)
    assert "quick" in {see(store, work).name for work in works}


def test_priority_precedes_fairness(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE, priority=1)] * 10)
    keep(store, a_job(owner=BOB))
    assert order(store) == [ALICE] * 10 + [BOB]


def test_queues_and_priorities_have_their_own_turns(store: AnyStore) -> None:
    keep(store, *[a_job(owner=ALICE, queue="mail")] * 10, *[a_job(owner=ALICE, priority=1)] * 10)
    first = keep(store, a_job(owner=ALICE), a_job(owner=BOB))
    assert {job.fair_tag for job in first} == {1.0}


def tags(jobs: list[Job]) -> list[float]:
    return [job.fair_tag for job in jobs]


def test_tags_count_on_from_the_lowest_and_the_keys_highest(store: AnyStore) -> None:
    """max(lowest ready tag, the key's highest ready tag) + nth / weight."""
    flood = keep(store, *[a_job(owner=ALICE)] * 4)
    assert tags(flood) == [1, 2, 3, 4]
    assert tags(keep(store, a_job(owner=BOB, weight=4.0), a_job(owner=BOB))) == [1.25, 3]
    assert tags(keep(store, a_job(owner=ALICE))) == [5]
    claim(store, limit=3)
    assert tags(keep(store, a_job(owner=UserId(9)))) == [4]


def test_staged_rows_get_their_tags_then(store: AnyStore) -> None:
    keep(store, *[a_job(owner=BOB, due_at=after(1))] * 2)
    flood = keep(store, *[a_job(owner=ALICE)] * 20)
    claim(store, limit=10)
    assert sweep(store, after(1)) == 2
    works = claim(store, limit=4)
    assert [work.owner for work in works].count(BOB) == 2
    assert flood[10].id in ids(works)


def test_rows_staged_together_take_turns(store: AnyStore) -> None:
    owners = [ALICE] * 6 + [BOB] * 6
    keep(store, *[a_job(owner=owner, due_at=after(n)) for n, owner in enumerate(owners, 1)])
    assert sweep(store, after(60)) == 12
    assert [len(set(turn)) for turn in zip(*[iter(order(store))] * 2, strict=True)] == [2] * 6


def test_a_released_row_gets_its_tag_at_the_release(store: AnyStore) -> None:
    _, held = keep(
        store, in_concurrency_key(queue="a", owner=BOB), in_concurrency_key(queue="b", owner=BOB)
    )
    keep(store, *[a_job(queue="b", owner=ALICE)] * 20)
    claim(store, queue="b", limit=10)
    (work,) = claim(store, queue="a")
    write(store, ended(work))
    assert see(store, held).fair_tag > 10
    assert held.id in ids(claim(store, queue="b", limit=3, now=NOON))


def test_a_flood_from_many_threads_does_not_starve_newcomers(store: AnyStore) -> None:
    """No row is shared by those who enqueue: a race costs a tie, never a turn."""

    @retry_on_contention
    def flood(_: int) -> None:
        keep(store, *[a_job(owner=ALICE)] * 5)

    @retry_on_contention
    def come(owner: int) -> None:
        keep(store, a_job(owner=UserId(owner)))

    with ThreadPoolExecutor(8) as pool:
        floods = [pool.submit(flood, n) for n in range(12)]
        arrivals = [pool.submit(come, 100 + n) for n in range(4)]
        for each in (*floods, *arrivals):
            each.result(30)
    owners = order(store)
    assert Counter(owners)[ALICE] == 60
    assert {100, 101, 102, 103} <= set(owners[:40])


def test_the_service_enforces_the_limit_for_every_operation(store: AnyStore) -> None:
    """Creating and resuming at once, from many threads: five are active, never more."""
    clock, serializer, tasks = ManualClock(), JsonSerializer(), Tasks()
    tasks.add(Task(key="echo", body=lambda *_: None))
    definitions = TaskDefinitionService(
        store=store, clock=clock, tasks=tasks, serializer=serializer
    )
    definitions.synchronise()
    service = ScheduleService(
        store=store, clock=clock, tasks=tasks, definitions=definitions, serializer=serializer
    )
    with store.begin() as tx:
        actor = Actor.of(tx.users.add(a_user()))
    wanted = NewSchedule(task_definition="echo", cron_expression="0 0 * * *")
    paused = [service.create(actor, evolve(wanted, is_active=False)) for _ in range(8)]

    def create(_: object) -> int:
        try:
            service.create(actor, wanted)
        except LimitReached:
            return 0
        return 1

    def resume(view: ScheduleView) -> int:
        try:
            service.edit(actor, view.schedule.id, {"is_active": True})
        except LimitReached:
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(create, n) for n in range(8)]
        done += [pool.submit(resume, view) for view in paused]
        assert sum(each.result(60) for each in done) == 5
    with store.view() as tx:
        assert tx.schedules.count_active(actor.user_id, limit=9) == 5
