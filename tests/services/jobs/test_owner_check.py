"""Checks of owners before a body runs."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from tests.services.engine import EngineFixture, make_engine
from workbell.domain.identity.actor import SYSTEM, Actor
from workbell.domain.identity.user import UserId
from workbell.domain.jobs.attempt import Outcome
from workbell.domain.jobs.job import Job, JobState
from workbell.domain.jobs.task import Task
from workbell.services.jobs import owner_check
from workbell.services.jobs.owner_check import OwnerCheck
from workbell.services.jobs.requests import NewJob

pytestmark = pytest.mark.unit

ran: list[int] = []


def body(context: Any, _: Any) -> None:
    ran.append(context.job_id)


@pytest.fixture
def engine(tmp_path: Path) -> EngineFixture:
    ran.clear()
    internal = Task(key="internal", body=body, is_internal=True)
    return make_engine(tmp_path, Task(key="task", body=body, max_attempts=1), internal)


def enqueue(engine: EngineFixture, owner: UserId, task: str = "task") -> Job:
    return engine.jobs.create(SYSTEM, NewJob(task_definition=task), owner=owner)[0]


def run(engine: EngineFixture, job: Job, **settings: bool) -> Job:
    """Run the only ready job, checked with some settings."""
    (claim,) = engine.claim()
    assert claim.id == job.id
    if settings:
        owners = OwnerCheck(store=engine.store, clock=engine.clock, **settings)
        engine = evolve(engine, execution=evolve(engine.execution, owners=owners))
    engine.run(claim)
    return engine.reload_job(job)


def test_the_body_does_not_run_for_an_inactive_owner(engine: EngineFixture) -> None:
    """The attempt is recorded, and the job can be retried after a reactivation."""
    alice = engine.add_user()
    job = enqueue(engine, alice.user_id)
    engine.change(alice, is_active=False)
    stopped = run(engine, job)
    assert (stopped.state, stopped.reason) == (JobState.CANCELLED, "the owner is inactive")
    assert ran == []
    (attempt,) = engine.jobs.attempts(SYSTEM, job.id)
    assert (attempt.outcome, attempt.error) == (Outcome.CANCELLED, "the owner is inactive")
    engine.change(alice, is_active=True)
    engine.advance(5)
    engine.jobs.retry(SYSTEM, job.id)
    assert run(engine, job).state is JobState.SUCCEEDED


def test_a_retry_is_cancelled_after_the_owner_was_deactivated(
    engine: EngineFixture,
) -> None:
    alice = engine.add_user()
    job = engine.enqueue(alice, task_definition="task", max_attempts=2)
    (claim,) = engine.claim()
    engine.settle(claim, Outcome.FAILED, retry_after=1)
    engine.change(alice, is_active=False)
    engine.advance(60)
    engine.execution.sweep()
    assert run(engine, job).state is JobState.CANCELLED


@pytest.mark.parametrize("required", [True, False])
def test_the_address_must_be_verified_if_the_settings_require_it(
    engine: EngineFixture, *, required: bool
) -> None:
    alice = engine.add_user(is_email_verified=False)
    job = enqueue(engine, alice.user_id)
    ended = run(engine, job, require_verified_email=required)
    assert ended.state is (JobState.CANCELLED if required else JobState.SUCCEEDED)
    assert ended.reason == ("the owner's email address is not verified" if required else None)


def test_the_system_and_owners_without_a_user_are_not_checked(engine: EngineFixture) -> None:
    for owner in (SYSTEM.user_id, UserId(4_711)):
        job = enqueue(engine, owner)
        assert run(engine, job, require_verified_email=True).state is JobState.SUCCEEDED


def test_internal_tasks_run_for_inactive_owners(engine: EngineFixture) -> None:
    """The service depends on them."""
    alice = engine.add_user(is_active=False)
    job = enqueue(engine, alice.user_id, "internal")
    assert run(engine, job).state is JobState.SUCCEEDED


def test_an_owner_is_read_every_five_seconds(
    engine: EngineFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner_check, "MAX_ENTRIES", 1)
    alice, bob = engine.add_user(), engine.add_user("bob")

    def outcome(actor: Actor) -> JobState:
        return run(engine, enqueue(engine, actor.user_id)).state

    assert outcome(alice) is JobState.SUCCEEDED
    engine.change(alice, is_active=False)
    engine.advance(4.9)
    assert outcome(alice) is JobState.SUCCEEDED
    engine.advance(0.1)
    assert outcome(alice) is JobState.CANCELLED
    engine.change(alice, is_active=True)
    assert outcome(bob) is JobState.SUCCEEDED
    assert outcome(alice) is JobState.SUCCEEDED
