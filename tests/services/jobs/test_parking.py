"""Parking: which tasks are parked and released, and what happens to their jobs."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from tests.contract.factories import HELD, NOON, READY, a_definition, a_job, after, keep, stand
from tests.services.engine import EngineFixture
from workbell.domain.identity.actor import Actor
from workbell.domain.jobs.task import Task
from workbell.ports.jobs.queues import WorkerInfo
from workbell.services.jobs import parking as module
from workbell.services.jobs.parking import ParkingResult, ParkingService

pytestmark = pytest.mark.unit


def a_worker(name: str = "old", seen_at: datetime = NOON, **fields: Any) -> WorkerInfo:
    """Return a worker that knows the task 'echo'."""
    values: dict[str, Any] = {"host": "h", "pid": 1, "started_at": NOON, "threads": 2}
    values |= {"running": 0, "queues": ["default"], "knows": ["echo"]}
    return WorkerInfo(id=name, seen_at=seen_at, **values | fields)


def register(engine: EngineFixture, *workers: WorkerInfo) -> None:
    with engine.store.begin() as tx:
        for worker in workers:
            tx.workers.heartbeat(worker)


@pytest.fixture
def parking(engine: EngineFixture) -> ParkingService:
    """Return the service, with the definition of the task 'new'."""
    with engine.store.begin() as tx:
        tx.definitions.add(a_definition(key="new"))
    return ParkingService(
        store=engine.store,
        clock=engine.clock,
        lease=timedelta(seconds=30),
        park_after=timedelta(seconds=60),
    )


def parked_at(engine: EngineFixture) -> datetime | None:
    with engine.store.view() as tx:
        return tx.definitions.parked().get("new")


def test_a_task_that_a_live_worker_excludes_for_a_minute_is_parked(
    engine: EngineFixture, parking: ParkingService
) -> None:
    jobs = keep(engine.store, *[a_job(task="new")] * 2)
    engine.advance(59)
    register(engine, a_worker(seen_at=after(59), excluded={"new": NOON}))
    assert parking.sweep() == ParkingResult()
    engine.advance(1)
    assert parking.sweep() == ParkingResult(parked=("new",), is_active=True)
    assert parked_at(engine) == after(60)
    assert stand(engine.store, *jobs) == [HELD, HELD]
    assert parking.sweep() == ParkingResult(is_active=True)


@pytest.mark.parametrize(
    "other",
    [
        a_worker("new", after(60), knows=["new"]),
        a_worker("new", after(31), knows=["new"], queues=["mail"]),
    ],
)
def test_a_task_that_any_live_worker_knows_is_not_parked(
    engine: EngineFixture, parking: ParkingService, other: WorkerInfo
) -> None:
    (job,) = keep(engine.store, a_job(task="new"))
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"new": NOON}), other)
    assert parking.sweep() == ParkingResult()
    assert stand(engine.store, job) == [READY]


def test_workers_without_a_heartbeat_within_the_lease_do_not_count(
    engine: EngineFixture, parking: ParkingService
) -> None:
    engine.advance(100)
    register(engine, a_worker(seen_at=after(69), excluded={"new": NOON}))
    assert parking.sweep() == ParkingResult()
    register(
        engine,
        a_worker(seen_at=after(70), excluded={"new": NOON}),
        a_worker("dead", after(69), knows=["new"]),
    )
    assert parking.sweep().parked == ("new",)


def test_a_key_without_a_definition_cannot_be_parked(
    engine: EngineFixture, parking: ParkingService
) -> None:
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"ghost": NOON}))
    assert parking.sweep().parked == ()


def test_at_most_500_jobs_are_held_or_released_at_a_time(
    engine: EngineFixture, parking: ParkingService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARK_LIMIT", 2)
    jobs = keep(engine.store, *[a_job(task="new")] * 5)
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"new": NOON}))
    for held in (2, 4, 5):
        parking.sweep()
        assert stand(engine.store, *jobs).count(HELD) == held
    register(engine, a_worker("new", after(60), knows=["echo", "new"]))
    for held in (3, 1):
        assert parking.sweep() == ParkingResult(is_active=True)
        assert stand(engine.store, *jobs).count(HELD) == held
        assert parked_at(engine) is not None
    assert parking.sweep() == ParkingResult(released=("new",))
    assert stand(engine.store, *jobs) == [READY] * 5
    assert parked_at(engine) is None
    assert parking.sweep() == ParkingResult()


def test_a_process_that_knows_the_task_releases_it_at_its_start(
    engine: EngineFixture, parking: ParkingService
) -> None:
    jobs = keep(engine.store, *[a_job(task="new")] * 2)
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"new": NOON}))
    parking.sweep()
    tasks = type(engine.tasks)()
    tasks.add(Task(key="new", body=print))
    evolve(engine.definitions, tasks=tasks).synchronise()
    assert parked_at(engine) is None
    assert stand(engine.store, *jobs) == [READY, READY]


def test_an_inactive_task_stays_held_when_a_worker_knows_it(
    engine: EngineFixture, parking: ParkingService, root: Actor
) -> None:
    (job,) = keep(engine.store, a_job(task="new"))
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"new": NOON}))
    parking.sweep()
    with engine.store.view() as tx:
        task_id = tx.definitions.by_key("new").id
    engine.definitions.set_active(root, task_id, active=False)
    register(engine, a_worker("new", after(60), knows=["new"]))
    assert parking.sweep().released == ("new",)
    assert stand(engine.store, job) == [HELD]
    engine.definitions.set_active(root, task_id, active=True)
    assert stand(engine.store, job) == [READY]


def test_activating_a_parked_task_releases_nothing(
    engine: EngineFixture, parking: ParkingService, root: Actor
) -> None:
    (job,) = keep(engine.store, a_job(task="new"))
    engine.advance(60)
    register(engine, a_worker(seen_at=after(60), excluded={"new": NOON}))
    parking.sweep()
    with engine.store.view() as tx:
        task_id = tx.definitions.by_key("new").id
    engine.definitions.set_active(root, task_id, active=False)
    engine.definitions.set_active(root, task_id, active=True)
    assert stand(engine.store, job) == [HELD]
