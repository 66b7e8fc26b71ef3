"""Housekeeping: each state has its age, jobs of schedules another, and files go with them."""

from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import pytest
from attrs import evolve

from tests.contract.factories import NOON
from tests.services.desk import Desk
from workbell.adapters.file_store import LocalFileStore
from workbell.domain.errors import NotFound
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import OwnershipLost
from workbell.ports.files import StoredFile
from workbell.ports.jobs.queues import WorkerInfo
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit


def ended(desk: Desk, actor: Actor, outcome: Outcome) -> Job:
    """Return a job that has just ended so."""
    job = desk.enqueue(actor)
    (claim,) = desk.claim()
    desk.end(claim, outcome, permanent=True)
    return job


@pytest.mark.parametrize(
    ("outcome", "days"),
    [(Outcome.SUCCEEDED, 7), (Outcome.FAILED, 30), (Outcome.CANCELLED, 30)],
)
def test_a_job_goes_when_its_states_age_is_reached(
    desk: Desk, alice: Actor, outcome: Outcome, days: int
) -> None:
    ended(desk, alice, outcome)
    desk.wait(days=days)
    assert desk.retention.prune() == 0
    desk.wait(1)
    assert desk.retention.prune() == 1
    assert desk.rows() == []


def test_jobs_of_a_schedule_go_by_one_age(desk: Desk, alice: Actor) -> None:
    """Whatever their state: its history is complete for 30 days."""
    schedule = desk.schedule(alice)
    desk.succeeds(schedule)
    desk.tick(60)
    desk.tick(60)
    assert desk.states(schedule)[-1] is JobState.SKIPPED
    desk.scheduling.toggle(alice, schedule.id)
    desk.wait(days=29)
    assert desk.retention.prune() == 0
    desk.wait(days=2)
    assert desk.retention.prune() == 3


def test_what_has_not_ended_stays(desk: Desk, alice: Actor) -> None:
    desk.enqueue(alice)
    desk.claim()
    desk.enqueue(alice)
    desk.wait(days=999)
    assert desk.retention.prune() == 0


def test_files_go_with_their_job(desk: Desk, alice: Actor) -> None:
    job = desk.enqueue(alice)
    (claim,) = desk.claim()
    for name in ("a", "b"):
        desk.execution.store_artifact(claim, name, "text/plain", b"x")
    keys = [artifact.key for artifact in desk.jobs.artifacts(alice, job.id)]
    desk.end(claim)
    desk.wait(days=8)
    assert desk.retention.prune() == 2
    for key in keys:
        with pytest.raises(NotFound):
            desk.files.read(key)


def test_pruning_goes_on_until_nothing_is_left(desk: Desk, alice: Actor) -> None:
    """In batches, so that nobody waits long for it."""
    jobs = desk.jobs.create_many(alice, [NewJob()] * 501)
    for job in jobs:
        desk.jobs.cancel(alice, job.id)
    desk.wait(days=31)
    assert desk.retention.prune() == 501


def test_workers_that_have_fallen_silent_are_forgotten(desk: Desk) -> None:
    worker = WorkerInfo(
        id="w", host="h", pid=1, started_at=NOON, seen_at=NOON, threads=2, running=0, queues=[]
    )
    desk.execution.heartbeat([], worker)
    desk.clock.at += timedelta(minutes=5)
    desk.retention.prune()
    assert desk.jobs.workers(SYSTEM) == [worker]
    desk.wait(1)
    desk.retention.prune()
    assert desk.jobs.workers(SYSTEM) == []


def test_a_file_whose_job_is_killed_before_it_is_kept_goes_with_the_job(
    desk: Desk, alice: Actor
) -> None:
    class Killed(LocalFileStore):
        def save(self, key: str, source: BinaryIO | Path | bytes) -> StoredFile:
            super().save(key, source)
            raise KeyboardInterrupt

    job = desk.enqueue(alice)
    (claim,) = desk.claim()
    killed = evolve(desk.execution, files=Killed(desk.files.folder, desk.files.ids))
    with pytest.raises(KeyboardInterrupt):
        killed.store_artifact(claim, "a", "text/plain", b"x")
    assert desk.jobs.artifacts(alice, job.id) == []
    assert files_of(desk)
    desk.end(claim)
    desk.wait(days=8)
    assert desk.retention.prune() == 1
    assert not files_of(desk)


def test_a_replaced_file_goes_at_once(desk: Desk, alice: Actor) -> None:
    job = desk.enqueue(alice)
    (claim,) = desk.claim()
    for content in (b"first", b"second"):
        desk.execution.store_artifact(claim, "a", "text/plain", content)
    (kept,) = desk.jobs.artifacts(alice, job.id)
    assert b"".join(desk.files.read(kept.key)) == b"second"
    assert len(files_of(desk)) == 1


def test_whose_claim_is_lost_keeps_no_file(desk: Desk, alice: Actor) -> None:
    job = desk.enqueue(alice)
    (claim,) = desk.claim()
    desk.end(claim)
    with pytest.raises(OwnershipLost):
        desk.execution.store_artifact(claim, "a", "text/plain", b"x")
    assert desk.jobs.artifacts(alice, job.id) == []
    assert not files_of(desk)


def files_of(desk: Desk) -> list[Path]:
    return [path for path in desk.files.folder.rglob("*") if path.is_file()]


def test_a_crash_between_file_and_row_leaves_the_row(desk: Desk, alice: Actor) -> None:
    """So that the next turn finds what is left of it, and no file is forgotten."""
    deleted: list[str] = []

    class Crashing(LocalFileStore):
        def delete(self, key: str) -> None:
            if deleted:
                raise KeyboardInterrupt
            deleted.append(key)
            super().delete(key)

    job = desk.enqueue(alice)
    (claim,) = desk.claim()
    for name in ("a", "b"):
        desk.execution.store_artifact(claim, name, "text/plain", b"x")
    desk.end(claim)
    desk.wait(days=8)
    with pytest.raises(KeyboardInterrupt):
        evolve(desk.retention, files=Crashing(desk.files.folder, desk.files.ids)).prune()
    assert [row.id for row in desk.rows()] == [job.id]
    assert desk.retention.prune() == 2
    assert desk.rows() == []
    assert not files_of(desk)
