"""Retention: maximum ages of states and schedules; files of deleted jobs."""

from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from attrs import evolve

from tests.contract.factories import NOON
from tests.services.engine import EngineFixture
from workbell.adapters.file_store import LocalFileStore
from workbell.domain.errors import NotFound, Unavailable
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import OwnershipLost
from workbell.ports.files import StoredFile
from workbell.ports.jobs.queues import WorkerInfo
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit


def ended(engine: EngineFixture, actor: Actor, outcome: Outcome) -> Job:
    """Return a job that has just ended in this state."""
    job = engine.enqueue(actor)
    (claim,) = engine.claim()
    engine.settle(claim, outcome, permanent=True)
    return job


@pytest.mark.parametrize(
    ("outcome", "days"),
    [(Outcome.SUCCEEDED, 7), (Outcome.FAILED, 30), (Outcome.CANCELLED, 30)],
)
def test_a_job_is_deleted_at_the_maximum_age_of_its_state(
    engine: EngineFixture, alice: Actor, outcome: Outcome, days: int
) -> None:
    ended(engine, alice, outcome)
    engine.advance(days=days)
    assert engine.retention.prune() == {}
    engine.advance(1)
    assert engine.retention.prune() == {"jobs": 1}
    assert engine.list_jobs() == []


def test_jobs_of_a_schedule_have_one_maximum_age(engine: EngineFixture, alice: Actor) -> None:
    """For all states: its history is complete for 30 days."""
    schedule = engine.schedule(alice)
    engine.run_and_succeed(schedule)
    engine.tick(60)
    engine.tick(60)
    assert engine.states(schedule)[-1] is JobState.SKIPPED
    engine.schedules.toggle(alice, schedule.id)
    engine.advance(days=29)
    assert engine.retention.prune() == {"concurrency_keys": 1}
    engine.advance(days=2)
    assert engine.retention.prune() == {"jobs": 3}


def test_unfinished_jobs_are_not_deleted(engine: EngineFixture, alice: Actor) -> None:
    engine.enqueue(alice)
    engine.claim()
    engine.enqueue(alice)
    engine.advance(days=999)
    assert engine.retention.prune() == {}


def test_files_are_deleted_with_their_job(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    for name in ("a", "b"):
        engine.execution.store_artifact(claim, name, "text/plain", b"x")
    keys = [artifact.key for artifact in engine.jobs.artifacts(alice, job.id)]
    engine.settle(claim)
    engine.advance(days=8)
    assert engine.retention.prune() == {"jobs": 2}
    for key in keys:
        with pytest.raises(NotFound):
            engine.files.read(key)


def test_pruning_continues_until_no_old_row_is_left(engine: EngineFixture, alice: Actor) -> None:
    """In batches, so that each transaction is short."""
    jobs = engine.jobs.create_many(alice, [NewJob()] * 501)
    for job in jobs:
        engine.jobs.cancel(alice, job.id)
    engine.advance(days=31)
    assert engine.retention.prune() == {"jobs": 501}


def test_workers_without_heartbeats_are_removed(engine: EngineFixture) -> None:
    worker = WorkerInfo(
        id="w", host="h", pid=1, started_at=NOON, seen_at=NOON, threads=2, running=0, queues=[]
    )
    engine.execution.heartbeat([], worker)
    engine.clock.at += timedelta(minutes=5)
    engine.retention.prune()
    assert engine.jobs.workers(SYSTEM) == [worker]
    engine.advance(1)
    engine.retention.prune()
    assert engine.jobs.workers(SYSTEM) == []


def test_a_file_left_by_a_killed_job_is_deleted_with_the_job(
    engine: EngineFixture, alice: Actor
) -> None:
    class Killed(LocalFileStore):
        def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
            super().save(key, source)
            raise KeyboardInterrupt

    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    killed = evolve(engine.execution, files=Killed(engine.files.folder, engine.files.ids))
    with pytest.raises(KeyboardInterrupt):
        killed.store_artifact(claim, "a", "text/plain", b"x")
    assert engine.jobs.artifacts(alice, job.id) == []
    assert files_of(engine)
    engine.settle(claim)
    engine.advance(days=8)
    assert engine.retention.prune() == {"jobs": 1}
    assert not files_of(engine)


def test_a_replaced_file_is_deleted_at_once(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    for content in (b"first", b"second"):
        engine.execution.store_artifact(claim, "a", "text/plain", content)
    (artifact,) = engine.jobs.artifacts(alice, job.id)
    assert b"".join(engine.files.read(artifact.key)) == b"second"
    assert len(files_of(engine)) == 1


def test_a_lost_claim_stores_no_file(engine: EngineFixture, alice: Actor) -> None:
    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    engine.settle(claim)
    with pytest.raises(OwnershipLost):
        engine.execution.store_artifact(claim, "a", "text/plain", b"x")
    assert engine.jobs.artifacts(alice, job.id) == []
    assert not files_of(engine)


def files_of(engine: EngineFixture) -> list[Path]:
    return [path for path in engine.files.folder.rglob("*") if path.is_file()]


def test_a_crash_between_file_and_row_leaves_the_row(engine: EngineFixture, alice: Actor) -> None:
    """The next run deletes the row and any file that is left."""
    deleted: list[str] = []

    class Crashing(LocalFileStore):
        def delete(self, key: str) -> None:
            if deleted:
                raise KeyboardInterrupt
            deleted.append(key)
            super().delete(key)

    job = engine.enqueue(alice)
    (claim,) = engine.claim()
    for name in ("a", "b"):
        engine.execution.store_artifact(claim, name, "text/plain", b"x")
    engine.settle(claim)
    engine.advance(days=8)
    with pytest.raises(KeyboardInterrupt):
        evolve(engine.retention, files=Crashing(engine.files.folder, engine.files.ids)).prune()
    assert [row.id for row in engine.list_jobs()] == [job.id]
    assert engine.retention.prune() == {"jobs": 2}
    assert engine.list_jobs() == []
    assert not files_of(engine)


def test_a_step_that_fails_stops_no_other(engine: EngineFixture, alice: Actor) -> None:
    reports: list[tuple[str, int, str]] = []

    class Reporter:
        def report(self, kind: str, row_id: int, reason: str) -> None:
            reports.append((kind, row_id, reason))

    def broken() -> int:
        raise ZeroDivisionError("broken")

    ended(engine, alice, Outcome.SUCCEEDED)
    engine.advance(1, days=30)
    steps = {"broken": broken, "others": lambda: 5}
    retention = evolve(engine.retention, extra_prunes=steps, reporter=Reporter())
    assert retention.prune() == {"jobs": 1, "others": 5}
    assert reports == [("retention", 0, "ZeroDivisionError: broken")]


def test_retention_stops_if_the_store_is_unavailable(engine: EngineFixture) -> None:
    def unavailable() -> int:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        evolve(engine.retention, extra_prunes={"notes": unavailable}).prune()
